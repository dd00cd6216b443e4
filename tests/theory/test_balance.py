"""Balance of one chain: formulas against descent iterated in plain NumPy and flows integrated."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dlnlab.errors import InputError
from dlnlab.theory.balance import (
    balance_regime,
    chain_flow_end,
    chain_flow_end_sharpness,
    first_growth_edge,
    gaps_left,
    largest_stable_gap,
    lasting_balance_factor,
    partial_balance_gap,
    trusted_gap,
)
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.modes import balance_factor

EPS = np.finfo(np.float64).eps


def gradient(layers, target):
    others = [np.delete(layers, k).prod() for k in range(len(layers))]
    return (layers.prod() - target) * np.array(others)


def descend(layers, target, rate, steps):
    """All states of a run, [step, layer], the first included."""
    states = [np.array(layers, dtype=float)]
    for _ in range(steps):
        states.append(states[-1] - rate * gradient(states[-1], target))
    return np.array(states)


def gaps(states):
    return (states[..., 1:] - states[..., :-1]) * (states[..., 1:] + states[..., :-1])


# --- the flow's end -----------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8])
def test_the_flow_ends_where_an_integrator_brings_it(depth):
    rng, tolerance = np.random.default_rng(depth), 1e-11
    for _ in range(6):
        layers, target = rng.normal(size=depth), rng.uniform(0.1, 3)
        solved = solve_ivp(
            lambda _, w, target=target: -gradient(w, target),
            (0, 3000),
            layers,
            "LSODA",
            rtol=tolerance,
            atol=tolerance,
        )
        found = chain_flow_end(layers, target)
        # Some hundred steps, each off by the tolerance; passing the saddle amplifies it.
        np.testing.assert_allclose(found, solved.y[:, -1], rtol=0, atol=1e4 * tolerance)
        assert found.prod() == pytest.approx(target, rel=16 * depth * EPS)
        scale = 16 * EPS * (layers**2 + found**2).max()
        np.testing.assert_allclose(gaps(found), gaps(layers), rtol=0, atol=scale)


@pytest.mark.parametrize(
    ("layers", "target", "end"),
    [
        ([1.0, 1.0, 1.0], 8.0, [2.0, 2.0, 2.0]),
        ([-1.0, -1.0, 1.0], 8.0, [-2.0, -2.0, 2.0]),
        ([1e-200] * 3, 1e-90, [1e-30] * 3),  # whose product underflows
        ([1.0, -1.0], 1.0, [0.0, 0.0]),  # a saddle: both vanish together
        ([0.0, 0.0, 1.0], 1.0, [0.0, 0.0, 1.0]),
        ([2.0, 1.0], 0.0, [3**0.5, 0.0]),
        ([-5.0], 2.0, [2.0]),
    ],
)
def test_flows_whose_end_is_known(layers, target, end):
    found = chain_flow_end(layers, target)
    np.testing.assert_allclose(found, end, rtol=8 * EPS, atol=0)


def test_the_sharpness_at_the_flow_end_is_never_below_the_balanced_one():
    rng = np.random.default_rng(0)
    for depth in (2, 3, 6):
        for _ in range(20):
            layers, target = rng.uniform(0.1, 2, depth), rng.uniform(0.1, 3)
            end = chain_flow_end(layers, target)
            found = float(chain_flow_end_sharpness(layers, target))
            assert found == pytest.approx(((target / end) ** 2).sum(), rel=64 * depth * EPS)
            assert found >= depth * target ** (2 - 2 / depth) * (1 - 64 * EPS)


def test_it_falls_to_the_balanced_one_as_descent_restores_balance():
    for depth, target, scaled in ((2, 5.0, 2.1), (3, 2.0, 2.2), (4, 1.0, 2.3)):
        sharpness = depth * target ** (2 - 2 / depth)
        start = target ** (1 / depth) * np.linspace(0.8, 1.1, depth)
        states = descend(start, target, scaled / sharpness, 10_000)
        found = np.array([float(chain_flow_end_sharpness(w, target)) for w in states[::50]])
        assert (np.diff(found) <= 64 * EPS * sharpness).all()
        assert found[0] > 1.01 * sharpness
        assert found[-1] == pytest.approx(sharpness, rel=1e-9)


def test_a_flow_onto_a_saddle_has_no_minimum():
    with pytest.raises(BrokenAssumption, match="not on the saddle"):
        chain_flow_end_sharpness([1.0, -1.0, 2.0], 1.0)
    with pytest.raises(InputError, match="not on the saddle"):
        balance_regime([1.0, -1.0], 1.0, 0.1)


# --- one step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_a_gap_shrinks_just_while_the_kick_is_below_the_root_of_two(depth):
    rng, grown = np.random.default_rng(depth), []
    for _ in range(200):
        layers, target = rng.uniform(0.2, 1.6, depth), rng.uniform(0.1, 3)
        rate = rng.uniform(0.1, 3)
        before, after = descend(layers, target, rate, 1)
        factor = float(balance_factor(layers.prod() - target, layers[2:], rate))
        scale = 64 * EPS * (before**2 + after**2).max()
        assert abs(gaps(after)[0] - factor * gaps(before)[0]) < scale * (1 + abs(factor))
        kick = rate * (layers.prod() - target) * layers[2:].prod()
        if abs(kick**2 - 2) > 1e-6:
            assert (abs(gaps(after)[0]) < abs(gaps(before)[0])) == (kick**2 < 2)
        grown.append(kick**2 > 2)
    assert 0 < sum(grown) < len(grown)


@pytest.mark.parametrize(("depth", "scale"), [(2, 0.01), (2, 0.4), (3, 0.7), (4, 0.9)])
def test_the_gap_of_a_zero_layer_first_grows_beyond_its_edge(depth, scale):
    target = 1.5
    edge = float(first_growth_edge(target, depth, scale))
    if depth == 2:
        assert edge * 2 * target == pytest.approx(2 * 2**0.5, rel=4 * EPS)
    for share in (0.999, 1.001):
        start = [scale] * (depth - 1) + [0.0]
        before, after = np.abs(gaps(descend(start, target, share * edge, 1)))
        assert (after[-1] > before[-1]) == (share > 1)
        regime = balance_regime(start, target, share * edge).regime
        assert (regime == "grows") == (share > 1)


# --- what is left -------------------------------------------------------------------------------


PARTIAL = [
    ([1.5, 2.25], 5.0),
    ([0.0, 0.3], 1.0),
    ([0.3, -0.5], 1.0),  # the lesser layer passes zero
    ([0.2, 0.2, 0.2, 0.3], 1.0),  # least layers alike
    ([0.1, 0.5, 0.9], 2.0),
    ([1.5, 1.7, 1.2], 2.0),  # from above the target
]


@pytest.mark.parametrize(("layers", "target"), PARTIAL)
def test_what_is_left_below_the_edge_to_leading_order(layers, target):
    """Halving the step halves the relative error of the logarithm."""
    sharpness, errors = float(chain_flow_end_sharpness(layers, target)), []
    for share in (0.02, 0.01):
        rate = share / sharpness
        states = descend(layers, target, rate, int(60 / share / min(1, target)))
        assert abs(states[-1].prod() - target) < 1e-9
        moving = np.abs(gaps(states[0])) > 0
        found = np.log(gaps(states[-1])[moving] / gaps(states[0])[moving])
        expected = np.log(gaps_left(layers, target, rate)[moving])
        errors.append(np.abs(found / expected - 1).max())
        largest = float(partial_balance_gap(layers, target, rate))
        assert largest == pytest.approx(np.abs(gaps(states[-1])).max(), rel=2 * errors[-1])
    assert errors[0] < 0.2
    assert 1.7 < errors[0] / errors[1] < 2.3


@pytest.mark.parametrize(("beyond", "kept"), [(1.02, 0.95), (1.5, 0.0)])
def test_beyond_the_flow_end_two_layers_balance_until_they_are_stable(beyond, kept):
    """From a little beyond, to a little below the largest stable gap; from far, to far below."""
    target = 1.0
    layers = chain_flow_end([0.1, 2.9], target) * (1 + 1e-3)
    rate = 2 / float(chain_flow_end_sharpness(layers, target)) * beyond
    assert balance_regime(layers, target, rate).regime == "until stable"
    with pytest.raises(BrokenAssumption, match="ηλ/2 ≤ 1"):
        partial_balance_gap(layers, target, rate)
    states = descend(layers, target, rate, 20_000)
    bound = largest_stable_gap(target, rate)
    assert abs(gaps(states[0])[0]) > bound
    assert abs(states[-1].prod() - target) < 1e-9
    assert kept * bound < abs(gaps(states[-1])[0]) <= bound
    assert (states[-1] ** 2).sum() <= 2 / rate * (1 + 1e-6)
    on_the_edge = np.sqrt((bound + np.array([0, 2 * bound])) / 2)  # only the gap matters
    end = chain_flow_end(on_the_edge, target)
    assert (end**2).sum() == pytest.approx(2 / rate, rel=1e-12)


CYCLES = [(2, 5.0, 2.1), (2, 5.0, 2.49), (3, 2.0, 2.3), (3, 2.0, 2.52), (6, 1.0, 2.3)]


@pytest.mark.parametrize(("depth", "target", "scaled"), CYCLES)
def test_on_cycles_gaps_decay_at_the_geometric_mean(depth, target, scaled):
    rate = scaled / (depth * target ** (2 - 2 / depth))
    cycle = descend([target ** (1 / depth) * 1.05] * depth, target, rate, 20_000)[-1]
    start = cycle * (1 + 1e-3 * np.arange(depth))
    states = descend(start, target, rate, 4000)
    sizes = np.abs(gaps(states)).max(axis=1)
    fit = np.flatnonzero((sizes < 1e-5) & (sizes > 1e-11))  # above the rounding of squares
    fit = fit[: len(fit) // 8 * 8]  # whole periods
    measured = np.exp(np.polyfit(fit, np.log(sizes[fit]), 1)[0])
    found = lasting_balance_factor(depth, target, rate)
    # Whole periods leave the ripple of one of them, over the length of the fit.
    assert np.log(measured) == pytest.approx(np.log(found), rel=0.02)
    assert balance_regime(start, target, rate).regime == "decays"
    assert balance_regime(start, target, rate).lasting_factor == found


@pytest.mark.parametrize("scaled", [2.01, 2.2, 2.4])
def test_the_two_cycle_of_two_layers_in_closed_form(scaled):
    found = lasting_balance_factor(2, 3.0, scaled / 6.0)
    assert found == pytest.approx((3 - scaled) ** 0.5, rel=1e-9)


def test_regimes_in_the_order_of_the_step_size():
    layers, target = [0.5, 1.2], 1.0
    rates = [0.0, 0.5, 0.95, 1.1, 1.6, 3.0]
    regimes = [balance_regime(layers, target, rate).regime for rate in rates]
    assert regimes == ["frozen", "partial", "until stable", "decays", "decays", "diverges"]
    frozen = balance_regime(layers, target, 0.0)
    assert (frozen.next_factor, frozen.lasting_factor, frozen.left) == (1, 1, 1)
    assert balance_regime(layers, target, 1.1).left == 0
    assert 0 < balance_regime(layers, target, 0.5).left < 1
    assert balance_regime([0.0, 1.0], target, 1.5).regime == "grows"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: chain_flow_end([], 1.0),
        lambda: chain_flow_end([[1.0], [2.0]], 1.0),
        lambda: chain_flow_end([1.0, np.nan], 1.0),
        lambda: chain_flow_end([1.0, 1.0], -1.0),
        lambda: chain_flow_end([1.0, 1.0], [1.0, 1.0]),
        lambda: gaps_left([1.0, 1.0], 0.0, 0.1),
        lambda: gaps_left([1.0, 1.0], 1.0, -0.1),
        lambda: gaps_left([1.0], 1.0, 0.1),
        lambda: partial_balance_gap([1.0], 1.0, 0.1),
        lambda: largest_stable_gap(0.0, 0.1),
        lambda: lasting_balance_factor(1, 1.0, 0.1),
        lambda: lasting_balance_factor(2, 1.0, 0.0),
        lambda: first_growth_edge(1.0, 1),
        lambda: first_growth_edge(1.0, 3, 0.0),
        lambda: balance_regime([1.0], 1.0, 0.1),
        lambda: balance_regime([1.0, 2.0], 1.0, -0.1),
        lambda: balance_regime([1.0, 2.0], 1.0, [0.1, 0.2]),
        lambda: balance_factor(np.inf, [1.0], 0.1),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match="need"):
        ask()


# --- in arbitrary precision ---------------------------------------------------------------------


def decimal_gaps(layers, target, rate, steps, digits):
    """|w_1² − w_2²| at every step, in decimal arithmetic with so many digits."""
    with localcontext() as context:
        context.prec = digits
        first, second = map(Decimal, layers)
        made = []
        for _ in range(steps + 1):
            made.append(float(abs(first**2 - second**2)))
            kick = Decimal(rate) * (first * second - Decimal(target))
            first, second = first - kick * second, second - kick * first
    return np.array(made)


@pytest.mark.parametrize("rate", [0.1, 0.1997, 0.21, 0.3, 0.38])
def test_the_trusted_gap_is_that_of_decimal_arithmetic_until_float64_loses_it(rate):
    layers, steps = (1.5, 2.25), 300
    exact = decimal_gaps(layers, 5.0, rate, steps, 400)
    found = trusted_gap(layers, 5.0, rate, range(steps + 1))
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], exact[known], rtol=4 * EPS)
    plain = np.abs(gaps(descend(layers, 5.0, rate, steps))[:, 0])
    off = np.abs(plain / exact - 1)
    # The recursion here rounds in its own way: a factor of ten either side of the tolerance.
    assert (off[known] <= 1e-11).all()
    assert known.all() or off[~known].max() > 1e-13
    assert not known[np.argmin(known) :].any() or known.all()
    part = trusted_gap(layers, 5.0, rate, (3, 299))
    np.testing.assert_array_equal(part, found[[3, 299]])


def test_a_run_that_escapes_is_not_trusted_afterwards():
    found = trusted_gap((1.5, 2.25), 5.0, 0.39, range(40), tolerance=1.0)
    assert np.isfinite(found[:5]).all()
    assert np.isnan(found[20:]).all()


def test_a_trusted_gap_needs_two_layers_and_few_steps():
    with pytest.raises(BrokenAssumption, match="two layers"):
        trusted_gap((1.0, 2.0, 3.0), 5.0, 0.01, (0, 1))
    with pytest.raises(BrokenAssumption, match="at most 5000 steps"):
        trusted_gap((1.5, 2.25), 5.0, 0.1, (0, 5001))
    with pytest.raises(InputError, match="whole numbers"):
        trusted_gap((1.5, 2.25), 5.0, 0.1, ())
