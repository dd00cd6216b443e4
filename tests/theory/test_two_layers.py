"""Two layers, exactly: against an ODE solver, mpmath, the scalar solution and exact limits."""

import doctest

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from dlnlab.errors import InputError
from dlnlab.theory import two_layers
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.modes import flow_value
from dlnlab.theory.two_layers import balance, two_layer_flow, two_layer_value, two_layer_weights

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("made", two_layers.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def balanced_start(rng, inputs, hidden, outputs, gap, scale):
    """A λ-balanced start in random bases, its product of the size of scale²."""
    common = min(inputs, hidden, outputs)
    one = np.zeros(hidden)
    one[:common] = scale * rng.uniform(0.5, 1, common)
    two = np.sqrt(one**2 + max(gap, 0))
    one = np.sqrt(one**2 + max(-gap, 0))
    inner = orthogonal(rng, hidden)
    first = inner @ np.diag(one) @ np.eye(hidden, inputs) @ orthogonal(rng, inputs)
    second = orthogonal(rng, outputs) @ np.eye(outputs, hidden) @ np.diag(two) @ inner.T
    return first, second


def integrated(first, second, target, times):
    """Both layers by DOP853: a wholly independent way to the same flow."""

    def velocity(_, state):
        one = state[: first.size].reshape(first.shape)
        two = state[first.size :].reshape(second.shape)
        missing = target - two @ one
        return np.concatenate([(two.T @ missing).ravel(), (missing @ one.T).ravel()])

    begin = np.concatenate([first.ravel(), second.ravel()])
    made = solve_ivp(
        velocity, (0, times[-1]), begin, "DOP853", t_eval=times, rtol=1e-12, atol=1e-15
    )
    for state in made.y.T:
        yield state[: first.size].reshape(first.shape), state[first.size :].reshape(second.shape)


def blocks(first, second):
    return first.T @ first, second @ second.T, second @ first


@pytest.mark.parametrize(
    ("inputs", "hidden", "outputs", "gap", "scale"),
    [
        (3, 3, 3, 0.0, 0.3),
        (2, 5, 3, 0.0, 0.1),  # wide
        (4, 2, 3, 0.0, 1e-2),  # a bottleneck
        (4, 2, 3, 0.5, 0.3),
        (3, 2, 4, -0.5, 0.3),
        (4, 3, 2, -1.0, 0.5),
        (3, 3, 3, 2.0, 1e-8),
        (3, 3, 3, 1e-6, 1e-2),
        (5, 1, 4, 0.3, 0.2),
        (1, 1, 1, -0.7, 0.4),
    ],
)
@pytest.mark.parametrize("degenerate", [False, True])
def test_it_is_the_gradient_flow(inputs, hidden, outputs, gap, scale, degenerate):
    rng = np.random.default_rng(inputs + 10 * hidden + 100 * outputs)
    first, second = balanced_start(rng, inputs, hidden, outputs, gap, scale)
    target = rng.normal(size=(outputs, inputs))
    if degenerate:  # two equal singular values, and all others zero
        strengths = np.where(np.arange(min(inputs, outputs)) < 2, 1.5, 0.0)
        pairs = len(strengths)
        ends = orthogonal(rng, outputs)[:, :pairs], orthogonal(rng, inputs)[:, :pairs]
        target = ends[0] * strengths @ ends[1].T
    assert balance(first, second) == pytest.approx(gap, abs=1e-14)
    times = np.array([0.0, 1e-3, 0.1, 1.0, 3.0, 10.0])
    made = two_layer_weights(times, first, second, target)
    whole = two_layer_flow(times, first, second, target)
    assert whole.shape == (6, outputs, inputs)
    steps = integrated(first, second, target, times)
    for index, wanted in enumerate(steps):
        found = blocks(made.first[index], made.second[index])
        for a, b in zip(found, blocks(*wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-8)
        np.testing.assert_allclose(whole[index], wanted[1] @ wanted[0], rtol=0, atol=1e-8)
    assert balance(made.first[-1], made.second[-1]) == pytest.approx(gap, abs=1e-12)


def test_the_flow_is_a_semigroup():
    """W(t + u) from W(0) is W(u) from the layers at t, whose hidden rotation is another."""
    rng = np.random.default_rng(5)
    first, second = balanced_start(rng, 4, 2, 3, 0.4, 0.2)
    target = rng.normal(size=(3, 4))
    between = two_layer_weights(0.8, first, second, target)
    wanted = two_layer_flow(2.0, first, second, target)
    np.testing.assert_allclose(two_layer_flow(1.2, *between, target), wanted, atol=1e-13)


def in_many_digits(time, first, second, target, digits=600):
    """The published formula with every number of 600 digits, and λ as the start has it."""
    with mp.workdps(digits):
        one, two, whole = (mp.matrix(m.tolist()) for m in (first, second, target))
        hidden, inputs, outputs = one.rows, one.cols, two.rows
        gap = mp.fsum(x**2 for x in two) - mp.fsum(x**2 for x in one)
        gap /= hidden
        size = inputs + outputs
        big, start = mp.zeros(size), mp.zeros(size, hidden)
        for i in range(size):
            big[i, i] = -gap / 2 if i < inputs else gap / 2
        for i in range(outputs):
            for j in range(inputs):
                big[inputs + i, j] = big[j, inputs + i] = whole[i, j]
        start[:inputs, :], start[inputs:, :] = one.T, two
        values, vectors = mp.eigsy(big)
        grown = mp.diag([mp.exp(f * time) for f in values])
        spread = mp.diag([mp.expm1(2 * f * time) / (2 * f) if f else time for f in values])
        rows = vectors.T * start
        middle = (mp.eye(hidden) + rows.T * spread * rows) ** -1
        made = vectors * grown * rows * middle * rows.T * grown * vectors.T
        lower = made[inputs:, :inputs]
        return np.array([[float(lower[i, j]) for j in range(inputs)] for i in range(outputs)])


@pytest.mark.parametrize("time", [1e-6, 3.0, 17.0, 60.0])
@pytest.mark.parametrize(("gap", "scale"), [(0.0, 1e-8), (0.3, 1e-8), (0.0, 1.0)])
def test_small_starts_and_long_times_keep_their_digits(time, gap, scale):
    rng = np.random.default_rng(6)
    first, second = balanced_start(rng, 2, 2, 3, gap, scale)
    target = np.array([[2.0, 0.3], [0.1, 1.0], [0.0, 0.5]])
    wanted = in_many_digits(time, first, second, target)
    made = two_layer_flow(time, first, second, target)
    size = np.abs(wanted).max() + gap
    # The rounding of M and F alone moves e^{2ft} by 2ft roundings.
    assert np.abs(made - wanted).max() < 64 * EPS * (1 + 5 * time) * size


def test_no_overflow_and_no_lost_digit_at_the_end_of_time():
    rng = np.random.default_rng(7)
    first, second = balanced_start(rng, 4, 4, 4, 1e-3, 1e-8)
    target = 1e3 * rng.normal(size=(4, 4))
    made = two_layer_flow([1e-300, 1.0, 1e6, 1e12], first, second, target)
    np.testing.assert_allclose(made[0], second @ first, rtol=0, atol=64 * EPS * 1e-3)
    for late in made[2:]:
        np.testing.assert_allclose(late, target, atol=64 * EPS * np.linalg.norm(target))
    zero = two_layer_flow([0.0, 5.0, 1e6], 0 * first, 0 * second, target)
    np.testing.assert_array_equal(zero, 0)


def test_directions_without_signal_decay_like_one_over_time():
    rng = np.random.default_rng(8)
    left, right = orthogonal(rng, 3), orthogonal(rng, 3)
    inner, start = orthogonal(rng, 3), np.array([0.2, 0.1, 0.4])
    first, second = inner @ np.diag(start) @ right.T, left @ np.diag(start) @ inner.T
    target = left @ np.diag([1e3, 0.0, 0.0]) @ right.T
    for time in (1.0, 1e3, 1e6):
        made = left.T @ two_layer_flow(time, first, second, target) @ right
        wanted = np.diag([1e3, *(start[1:] ** 2 / (1 + 2 * start[1:] ** 2 * time))])
        np.testing.assert_allclose(made, wanted, atol=64 * EPS * 1e3)


def test_a_bottleneck_learns_the_strongest_and_rests():
    rng = np.random.default_rng(9)
    first, second = balanced_start(rng, 5, 2, 4, 0.0, 1e-4)
    left, right = orthogonal(rng, 4), orthogonal(rng, 5)[:, :4]
    strengths = np.array([5.0, 3.0, 2.0, 1.0])
    target = left * strengths @ right.T
    made = two_layer_flow(1e6, first, second, target)
    best = left[:, :2] * strengths[:2] @ right[:, :2].T
    np.testing.assert_allclose(made, best, atol=256 * EPS * 5)


def test_equal_strengths_never_compete():
    """Two hidden units before four equal strengths keep what they began with, at any time."""
    rng = np.random.default_rng(13)
    first, second = balanced_start(rng, 4, 2, 4, 0.0, 0.1)
    target = 1e3 * orthogonal(rng, 4)
    early, *late = two_layer_flow([1.0, 1e6, 1e9], first, second, target)
    assert np.linalg.matrix_rank(early, 1.0) == 2
    for made in late:
        np.testing.assert_allclose(made, early, rtol=0, atol=64 * EPS * 1e3)


def test_a_start_of_the_wrong_orientation_rests_on_a_saddle():
    """Balanced square layers keep the sign of their determinant: the weakest mode is lost."""
    rng = np.random.default_rng(10)
    first, second = balanced_start(rng, 3, 3, 3, 0.0, 0.3)
    target = orthogonal(rng, 3) * np.array([3.0, 2.0, 1.0]) @ orthogonal(rng, 3)
    lost = np.linalg.det(target) * np.linalg.det(second @ first) < 0
    flipped = target @ (np.eye(3) - 2 * np.outer(target[0], target[0]) / (target[0] @ target[0]))
    for goal, distance in ((target, float(lost)), (flipped, float(not lost))):
        made = two_layer_flow(1e4, first, second, goal)
        assert np.linalg.norm(made - goal) == pytest.approx(distance, abs=1e-12)


def test_bounds_of_rounding_hide_no_direction_of_wide_layers():
    rng = np.random.default_rng(11)
    first, second = balanced_start(rng, 60, 60, 60, 0.0, 1e-8)
    target = rng.normal(size=(60, 60))
    left, strengths, right = np.linalg.svd(target)
    same = np.linalg.slogdet(target)[0] == np.linalg.slogdet(second @ first)[0]
    strengths[-1] *= same
    made = two_layer_flow(1e6, first, second, target)
    np.testing.assert_allclose(made, left * strengths @ right, atol=256 * EPS * strengths[0])


@pytest.mark.parametrize("small", [1e-6, 1e-12])
def test_a_weak_mode_beside_strong_ones_is_learned_in_its_time(small):
    rng = np.random.default_rng(12)
    values, inner = np.array([1.0, 0.5, small]), orthogonal(rng, 3)
    first = inner * values @ orthogonal(rng, 3)
    second = orthogonal(rng, 3) * values @ inner.T
    target = rng.normal(size=(3, 3))
    for time in (1.0, 10.0, 40.0):
        wanted = in_many_digits(time, first, second, target, 300)
        made = two_layer_flow(time, first, second, target)
        # A rounding of the start is this share of its weakest mode.
        assert np.abs(made - wanted).max() < 64 * EPS / small * np.abs(wanted).max()


# --- one mode -----------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.0, 1e-2, 0.4, -3.0])
@pytest.mark.parametrize("target", [1.5, 0.0, -0.7, 1e3])
@pytest.mark.parametrize("start", [0.3, 1e-8, -0.2, 0.0, 2.0])
def test_matrices_of_one_entry_are_the_scalar(gap, target, start):
    squares = np.hypot(start, gap / 2)
    first = np.array([[np.sqrt(max(squares - gap / 2, 0))]])
    second = np.array([[np.sqrt(max(squares + gap / 2, 0))]])
    first = np.sign(start) * (first if gap <= 0 else np.abs(start) / second)
    second = second if gap >= 0 else np.abs(start) / np.abs(first).clip(1e-300)
    if start == 0 and gap < 0:
        first, second = np.array([[np.sqrt(-gap)]]), np.array([[0.0]])
    times = np.array([0.0, 1e-4, 0.5, 3.0, 40.0, 1e6])
    made = two_layer_flow(times, first, second, [[target]])[:, 0, 0]
    gap = balance(first, second)
    wanted = two_layer_value(times, second @ first, target, gap).ravel()
    # The gap is only known to its rounding, which is amplified like the start's.
    scale = np.abs(wanted) * (1 + 1 / max(abs(start), 1e-3)) + abs(gap) + abs(start)
    assert (np.abs(made - wanted) <= 256 * EPS * (1 + abs(target)) * scale).all()


def test_the_scalar_solves_its_equation():
    times = np.array([0.0, 0.01, 0.3, 1.0, 4.0])
    for start, target, gap in ((0.1, 1.0, 0.5), (-0.4, 1.0, -2.0), (0.3, -1.0, 0.1), (2, 0.5, 0)):

        def speed(_, a, target=target, gap=gap):
            return np.sqrt(gap**2 + 4 * a**2) * (target - a)

        made = solve_ivp(speed, (0, 4), [start], "DOP853", t_eval=times, rtol=1e-12, atol=1e-14).y[
            0
        ]
        np.testing.assert_allclose(two_layer_value(times, start, target, gap), made, atol=1e-10)
    np.testing.assert_allclose(
        two_layer_value(times, 1e-9, 2.0), flow_value(times, 1e-9, 2.0, 2), rtol=32 * EPS
    )
    np.testing.assert_allclose(two_layer_value(1e3, 0.5, 0.0), 0.5 / 1001, rtol=8 * EPS)


# --- refusals -----------------------------------------------------------------------------------


def test_a_start_without_balance_is_refused_by_name():
    first, second = np.diag([1.0, 0.5]), np.diag([0.5, 1.0])
    with pytest.raises(BrokenAssumption, match="differ by a multiple of the identity"):
        two_layer_flow(1.0, first, second, np.eye(2))
    assert two_layer_flow(1.0, first, second, np.eye(2), stretch=True).shape == (2, 2)
    departure = two_layer_flow.departures(1.0, first, second, np.eye(2))["lambda_balanced"]
    assert departure == pytest.approx(np.sqrt(2) * 0.75 / 2.5)
    # λ > 0 with more hidden units than outputs cannot be.
    with pytest.raises(BrokenAssumption, match="as many hidden units as outputs"):
        two_layer_flow(1.0, np.zeros((3, 2)), np.eye(2, 3), np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.0, np.eye(2), np.eye(3), np.eye(2)), "second @ first"),
        ((1.0, np.eye(2), np.eye(2), np.ones((2, 3))), "shape of the target"),
        ((1.0, np.eye(2), np.eye(2), [1.0, 2.0]), "are needed"),
        ((-1.0, np.eye(2), np.eye(2), np.eye(2)), "at or above 0"),
        ((np.inf, np.eye(2), np.eye(2), np.eye(2)), "finite numbers"),
        ((1.0, [[np.nan]], [[1.0]], [[1.0]]), "finite numbers"),
    ],
)
def test_what_is_no_flow_of_two_layers_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        two_layer_flow(*arguments)
