"""Orbits: cycles, cascades and windows against iteration, mpmath, decimal and autodiff."""

import doctest
import sys
from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnlab.errors import InputError
from dlnlab.theory import orbits
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.orbits import (
    amplitudes,
    branch,
    cascade_period,
    cycle,
    doubling_edges,
    doublings,
    judge,
    layer_cycle,
    orbit,
    two_cycle,
    window,
    window_edges,
)

EPS = np.finfo(np.float64).eps
FEIGENBAUM = 4.669201609


@pytest.mark.parametrize("made", orbits.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def step(value, rate, target, depth):
    """The recursion as it is written, for numbers of any kind."""
    return value - rate * value ** (depth - 1) * (value**depth - target)


def iterated(depth, target, rate, steps, count):
    """The last `count` layer values of a plain run, the start being below the minimum."""
    value = np.full(np.shape(rate), 0.7 * target ** (1 / depth))
    for _ in range(steps):
        value = step(value, rate, target, depth)
    kept = []
    for _ in range(count):
        value = step(value, rate, target, depth)
        kept.append(value)
    return np.array(kept)


def sharpness(depth, target):
    return depth * target ** (2 - 2 / depth)


# --- cycles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [1, 2, 3, 4, 5, 6, 8, 12])
@pytest.mark.parametrize(("depth", "target"), [(2, 0.5), (3, 10.0), (20, 0.9)])
def test_a_stable_cycle_is_where_iteration_ends(depth, target, period):
    _, opens, _, closes = window(depth, target, period)
    rate = opens + 0.6 * (closes - opens)
    found = cycle(depth, target, rate, period)
    assert found.stable
    end = iterated(depth, target, rate, 5000, period)
    # Rounding grows along one period, and depth multiplies what a layer's rounding does to w^L.
    near = 1e4 * depth * period * EPS
    np.testing.assert_allclose(np.sort(end), np.sort(found.values), rtol=near)
    np.testing.assert_allclose(np.sort(end**depth), np.sort(found.end_to_end), rtol=near)
    assert found.residual < 100 * depth * EPS
    turned = np.roll(end, -int(np.argmin(end)))
    np.testing.assert_allclose(turned, found.values, rtol=near)  # in the order visited


@pytest.mark.parametrize("period", [2, 3, 4, 5, 6, 7, 16])
@pytest.mark.parametrize("depth", [2, 3, 10])
def test_cycles_and_multipliers_are_those_of_mpmath_stable_or_not(depth, period):
    _, opens, _, closes = window(depth, 2.0, period)
    for rate in (opens + 0.01 * (closes - opens), closes + 0.3 * (closes - opens)):
        found = cycle(depth, 2.0, rate, period)
        with mp.workdps(60):

            def around(value, rate=rate):
                for _ in range(period):
                    value = step(value, mp.mpf(rate), mp.mpf(2), depth)
                return value

            # From one point to one that returns, by Newton in one unknown.
            value = mp.mpf(float(found.values[0]))
            for _ in range(12):
                slope = mp.diff(around, value)
                value -= (around(value) - value) / (slope - 1)
            assert abs(around(value) - value) < mp.mpf(10) ** -40
            least = 2.0 ** (1 / depth) * 1e4 * period * EPS / min(1, abs(float(slope) - 1))
            assert abs(value - found.values[0]) < least
            conditioning = 1 / min(1, abs(float(slope) - 1)) + abs(float(slope))
            assert abs(slope - found.multiplier) < 1e6 * EPS * conditioning
        assert found.stable == (abs(found.multiplier) < 1)


def test_a_cycle_exists_on_all_of_its_branch():
    _, opens, _, closes = window(3, 1.0, 4)
    rates = np.concatenate([np.geomspace(1e-6, 1, 12) * (closes - opens) + opens, [1.0, 1.2]])
    found = branch(3, 1.0, rates, 4)
    multipliers = [each.multiplier for each in found]
    assert (np.diff(multipliers) < 0).all()
    assert multipliers[0] > 0.99
    assert abs(multipliers[11] + 1) < 1e-9
    assert max(each.residual for each in found) < 1e-13
    assert len({tuple(np.argsort(each.values)) for each in found}) == 1


def test_numbers_of_the_literature():
    assert np.allclose(two_cycle(3, 10.0, 0.0345), [7.11288, 12.03346], rtol=0, atol=5e-6)
    assert np.allclose(cycle(3, 10.0, 0.0345, 2).end_to_end, [7.11288, 12.03346], atol=5e-6)


@pytest.mark.parametrize("depth", [2, 3, 40])
@pytest.mark.parametrize("period", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("distance", [1e-5, 1e-3])
def test_near_its_birth_a_multiplier_leaves_one_as_theory_has_it(depth, period, distance):
    """Where the period doubles, 1 − m grows as the distance of η; at a tangency as its root."""
    _, opens, _, closes = window(depth, 1.0, period)
    rates = opens + distance * (closes - opens) * np.array([1.0, 4.0])
    near, far = (cycle(depth, 1.0, rate, period) for rate in rates)
    powers = {True: 1, False: 0.5}[period & (period - 1) == 0]
    opened = np.log((1 - far.multiplier) / (1 - near.multiplier)) / np.log(4)
    assert abs(opened - powers) < 0.1 * np.sqrt(distance / 1e-3) + 0.01
    assert 0 < near.multiplier < 1
    assert max(near.residual, far.residual) < 1e-12


@pytest.mark.parametrize(("depth", "period"), [(1000, 3), (10**6, 15), (2, 13), (4, 40)])
def test_at_a_tangency_nothing_is_lost(depth, period):
    """The multiplier held, the cycle is as well conditioned there as anywhere."""
    _, opens, _, closes = window(depth, 1.0, period)
    found = cycle(depth, 1.0, opens + 1e-8 * (closes - opens), period)
    assert 0.99 < found.multiplier < 1
    assert found.residual < 1e-13 * depth


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 200), st.floats(2.001, 3.19), st.floats(0.05, 20.0))
def test_the_closed_form_is_newton_s_cycle(depth, scaled, target):
    rate = scaled / sharpness(depth, target)
    formula = two_cycle(depth, target, rate, stretch=True)
    found = cycle(depth, target, rate, 2).end_to_end
    # The distance of the points is the root of that from the edge.
    np.testing.assert_allclose(formula, found, rtol=1e3 * EPS / np.sqrt(scaled - 2))


@settings(max_examples=20, deadline=None)
@given(st.floats(1.001, 1.55), st.floats(0.05, 20.0))
def test_at_depth_two_all_is_quadratic(scaled, target):
    """`P² − (s + 1/η)P + 1/η² = 0`, and from its sum and product `m = 9 − 2(1 + ηs)²`; the gap of
    the layers is multiplied by `3 − 2ηs`."""
    rate = scaled / target
    roots = np.sort(np.roots([1, -(target + 1 / rate), 1 / rate**2]))
    found = cycle(2, target, rate, 2)
    np.testing.assert_allclose(found.end_to_end, roots, rtol=1e-12 / np.sqrt(scaled - 1))
    assert abs(found.multiplier - (9 - 2 * (1 + rate * target) ** 2)) < 1e-11
    free = layer_cycle(np.stack([found.values] * 2, axis=1), target, rate)
    assert abs(free.balance_factors[0, 1] - (3 - 2 * rate * target)) < 1e-11


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 30),
    st.sampled_from([1, 2, 3, 4, 5, 6, 8]),
    st.floats(0.02, 1.2),
    st.floats(1e-3, 1e3),
)
def test_target_and_step_size_scale_out(depth, period, along, target):
    _, opens, _, closes = window(depth, 1.0, period)
    rate = opens + along * (closes - opens)
    one = orbit(depth, 1.0, rate, period)
    other = orbit(depth, target, rate * depth / sharpness(depth, target), period)
    np.testing.assert_allclose(other.values, target * np.array(one.values), rtol=1e-8)
    assert abs(one.multiplier - other.multiplier) < 1e-6
    assert one.stable == other.stable or abs(abs(one.multiplier) - 1) < 1e-6


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_modes_move_as_far_as_each_by_itself(depth):
    targets = np.array([3.0, 2.9, 2.2, 0.0])
    rate = 2.3 / sharpness(depth, targets[0])
    found = amplitudes(depth, targets, rate)
    for target, moved in zip(targets[:3], found, strict=False):
        before, after = iterated(depth, target, rate, 20_000, 2) ** depth
        assert moved == pytest.approx(abs(after - before), abs=1e-10)
    assert found[0] > found[1] > 0 == found[2] == found[3]
    with pytest.raises(BrokenAssumption, match="for every mode"):
        amplitudes(depth, targets, 2.6 / sharpness(depth, targets[0]))


def test_edges_are_those_of_the_cascade_and_its_windows():
    cascade, opened = doublings(3, 10.0, 4), window(3, 10.0, 5)
    assert doubling_edges(3, 10.0, 4).tolist() == list(cascade.learning_rates)
    assert window_edges(3, 10.0, 5).tolist() == [opened.opens, opened.closes]


# --- cascades and windows ---------------------------------------------------------------------


@pytest.mark.parametrize("target", [0.5, 3.0])
def test_the_first_doublings_at_depth_two(target):
    cascade = doublings(2, target, 3)
    scaled = np.array(cascade.learning_rates) * sharpness(2, target)
    assert cascade.periods == (1, 2, 4)
    np.testing.assert_allclose(scaled[:2], [2, 2 * (np.sqrt(5) - 1)], rtol=1e-13)


@pytest.mark.parametrize("depth", [2, 3, 50])
def test_the_ratios_tend_to_feigenbaum_s(depth):
    ratios = np.array(doublings(depth, 1.3, 9).ratios)
    gaps = np.abs(ratios - FEIGENBAUM)
    assert (np.diff(gaps[1:-1]) < 0).all()
    assert gaps[-1] < 1e-4
    assert abs(doublings(50, 1.3, 2).learning_rates[1] * sharpness(50, 1.3) - 2.5) < 0.01


def condition(period, depth, multiplier):
    """Two equations in a layer value and κ: it returns after a period, with that derivative."""

    def equations(value, rate):
        slope, begin = mp.mpf(1), value
        for _ in range(period):
            slope *= 1 - rate / depth * (
                (2 * depth - 1) * value ** (2 * depth - 2) - (depth - 1) * value ** (depth - 2)
            )
            value = step(value, rate / depth, 1, depth)
        return value - begin, slope - multiplier

    return equations


@pytest.mark.parametrize("depth", [2, 3, 12])
@pytest.mark.parametrize("period", [2, 3, 4, 5, 6])
def test_the_ends_of_windows_are_those_of_mpmath(depth, period):
    found = window(depth, 1.0, period)
    ends = [(found.closes, -1), (found.superstable, 0)]
    if period in (3, 5, 6):  # where it is born from nothing, not from half its period
        ends.append((found.opens, 1))
    for rate, multiplier in ends:
        inside = rate + 1e-9 * (found.superstable - rate)
        begin = cycle(depth, 1.0, inside, period).values[0]
        with mp.workdps(40):
            guess = (mp.mpf(float(begin)), mp.mpf(rate) * depth)
            root = mp.findroot(condition(period, depth, multiplier), guess, tol=1e-50)
            assert abs(root[1] / depth / rate - 1) < 1e-12


def least_periods(kept, longest):
    """The first lag at which the orbit returns, for each lane; 0 for none."""
    found = np.zeros(kept.shape[1], int)
    for lag in range(longest, 0, -1):
        found[(np.abs(kept[lag:] - kept[:-lag]).max(axis=0) < 1e-9)] = lag
    return found


@pytest.mark.parametrize(("depth", "target"), [(2, 1.0), (5, 0.8)])
def test_the_cascade_and_its_windows_are_what_iteration_finds(depth, target):
    """A grid of step sizes up to the escape: up to the third doubling the period is predicted, and
    no orbit of period 3, 5 or 7 is attracting before its first window opens."""
    edges = doublings(depth, target, 4).learning_rates
    last = window(depth, target, 3).closes
    rates = np.linspace(0.9 * edges[0], last, 3001)
    seen = least_periods(iterated(depth, target, rates, 6000, 128), 64)
    for low, high, period in zip((0.0, *edges[:3]), edges, (1, 2, 4, 8), strict=True):
        wide = high - max(low, rates[0])
        inside = (rates > low + 0.05 * wide) & (rates < high - 0.05 * wide)
        assert inside.sum() > 5
        assert (seen[inside] == period).all()
        assert all(cascade_period(depth, target, rate) == period for rate in rates[inside][::20])
    for period in (3, 5, 7, 6):
        _, opens, _, closes = window(depth, target, period)
        assert not (seen[rates < opens] == period).any()
        middle = np.array([opens + 0.3 * (closes - opens)])
        assert least_periods(iterated(depth, target, middle, 6000, 128), 64) == [period]
    assert (seen == 3).sum() > 5


def test_periods_are_assumed_to_be_in_the_cascade():
    with pytest.raises(BrokenAssumption, match="has not yet doubled"):
        cascade_period(2, 0.5, 2.9)
    assert cascade_period(2, 0.5, 2.9, stretch=True) == 0


# --- free layers ------------------------------------------------------------------------------


def monodromy(start, target, rate, period):
    """The derivative of `period` steps of descent, by JAX, from the loss."""

    def around(layers):
        for _ in range(period):
            layers = layers - rate * jax.grad(lambda w: (jnp.prod(w) - target) ** 2 / 2)(layers)
        return layers

    return np.asarray(jax.jacfwd(around)(start))


@pytest.mark.parametrize(("depth", "period"), [(2, 2), (3, 2), (3, 3), (4, 4), (6, 1)])
def test_multipliers_of_free_layers_are_those_of_autodiff(depth, period):
    target = 1.7
    _, opens, _, closes = window(depth, target, period)
    rate = opens + 0.7 * (closes - opens)
    balanced = cycle(depth, target, rate, period)
    free = layer_cycle(np.repeat(balanced.values[:, None], depth, axis=1), target, rate, period)
    np.testing.assert_allclose(free.end_to_end, balanced.end_to_end, rtol=1e-12)
    with jax.enable_x64(True):
        seen = np.linalg.eigvals(monodromy(free.values[0], target, rate, period))
    ours = np.sort(free.multipliers.real)
    np.testing.assert_allclose(ours, np.sort(seen.real), atol=1e-9)
    # One along the balanced set; across it, what the gap of two layers is multiplied by.
    across = free.balance_factors[0, 1]
    wanted = np.sort([balanced.multiplier, *[across] * (depth - 1)])
    np.testing.assert_allclose(ours, wanted, atol=1e-9)
    assert free.stable
    assert (abs(across - 1) < 1e-12) == (period == 1)


def test_an_unbalanced_run_is_balanced_at_the_rate_of_the_cycle():
    target, rate, depth = 10.0, 0.0345, 3
    layers = np.array([1.9, 2.3, 2.2])
    gaps = []
    for _ in range(400):
        gaps.append(layers[1] ** 2 - layers[0] ** 2)
        others = np.array([np.prod(np.delete(layers, k)) for k in range(depth)])
        layers = layers - rate * (layers.prod() - target) * others
    found = layer_cycle(layers, target, rate)
    np.testing.assert_allclose(gaps[301] / gaps[299], found.balance_factors[0, 1], rtol=1e-6)
    np.testing.assert_allclose(np.sort(found.end_to_end), two_cycle(3, target, rate), rtol=1e-12)


def test_on_any_cycle_a_pair_is_balanced_or_its_factor_is_one():
    unbalanced = layer_cycle([1.658, 0.1273], 1.0, 1.1, 3)
    assert np.ptp(unbalanced.values**2, axis=1).min() > 0.5
    assert abs(unbalanced.balance_factors[0, 1] - 1) < 1e-12
    assert not unbalanced.stable
    assert unbalanced.residual < 1e-13
    again = layer_cycle(unbalanced.values, 1.0, 1.1, 3)
    np.testing.assert_allclose(again.values, unbalanced.values, rtol=1e-13)


def test_a_minimum_is_one_of_many():
    found = layer_cycle([2.0, 0.6, 1.1], 1.0, 0.1, 1)
    assert abs(found.end_to_end[0] - 1) < 4 * EPS
    assert found.stable
    squared = float((1 / found.values[0] ** 2).sum())
    np.testing.assert_allclose(found.multipliers.real.min(), 1 - 0.1 * squared, rtol=1e-12)
    assert not layer_cycle([4.0, 0.25], 1.0, 0.2, 1).stable


# --- arbitrary precision ----------------------------------------------------------------------


def exactly(layers, target, rate, steps, digits):
    """Descent on layers, in decimal arithmetic; [step][layer]."""
    with localcontext() as context:
        context.prec = digits
        values, rows = [Decimal(float(value)) for value in layers], []
        for _ in range(steps + 1):
            rows.append(values)
            product = Decimal(1)
            for value in values:
                product *= value
            kick = Decimal(rate) * (product - Decimal(target))
            values = [value - kick * product / value for value in values]
        return rows


def gap_of(row):
    """In as many digits as the row has, not in the 28 of decimal's default."""
    with localcontext() as context:
        context.prec = 200
        return float(abs(max(row) ** 2 - min(row) ** 2))


def test_chaos_is_believed_as_long_as_decimal_says():
    target, rate, steps = 1.0, 1.55, 1000
    made = judge(0.6, 2, target, rate, steps, tolerance=1e-3)
    rows = exactly([0.6, 0.6], target, rate, steps, 600)
    true = np.array([[float(value) for value in row] for row in rows])
    np.testing.assert_allclose(made.values, true, rtol=1e-14)
    assert made.texts[-1][0].startswith(str(rows[-1][0])[:25])
    off = np.abs(made.float_values - true).max(axis=1) > 1e-3
    assert made.first_difference == np.argmax(off)
    assert 50 < made.first_difference < 250
    np.testing.assert_allclose(made.float_values[:20], true[:20], rtol=1e4 * EPS)
    assert made.first_gap_difference is None
    assert made.digits >= 128
    part = judge(0.6, 2, target, rate, steps, at=(7, steps), tolerance=1e-3)
    assert part.steps == (7, steps)
    np.testing.assert_array_equal(part.values, made.values[[7, steps]])
    assert part.first_difference == made.first_difference


def test_a_gap_is_believed_until_rounding_holds_it():
    made = judge([1.9, 2.3, 2.2], 3, 10.0, 0.0345, 1500)
    rows = exactly([1.9, 2.3, 2.2], 10.0, 0.0345, 1500, 200)
    gaps = [gap_of(row) for row in rows]
    np.testing.assert_allclose(made.gaps, gaps, rtol=1e-10)
    factor = layer_cycle(made.values[-1], 10.0, 0.0345).balance_factors[0, 1]
    np.testing.assert_allclose(made.gaps[-1] / made.gaps[-3], factor, rtol=1e-9)
    assert made.first_difference is None  # the values are right all along, the gap is not
    off = np.abs(made.float_gaps - made.gaps) > 1e-6 * made.gaps
    assert made.first_gap_difference == np.argmax(off)
    assert 0 < made.first_gap_difference < 1500
    assert made.gaps[-1] < 1e-16 < made.gaps[made.first_gap_difference - 1]


def test_a_run_that_escapes_is_said_to():
    made = judge(3.0, 3, 1.0, 1.0, 50)
    assert made.escaped is not None
    assert np.isfinite(made.values[: made.escaped]).all()
    assert np.isinf(made.values[made.escaped :]).all()
    assert np.isinf(made.float_values[made.escaped :]).all()
    assert made.texts[-1] == ("inf",) * 3


def test_without_mpmath_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(InputError, match="mpmath is not installed"):
        judge(0.6, 2, 1.0, 0.1, 3)


# --- bad input --------------------------------------------------------------------------------

WRONG = [
    (lambda: cycle(1, 1.0, 1.0, 2), "at depth 1 descent is linear"),
    (lambda: cycle(10**7, 1.0, 1.0, 2), "depth is 10000000"),
    (lambda: cycle(3, 0.0, 1.0, 2), "target is 0.0"),
    (lambda: cycle(3, 1e200, 1.0, 2), "other units"),
    (lambda: cycle(3, 1.0, 0.0, 2), "learning_rate is 0.0"),
    (lambda: cycle(3, 1.0, 1e200, 1), "nearer to 2/S"),
    (lambda: cycle(3, 1.0, 0.5, 2), "above the edge 2/S = 0.666666666667"),
    (lambda: cycle(3, 1.0, 2.0, 2), "below η_WCR = 1.22033209204"),
    (lambda: cycle(3, 1.0, 0.8, 3), "no cycle of period 3 before 0.9872"),
    (lambda: cycle(3, 1.0, 0.8, 0), "period is 0"),
    (lambda: cycle(3, 1.0, 0.8, 512), "narrower than float64 resolves"),
    (lambda: cycle(2, 1.0, 1.58, 84), "no longer tells its points apart"),
    (lambda: branch(3, 1.0, [0.8, -1], 2), "learning_rates is"),
    (lambda: window(3, 1.0, 23), "period is 23"),
    (lambda: doublings(3, 1.0, 10), "at most 9 are computed"),
    (lambda: amplitudes(3, [0.0], 0.1), "one of them above 0"),
    (lambda: amplitudes(3, [[1.0]], 0.1), "one of them above 0"),
    (lambda: amplitudes(3, [1.0, -1.0], 0.1), "at or above 0"),
    (lambda: layer_cycle(1.0, 1.0, 0.1), "nest them"),
    (lambda: layer_cycle([[1.0, 2.0]], 1.0, 0.1), "nest them"),
    (lambda: layer_cycle([1.0], 1.0, 0.1), "nest them"),
    (lambda: layer_cycle(np.ones(900), 1.0, 0.1, 3), "shorten one of them"),
    (lambda: layer_cycle([1.0, 1.1], 1.0, 0.1), "found one of period 1"),
    (lambda: layer_cycle([1e9, 1e9], 1.0, 0.1), "found none"),
    (lambda: judge([0.1] * 2, 3, 1.0, 0.1, 5), "give 1 or 3 numbers"),
    (lambda: judge(0.1, 3, 1.0, 0.1, 5, at=(9,)), "raise steps"),
    (lambda: judge(0.1, 3, 1.0, 0.1, 10**7), "ask for fewer"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG, ids=[words for _, words in WRONG])
def test_bad_input_is_one_sentence(wrong, words):
    with pytest.raises(InputError) as caught:
        wrong()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
