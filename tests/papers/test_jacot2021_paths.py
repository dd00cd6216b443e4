"""jacot2021, statements 2, 4 and 5: plain recursions, and claims that can say no."""

import jax
import numpy as np
import pytest
import scipy.integrate
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.papers.jacot2021 import completion, escape, first_escape, greedy, regimes, schatten
from dlnlab.plotting import style
from figures import claims_of, figures_of, measured_once
from mutations import backwards, scaled, told

SMALLER = {
    escape: {"seed": tuple(range(3))},
    first_escape: {"seed": tuple(range(20))},
    greedy: {},  # ten seeds leave 4a inconclusive
    completion: {},
    schatten: {"seed": (0,)},
}
QUICK = (escape,)
"""The others take a minute each, and are carried out with the science tests."""
ALL = claims_of(SMALLER, QUICK)


@pytest.fixture(scope="module")
def data():
    return measured_once(SMALLER)


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data(module))
    assert found["verdict"] == "holds", found


# --- against plain NumPy ----------------------------------------------------------------------


def built(module, **coords):
    """A run's task and first layers, in double precision."""
    with jax.enable_x64(True):
        run = module.EXPERIMENT.build(**coords)
        return jax.tree.map(np.asarray, (run.problem.task, run.params[0]))


def slope(layers, residual):
    """The gradient of a cost with ∇C = residual, layer by layer: products of the others."""

    def chained(some, size):
        made = np.eye(size)
        for layer in some:
            made = layer @ made
        return made

    made = []
    for k, layer in enumerate(layers):
        after = chained(layers[k + 1 :], layer.shape[0])
        before = chained(layers[:k], layers[0].shape[1])
        made.append(after.T @ residual @ before.T)
    return made


def product(layers):
    made = layers[0]
    for layer in layers[1:]:
        made = layer @ made
    return made


def test_penalised_descent_is_the_plain_recursion():
    coords = {"weight_decay": 0.1, "depth": 3, "start": "large", "seed": 4}
    measured = schatten.EXPERIMENT.measure(**coords, steps=300).isel(step=-1)
    task, layers = built(schatten, **coords)
    for _ in range(300):
        gradient = slope(layers, product(layers) - task.target)
        layers = [w - 0.05 * (g + 0.1 * w) for w, g in zip(layers, gradient, strict=True)]
    values = np.linalg.svd(product(layers), compute_uv=False)
    np.testing.assert_allclose(measured.singular_values, values, atol=1e-12)


def test_the_path_is_that_of_gradient_flow():
    """Points of the flow at its own pace lie on the path of another integrator in plain time."""
    coords = {"depth": 2, "scale": 1e-2, "seed": 3}
    measured = first_escape.EXPERIMENT.measure(**coords, time=2.0)
    task, layers = built(first_escape, **coords)
    shapes = [w.shape for w in layers]
    cut = layers[0].size

    def velocity(time, flat):
        parts = [flat[:cut].reshape(shapes[0]), flat[cut:].reshape(shapes[1])]
        residual = np.where(task.mask, product(parts) - task.whole, 0)
        return -np.concatenate([g.ravel() for g in slope(parts, residual)])

    start = np.concatenate([w.ravel() for w in layers])
    found = scipy.integrate.solve_ivp(
        velocity, (0, 30), start, rtol=1e-9, atol=1e-12, dense_output=True
    )
    times = np.linspace(0, 30, 30_001)
    flat = found.sol(times).T
    maps = flat[:, cut:].reshape(-1, *shapes[1]) @ flat[:, :cut].reshape(-1, *shapes[0])
    longest = np.linalg.norm(np.diff(maps, axis=0), axis=(1, 2)).max()
    for point in measured.end_to_end.values[::20]:
        assert np.linalg.norm(maps - point, axis=(1, 2)).min() <= longest


def test_a_ray_grows_as_its_equation_says():
    """`ṙ = s* r²` of three layers, integrated by other means."""
    coords = {"depth": 3, "start": "ray", "scale": 1e-3, "seed": 1}
    measured = escape.EXPERIMENT.measure(**coords, time=0.9)
    _, layers = built(escape, **coords)
    assert np.isclose(sum((w**2).sum() for w in layers), 1e-6, rtol=1e-12)
    assert all(np.linalg.matrix_rank(w) == 1 for w in layers)
    unit = 3**0.5 / 3 / 1e-3
    plain = scipy.integrate.solve_ivp(
        lambda t, r: 3**-0.5 * 3 * r**2, (0, 0.9 * unit), [1e-3], rtol=1e-11, atol=1e-15
    )
    assert float(measured.parameter_norm[-1]) == pytest.approx(plain.y[0, -1], rel=1e-6)


@pytest.mark.parametrize(("gap", "counted"), [(0.02, [False] * 3), (0.5, [True, False, True])])
def test_pairs_that_end_apart_are_counted_at_the_smallest_scale(gap, counted):
    maps = np.zeros((2, 1, 2, 3, 4, 5, 5))  # scale, observed, algorithm, seed, step
    maps[0, 0, 0, [0, 2], -1, 0, 0] = gap
    maps[1, 0, 0, :, -1] = 9.0
    made = xr.Dataset(
        {"end_to_end": ((*greedy.AXES, "step", "output", "input"), maps)},
        {"scale": [1e-4, 1e-1], "observed": ["part"], "algorithm": ["flow", "greedy"]},
    )
    assert greedy.ends_apart(made.assign_coords(seed=range(3)), "part").tolist() == counted


# --- mutations --------------------------------------------------------------------------------


def never_ended(measured, predicted):
    return measured.assign(loss=xr.ones_like(measured.loss)), predicted


def all_small(measured, predicted):
    """The small starts' ends for both."""
    values = measured.singular_values
    small = values.sel(start="small", drop=True)
    return measured.assign(singular_values=small.broadcast_like(values)), predicted


def transposed(measured, predicted):
    """Random starts that learn the transpose of what one neuron learns."""
    maps = measured.end_to_end
    turned = maps.values.swapaxes(-1, -2)
    full = measured.network == "full"
    return measured.assign(end_to_end=xr.where(full, maps.copy(data=turned), maps)), predicted


def two_at_once(measured, predicted):
    return measured.assign(neurons=2 * measured.neurons), predicted


def rank_one(measured, predicted):
    """Maps that never have more than one singular pair."""
    u, s, vt = np.linalg.svd(measured.end_to_end.values)
    first = s[..., :1, None] * u[..., :, :1] * vt[..., :1, :]
    return measured.assign(end_to_end=(measured.end_to_end.dims, first)), predicted


MUTATIONS = {
    "jacot2021.2": [scaled("first_escape_rate", 0.98), scaled("escape_speed", 3**0.5)],
    "jacot2021.2a": [scaled("first_escape_rate", 0.98), scaled("escape_speed", 2**0.5)],
    "jacot2021.2b": [backwards("scale", "first_escape_rate")],
    "jacot2021.2c": [
        scaled("escape_time", 1.001),
        scaled("parameter_norm", lambda measured: 1 + 0.02 * measured.time),
    ],
    "jacot2021.2d": [scaled("parameter_norm", lambda measured: 1 + 10 * measured.time)],
    "jacot2021.2e": [backwards("scale", "end_to_end"), transposed],
    "jacot2021.2f": [scaled("maximum_escape_alignment", 0.99)],
    "jacot2021.2g": [backwards("scale", "end_to_end")],
    "jacot2021.4": [backwards("scale", "end_to_end"), never_ended],
    "jacot2021.4a": [backwards("scale", "end_to_end"), never_ended],
    "jacot2021.4b": [backwards("gamma", "test_loss"), never_ended],
    "jacot2021.4c": [two_at_once, rank_one],
    "jacot2021.4d": [backwards("algorithm", "test_loss")],
    "jacot2021.5": [
        scaled("parameter_norm", 1.001),
        scaled("parameter_norm", 0.999),
        told("depth", lambda depths: depths + 1),
    ],
    "jacot2021.5a": [
        all_small,
        scaled("regularised_values", 1.001),
        told("weight_decay", lambda decay: 2 * decay),
    ],
    "jacot2021.5b": [told("weight_decay", lambda decay: 1.01 * decay)],
    "jacot2021.5c": [all_small, told("weight_decay", lambda decay: 2 * decay)],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        found = claim.judge(*mutate(*data(module)))
        assert found["verdict"] == "fails", (mutate, found)


# --- pictures and coordinates -----------------------------------------------------------------


@pytest.mark.parametrize("module", figures_of(SMALLER, QUICK))
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


@pytest.mark.parametrize(
    ("module", "coords", "words"),
    [
        (escape, {"scale": 0.0}, "scale must be above 0"),
        (escape, {"targets": ()}, "target"),
        (first_escape, {"depth": 1}, "depth must be at least 2"),
        (greedy, {"learning_rate": -0.1}, "learning_rate must be above 0"),
        (completion, {"fraction": 2.0}, "fraction must be at least 0.1 and at most 1"),
        (schatten, {"width": 3}, "needs as many hidden units; raise it"),
        (completion, {"width": 2}, "width is 2, and a target of 3 modes"),
        (greedy, {"width": 1}, "width is 1, and a target of 2 modes"),
        (escape, {"width": 2}, "width is 2, and a target of 3 modes"),
        (first_escape, {"width": 2}, "width is 2, and a target of 3 modes"),
        (regimes, {"width": 4}, "width is 4, and a target of 5 modes"),
    ],
)
def test_bad_input_is_answered_in_a_sentence(module, coords, words):
    with pytest.raises(InputError, match=words):
        module.EXPERIMENT.measure(**coords)
