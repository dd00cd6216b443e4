"""Modes: the recursion against autodiff on matrices, flows against mpmath and an ODE solver."""

import doctest

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dlnlab.errors import InputError
from dlnlab.theory import modes
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.modes import (
    balance_gap_next,
    conserved_z_increment,
    descent_map,
    flow_constant,
    flow_endpoint,
    flow_time,
    flow_value,
    rebalancing_condition,
)
from dlnlab.theory.modes.descent import exclusive_products

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("made", modes.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


# --- gradient descent -------------------------------------------------------------------------


@pytest.mark.parametrize("depths", [(1,), (2, 2), (1, 2, 4), (3, 5)])
def test_descent_map_is_autodiff_descent_on_rotated_matrices(depths):
    rng, size, rate = np.random.default_rng(0), 3, 0.1
    targets = np.array([2.0, 1.0, 0.0])
    ends = [np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in range(2)]
    values = [[rng.normal(size=size) for _ in range(depth)] for depth in depths]
    values[0][0][1] = 0.0
    frames = [
        [ends[0], *(np.linalg.qr(rng.normal(size=(size, size)))[0] for _ in layers[1:]), ends[1]]
        for layers in values
    ]
    weights = [
        [out @ np.diag(w) @ back.T for w, back, out in zip(layers, q, q[1:], strict=False)]
        for layers, q in zip(values, frames, strict=True)
    ]

    def loss(weights):
        total = 0
        for layers in weights:
            product = jnp.eye(size)
            for layer in layers:
                product = layer @ product
            total = total + product
        return 0.5 * jnp.sum((total - ends[1] @ np.diag(targets) @ ends[0].T) ** 2)

    with jax.enable_x64(True):
        gradients = jax.grad(loss)(jax.tree.map(jnp.asarray, weights))
        gradients = jax.tree.map(np.asarray, gradients)
    mapped = descent_map(values, targets, rate)
    scale = max(np.abs(g).max() for layers in gradients for g in layers) + 1
    # Each entry sums d products of at most 2L + 2 rotated factors, in every one of H pathways.
    tolerance = 10 * size**2 * sum(depths) * EPS * scale
    for layers, slopes, q, expected in zip(weights, gradients, frames, mapped, strict=True):
        for level, (weight, slope) in enumerate(zip(layers, slopes, strict=True)):
            rotated = q[level + 1].T @ (weight - rate * slope) @ q[level]
            np.testing.assert_allclose(rotated, np.diag(expected[level]), rtol=0, atol=tolerance)


def test_exclusive_products_leave_one_out_even_where_layers_are_zero():
    layers = np.random.default_rng(1).normal(size=(5, 4))
    layers[2, 0] = layers[3, 1] = layers[4, 1] = 0
    expected = [np.delete(layers, row, axis=0).prod(axis=0) for row in range(5)]
    np.testing.assert_allclose(exclusive_products(layers), expected, rtol=8 * EPS)


@pytest.mark.parametrize("depth", [2, 3, 6])
def test_balance_gap_follows_the_map(depth):
    rng = np.random.default_rng(depth)
    for _ in range(20):
        layers, target, rate = (
            rng.uniform(-1.5, 1.5, depth),
            rng.uniform(0, 2),
            rng.uniform(0.01, 1),
        )
        other = rng.uniform(-1, 1, 2)  # a second pathway shares the residual
        ((first, second, *_), _) = descent_map(
            ([[w] for w in layers], [[w] for w in other]), [target], rate
        )
        residual = layers.prod() + other.prod() - target
        gap = layers[0] ** 2 - layers[1] ** 2
        predicted = balance_gap_next(gap, residual, layers[2:], rate)
        # Both squares round at their own size before they are subtracted.
        scale = layers[0] ** 2 + layers[1] ** 2 + first[0] ** 2 + second[0] ** 2
        kick = 1 + (rate * residual * layers[2:].prod()) ** 2
        assert abs(first[0] ** 2 - second[0] ** 2 - predicted) < 4 * depth * EPS * scale * kick


# --- the flow of one chain --------------------------------------------------------------------


def exact_time(value, start, target, depth):
    """The closed form with ₂F₁, in 40 digits, for 0 < σ < s."""
    with mp.workdps(40):
        value, start, target = mp.mpf(value), mp.mpf(start), mp.mpf(target)
        p = 2 - mp.mpf(2) / depth

        def primitive(x):
            return x ** (1 - p) / ((1 - p) * target) * mp.hyp2f1(1, 1 - p, 2 - p, x / target)

        return (primitive(value) - primitive(start)) / depth


def exact_time_from_above(value, start, target, depth):
    """Quadrature in ln(x − s), in 30 digits, for s < σ < σ_0."""
    with mp.workdps(30):
        value, start, target = mp.mpf(value), mp.mpf(start), mp.mpf(target)
        p = 2 - mp.mpf(2) / depth
        ends = [mp.log(value - target), mp.log(start - target)]
        cuts = [ends[0] + (ends[1] - ends[0]) * k / 8 for k in range(9)]
        return mp.quad(lambda y: 1 / (depth * (target + mp.exp(y)) ** p), cuts)


CHAINS = [
    (depth, start, target)
    for depth in (3, 4, 20, 1000)
    for start, target in [(1e-12, 1.0), (1e-3, 0.02), (0.3, 1.0), (6.3, 7.0), (5e3, 1e4)]
]


@pytest.mark.parametrize(("depth", "start", "target"), CHAINS)
def test_flow_time_and_value_against_the_closed_form_in_high_precision(depth, start, target):
    begin = start / target
    inner = [begin ** (1 - x) * 0.5**x for x in (0.01, 0.3, 0.9)] if begin < 0.5 else []
    outer = [1 - (1 - max(begin, 0.5)) * 10.0**-k for k in (0.01, 1, 4, 9)]
    for share in (*inner, *outer):
        value = share * target
        expected = exact_time(value, start, target, depth)
        # Sums of 60 positive terms.
        assert abs(flow_time(value, start, target, depth) - expected) < 64 * EPS * expected
        time = float(expected)
        found = float(flow_value(time, start, target, depth))
        # Rounding the time by ε moves σ by ε |d ln σ / d ln t|; the true time brackets it.
        condition = float(1 + depth * value ** (1 - 2 / depth) * (target - value) * time)
        width = 64 * EPS * condition
        assert exact_time(found * (1 - width), start, target, depth) < time
        if found * (1 + width) < target:
            assert exact_time(found * (1 + width), start, target, depth) > time


@pytest.mark.parametrize("depth", [3, 20, 1000])
@pytest.mark.parametrize(("start", "target"), [(1.3, 1.0), (40.0, 2.0)])
def test_flow_from_above_the_target(depth, start, target):
    for share in (0.01, 0.5, 0.999):
        value = target + (start - target) * (1 - share)
        expected = exact_time_from_above(value, start, target, depth)
        assert abs(flow_time(value, start, target, depth) - expected) < 64 * EPS * expected
        time = float(expected)
        found = float(flow_value(time, start, target, depth))
        condition = float(1 + depth * value ** (1 - 2 / depth) * (value - target) * time)
        assert abs(found / value - 1) < 64 * EPS * condition


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
@pytest.mark.parametrize("start", [0.05, 1.9])
def test_flow_value_against_an_ode_solver_on_the_layer_value(depth, start):
    target, times, tolerance = 1.2, np.linspace(0, 3, 7), 1e-11
    solved = solve_ivp(
        lambda _, w: -(w ** (depth - 1)) * (w**depth - target),
        (0, 3),
        [start ** (1 / depth)],
        method="DOP853",
        t_eval=times,
        rtol=tolerance,
        atol=tolerance,
    )
    # The flow expands errors by at most exp(∫ local rate), below σ(t)-range/start · depth here.
    allowed = 100 * depth * tolerance * max(target / start, start / target)
    found = flow_value(times, start, target, depth)
    np.testing.assert_allclose(found, solved.y[0] ** depth, rtol=allowed)


@pytest.mark.parametrize("start", [1e-300, 1e-12, 0.4, 1.0, 3.0])
def test_depth_two_and_one_in_closed_form(start):
    for time in (0.0, 1e-9, 0.7, 11.0, 30.0):
        with mp.workdps(330):
            s, t = mp.mpf("1.0"), mp.mpf(time)
            two = s * mp.exp(2 * s * t) / (mp.exp(2 * s * t) - 1 + s / mp.mpf(start))
            one = s + (mp.mpf(start) - s) * mp.exp(-t)
        condition = 1 + 2 * time  # |d ln σ / d ln t| at most
        assert abs(flow_value(time, start, 1.0, 2) - two) <= 8 * EPS * condition * two
        assert abs(flow_value(time, start, 1.0, 1) - one) <= 8 * EPS * condition * one


@pytest.mark.parametrize("depth", [1, 2, 3, 50])
def test_flow_value_starts_at_the_start_and_arrives_without_overflow(depth):
    assert flow_value(0.0, 0.25, 1.0, depth) == 0.25
    assert flow_value([1e4, 1e300], 0.25, 1.0, depth).tolist() == [1.0, 1.0]
    assert flow_value([0.0, 5.0], 1.0, 1.0, depth).tolist() == [1.0, 1.0]
    assert flow_value([0.0, 1e4], 3.0, 1.0, depth).tolist() == [3.0, 1.0]


@pytest.mark.parametrize("depth", [2, 3, 20, 10000])
def test_flow_value_is_monotone_and_flow_time_is_its_inverse(depth):
    for start in (1e-12, 0.2, 0.6, 5.0):
        times = np.logspace(-6, 13, 400)
        found = flow_value(times, start, 1.0, depth)
        assert (np.diff(found) * np.sign(1 - start) >= -64 * EPS * found[1:]).all()
        short = (found - 1.0) * (start - 1.0) > 0
        rate = depth * found[short] ** (2 - 2 / depth) * np.abs(1 - found[short])
        slack = 64 * EPS * (times[short] + found[short] / rate)
        assert (np.abs(flow_time(found[short], start, 1.0, depth) - times[short]) < slack).all()


def test_flow_broadcasts_over_modes():
    found = flow_value(np.array([0.1, 0.5])[:, None], [0.1, 0.2, 2.0], [1.0, 0.5, 1.5], 3)
    assert found.shape == (2, 3)
    assert found[1, 2] == flow_value(0.5, 2.0, 1.5, 3)


# --- several pathways -------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_flow_constant_has_the_slope_that_makes_pathways_alike(depth):
    with mp.workdps(30):
        slope = mp.diff(
            lambda w: {1: w, 2: mp.log(w)}.get(depth) or w ** (2 - depth) / mp.mpf(2 - depth), 0.7
        )
        assert abs(slope - mp.mpf(0.7) ** (1 - depth)) < mp.mpf(10) ** -12
    step = 2.0**-20
    rise = flow_constant(0.7 + step, depth) - flow_constant(0.7 - step, depth)
    # Truncation step² L² and rounding ε/step of a central difference.
    assert abs(rise / (2 * step) - 0.7 ** (1 - depth)) < 0.7**-depth * depth**2 * (
        10 * step**2 * depth + 4 * EPS / step
    )


def exact_endpoint(starts, depths, target):
    """Bisection of the common advance θ of all F_h, in 60 digits."""
    starts = [mp.mpf(start) for start in starts]

    def constant(sigma, depth):
        if depth == 2:
            return mp.log(sigma) / 2
        return sigma ** (mp.mpf(2) / depth - 1) / (2 - depth)

    def value(constant, depth):
        if depth <= 2:
            return constant if depth == 1 else mp.exp(2 * constant)
        base = (2 - depth) * constant
        return base ** (mp.mpf(depth) / (2 - depth)) if base > 0 else mp.inf

    begin = [constant(*pair) for pair in zip(starts, depths, strict=True)]

    def values(theta):
        return [value(c + theta, depth) for c, depth in zip(begin, depths, strict=True)]

    low, high = mp.mpf(0), mp.mpf(0)
    step = mp.mpf(10) ** -3
    while mp.fsum(values(low)) > target:
        low, step = low - step, 2 * step
    while mp.fsum(values(high)) < target:
        high, step = high + step, 2 * step
    for _ in range(230):
        middle = (low + high) / 2
        low, high = (middle, high) if mp.fsum(values(middle)) < target else (low, middle)
    return values(low)


ENDPOINTS = [
    ([0.02, 0.01], (20, 20), 1.0),
    ([2e-12, 1e-12], (20, 20), 1.0),
    ([1e-12 * (1 + 1e-9), 1e-12], (20, 20), 1.0),
    ([0.3, 0.3], (7, 7), 2.0),
    ([1e-12, 1.0], (3, 5), 1.5),
    ([0.01, 0.02], (3, 7), 1.0),
    ([1e-3, 1e-3, 1e-3], (3, 5, 7), 1.0),
    ([0.1, 0.05], (2, 2), 1.0),
    ([1e-12, 1e-12], (2, 20), 1.0),
    ([1e-9, 1e-2, 0.1], (1, 2, 3), 0.5),
    ([0.1, 2.0], (1, 3), 1.0),  # the pathway of depth 1 ends below zero
    ([1.0, 0.8], (4, 3), 0.5),
    ([1e-6, 1e-5], (1000, 1000), 1e-2),
    ([1e-2, 1e-4], (1000, 3), 30.0),
    ([0.7], (5,), 1.0),
    # where another pathway than the largest moves fastest
    ([1.1e-4, 3e-4, 4.1e-6, 3.6e-9], (100, 3, 1, 3), 5.9e-5),
    ([3.1e-3, 1.5e-10, 1.5], (10000, 3, 4), 3.4),
    ([2e-11] * 5, (5, 3, 100, 1000, 1), 1.1e4),
    ([3.4e-10, 1.6e-3, 2e-5], (3, 1, 5), 2.75e-5),
    ([0.4, 0.3, 0.2, 0.1], (3, 3, 4, 2), 1.0),
]


@pytest.mark.parametrize(("starts", "depths", "target"), ENDPOINTS)
def test_flow_endpoint_against_conserved_quantities_in_high_precision(starts, depths, target):
    found = flow_endpoint(starts, depths, target)
    with mp.workdps(60):
        expected = exact_endpoint(starts, depths, target)
        nudge = mp.mpf(10) ** -20
        moved = [
            exact_endpoint(
                [start * (1 + nudge * (k == h)) for h, start in enumerate(starts)],
                depths,
                mp.mpf(target) * (1 + nudge * (k == len(starts))),
            )
            for k in range(len(starts) + 1)
        ]
        for h, sigma in enumerate(expected):
            # Rounding the arguments by ε moves the end point by ε times this.
            condition = sum(abs(other[h] - sigma) for other in moved) / nudge
            assert abs(found[h] - sigma) < 32 * EPS * (condition + abs(sigma))
    assert abs(found.sum() - target) < 8 * len(starts) * EPS * np.abs(found).sum()


@pytest.mark.parametrize(
    ("starts", "depths", "target"),
    [([0.05, 0.04], (3, 3), 1.0), ([0.2, 0.3, 0.1], (2, 3, 5), 2.0), ([0.3, 1.5], (1, 4), 1.0)],
)
def test_flow_endpoint_against_an_ode_solver(starts, depths, target):
    levels = np.array(depths)
    solved = solve_ivp(
        lambda _, w: -((w**levels).sum() - target) * w ** (levels - 1),
        (0, 200),
        np.array(starts) ** (1 / levels),
        method="DOP853",
        rtol=1e-12,
        atol=1e-13,
    )
    ended = solved.y[:, -1] ** levels
    # A thousand steps or fewer, each off by 1e-12, amplified by no more than s/min(starts).
    assert solved.t.size < 1000
    found = flow_endpoint(starts, depths, target)
    np.testing.assert_allclose(found, ended, rtol=0, atol=1e-9 * target / min(starts))


@pytest.mark.parametrize("depth", [2, 3, 20, 1000])
@pytest.mark.parametrize("relative", [1e-3, 1e-9, 1e-13])
def test_flow_endpoint_resolves_starts_that_differ_in_their_last_digits(depth, relative):
    starts = [1e-12 * (1 + relative), 1e-12]
    with mp.workdps(60):
        expected = exact_endpoint(starts, (depth, depth), 1.0)
    # The difference of the starts is exact in floating point, so only the end point rounds.
    np.testing.assert_allclose(
        flow_endpoint(starts, (depth, depth), 1.0), np.array(expected, float), rtol=64 * EPS
    )


def test_equal_starts_stay_equal_and_the_larger_grows_larger():
    assert np.ptp(flow_endpoint([0.01] * 3, [5] * 3, 1.0)) == 0
    first, second = flow_endpoint([0.02, 0.01], [5, 5], 1.0)
    assert first / second > 2


# --- the flow's conserved difference under descent --------------------------------------------


def z_increment(pair, depth, rate, residual):
    with mp.workdps(50):
        w = [mp.mpf(value) for value in pair]
        after = [x - rate * residual * x ** (depth - 1) for x in w]
        before = w[0] ** (2 - depth) - w[1] ** (2 - depth)
        return after[0] ** (2 - depth) - after[1] ** (2 - depth) - before


@pytest.mark.parametrize("depth", [3, 5, 20])
@pytest.mark.parametrize("residual", [-0.7, 0.4])
def test_conserved_z_increment_is_right_to_third_order(depth, residual):
    pair, errors, steps = (0.95, 0.8), [], [mp.mpf(2) ** -k for k in (12, 13, 14)]
    for step in steps:
        # stretched: the smallness of the third order is what is measured here
        leading = conserved_z_increment(pair, depth, float(step), residual, stretch=True)
        errors.append(abs(z_increment(pair, depth, step, residual) - float(leading)))
        exact = abs(z_increment(pair, depth, step, residual))
        departure = conserved_z_increment.departures(pair, depth, float(step), residual)
        assert errors[-1] < 2 * departure["leading_order"] * exact
    for coarse, fine, step in zip(errors, errors[1:], steps, strict=False):
        # The fourth order is at most (L + 1)/4 · 3 ηr of the third.
        allowed = mp.log(1 + (depth + 1) * step * abs(residual), 2)
        assert abs(mp.log(coarse / fine, 2) - 3) < allowed


def test_conserved_z_increment_opposes_z_and_refuses_large_steps():
    assert conserved_z_increment((0.9, 0.5), 4, 0.01, -1.0) > 0 > 0.9**-2 - 0.5**-2
    assert conserved_z_increment((0.9, 0.5), 2, 0.01, -1.0) == 0
    with pytest.raises(BrokenAssumption, match="third order"):
        conserved_z_increment((0.9, 0.5), 4, 0.5, -1.0)


def z_before_and_after(rng, count):
    depth = rng.integers(3, 30, count)
    high = rng.uniform(0.3, 1.5, count)
    low = high * rng.uniform(0.3, 0.99, count)
    power = high ** (depth - 2)
    kick = rng.uniform(-2, 0.999, count) / power  # ηr; at most 0.999 keeps layers above zero
    after = [w * (1 - kick * w ** (depth - 2)) for w in (high, low)]
    z = high ** (2 - depth) - low ** (2 - depth)
    return depth, high, low, kick, z, after[0] ** (2 - depth) - after[1] ** (2 - depth)


def test_below_the_rebalancing_condition_z_shrinks_and_keeps_its_sign():
    depth, high, low, kick, z, next_z = z_before_and_after(np.random.default_rng(5), 20000)
    condition = np.array(
        [
            rebalancing_condition([w, v], int(deep), abs(x), np.sign(x))
            for deep, w, v, x in zip(depth, high, low, kick, strict=True)
        ]
    )
    met = (condition < 1) & (np.abs(kick) > 1e-6)
    assert met.sum() > 10000
    assert (np.abs(next_z) < np.abs(z))[met].all()
    assert (np.sign(next_z) == np.sign(z))[met].all()
    # ... and the condition says something: beyond it, some do not.
    beyond = condition > 1
    assert ((np.abs(next_z) > np.abs(z)) | (np.sign(next_z) != np.sign(z)))[beyond].any()


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda: descent_map((([1.0],),), [-1.0], 0.1),
        lambda: descent_map((([1.0],),), [1.0], 0.0),
        lambda: descent_map((([1.0],),), [1.0, 2.0], 0.1),
        lambda: descent_map((([1.0], [1.0, 2.0]),), [1.0], 0.1),
        lambda: descent_map((), [1.0], 0.1),
        lambda: descent_map((([np.nan],),), [1.0], 0.1),
        lambda: flow_time(2.0, 0.1, 1.0, 3),
        lambda: flow_time(1.0, 0.1, 1.0, 3),
        lambda: flow_time(0.5, 0.1, 1.0, 0),
        lambda: flow_value(-1.0, 0.1, 1.0, 3),
        lambda: flow_value(1.0, 0.0, 1.0, 3),
        lambda: flow_value(1.0, 0.0, 1.0, 3, stretch=True),
        lambda: flow_value(1.0, 0.1, -1.0, 3),
        lambda: flow_value(1.0, np.inf, 1.0, 3),
        lambda: flow_value(1.0, "a", 1.0, 3, stretch=True),
        lambda: flow_value(1.0, "a", 1.0, 3),
        lambda: flow_value([1.0, 2.0], [0.1, 0.2, 0.3], 1.0, 3),
        lambda: flow_value(1.0, 0.1, 1.0, 2.5),
        lambda: flow_endpoint([0.1, [0.1]], [3, 3], 1.0),
        lambda: flow_endpoint([0.1], [3, 3], 1.0),
        lambda: flow_endpoint([0.1, -0.1], [3, 3], 1.0),
        lambda: flow_endpoint([0.1, 0.1], [3, 3], 0.0),
        lambda: flow_endpoint([0.1, 0.1], [3, 0], 1.0),
        lambda: flow_endpoint([], [], 1.0),
        lambda: flow_constant(0.0, 3),
        lambda: conserved_z_increment([0.1, 0.2, 0.3], 3, 0.1, 0.1),
        lambda: conserved_z_increment([0.1, 0.2], 1, 0.1, 0.1),
        lambda: rebalancing_condition([0.1, 0.2], 2, 0.1, 0.1),
        lambda: balance_gap_next(1.0, np.nan, [1.0], 0.1),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match=r"need|assumes"):
        ask()
