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


def test_the_error_of_a_long_run_falls_with_the_order_as_the_square_of_the_departure():
    problem, params = start(3)
    errors, departures = [], []
    for order in (2, 4, 6):
        near = narrow(problem, params, order)
        assert near.departure(near.params) < 1e-13
        errors.append(apart(problem, params, order, 100))
        departures.append(near.departure(descend(near.problem, near.params, 100)))
    ratios = [later / earlier for earlier, later in zip(errors, errors[1:], strict=False)]
    assert max(ratios) < 1e-2
    assert errors[-1] > 1e-14  # not yet rounding, so that the next line says something
    assert all(e < d**2 for e, d in zip(errors, departures, strict=True))


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


def test_curvature_is_that_of_the_wide_network():
    problem, params = start(3)
    near = narrow(problem, params, 12)
    wide = sharpness(problem, descend(problem, params, 80))[0]
    found = sharpness(near.problem, descend(near.problem, near.params, 80))[0]
    assert found == pytest.approx(float(wide), rel=1e-7)


def test_narrow_networks_are_left_alone():
    problem, params = start(3)
    near = narrow(problem, params, 60)
    assert near.problem.network == problem.network
    for one, other in zip(near.params[0], params[0], strict=True):
        np.testing.assert_array_equal(one, other)
    assert near.departure(near.params) < 1e-13


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
    with pytest.raises(InputError):
        narrow(Problem(square(3, (2,)), Whitened(jnp.eye(3))), ((jnp.eye(2), jnp.eye(2)),), 8)
