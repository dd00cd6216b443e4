"""Narrow networks in place of wide ones: exact for some steps, near for many, and lifted back."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlnlab.dynamics import GradientDescent, Optax, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, Pathways, chain, square
from dlnlab.observables import loss, sharpness
from dlnlab.problem import Problem
from dlnlab.reduction import narrow, reachable
from dlnlab.run import Run
from dlnlab.tasks import Samples, Whitened

WIDE = 120
STEPS = (100, 200, 300, 400)


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def start(depth, std=0.7 * WIDE**-0.5, seed=0):
    """A chain of maps from 2 to 3 entries and wide hidden levels."""
    network = chain((2, *[WIDE] * (depth - 1), 3))
    target = jnp.array([[3.0, 0.5], [0.0, 2.0], [1.0, 0.0]])
    return Problem(network, Whitened(target)), gaussian(network, jax.random.key(seed), std=std)


def descend(problem, params, steps, dynamics=None):
    dynamics = dynamics or GradientDescent(0.02)
    memory = dynamics.init(problem, params, jax.random.key(7))

    def step(_, state):
        return dynamics.step(problem, *state)

    return jax.jit(lambda p: jax.lax.fori_loop(0, steps, step, (p, memory)))(params)[0]


def decaying(learning_rate):
    """Descent with momentum on a penalised loss."""
    return optax.chain(optax.add_decayed_weights(0.3), optax.sgd(learning_rate, momentum=0.9))


def made(problem, params):
    return np.asarray(sum(problem.network.products(params)))


def apart(problem, params, order, steps, dynamics=None):
    """By how much the maps of the wide and the narrow network differ after some steps."""
    near = narrow(problem, params, order)
    wide = made(problem, descend(problem, params, steps, dynamics))
    found = made(near.problem, descend(near.problem, near.params, steps, dynamics))
    return np.linalg.norm(found - wide) / np.linalg.norm(wide)


@pytest.mark.parametrize("depth", [3, 4])
def test_some_steps_are_exact(depth):
    problem, params = start(depth)
    for steps in (1, 2):
        assert apart(problem, params, (steps + 1) * (depth - 1), steps) < 1e-13
    assert apart(problem, params, depth - 1, 4) > 1e-6


def test_two_layers_are_exact_for_ever():
    problem, params = start(2)
    assert narrow(problem, params, 1).problem.network.widths == ((2, 5, 3),)
    assert apart(problem, params, 1, 500) < 1e-12


def test_the_error_falls_with_the_order_as_the_square_of_the_leakage():
    """Along an escape, where what has gone wrong grows most."""
    problem, params = start(3, std=0.04)
    errors, leaks = [], []
    for order in (2, 4, 6):
        near = narrow(problem, params, order)
        assert near.leakage(near.params) < 1e-13
        moments = [
            (descend(problem, params, n), descend(near.problem, near.params, n)) for n in STEPS
        ]
        pairs = [(made(problem, wide), made(near.problem, small)) for wide, small in moments]
        errors.append(max(np.linalg.norm(m - w) / np.linalg.norm(w) for w, m in pairs))
        leaks.append(max(float(near.leakage(small)) for _, small in moments))
    ratios = [later / earlier for earlier, later in zip(errors, errors[1:], strict=False)]
    assert max(ratios) < 0.1
    assert errors[-1] > 1e-13  # not yet rounding, so that the next line says something
    assert all(e < 10 * leak**2 for e, leak in zip(errors, leaks, strict=True))


@pytest.mark.science
def test_the_table_of_the_page():
    """Width 1,000, four layers: at most twice what docs/narrowing.md says, at each order."""
    network = chain((5, 1000, 1000, 1000, 5))
    problem = Problem(network, Whitened(jnp.diag(jnp.linspace(5.0, 1.0, 5))))
    params = gaussian(network, jax.random.key(0), gamma=1.5)
    wide = made(problem, descend(problem, params, 300, GradientDescent(2e-3)))
    assert 0.01 < np.linalg.norm(wide - problem.task.target) / np.linalg.norm(wide) < 0.1
    said = {6: (1.8e-3, 4.8e-7), 7: (2.8e-4, 1.3e-8), 8: (4.4e-5, 3.5e-10), 9: (6.4e-6, 8.0e-12)}
    for order, (leak, error) in said.items():
        near = narrow(problem, params, order)
        after = descend(near.problem, near.params, 300, GradientDescent(2e-3))
        found = np.linalg.norm(made(near.problem, after) - wide) / np.linalg.norm(wide)
        assert error / 2 < found < 2 * error
        assert leak / 2 < near.leakage(after) < 2 * leak


def test_lifted_layers_are_those_of_the_wide_network():
    problem, params = start(3)
    near = narrow(problem, params, 12)
    for one, other in zip(near.lift(near.params)[0], params[0], strict=True):
        np.testing.assert_array_equal(one, other)
    lifted = near.lift(descend(near.problem, near.params, 50))
    for one, other in zip(lifted[0], descend(problem, params, 50)[0], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-11)


def test_pathways_are_narrowed_each_by_itself():
    network = Pathways(((3, 80, 80, 2), (3, 60, 2)))
    problem = Problem(network, Whitened(jnp.array([[2.0, 0.0, 0.3], [0.0, 1.0, 0.0]])))
    params = gaussian(network, jax.random.key(3), std=0.1)
    assert narrow(problem, params, 8).problem.network.widths == ((3, 20, 20, 2), (3, 5, 2))
    assert apart(problem, params, 8, 60) < 1e-9


@pytest.mark.parametrize(
    "dynamics",
    [
        Optax(decaying, 0.02),
        StochasticGradientDescent(0.02, batch_size=3),
    ],
    ids=["momentum and decay", "sgd"],
)
def test_other_rules_along_the_gradient(dynamics):
    rng = np.random.default_rng(5)
    network = chain((2, WIDE, WIDE, 3))
    data = Samples(jnp.asarray(rng.normal(size=(12, 2))), jnp.asarray(rng.normal(size=(12, 3))))
    problem = Problem(network, data)
    params = gaussian(network, jax.random.key(1), std=0.7 * WIDE**-0.5)
    assert apart(problem, params, 10, 60, dynamics) < 1e-8
    assert apart(problem, params, 2, 60, dynamics) > 1e-6


def test_the_hessian_is_projected():
    """Its largest eigenvalue is a lower bound, and sharp once the kernel dominates."""
    problem, params = start(3)
    tops = {}
    for order in (2, 12):
        near = narrow(problem, params, order)
        tops[order] = float(sharpness(near.problem, near.params)[0])
    assert tops[2] < tops[12] * (1 - 1e-6)
    assert tops[12] <= float(sharpness(problem, params)[0]) * (1 + 1e-9)
    wide = sharpness(problem, descend(problem, params, 80))[0]
    found = sharpness(near.problem, descend(near.problem, near.params, 80))[0]
    assert found == pytest.approx(float(wide), rel=1e-7)


def test_the_way_back_is_for_rules_without_decay():
    """The map is right, and what stands outside is not shrunk."""
    problem, params = start(3)
    near = narrow(problem, params, 12)
    dynamics = Optax(decaying, 0.02)
    lifted = near.lift(descend(near.problem, near.params, 50, dynamics))[0]
    wide = descend(problem, params, 50, dynamics)[0]
    assert max(float(jnp.abs(a - b).max()) for a, b in zip(lifted, wide, strict=True)) > 1e-3


def test_nothing_leaks_where_nothing_moves():
    problem, params = start(3)
    near = narrow(problem, jax.tree.map(jnp.zeros_like, params), 4)
    assert near.leakage(near.params) == 0
    assert len(repr(near)) < 400


def test_narrow_networks_are_left_alone():
    problem, params = start(3)
    near = narrow(problem, params, 60)
    assert near.problem.network == problem.network
    for one, other in zip(near.params[0], params[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert near.leakage(near.params) < 1e-13


@pytest.mark.parametrize("kind", ["equal", "zero"])
def test_dependent_products_are_held_by_orthonormal_bases(kind):
    rng = np.random.default_rng(4)
    first = rng.normal(size=(40, 4))
    last = first[:, :3].T if kind == "equal" else np.zeros((3, 40))
    layers = (first, np.eye(40), last)
    bases = reachable(layers, 4)
    for basis in bases[1:-1]:
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-13)
    for reached in (layers[0], layers[1].T @ layers[2].T):
        outside = reached - bases[1] @ (bases[1].T @ reached)
        assert np.abs(outside).max() < 1e-13


def test_bases_are_the_same_in_numpy_and_jax():
    _, (layers,) = start(4)
    ours = reachable(tuple(np.asarray(w) for w in layers), 7)
    theirs = reachable(layers, 7)
    for one, other in zip(ours[1:-1], theirs[1:-1], strict=True):
        assert isinstance(one, np.ndarray)
        np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-10)


def test_an_experiment_may_narrow_what_it_builds():
    def build(width: int = WIDE, order: int = 10, seed: int = 0) -> Run:
        network = chain((2, width, width, 2))
        problem = Problem(network, Whitened(jnp.diag(jnp.array([2.0, 1.0]))))
        params = gaussian(network, jax.random.key(seed), std=0.7 * width**-0.5)
        near = narrow(problem, params, order)
        return Run(near.problem, GradientDescent(0.05), near.params)

    found = Experiment(build, "narrowed", steps=60, observe=(loss,)).measure(
        order=(10, 1000), seed=(0, 1)
    )
    narrowed, whole = found.loss.sel(order=10), found.loss.sel(order=1000)
    np.testing.assert_allclose(narrowed, whole, rtol=1e-8)
    assert np.ptp(found.loss.values[..., -1], axis=-1).min() > 0


def test_what_cannot_be_narrowed_is_refused():
    problem = Problem(Modes((2,), 2), Whitened(jnp.ones(2)))
    with pytest.raises(InputError, match="only networks of matrices"):
        narrow(problem, ((jnp.ones(2), jnp.ones(2)),), 8)
    with pytest.raises(InputError, match="at least 3 is needed"):
        narrow(*start(4), 2)
    wide, (layers,) = start(3)
    for order in (2.5, 4.0, np.nan, None, "8"):
        with pytest.raises(InputError, match="whole number"):
            narrow(wide, (layers,), order)
    with pytest.raises(InputError, match="finite"):
        narrow(wide, ((layers[0].at[0, 0].set(jnp.nan), *layers[1:]),), 8)
    with pytest.raises(InputError, match="float16"):
        narrow(wide, (tuple(w.astype(jnp.float16) for w in layers),), 8)
    with pytest.raises(InputError):
        narrow(wide, (layers,), 8).lift((layers,))
    with pytest.raises(InputError):
        narrow(Problem(square(3, (2,)), Whitened(jnp.eye(3))), ((jnp.eye(2), jnp.eye(2)),), 8)
