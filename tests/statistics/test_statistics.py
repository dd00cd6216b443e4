"""Statistics on orbits whose period, exponent and outcome are known from elsewhere."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import GradientDescent, GradientFlow
from dlnlab.errors import InputError
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.simulate import simulate
from dlnlab.statistics import (
    OUTCOMES,
    Amplitude,
    FirstRise,
    FirstTime,
    Lyapunov,
    Maximum,
    Outcome,
    Period,
)
from dlnlab.tasks import Whitened


def chain_run(rate, start, depth=2, target=1.0, pathways=1):
    with jax.enable_x64(True):
        problem = Problem(Modes((depth,) * pathways, 1), Whitened(jnp.array([target])))
        starts = np.atleast_1d(start)
        params = tuple((jnp.full(1, s) ** (1 / depth),) * depth for s in starts)
        return Run(problem, GradientDescent(rate), params)


def measured(run, steps, *statistics, observe=(loss, mode_values)):
    return simulate(run, steps=steps, schedule=last(1), observe=observe, statistics=statistics)


@pytest.mark.parametrize(
    ("eta_s", "period"),
    # For L = 2: fixed point below 2, a 2-cycle to 2(√5−1) = 2.472, then a 4-cycle.
    [(1.7, 1), (2.2, 2), (2.45, 2), (2.5, 4)],
)
def test_period_of_the_doubling_cascade(eta_s, period):
    found = measured(chain_run(eta_s / 2, 0.3), 20_000, Period())
    assert int(found.period[-1]) == period


def test_the_amplitude_is_that_of_the_last_step():
    """Two pathways that share a mode: the difference of the recorded sums, at every step."""
    found = simulate(
        chain_run(1.2, (0.4, 0.1), depth=3, pathways=2),
        steps=40,
        schedule=last(40),
        observe=(mode_values,),
        statistics=(Amplitude(),),
    )
    whole = found.mode_values.sum("pathway")
    np.testing.assert_allclose(found.amplitude[1:], abs(whole.diff("step")), atol=1e-15)
    assert float(found.amplitude[0, 0]) == 0
    assert float(found.amplitude[-1, 0]) > 0.1


def test_no_period_is_found_in_chaos():
    assert int(measured(chain_run(1.55, 0.3, depth=2), 20_000, Period()).period[-1]) == 0


@pytest.mark.parametrize("eta_s", [1.3, 1.9, 2.2, 2.3, 2.9])
def test_lyapunov_exponent_against_the_scalar_map(eta_s):
    """The exponent of the map w ← w − ηw(w² − 1) written out, with the direction off balance.

    A chain with two free layers has a second direction, w_1 − w_2, with multiplier 1 + ηr; the
    exponent of the network is the larger of the two.
    """
    rate, w = eta_s / 2, 0.3**0.5
    along, across = [], []
    for _ in range(40_000):
        along.append(np.log(abs(1 - rate * (3 * w**2 - 1))))
        across.append(np.log(abs(1 + rate * (w**2 - 1))))
        w = w - rate * w * (w**2 - 1)
    expected = max(np.mean(along[10_000:]), np.mean(across[10_000:]))
    found = float(measured(chain_run(rate, 0.3), 40_000, Lyapunov()).lyapunov[-1])
    # Chaotic orbits of unlike rounding sample the same measure: a standard error by blocks.
    blocks = np.mean(np.reshape(along[10_000:], (100, -1)), axis=1)
    error = 5 * blocks.std() / 10 if expected > 0.01 else 2e-3
    assert found == pytest.approx(expected, abs=error + 1e-9)


def test_first_rise_and_first_passage_against_the_recorded_loss():
    run = chain_run(1.1, 0.05)
    found = simulate(
        run,
        steps=50,
        schedule=last(50),
        observe=(loss,),
        statistics=(
            FirstRise(),
            FirstTime(loss, below=0.1),
            FirstTime(loss, above=10.0),
            Maximum(loss),
        ),
    )
    losses = found.loss.values
    rise = int(np.argmax(np.diff(losses) > 0)) + 1
    assert int(found.first_rise_step[-1]) == rise
    assert float(found.first_rise[-1]) == pytest.approx(1.1 * rise)
    assert int(found["first_loss_below_0.1_step"][-1]) == int(np.argmax(losses < 0.1))
    assert np.isnan(found["first_loss_above_10"][-1])
    assert int(found["first_loss_above_10_step"][-1]) == -1
    np.testing.assert_allclose(found.maximum_loss, np.maximum.accumulate(losses))


OUTCOME_CASES = {
    "never_oscillated": (chain_run(0.1, 0.5, depth=3), 5000),
    "oscillating": (chain_run(1.1, 0.5, depth=2), 5000),
    "diverged": (chain_run(3.0, 0.5, depth=3), 5000),
    "undecided": (chain_run(0.1, 0.5, depth=3), 150),
    "rebalanced": (chain_run(0.12, (0.02, 0.01), depth=20, pathways=2), 40_000),
    "stuck": (chain_run(0.105, (0.02, 0.01), depth=20, pathways=2), 40_000),
    # Thrown just across the saddle, where for even L the product grows again as slowly as w^{2−L}.
    "collapsed": (chain_run(0.001, 1e-4, depth=20), 1000),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome(outcome):
    run, steps = OUTCOME_CASES[outcome]
    found = measured(run, steps, Outcome())
    assert OUTCOMES[int(found.outcome[-1])] == outcome
    assert found.outcome.attrs["flag_meanings"].split() == list(OUTCOMES)


def test_a_flow_is_judged_when_it_has_arrived():
    run = chain_run(0.1, 0.5, depth=3)
    flow = dataclasses.replace(run, dynamics=GradientFlow())
    for time, outcome in ((100.0, "never_oscillated"), (0.5, "undecided")):
        found = simulate(flow, time=time, observe=(loss,), statistics=(Outcome(),))
        assert OUTCOMES[int(found.outcome[-1])] == outcome


def test_directions_without_signal_are_not_judged():
    with jax.enable_x64(True):
        problem = Problem(Modes((3,), 2), Whitened(jnp.array([1.0, 0.0])))
        run = Run(problem, GradientDescent(0.1), ((jnp.full(2, 0.5),) * 3,))
    assert OUTCOMES[int(measured(run, 5000, Outcome()).outcome[-1])] == "never_oscillated"


def test_first_time_needs_one_level():
    with pytest.raises(InputError, match="one of below and above"):
        FirstTime(loss)
    with pytest.raises(InputError, match="both"):
        FirstTime(loss, below=1.0, above=2.0)
