"""Gradient flow: the closed form, what it conserves, and descent's order towards it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import GradientDescent, GradientFlow
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import Modes, Pathways, square
from dlnlab.observables import balance_gap, conserved_z, loss, mode_values
from dlnlab.problem import Problem
from dlnlab.results import STATUS_MEANINGS
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.simulate import simulate
from dlnlab.tasks import Whitened
from dlnlab.theory.modes import flow_value


def modes_run(dynamics, depth, start, targets):
    with jax.enable_x64(True):
        problem = Problem(Modes((depth,), len(targets)), Whitened(jnp.asarray(targets)))
        return Run(problem, dynamics, scaled_identity(problem, (start,)))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 10])
def test_flow_follows_the_closed_form(depth):
    targets = np.array([2.0, 1.0, 0.5])
    run = modes_run(GradientFlow(rtol=1e-12, atol=1e-15, arrival=0.0), depth, 0.01, targets)
    measured = simulate(run, time=6.0, schedule=linear(41), observe=(mode_values,))
    expected = np.stack(
        [flow_value(measured.time.values, start=0.01, target=s, depth=depth) for s in targets], -1
    )
    assert np.abs(measured.mode_values.isel(pathway=0).values - expected).max() < 1e-9


def test_flow_says_when_it_has_arrived():
    run = modes_run(GradientFlow(), 3, 0.1, np.array([1.0]))
    measured = simulate(run, time=100.0, observe=(mode_values, loss))
    assert STATUS_MEANINGS[int(measured.status)] == "arrived"
    assert abs(float(measured.mode_values[-1, 0, 0]) - 1) < 1e-8
    early = simulate(run, time=1.0, observe=(loss,))
    assert STATUS_MEANINGS[int(early.status)] == "ran_to_end"


def test_recording_does_not_move_the_flow():
    run = modes_run(GradientFlow(), 4, 0.05, np.array([1.0, 0.7]))
    sparse = simulate(run, time=5.0, schedule=linear(2), observe=(mode_values,))
    dense = simulate(run, time=5.0, schedule=linear(201), observe=(mode_values,))
    np.testing.assert_array_equal(sparse.mode_values[-1], dense.mode_values[-1])


def test_flow_conserves_balance_gaps_and_z():
    rtol = 1e-10
    with jax.enable_x64(True):
        network = Pathways(((3, 4, 3), (3, 3, 5, 3)))
        problem = Problem(network, Whitened(jnp.diag(jnp.array([2.0, 1.0, 0.5]))))
        random = Run(
            problem,
            GradientFlow(rtol=rtol, atol=1e-13, arrival=0.0),
            gaussian(network, jax.random.key(0), std=0.3),
        )
        gaps = simulate(random, time=20.0, observe=(balance_gap,)).balance_gap
        # The gap is quadratic in weights of order one; each of some hundreds of steps errs by rtol.
        assert float(np.abs(gaps - gaps[0]).max()) < 1000 * rtol
        modes = Problem(Modes((4, 4), 1), Whitened(jnp.array([1.0])))
        pair = Run(modes, random.dynamics, scaled_identity(modes, (0.05, 0.02)))
        z = simulate(pair, time=20.0, observe=(conserved_z,)).conserved_z[:, 1, 0]
    assert float(np.abs(z / z[0] - 1).max()) < 1000 * rtol
    # That this can fail: descent with a large step moves z by parts in a hundred.
    with jax.enable_x64(True):
        moved = simulate(
            Run(modes, GradientDescent(0.4), pair.params), steps=50, observe=(conserved_z,)
        ).conserved_z[:, 1, 0]
    assert float(np.abs(moved / moved[0] - 1).max()) > 0.01


def test_descent_tends_to_the_flow_with_order_one():
    """The distance at one time, against the learning rate: slope 1 in logarithms."""
    rates = np.array([0.04, 0.02, 0.01, 0.005, 0.0025])
    with jax.enable_x64(True):
        problem = Problem(square(3, (2, 3)), Whitened(jnp.diag(jnp.array([1.5, 1.0, 0.5]))))
        params = gaussian(problem.network, jax.random.key(3), std=0.4)
        flow = Run(problem, GradientFlow(rtol=1e-12, atol=1e-14, arrival=0.0), params)
        exact = simulate(flow, time=2.0, observe=(mode_values,)).mode_values[-1].values
        errors = [
            np.abs(
                simulate(
                    Run(problem, GradientDescent(rate), params), time=2.0, observe=(mode_values,)
                )
                .mode_values[-1]
                .values
                - exact
            ).max()
            for rate in rates
        ]
    slopes = np.diff(np.log(errors)) / np.diff(np.log(rates))
    # The next order contributes a relative O(η) to each slope.
    np.testing.assert_allclose(slopes, 1.0, atol=0.1)
    assert abs(slopes[-1] - 1) < abs(slopes[0] - 1) + 0.01
