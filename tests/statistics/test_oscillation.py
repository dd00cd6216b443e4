"""The share of an oscillation in the leading Hessian vectors, by dense matrices and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import laws
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.networks import Modes, Perceptrons
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.simulate import simulate
from dlnlab.statistics import HessianShares
from dlnlab.tasks import Whitened


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_shares_are_those_of_a_dense_hessian_at_the_centre():
    network, steps, window = Perceptrons(((3, 4, 2),), "tanh"), 12, 5
    problem, params = laws.some_problem(network), laws.random_params(network)
    descent, statistic = GradientDescent(1.5), HessianShares(k=3, window=window)
    flat, unravel = ravel_pytree(params)
    hessian = jax.jit(jax.hessian(lambda theta: problem.loss(unravel(theta))))

    @jax.jit
    def go(params, memory, index):
        step = laws.descent_step(problem, descent, params, index, total=steps)
        return step.after, statistic.update(problem, memory, step)

    memory, path = statistic.init(problem, params), [flat]
    for index in range(1, steps + 1):
        params, memory = go(params, memory, jnp.asarray(index))
        path.append(ravel_pytree(params)[0])
    path, along, whole = np.array(path), np.zeros(3), 0.0
    for t in range(steps - window, steps):
        swing = path[t + 1] - 2 * path[t] + path[t - 1]
        centre = (path[t + 1] + 2 * path[t] + path[t - 1]) / 4
        vectors = np.linalg.eigh(hessian(centre))[1][:, ::-1][:, :3]
        along, whole = along + (vectors.T @ swing) ** 2, whole + swing @ swing
    found = statistic.read(problem, memory, params, None)
    np.testing.assert_allclose(found.value, np.cumsum(along) / whole, rtol=1e-8)
    assert 0.01 < float(found.value[0]) < float(found.value[2]) < 1
    assert float(found.residual) < 1e-12


def test_one_mode_beyond_its_edge_oscillates_in_the_sharpest_direction():
    """κ = 2.1: the 2-cycle moves both layers alike, and that is the top eigenvector throughout."""
    problem = Problem(Modes((2,), 2), Whitened(jnp.array([1.0, 0.2])))
    params = ((jnp.array([0.9, 0.4]),) * 2,)
    shares = HessianShares(k=6)
    run = Run(problem, GradientDescent(1.05), params)
    measured = simulate(run, steps=2000, schedule=last(1), statistics=(shares,))
    np.testing.assert_allclose(measured.hessian_shares[-1, :4], 1, rtol=1e-9)
    # There are four parameters; more directions than that there are not.
    assert np.isnan(measured.hessian_shares[-1, 4:]).all()


def test_before_its_window_it_says_nothing():
    problem = laws.some_problem(Modes((2,), 2))
    run = Run(problem, GradientDescent(0.1), laws.random_params(problem.network))
    measured = simulate(
        run, steps=60, schedule=last(30), statistics=(HessianShares(k=1, window=20),)
    )
    known = measured.hessian_shares[:, 0].notnull()
    np.testing.assert_array_equal(known, measured.step > 40)


@pytest.mark.parametrize("wrong", [{"k": 0}, {"window": 0}])
def test_nothing_to_look_at_is_refused(wrong):
    with pytest.raises(InputError, match="at least 1 is needed"):
        HessianShares(**wrong)
