"""Greedy growth: its directions, its saddles, its end, and the flow that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import GradientDescent, GradientFlow, GreedyGrowth
from dlnlab.dynamics.greedy import top_triple
from dlnlab.errors import InputError
from dlnlab.frechet import frechet_distance
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, Perceptrons, chain, product
from dlnlab.observables import end_to_end, gradient_norm, loss, observable
from dlnlab.plateaus import plateaus
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.simulate import simulate
from dlnlab.tasks import Samples, Whitened

STRENGTHS = np.array([2.0, 1.0, 0.5])


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def problem(depth, width=3):
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    target = Whitened(jnp.asarray(left * STRENGTHS @ right.T))
    return Problem(chain((3, *[width] * (depth - 1), 3)), target)


@observable(dims=("layer",), symbol="n", formula="hidden neurons with a weight other than zero")
def alive(problem, params):
    """Neurons that are there, by their incoming and by their outgoing weights."""
    first, last = params[0][0], params[0][-1]
    return jnp.stack([(first != 0).any(1).sum(), (last != 0).any(0).sum()]) * 1.0


def zeros(made):
    return jax.tree.map(jnp.zeros_like, gaussian(made.network, jax.random.key(0), std=1.0))


def grow(made, steps, weight, **how):
    run = Run(made, GreedyGrowth(0.05, weight=weight, **how), zeros(made))
    seen = (loss, gradient_norm, end_to_end, alive)
    return simulate(run, steps=steps, schedule=linear(steps + 1), observe=seen)


@pytest.mark.parametrize("shape", [(4, 4), (3, 6), (6, 3)], ids=str)
def test_top_triple_is_that_of_the_decomposition(shape):
    matrix = np.random.default_rng(3).normal(size=shape)
    left, values, right = np.linalg.svd(matrix)
    u, s, v = top_triple(jnp.asarray(matrix))
    gap = 1 - (values[1] / values[0]) ** 2  # what a small last change leaves to come
    assert abs(float(s) - values[0]) < 1e-13 * values[0]
    assert np.abs(np.outer(u, v) - np.outer(left[:, 0], right[0])).max() < 1e-14 / gap * 10
    # Rows that are orthogonal to the top vectors are no trap.
    trap = jnp.array([[1.2, 0, 0], [0, 1.0, 0], [0, 1.0, 0]])
    assert float(top_triple(trap)[1]) == pytest.approx(2**0.5, rel=1e-14)


def test_the_map_gradient_is_the_slope_of_the_cost():
    """Of a whitened task W − M; of samples (1/n) Σ (Wx − y)xᵀ; of modes σ − s."""
    rng = np.random.default_rng(1)
    made = problem(3)
    params = gaussian(made.network, jax.random.key(1), std=0.5)
    whole = np.asarray(product(made.network, params))
    np.testing.assert_allclose(made.map_gradient(params), whole - made.task.target, atol=1e-14)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(7, 3))
    sampled = Problem(made.network, Samples(x, y))
    np.testing.assert_allclose(
        sampled.map_gradient(params), (x @ whole.T - y).T @ x / 7, atol=1e-14
    )
    modes = Problem(Modes((2,), 2), Whitened(jnp.array([2.0, 1.0])))
    values = ((jnp.array([1.0, 0.5]), jnp.array([1.0, 1.0])),)
    assert modes.map_gradient(values).tolist() == [-1.0, -0.5]


def test_growth_passes_the_saddles_of_the_target_in_turn():
    measured = grow(problem(2), 2400, 1e-3)
    # A neuron that is not there is exactly zero, in both layers.
    incoming, outgoing = measured.alive.values.T
    assert (incoming == outgoing).all()
    births = np.flatnonzero(np.diff(incoming))
    assert incoming[births].tolist() == [0, 1, 2]
    assert incoming[-1] == 3
    levels = np.cumsum(STRENGTHS[::-1] ** 2)[::-1] / 2
    # The gradient has fallen by 1e-6, and with it the distance to the saddle.
    np.testing.assert_allclose(measured.loss.values[births], levels, rtol=1e-9)
    assert float(measured.loss[-1]) < 1e-20
    found = plateaus(measured.isel(step=slice(1, None)))
    np.testing.assert_allclose(found.loss[:3], levels, rtol=1e-4)


def test_growth_ends_at_the_global_minimum():
    """A target of rank 2 takes two neurons of five, and one of rank 3 all that there are of two."""
    made = Problem(chain((3, 5, 3)), Whitened(jnp.diag(jnp.array([2.0, 1.0, 0.0]))))
    measured = grow(made, 2000, 1e-3)
    assert measured.alive[-1].values.tolist() == [2, 2]
    assert float(measured.loss[-1]) < 1e-20
    narrow = grow(problem(2, width=2), 2000, 1e-3)
    assert float(narrow.loss[-1]) == pytest.approx(STRENGTHS[2] ** 2 / 2, rel=1e-9)


def test_what_cannot_grow_is_refused():
    for network in (Modes((2,), 2), chain((2, 2)), Perceptrons(((2, 3, 2),), "tanh")):
        made = Problem(chain((2, 2, 2)), Whitened(jnp.eye(2)))
        if not isinstance(network, Perceptrons):
            target = jnp.ones(2) if isinstance(network, Modes) else jnp.eye(2)
            made = Problem(network, Whitened(target))
        else:
            made = Problem(network, Samples(np.eye(2), np.eye(2)))
        with pytest.raises(InputError, match="hidden layer"):
            GreedyGrowth(0.1).init(made, zeros(made), None)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: GreedyGrowth(0.05, weight=0.0), "weight must be above 0, and 0 was given"),
        (lambda: GreedyGrowth(0.05, weight=-0.1), "weight must be above 0"),
        (lambda: GreedyGrowth(0.05, weight=np.nan), "weight must be above 0, and nan"),
        (lambda: GreedyGrowth(0.05, tolerance=-1.0), "tolerance must be 0 or more"),
        (lambda: GreedyGrowth(-0.05), "learning_rate must be 0 or more, and -0.05 was given"),
        (lambda: GradientDescent(-0.05), "learning_rate must be 0 or more"),
        (lambda: GradientDescent(jnp.array(np.nan)), "learning_rate must be 0 or more"),
    ],
)
def test_numbers_that_make_no_dynamics_are_refused(made, told):
    with pytest.raises(InputError, match=told):
        made()


def test_numbers_that_are_traced_are_taken():
    rates = jnp.array([0.1, 0.2])
    made = jax.vmap(lambda rate: GreedyGrowth(rate, weight=rate).weight)(rates)
    assert made.tolist() == rates.tolist()


def distances(depth, scales):
    """Between the path of growth with ε and that of the flow from α = ε, in product space."""
    made, found = problem(depth), []
    for scale in scales:
        start = gaussian(made.network, jax.random.key(3), std=scale)
        time = 60.0 if depth == 2 else 20 / scale
        steps = int((80.0 if depth == 2 else 45 / scale + 100) / 0.05)
        flow = simulate(
            Run(made, GradientFlow(arrival=0.0), start),
            time=time,
            schedule=logarithmic(3000) | linear(3000),
            observe=(end_to_end, loss),
        )
        path = grow(made, steps, scale, by="flow")
        assert float(flow.loss[-1]) < 1e-12
        assert float(path.loss[-1]) < 1e-12
        found.append(frechet_distance(path.end_to_end, flow.end_to_end, points=500))
    return np.array(found)


def exponent(scales, found):
    """The fitted exponent and its standard error."""
    x, y = np.log(scales), np.log(found)
    (slope, _), covariance = np.polyfit(x, y, 1, cov=True)
    return slope, float(np.sqrt(covariance[0, 0]))


def test_growth_and_flow_come_together_as_the_start_shrinks():
    scales = np.array([1e-1, 1e-2, 1e-3, 1e-4])
    found = distances(2, scales)
    slope, error = exponent(scales, found)
    # Student's t of two degrees of freedom, one-sided at 1 in 1000: 22.3.
    assert slope > 22.3 * error
    assert (np.diff(found) < 0).all()


@pytest.mark.science
def test_growth_and_flow_come_together_at_depth_three():
    scales = np.array([3e-2, 1e-2, 3e-3, 1e-3])
    slope, error = exponent(scales, distances(3, scales))
    assert slope > 6.96 * error  # one-sided at 1 in 100


def test_paths_part_where_the_scales_are_large():
    """That the comparison can fail: from a large start the flow learns all modes together."""
    near, far = distances(2, np.array([1e-3, 0.5]))
    assert far > 10 * near
