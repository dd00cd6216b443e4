"""Flows along saddles: exact solutions at tiny starts, located events, budgets, critical starts."""

import functools
import re

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from dlnlab.dynamics import GradientFlow
from dlnlab.errors import InputError
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import Modes, chain
from dlnlab.observables import escape_rate, gradient_norm, learned_rank, loss, mode_values
from dlnlab.plateaus import plateaus
from dlnlab.problem import Problem
from dlnlab.results import STATUS_MEANINGS
from dlnlab.run import Run
from dlnlab.schedule import at, linear, logarithmic
from dlnlab.simulate import simulate
from dlnlab.state import Status
from dlnlab.statistics import EscapeRate, Staircase
from dlnlab.tasks import Convex, Samples, Whitened, huber
from dlnlab.tasks.completion import low_rank, observed

STRENGTHS = (8.0, 2.0, 0.5)
LEVELS = np.cumsum(np.square(STRENGTHS)[::-1])[::-1] / 2


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def modes_run(depth, alpha, strengths=STRENGTHS, **flow):
    problem = Problem(Modes((depth,), len(strengths)), Whitened(jnp.array(strengths)))
    return Run(problem, GradientFlow(arrival=0.0, **flow), scaled_identity(problem, (alpha,)))


def matrices_run(depth, std, strengths=STRENGTHS, **flow):
    network = chain((len(strengths),) * (depth + 1))
    problem = Problem(network, Whitened(jnp.diag(jnp.array(strengths))))
    start = gaussian(network, jax.random.key(0), std=std)
    return Run(problem, GradientFlow(arrival=0.0, **flow), start)


def exact_time(value, start, target, depth):
    """`∫ dx / (L x^{2−2/L}(s − x))` in arbitrary precision, in y = ln x."""
    with mpmath.workdps(30):
        low, high = mpmath.log(start), mpmath.log(value)
        speed = lambda y: depth * mpmath.e ** (y * (1 - mpmath.mpf(2) / depth))  # noqa: E731
        rate = lambda y: 1 / (speed(y) * (target - mpmath.e**y))  # noqa: E731
        return mpmath.quad(rate, mpmath.linspace(low, high, 40))


@pytest.mark.parametrize("alpha", [1e-3, 1e-24])
def test_two_layers_follow_the_logistic_solution(alpha):
    """From layers of 1e-12 too: errors are relative, whatever the start."""
    run = modes_run(2, alpha)
    measured = simulate(run, time=80.0, schedule=linear(41), observe=(mode_values,))
    times = measured.time.values
    for k, s in enumerate(STRENGTHS):
        growth = np.exp(-2 * s * times)
        exact = alpha / (alpha / s + (1 - alpha / s) * growth)
        error = np.abs(measured.mode_values.values[:, 0, k] / exact - 1)
        # Some thousand steps, each with a relative error of rtol = 1e-10 in either layer.
        assert error.max() < 2e-7


def test_deeper_chains_follow_the_quadrature():
    depth, alpha, strength = 3, 1e-12, 2.0
    value = 1.0
    time = float(exact_time(value, alpha, strength, depth))
    run = modes_run(depth, alpha, (strength,))
    measured = simulate(run, time=time, schedule=linear(2), observe=(mode_values,))
    # At half of the target the value moves by L σ^{2−2/L}(s − σ) T relative to relative time.
    steepness = depth * value ** (2 - 2 / depth) * (strength - value) * time
    error = abs(float(measured.mode_values[-1, 0, 0]) - value)
    assert error < 1000 * 1e-10 * steepness


def test_an_absolute_tolerance_would_not_do():
    """What `atol` in units of the start is for: with one of 1e-13 times 1e6 as much is lost."""
    run = modes_run(2, 1e-24)
    coarse = Run(run.problem, GradientFlow(arrival=0.0, atol=1e-13 / 1e-12), run.params)
    seen = {"time": 6.0, "schedule": linear(41), "observe": (mode_values,)}
    fine, rough = (simulate(r, **seen).mode_values[20, 0, 0] for r in (run, coarse))
    exact = 1e-24 / (1e-24 / 8 + (1 - 1e-24 / 8) * np.exp(-2 * 8 * 3.0))
    assert abs(float(fine) / exact - 1) < 2e-7
    assert abs(float(rough) / exact - 1) > 1e-4


# --- plateaus ---------------------------------------------------------------------------------


@functools.cache
def staircase(kind, depth, scale, time):
    with jax.enable_x64(True):
        run = (modes_run if kind == "modes" else matrices_run)(depth, scale)
        return simulate(
            run,
            time=time,
            schedule=logarithmic(500),
            observe=(loss, gradient_norm, learned_rank, escape_rate),
            statistics=(Staircase(), EscapeRate()),
        )


RUNS = [("modes", 2, 1e-6, 60.0), ("matrices", 2, 1e-3, 60.0), ("matrices", 3, 1e-2, 900.0)]


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_plateaus_are_those_of_the_target(run):
    """Losses within 1 % of ½Σ_{i>k} s_i², ranks k: located, and from the grid."""
    measured = staircase(*run)
    end = measured.isel(time=-1)
    np.testing.assert_allclose(end.plateau[:3], LEVELS, rtol=0.01)
    assert end.plateau_rank[:5].values.tolist() == [0, 1, 2, 3, -1]
    assert np.isnan(end.plateau[4:]).all()
    read = plateaus(measured)
    np.testing.assert_allclose(read.loss[:3], LEVELS, rtol=0.01)
    assert read["rank"].values.tolist() == [0, 1, 2, 3]
    grid = np.diff(np.log(measured.time[1:3].values))[0]
    found = np.log(read.end[:3].values / end.plateau_escape[:3].values)
    assert np.abs(found).max() < grid


def rank_two(size, seed):
    with jax.enable_x64(True):
        return np.asarray(low_rank(jax.random.key(seed), (size, size), 2))


def completed():
    """70 % of a 6×6 matrix of rank two; the target, with zeros elsewhere, has six modes."""
    with jax.enable_x64(True):
        return observed(jax.random.key(3), jnp.asarray(rank_two(6, 1)), 0.7)


def of_samples():
    """The same rank through inputs of unequal variance."""
    inputs = np.random.default_rng(0).normal(size=(40, 4)) * np.array([1.0, 1.5, 0.7, 1.2])
    return Samples(inputs, inputs @ rank_two(4, 0).T)


# Both modes pull alike, by 1, as long as they are further than 1 away.
HUBER = Convex(huber, np.diag([1.0, 1, 0]), np.diag([3.0, 1.2, 0]))
RANKS = [
    # Two modes, and as many as the matrix has left to round.
    ("rank 2 of 5", lambda: Whitened(rank_two(5, 0)), 2, 1e-4, 20.0, [0, 1, 2]),
    ("9 3 0 0, a large start", lambda: Whitened(np.diag([9.0, 3, 0, 0])), 2, 1e-2, 20.0, [0, 1, 2]),
    ("3 1 0 0", lambda: Whitened(np.diag([3.0, 1, 0, 0])), 2, 1e-4, 30.0, [0, 1, 2]),
    ("3 2 1 0", lambda: Whitened(np.diag([3.0, 2, 1, 0])), 2, 1e-4, 30.0, [0, 1, 2, 3]),
    # Ended on the second plateau: what has not grown yet is no mode.
    ("3 2 1 0, unfinished", lambda: Whitened(np.diag([3.0, 2, 1, 0])), 3, 1e-2, 60.0, [0, 1, 2]),
    ("9 3 0.05", lambda: Whitened(np.diag([9.0, 3, 0.05, 0])), 2, 1e-4, 300.0, [0, 1, 2, 3]),
    ("equal modes", lambda: Whitened(np.diag([3.0, 3, 1, 0])), 2, 1e-6, 30.0, [0, 2, 3]),
    ("completion", completed, 2, 1e-5, 60.0, [0, 1, 2]),
    ("completion, deep", completed, 3, 1e-2, 200.0, [0, 1, 2]),
    ("huber", lambda: HUBER, 2, 1e-5, 60.0, [0, 2]),
    ("samples", of_samples, 2, 1e-4, 30.0, [0, 1, 2]),
]


@pytest.mark.parametrize(("name", "task", "depth", "std", "time", "ranks"), RANKS)
def test_ranks_on_plateaus_rise_by_what_is_learned(name, task, depth, std, time, ranks):
    """Two ways to find plateaus, one definition of their ranks, whatever is not to be learned."""
    made = task()
    outputs, inputs = made.target.shape
    network = chain((inputs, *[max(outputs, inputs)] * (depth - 1), outputs))
    start = gaussian(network, jax.random.key(1), std=std)
    run = Run(Problem(network, made), GradientFlow(arrival=1e-9), start)
    seen = (loss, gradient_norm, learned_rank)
    measured = simulate(
        run, time=time, schedule=logarithmic(400), observe=seen, statistics=(Staircase(),)
    )
    located = measured.plateau_rank[-1]
    assert located[located >= 0].values.tolist() == ranks
    assert plateaus(measured)["rank"].values.tolist() == ranks


def test_levels_come_nearer_as_the_start_shrinks():
    errors = [
        np.abs(staircase("matrices", 2, scale, 60.0).plateau[-1, 1:3].values / LEVELS[1:] - 1).max()
        for scale in (1e-2, 1e-3, 1e-4)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_an_escape_is_located_where_the_loss_falls_fastest():
    """One mode of two layers: `t‖∇ℓ‖²` is known, and so is the root of its slope."""
    s, alpha = 2.0, 1e-6
    run = modes_run(2, alpha, (s,))
    measured = simulate(run, time=30.0, schedule=linear(3), statistics=(Staircase(most=2),))
    with mpmath.workdps(30):
        value = lambda t: alpha / (alpha / s + (1 - alpha / s) * mpmath.e ** (-2 * s * t))  # noqa: E731
        # ‖∇ℓ‖² = 2σ(s − σ)²; the slope of ln(tσ(s − σ)²).
        slope = lambda t: 1 / t + 2 * (s - value(t)) - 4 * value(t)  # noqa: E731
        exact = float(mpmath.findroot(slope, 3.5))
    assert abs(float(measured.plateau_escape[-1, 0]) / exact - 1) < 1e-8
    assert measured.plateau_time[-1, 0] == 0


def test_given_moments_are_recorded():
    moments = at([3.0, 0.5, 99.0]) | linear(2)
    assert moments.times(4.0).tolist() == [0, 0.5, 3, 4]
    assert moments.steps(4).tolist() == [0, 3, 4]
    assert len(moments.times(4.0)) <= moments.count(4.0, maps=False)
    with pytest.raises(InputError, match="NaN"):
        at([1.0, np.nan])


# --- escape rates -----------------------------------------------------------------------------


def test_escape_rates_tend_to_the_optimal_speed():
    """`s* = L^{−(L−2)/2} s_1`, within 1 % at the smallest start and nearer than before."""
    for depth, scales, time in ((2, (1e-5, 1e-7), 4.0), (3, (1e-2, 1e-3), 5.0)):
        rates = []
        for scale in scales:
            length = time if depth == 2 else time / scale / 10
            run = matrices_run(depth, scale)
            found = simulate(run, time=length, schedule=linear(2), statistics=(EscapeRate(),))
            rates.append(float(found.first_escape_rate[-1]))
        errors = np.abs(np.array(rates) / (depth ** (-(depth - 2) / 2) * 8) - 1)
        assert errors[-1] < 0.01
        assert errors[-1] < errors[0]


def test_the_escape_rate_is_the_growth_of_the_norm():
    """Against differences of ln r along a run."""
    measured = staircase("matrices", 3, 1e-2, 900.0)
    assert np.nanmax(measured.escape_rate) <= float(measured.first_escape_rate[-1]) * (1 + 1e-12)
    run = matrices_run(3, 1e-2)
    h = 1e-4
    moved = jax.tree.map(
        lambda w, g: (w - h * g, w + h * g), run.params, run.problem.gradient(run.params)
    )
    pairs = jax.tree.leaves(moved)
    norms = [np.sqrt(sum(float(jnp.sum(w**2)) for w in pairs[k::2])) for k in range(2)]
    radius = np.sqrt(sum(float(jnp.sum(w**2)) for w in jax.tree.leaves(run.params)))
    slope = (norms[0] - norms[1]) / (2 * h) / radius**2
    assert float(escape_rate(run.problem, run.params)) == pytest.approx(slope, rel=1e-6)


# --- what cannot be run -----------------------------------------------------------------------


def test_a_budget_that_ends_is_told():
    run = matrices_run(3, 1e-3, most_steps=600)
    measured = simulate(run, time=1e5, schedule=logarithmic(50), observe=(loss,))
    assert STATUS_MEANINGS[int(measured.status)] == "exhausted"
    assert measured.status.attrs["flag_meanings"].split()[Status.EXHAUSTED] == "exhausted"
    shown = measured.time.values[measured.loss.notnull().values]
    assert shown[-1] < 1e5
    assert re.search(
        rf"before time 100000 and ended at {shown[-1]:.6g}", measured.attrs["exhausted"]
    )
    whole = simulate(matrices_run(3, 1e-3), time=shown[-1], observe=(loss,))
    assert "exhausted" not in whole.attrs


def test_a_critical_start_is_refused():
    run = modes_run(2, 1e-3)
    zero = jax.tree.map(jnp.zeros_like, run.params)
    with pytest.raises(InputError, match="critical point"):
        simulate(Run(run.problem, run.dynamics, zero), time=1.0)
    # A minimum is none, nor is a start whose last layer alone is zero.
    learned = scaled_identity(Problem(run.problem.network, run.problem.task), (1.0,))
    simulate(Run(run.problem, run.dynamics, (learned[0][:1] + zero[0][1:],)), time=1.0)
