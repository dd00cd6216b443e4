"""Stability: edges, splits and the return map against mpmath, brute force and simulation."""

import doctest
import time

import mpmath as mp
import numpy as np
import pytest
from scipy.optimize import minimize

from dlnlab.errors import InputError
from dlnlab.theory import stability
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.catalogue import PREDICTIONS, TOPICS
from dlnlab.theory.curvature import sharpness_at_minimum
from dlnlab.theory.stability import (
    edge_sharpness,
    edge_split,
    flattest_split,
    map_argmax,
    map_value,
    mode_edges,
    return_path,
    single_path_sharpness,
    stability_edge,
    windows,
    worst_case_return,
    worst_case_return_constant,
)

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("made", stability.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_every_prediction_is_listed_once():
    assert len({made.name for made in PREDICTIONS}) == len(PREDICTIONS)
    assert set(stability.PREDICTIONS) <= set(PREDICTIONS)


# --- edges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("depth", "target"), [(1, 3.0), (2, 3.0), (20, 1.0), (5, 0.2)])
def test_a_chain_converges_just_below_its_edge_and_not_just_above(depth, target):
    assert abs(stability_edge(target, depth) * single_path_sharpness(target, depth) - 2) < 4 * EPS
    minimum = target ** (1 / depth)
    for factor, grows in ((0.99, False), (1.01, True)):
        rate, nudge = factor * float(stability_edge(target, depth)), 1e-6 * minimum
        value = minimum + nudge
        for _ in range(100):
            value = value - rate * value ** (depth - 1) * (value**depth - target)
        assert (abs(value - minimum) > nudge) is grows


def test_each_mode_has_the_edge_of_its_own_chain_and_none_without_signal():
    edges = mode_edges([3.0, 1.2, 0.0], 4)
    assert edges[:2].tolist() == [float(stability_edge(s, 4)) for s in (3.0, 1.2)]
    assert np.isposinf(edges[2])


def test_edge_sharpness_is_two_over_the_step():
    assert edge_sharpness([0.5, 0.1]).tolist() == [4.0, 20.0]


# --- the flattest split -----------------------------------------------------------------------


def split_sharpness(shares, depths):
    return sum(
        depth * share ** (2 - 2 / depth) if depth > 1 else 1
        for share, depth in zip(shares, depths, strict=True)
    )


def simplex_of(count, total):
    """All ways to write `total` as an ordered sum of `count` whole numbers."""
    if count == 1:
        return np.array([[total]])
    return np.concatenate(
        [
            np.column_stack([np.full(len(rest), k), rest])
            for k in range(total + 1)
            for rest in [simplex_of(count - 1, total - k)]
        ]
    )


GRIDS = [
    ((3, 5), 1.0),
    ((3, 3), 2.0),
    ((3, 5, 7), 1.0),
    ((2, 3), 1.0),
    ((2, 3), 0.1),
    ((2, 2), 1.5),
    ((2, 3, 5), 3.0),
    ((2, 2, 4), 4.0),
    ((2, 2, 4), 0.05),
    ((1, 3), 2.0),
    ((1, 1, 3), 2.0),
    ((4,), 2.0),
    ((1,), 2.0),
    ((20, 3), 0.7),
    ((1, 2, 2), 0.3),
]


@pytest.mark.parametrize(("depths", "target"), GRIDS)
def test_flattest_split_against_every_split_of_a_grid(depths, target):
    points = 240
    grid = simplex_of(len(depths), points) / points * target
    levels = np.array(depths)
    costs = (levels * grid ** (2 - 2 / levels)).sum(axis=1)
    shares, sharpness = flattest_split(depths, target)
    assert sharpness <= costs.min() * (1 + 8 * EPS)
    if shares is not None:
        assert abs(sum(shares) - target) < 4 * len(depths) * EPS * target
        assert abs(split_sharpness(shares, depths) - sharpness) < 16 * EPS * sharpness
    # The best grid point is within one cell of the flattest split: no further by the steepest cost.
    slope = max(2 * (depth - 1) * target ** (1 - 2 / depth) for depth in depths)
    assert costs.min() <= sharpness + slope * len(depths) * target / points
    flat = costs <= costs.min() * (1 + 1e-13)
    assert (shares is None) == (flat.sum() > 1)


@pytest.mark.parametrize("depths", [(3, 5), (3, 5, 7), (4, 9, 9, 30), (2, 3, 6)])
def test_flattest_split_against_a_constrained_minimiser(depths):
    levels = np.array(depths)
    found = minimize(
        lambda shares: (levels * np.abs(shares) ** (2 - 2 / levels)).sum(),
        np.full(len(depths), 1 / len(depths)),
        method="SLSQP",
        bounds=[(0, 1)] * len(depths),
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    shares, sharpness = flattest_split(depths, 1.0)
    # A minimiser by finite differences finds the minimum to ε^{1/2} in place, ε in value.
    assert abs(found.fun - sharpness) < 1e-10 * sharpness
    np.testing.assert_allclose(found.x, shares, rtol=0, atol=1e-5)


@pytest.mark.parametrize("target", [1e-6, 0.3, 1.0, 1e6])
@pytest.mark.parametrize(
    "depths", [(3, 5), (3, 1000), (3, 4, 5, 100, 1000), (999, 1000), (2, 3, 8)]
)
def test_flattest_split_to_rounding(depths, target):
    with mp.workdps(40):
        goal = mp.mpf(target)

        def shares_at(mu):
            return [
                (mu / (2 * (depth - 1))) ** (mp.mpf(depth) / (depth - 2))
                if depth > 2
                else mp.mpf(0)
                for depth in depths
            ]

        low, high = mp.mpf(10) ** -60, mp.mpf(10) ** 60
        for _ in range(400):
            middle = mp.sqrt(low * high)
            below = mp.fsum(shares_at(middle)) < goal
            low, high = (middle, high) if below else (low, middle)
        multiplier = min(low, 2) if 2 in depths else low
        exact = shares_at(multiplier)
        if 2 in depths:
            exact[depths.index(2)] = goal - mp.fsum(exact)
        value = split_sharpness([abs(x) for x in exact], depths)
        shares, sharpness = flattest_split(depths, target)
        # ln μ rounds at its own size (below 40), and a share moves by up to 3 times as much.
        for share, wanted in zip(shares, exact, strict=True):
            assert abs(share - wanted) < 128 * EPS * max(wanted, goal * EPS * (2 in depths))
        assert abs(sharpness - value) < 128 * EPS * value


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("depth", [3, 20, 1000])
def test_equal_depths_share_equally(depth, count):
    shares, sharpness = flattest_split((depth,) * count, 0.7)
    np.testing.assert_allclose(shares, 0.7 / count, rtol=4 * EPS)
    expected = count ** (2 / depth - 1) * depth * 0.7 ** (2 - 2 / depth)
    assert abs(sharpness - expected) < 16 * EPS * expected


def test_shallow_pathways_take_what_science_says():
    assert flattest_split((1, 3), 2.0) == ((2.0, 0.0), 1.0)
    assert flattest_split((1, 1, 3), 2.0) == (None, 2.0)
    assert flattest_split((2, 2), 2.0) == (None, 4.0)
    assert flattest_split((2,), 2.0) == ((2.0,), 4.0)
    # One of depth 3 alone up to s = 1/8, where its marginal sharpness is 2.
    assert flattest_split((2, 3), 0.12).shares == (0.0, pytest.approx(0.12, rel=8 * EPS))
    assert flattest_split((2, 3), 0.5).shares == (0.375, 0.125)
    assert flattest_split((2, 3), 0.13).shares == (pytest.approx(0.005, rel=1e-13), 0.125)
    assert flattest_split((2, 2, 3), 0.13).shares is None
    assert flattest_split((2, 2, 3), 0.12).shares[:2] == (0.0, 0.0)


# --- the split at the edge --------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 5, 20, 1000])
@pytest.mark.parametrize("target", [0.01, 1.0, 30.0])
def test_edge_split_has_the_sharpness_of_the_edge(depth, target):
    single = float(single_path_sharpness(target, depth))
    for fraction in (1e-9, 0.01, 0.5, 0.99, 1 - 1e-9):
        scaled = 1 + fraction * (2 ** (1 - 2 / depth) - 1)
        rate = scaled * 2 / single
        top, other = edge_split(rate, depth, target)
        assert top >= other > 0
        values = [[top], [other]]
        sharpness = sharpness_at_minimum(values, [depth, depth], [target])
        assert abs(sharpness - edge_sharpness(rate)) < 64 * EPS * sharpness


@pytest.mark.parametrize(("depth", "scaled"), [(3, 1.1), (5, 1.3), (20, 1.2), (20, 1.8)])
def test_edge_split_against_a_root_in_high_precision(depth, scaled):
    rate = scaled * 2 / depth
    with mp.workdps(40):
        power = 2 - mp.mpf(2) / depth
        low, high = mp.mpf(0.5), mp.mpf(1)
        for _ in range(120):
            top = (low + high) / 2
            stable = depth * (top**power + (1 - top) ** power) < 2 / mp.mpf(rate)
            low, high = (top, high) if stable else (low, top)
        slope = power * (top ** (power - 1) - (1 - top) ** (power - 1))
        found = edge_split(rate, depth, 1.0)
        # Rounding ηS moves the sharpness, in units of S, by a few ε.
        assert abs(found[0] - top) < 8 * EPS * (1 + 1 / slope)
        assert abs(found[1] - (1 - top)) < 8 * EPS * (1 + 1 / slope)


def test_edge_split_outside_its_window():
    edge, flattest = 2 / 3, 2 / 3 * 2 ** (1 / 3)
    with pytest.raises(BrokenAssumption, match="single path is unstable"):
        edge_split(0.99 * edge, 3, 1.0)
    with pytest.raises(BrokenAssumption, match="equal shares are stable"):
        edge_split(1.01 * flattest, 3, 1.0)
    with pytest.raises(BrokenAssumption, match="beyond 2"):
        edge_split(1.0, 2, 1.0)
    with pytest.raises(BrokenAssumption, match="two pathways"):
        edge_split(1.1 * edge, 3, 1.0, 3)
    assert edge_split(0.99 * edge, 3, 1.0, stretch=True).tolist() == [1.0, 0.0]
    assert edge_split(1.01 * flattest, 3, 1.0, stretch=True).tolist() == [0.5, 0.5]
    shares = edge_split(1.1 * edge, 3, 1.0, 3, stretch=True)
    assert abs(split_sharpness(shares, (3, 3, 3)) - 2 / (1.1 * edge)) < 32 * EPS * 3
    assert shares[1] == shares[2]


def test_descent_rebalances_until_the_edge_split():
    """kim2026, figure 1 at η = 0.12: it ends at (0.900, 0.100) with ηλ/2 = 0.997."""
    depth, rate = 20, 0.12
    layers, highest = [0.02 ** (1 / depth), 0.01 ** (1 / depth)], 0.0
    for _ in range(50_000):
        shares = [w**depth for w in layers]
        residual = sum(shares) - 1
        highest = max(highest, shares[0])
        layers = [w - rate * residual * w ** (depth - 1) for w in layers]
    shares = [w**depth for w in layers]
    stability_left = rate * split_sharpness(shares, (depth, depth)) / 2
    assert highest > 0.97
    np.testing.assert_allclose(shares, (0.900, 0.100), atol=5e-4)
    assert abs(stability_left - 0.997) < 5e-4
    # It stops on the stable side of the edge, by as much as it had overshot.
    top = edge_split(rate, depth, 1.0)[0]
    assert shares[0] < top < shares[0] + 0.003


# --- the return map ---------------------------------------------------------------------------


def exact_top(scaled_rate, depth):
    """argmax of f on (0, 1), target 1, η = scaled_rate/L, by bisection of f'."""
    rate = scaled_rate / depth
    low, high = (mp.mpf(depth - 1) / (2 * depth - 1)) ** (mp.mpf(1) / depth), mp.mpf(1)
    for _ in range(70):
        c = (low + high) / 2
        slope = 1 - rate * ((2 * depth - 1) * c ** (2 * depth - 2) - (depth - 1) * c ** (depth - 2))
        low, high = (c, high) if slope > 0 else (low, c)
    return c


def exact_return(scaled_rate, depth):
    """c, f(c) and f(f(c)) for target 1."""
    rate, c = scaled_rate / depth, exact_top(scaled_rate, depth)
    first = c - rate * c ** (depth - 1) * (c**depth - 1)
    return c, first, first - rate * first ** (depth - 1) * (first**depth - 1)


SOME_DEPTHS = sorted(
    {2, 3, 4, 5, 10, 20, 100, 1000, 9999, 10000, *np.geomspace(2, 10000, 60).astype(int).tolist()}
)


@pytest.mark.parametrize("depth", SOME_DEPTHS)
def test_worst_case_return_constant_is_bracketed_in_high_precision(depth):
    found, width = worst_case_return_constant(depth), 64 * EPS
    with mp.workdps(50):
        # An error of 2^-70 in c is squared in f(c).
        assert exact_return(mp.mpf(found) * (1 - width), depth)[2] > 0
        assert exact_return(mp.mpf(found) * (1 + width), depth)[2] < 0


def test_worst_case_return_constant_known_values():
    assert abs(worst_case_return_constant(2) - (3 * np.sqrt(3) - 2)) < 8 * EPS
    assert abs(worst_case_return_constant(3) - 3.66099628) < 5e-9
    assert abs(worst_case_return_constant(5) - 4.22449541) < 5e-9
    ratios = [
        worst_case_return_constant(10**k) / (2 * mp.lambertw(2 * 10**k).real) for k in (2, 4, 8)
    ]
    assert abs(ratios[2] - 1) < abs(ratios[1] - 1) < abs(ratios[0] - 1) < 0.1


def test_worst_case_return_constant_at_every_depth():
    found = np.array([worst_case_return_constant(depth) for depth in range(2, 10001)])
    steps = np.diff(found)
    assert (steps > 0).all()
    assert (np.diff(steps) < 64 * EPS * found[2:]).all()  # concave but for rounding
    assert max(abs(return_path(g / d, 1.0, d).returned) for d, g in enumerate(found, 2)) < 1e-12


@pytest.mark.parametrize("depth", [2, 5, 1000, 10000])
def test_worst_case_return_constant_takes_less_than_a_millisecond(depth):
    taken = []
    for _ in range(20):
        begin = time.perf_counter()
        worst_case_return_constant(depth)
        taken.append(time.perf_counter() - begin)
    assert min(taken) < 1e-3


@pytest.mark.parametrize("depth", [2, 3, 5, 20])
@pytest.mark.parametrize("target", [0.2, 1.0, 9.0])
def test_worst_case_return_scales_and_divides_what_returns(depth, target):
    edge = worst_case_return(target, depth)
    grid = np.linspace(0, 1, 200_001)[1:] * target ** (1 / depth)
    for factor, returns in ((0.999, True), (1.001, False)):
        once = map_value(grid, factor * edge, target, depth)
        assert (map_value(once, factor * edge, target, depth) > 0).all() == returns
    assert worst_case_return(target, 1) is None


@pytest.mark.parametrize("depth", [2, 3, 7, 100, 10000])
@pytest.mark.parametrize("scaled", [1.0001, 1.5, 2.4, 3.5, 8.0])
@pytest.mark.parametrize("target", [1.0, 0.3])
def test_return_path_in_high_precision(depth, scaled, target):
    rate = scaled / (depth * target ** (2 - 2 / depth))
    path = return_path(rate, target, depth)
    with mp.workdps(50):
        unit = mp.mpf(target) ** (mp.mpf(1) / depth)
        exact_scaled = mp.mpf(rate) * depth * mp.mpf(target) ** (2 - mp.mpf(2) / depth)
        c, first, second = exact_return(exact_scaled, depth)
        assert path.argmax == map_argmax(rate, target, depth)
        assert abs(path.argmax - unit * c) < 16 * EPS * unit
        assert abs(path.highest - unit * first) < 16 * EPS * unit * first
        # The return rounds at the size of the fall, which κ and f(c)^L raise.
        fall = first - second
        condition = 1 + 2 * abs(mp.log(first) * depth)
        assert abs(path.returned - unit * second) < 64 * EPS * unit * (fall + 1) * condition


def test_map_argmax_above_the_minimum_for_small_steps():
    for depth in (2, 3, 9):
        rate = 0.3 / depth
        grid = np.linspace(0, 3, 300_001)
        best = grid[np.argmax(map_value(grid, rate, 1.0, depth))]
        found = map_argmax(rate, 1.0, depth)
        assert found > 1
        assert abs(found - best) <= 1e-5
    assert abs(map_argmax(1 / 3, 1.0, 3) - 1) < 4 * EPS


def test_a_huge_step_is_minus_infinity_not_an_error():
    assert return_path(1e6, 1.0, 10000).returned == -np.inf
    assert map_value(10.0, 1.0, 1.0, 1000) == -np.inf


# --- windows and the topic --------------------------------------------------------------------


def test_windows_open_and_close_where_they_should():
    depth, pathways = 20, 2
    edge, last = 2 / depth, 2 / depth * 2**0.9
    for rate, expected in (
        (0.999 * edge, "flow"),
        (1.001 * edge, "rebalances"),
        (0.999 * last, "rebalances"),
        (1.001 * last, "beyond"),
    ):
        assert windows(rate, [1.0], depth, pathways) == (expected,)
    assert windows(0.12, [1.0, 0.9, 0.0], 20, 2) == ("rebalances", "flow", "flow")
    assert windows(1.001, [1.0], 2, 5) == ("beyond",)  # depth 2: nothing pulls towards balance
    # With many pathways the worst-case return comes before the flattest split's own edge.
    last = worst_case_return(1.0, depth)
    assert last < 2 / flattest_split((depth,) * 50, 1.0).sharpness
    assert windows(0.999 * last, [1.0], depth, 50) == ("rebalances",)
    assert windows(1.001 * last, [1.0], depth, 50) == ("beyond",)


def test_stability_gathers_them():
    answer = stability.stability((1, 3, 5), 2.0)
    assert stability.stability in TOPICS
    assert answer._fields == (
        "single_path_sharpness",
        "single_path_edge",
        "flattest_sharpness",
        "flattest_shares",
        "flattest_edge",
        "worst_case_return",
    )
    assert answer.single_path_sharpness == tuple(single_path_sharpness(2.0, k) for k in (1, 3, 5))
    assert answer.single_path_edge == tuple(stability_edge(2.0, k) for k in (1, 3, 5))
    assert (answer.flattest_shares, answer.flattest_sharpness) == flattest_split((1, 3, 5), 2.0)
    assert answer.flattest_edge == 2.0
    assert answer.worst_case_return[0] is None
    assert answer.worst_case_return[1:] == tuple(worst_case_return(2.0, k) for k in (3, 5))
    assert abs(stability.stability((3, 5), 1.0).flattest_edge - 0.773040) < 5e-7


@pytest.mark.parametrize(
    "ask",
    [
        lambda: single_path_sharpness(-1.0, 3),
        lambda: single_path_sharpness(1.0, 0),
        lambda: stability_edge(0.0, 3),
        lambda: mode_edges([1.0, -1.0], 3),
        lambda: mode_edges([1.0], 1),
        lambda: edge_sharpness(0.0),
        lambda: edge_sharpness(np.nan),
        lambda: flattest_split((), 1.0),
        lambda: flattest_split(3, 1.0),
        lambda: flattest_split((3, 0), 1.0),
        lambda: flattest_split((3, 2.5), 1.0),
        lambda: flattest_split((3, 4), 0.0),
        lambda: flattest_split((3, 4), [1.0, 2.0]),
        lambda: edge_split(-0.1, 3, 1.0),
        lambda: edge_split(0.1, "3", 1.0),
        lambda: edge_split(0.7, 3, 1.0, 0, stretch=True),
        lambda: worst_case_return_constant(1),
        lambda: worst_case_return_constant([2]),
        lambda: worst_case_return(np.inf, 3),
        lambda: worst_case_return(-1.0, 1),
        lambda: map_value(np.nan, 0.1, 1.0, 3),
        lambda: map_argmax(0.1, 1.0, 1),
        lambda: return_path(0.0, 1.0, 3),
        lambda: windows(0.1, [-1.0], 3, 2),
        lambda: windows(0.1, [[1.0]], 3, 2),
        lambda: windows(0.1, [1.0], 1, 2),
        lambda: windows(0.1, [1.0], 3, 0),
        lambda: stability.stability((True,), 1.0),
        lambda: stability.stability((3,), float("nan")),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match=r"need|assumes"):
        ask()
