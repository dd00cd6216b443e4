"""Escapes, saddles and penalties: formulas against brute force, integration and autodiff."""

import doctest
import functools
from itertools import combinations, pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from dlnlab.errors import InputError
from dlnlab.theory import escape, regimes
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.curvature import aligned_spectrum
from dlnlab.theory.escape import (
    critical_point,
    critical_points,
    escape_direction,
    escape_speed,
    escape_time,
    final_norm,
    learning_order,
    learning_threshold,
    learning_times,
    least_squared_norm,
    mode_overlaps,
    norm_on_ray,
    plateau_loss,
    ray_value,
    regularised_values,
)

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize(
    "made", [*escape.PREDICTIONS, *regimes.PREDICTIONS], ids=lambda made: made.name
)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


# --- layers as vectors, by plain NumPy ----------------------------------------------------------


def split(vector, widths):
    sizes = [b * a for a, b in pairwise(widths)]
    pieces = np.split(vector, np.cumsum(sizes)[:-1])
    return [p.reshape(b, a) for p, (a, b) in zip(pieces, pairwise(widths), strict=True)]


def joined(layers):
    return np.concatenate([layer.ravel() for layer in layers])


def product(layers):
    made = layers[0]
    for layer in layers[1:]:
        made = layer @ made
    return made


def pulled(vector, widths, pull):
    """Gradient in all entries of `⟨pull, W_L ⋯ W_1⟩`."""
    layers = split(vector, widths)
    found = []
    for index in range(len(layers)):
        before = product(layers[:index]) if index else np.eye(widths[0])
        after = product(layers[index + 1 :]) if index + 1 < len(layers) else np.eye(widths[-1])
        found.append(after.T @ pull @ before.T)
    return joined(found)


def descent_field(widths, target):
    """The gradient flow's velocity for the half-square loss of white inputs."""

    def velocity(_, vector):
        return pulled(vector, widths, target - product(split(vector, widths)))

    return velocity


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


# --- the first escape ---------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [(3, 2, 4), (2, 3, 4, 3), (4, 2, 1, 3), (3, 2, 2, 3, 2)])
def test_no_direction_of_the_sphere_is_better_than_the_escape_direction(widths):
    rng = np.random.default_rng(len(widths))
    gradient = rng.normal(size=(widths[-1], widths[0]))
    depth = len(widths) - 1

    def negative_form(vector):
        """−⟨G, W⟩ at vector/‖vector‖, and its gradient by the chain rule."""
        size = np.linalg.norm(vector)
        unit = vector / size
        value = np.sum(gradient * product(split(unit, widths)))
        slope = pulled(unit, widths, gradient)
        return -value, -(slope - (slope @ unit) * unit) / size

    starts = rng.normal(size=(20, sum(b * a for a, b in pairwise(widths))))
    found = [minimize(negative_form, s, jac=True, options={"gtol": 1e-10}) for s in starts]
    best = min(found, key=lambda one: one.fun)
    layers = escape_direction(gradient, widths[1:-1])
    assert [layer.shape for layer in layers] == [(b, a) for a, b in pairwise(widths)]
    assert np.linalg.norm(joined(layers)) == pytest.approx(1, abs=50 * EPS)
    ours = float(np.sum(gradient * product(layers)))
    # A stationary point's value is exact to the square of the gradient's norm there.
    assert -best.fun == pytest.approx(ours, rel=1e-10)
    assert depth * ours == pytest.approx(
        float(escape_speed(np.linalg.norm(gradient, 2), depth)), rel=1e-13
    )
    reached = product(split(best.x / np.linalg.norm(best.x), widths))
    np.testing.assert_allclose(reached, product(layers), atol=1e-6)
    for before, after in pairwise(layers):
        np.testing.assert_allclose(after.T @ after, before @ before.T, atol=10 * EPS)


def log_cosh(matrix, goal):
    """A convex cost that is no square; its gradient at 0 is −tanh(goal)."""
    return jnp.sum(jnp.logaddexp(matrix - goal, goal - matrix))


def squares(matrix, goal):
    return 0.5 * jnp.sum((matrix - goal) ** 2)


@pytest.mark.parametrize("cost", [squares, log_cosh])
@pytest.mark.parametrize("hidden", [(3,), (2, 3), (2, 3, 2)])
def test_the_speed_is_that_of_the_norm_under_the_flow_of_any_cost(cost, hidden):
    rng = np.random.default_rng(7)
    goal, depth, size = rng.normal(size=(3, 2)), len(hidden) + 1, 1e-3
    with jax.enable_x64(True):
        pull = -np.asarray(jax.grad(cost)(jnp.zeros((3, 2)), goal))
        layers = escape_direction(pull, hidden)

        def along(r):
            return cost(product([r * layer for layer in layers]), goal)

        # d‖θ‖/dt on the ray is minus the cost's slope along it.
        growth = -float(jax.grad(along)(size))
    speed = float(escape_speed(np.linalg.norm(pull, 2), depth))
    # The next term of the cost is of the order of the product, size^L, relative to the first;
    # rounding of the cost's slope is relative to the slope.
    assert growth / size ** (depth - 1) == pytest.approx(speed, rel=10 * size**depth + 1e-12)


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_the_ray_is_the_linear_flow(depth):
    widths, rng = (3, *(2,) * (depth - 1), 2), np.random.default_rng(depth)
    gradient = rng.normal(size=(2, 3))
    strength, start = np.linalg.norm(gradient, 2), 0.3
    end = 0.9 * float(escape_time(strength, depth, start))
    begin = start * joined(escape_direction(gradient, widths[1:-1]))
    flow = solve_ivp(
        lambda _, x: pulled(x, widths, gradient), (0, end), begin, rtol=1e-11, atol=1e-13
    )
    wanted = norm_on_ray(flow.t, start, strength, depth)
    np.testing.assert_allclose(np.linalg.norm(flow.y, axis=0), wanted, rtol=1e-7)
    level = float(wanted[-1])
    # A cost that is linear everywhere ends nowhere.
    time = float(escape_time(strength, depth, start, level, stretch=True))
    assert time == pytest.approx(end, rel=1e-9)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_elsewhere_it_takes_longer(depth):
    widths, rng = (2, *(3,) * (depth - 1), 2), np.random.default_rng(depth)
    gradient = np.diag([2.0, 1.0])
    bound = float(escape_time(2.0, depth, 0.3, 0.9))
    for _ in range(5):
        begin = rng.normal(size=sum(b * a for a, b in pairwise(widths)))
        begin *= 0.3 / np.linalg.norm(begin)
        flow = solve_ivp(
            lambda _, x: pulled(x, widths, gradient), (0, bound), begin, rtol=1e-9, atol=1e-12
        )
        assert np.linalg.norm(flow.y[:, -1]) < 0.9


def test_a_blow_up_is_the_limit_of_levels():
    levels = (1.0, 10.0, 100.0)
    times = [float(escape_time(2.0, 4, 0.1, level, stretch=True)) for level in levels]
    blow_up = float(escape_time(2.0, 4, 0.1))
    for level, time in zip(levels, times, strict=True):
        assert 1 - time / blow_up == pytest.approx((0.1 / level) ** 2, rel=1e-8)
    with pytest.raises(BrokenAssumption, match="the start lies below the level"):
        escape_time(2.0, 4, 0.1, 0.05)
    assert float(escape_time(2.0, 4, 0.1, 0.05, stretch=True)) < 0


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_to_the_norm_1_the_linear_time_is_short_by_what_is_said(strength):
    """Against the layers of the ray itself, on the half-square loss."""

    def layers(_, values):
        first, second = values
        missing = strength - first * second
        return [missing * second, missing * first]

    def at_one(_, values):
        return np.linalg.norm(values) - 1

    at_one.terminal = True
    start = 1e-3
    flow = solve_ivp(layers, (0, 99), [start / 2**0.5] * 2, events=at_one, rtol=1e-11, atol=1e-15)
    short = float(flow.t[-1]) - float(escape_time(strength, 2, start))
    assert short == pytest.approx(-np.log(1 - 1 / (2 * strength)) / (2 * strength), rel=1e-4)
    assert short <= np.log(2) / 2 / strength * (1 + 1e-4)


def test_a_norm_that_the_ray_does_not_come_to_is_refused():
    assert final_norm(0.5, 2) == pytest.approx(1)
    for strength in (0.01, 0.5, 0.9):
        with pytest.raises(BrokenAssumption, match="at the level the product is well below s_1"):
            escape_time(strength, 2, 1e-3)
    for depth in (2, 3, 5):
        assert float(ray_value(final_norm(0.7, depth), depth)) == pytest.approx(0.7, rel=1e-13)


# --- learning, mode after mode ------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_learning_times_are_crossings_of_the_flow_of_layers(depth):
    targets, norm = np.array([2.0, 1.2]), 0.4
    start = float(ray_value(norm, depth))
    assert start == pytest.approx((norm / depth**0.5) ** depth, rel=1e-14)
    predicted = learning_times([*targets, 0.0], depth, start, share=0.4)
    assert predicted[2] == np.inf

    def velocity(_, flat):
        layers = flat.reshape(depth, 2)
        left = targets - layers.prod(axis=0)
        return np.concatenate([left * np.delete(layers, k, 0).prod(axis=0) for k in range(depth)])

    def crossing(mode):
        return lambda _, flat: flat.reshape(depth, 2)[:, mode].prod() - 0.4 * targets[mode]

    flow = solve_ivp(
        velocity,
        (0, 1.5 * predicted[:2].max()),
        np.full(2 * depth, start ** (1 / depth)),
        events=[crossing(0), crossing(1)],
        rtol=1e-11,
        atol=1e-13,
    )
    np.testing.assert_allclose(predicted[:2], [float(t[0]) for t in flow.t_events], rtol=1e-8)
    assert (np.diff(predicted) > 0).all()


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_from_small_starts_a_mode_takes_the_time_of_its_own_escape(depth):
    """The rest of the way is of the order of s^{2/L−2}, which does not depend on the start."""
    ratios = []
    for norm in (1e-1, 1e-2):
        learned = learning_times([3.0], depth, ray_value(norm, depth))[0]
        ratios.append(learned / float(escape_time(3.0, depth, norm)) - 1)
    assert ratios[1] / ratios[0] == pytest.approx(10.0 ** -(depth - 2), rel=0.1)


def test_modes_that_are_there_or_never_come():
    assert learning_times([1.0, 1.0], 3, [0.7, 0.0]).tolist() == [0.0, np.inf]
    with pytest.raises(InputError, match="share is 1"):
        learning_times([1.0], 3, 0.1, share=1.0)


def test_two_layers_learn_each_mode_by_its_own_overlap():
    """Whole matrices from a small random start: each crossing by an integration of all entries.

    What is neglected falls as powers of the start: what of a stronger mode is not yet learned, and
    what of a weaker one is already, with exponents of at least 2(3/2 − 1) and 2(1 − 1.2/2).
    """
    rng, widths, strengths = np.random.default_rng(4), (4, 5, 3), np.array([3.0, 2.0, 1.2])
    left, right = orthogonal(rng, 3), orthogonal(rng, 4)[:, :3]
    target = left * strengths @ right.T
    errors = []
    for size in (1e-2, 1e-4):
        layers = [size * np.random.default_rng(5).normal(size=(b, a)) for a, b in pairwise(widths)]
        overlaps = mode_overlaps(layers[0], layers[1], left, right)
        predicted = learning_times(strengths, 2, ray_value(overlaps, 2))

        def crossing(mode):
            def event(_, vector):
                made = product(split(vector, widths))
                return left[:, mode] @ made @ right[:, mode] - strengths[mode] / 2

            return event

        flow = solve_ivp(
            descent_field(widths, target),
            (0, 1.3 * predicted.max()),
            joined(layers),
            events=[crossing(mode) for mode in range(3)],
            rtol=1e-10,
            atol=1e-14,
        )
        found = np.array([float(times[0]) for times in flow.t_events])
        errors.append(np.abs(found - predicted).max())
        assert (np.diff(found) > 0).all()
    assert errors[1] < errors[0] * (1e-4 / 1e-2) ** 0.8 * 2
    assert errors[1] < 1e-3


def test_plateaus_and_order():
    targets = [1.0, 3.0, 0.0, 1.0]
    groups = learning_order(targets)
    assert groups == ((1,), (0, 3))
    losses = plateau_loss(targets)
    left = np.array(targets)
    assert losses[0] == np.sum(left**2) / 2
    for group, loss in zip(groups, losses[1:], strict=True):
        left[list(group)] = 0.0
        assert loss == np.sum(left**2) / 2


# --- critical points ----------------------------------------------------------------------------

CASES = [
    ((3.0, 2.0, 1.0), (3, 3, 3)),
    ((3.0, 2.0, 1.0), (4, 5, 3)),
    ((2.0, 2.0, 1.0), (3, 2, 4)),
    ((3.0, 1.0, 0.0), (3, 4, 3)),
    ((2.0, 1.0), (2, 2, 2, 2)),
    ((3.0, 2.0, 1.0), (3, 2, 4, 3)),
    ((2.0, 2.0, 1.0), (3, 3, 3, 4)),
    ((2.0, 1.0, 0.0), (3, 3, 3, 2, 3)),
    ((2.0, 1.0), (3, 2, 2, 3, 2)),
]


def point(targets, widths, learned):
    """Balanced layers of the critical point in random frames, and the target's matrix."""
    rng = np.random.default_rng(3)
    depth, frames = len(widths) - 1, [orthogonal(rng, size) for size in widths]
    values = np.array([targets[mode] ** (1 / depth) for mode in learned])
    slots = [list(learned), *([list(range(len(learned)))] * (depth - 1)), list(learned)]
    layers = [
        frames[k + 1][:, slots[k + 1]] * values @ frames[k][:, slots[k]].T for k in range(depth)
    ]
    modes = len(targets)
    return layers, frames[-1][:, :modes] * np.array(targets) @ frames[0][:, :modes].T


@functools.cache
def derivatives(widths):
    """The gradient and the Hessian of ½‖W_L ⋯ W_1 − M‖² in all entries, by autodiff."""
    like = [jnp.zeros((b, a)) for a, b in pairwise(widths)]
    unravel = ravel_pytree(like)[1]

    def loss(vector, target):
        return 0.5 * jnp.sum((product(unravel(vector)) - target) ** 2)

    return jax.jit(lambda x, target: (jax.grad(loss)(x, target), jax.hessian(loss)(x, target)))


def dense_hessian(layers, target, widths):
    """Its eigenvalues, and the gradient."""
    with jax.enable_x64(True):
        gradient, hessian = derivatives(widths)(joined(layers), target)
    return np.linalg.eigvalsh(np.asarray(hessian)), np.asarray(gradient)


@pytest.mark.parametrize(("targets", "widths"), CASES)
def test_signatures_against_the_dense_hessian(targets, widths):
    for made in critical_points(targets, widths):
        layers, target = point(targets, widths, made.learned)
        values, gradient = dense_hessian(layers, target, widths)
        rounding = 100 * len(values) * EPS * max(targets) ** 2
        np.testing.assert_allclose(gradient, 0, atol=rounding)
        assert made.loss == pytest.approx(0.5 * np.sum((product(layers) - target) ** 2), rel=1e-12)
        counts = (values < -rounding).sum(), (abs(values) <= rounding).sum()
        assert (made.negative, made.zero) == counts
        assert made.negative + made.zero + made.positive == len(values)
        assert made.lowest == pytest.approx(values[0], abs=rounding)
        assert (made.kind == "strict saddle") is bool(counts[0])


@pytest.mark.parametrize(("targets", "widths"), CASES)
def test_signatures_against_the_blocks_of_the_aligned_set(targets, widths):
    """With modes in the order of the learned ones, so that they fit through narrow layers."""
    depth = len(widths) - 1
    for made in critical_points(targets, widths):
        order = [*made.learned, *(k for k in range(len(targets)) if k not in made.learned)]
        values = [targets[mode] ** (1 / depth) for mode in made.learned]
        spectrum = aligned_spectrum(
            ([values] * depth,), [targets[mode] for mode in order], widths=[widths]
        )
        below = spectrum.multiplicities[spectrum.eigenvalues < -1e-9].sum()
        assert (made.negative, made.positive) == (
            below,
            spectrum.multiplicities[spectrum.eigenvalues > 1e-9].sum(),
        )


@pytest.mark.parametrize(("targets", "widths"), CASES)
def test_what_is_called_a_minimum_is_the_best_of_its_width(targets, widths):
    most = min(len(targets), *widths)
    best = min(
        sum(t**2 for k, t in enumerate(targets) if k not in chosen) / 2
        for chosen in combinations(range(len(targets)), most)
    )
    points = list(critical_points(targets, widths))
    assert len({made.learned for made in points}) == len(points)
    for made in points:
        assert (made.kind == "minimum") is bool(made.loss <= best * (1 + 10 * EPS))


def test_a_non_strict_saddle_is_left_all_the_same():
    """Beyond two layers the saddle of the strongest mode has no negative curvature, and the loss
    still falls along the escape direction of what is left, at the order L."""
    targets, widths = (2.0, 1.0), (2, 3, 3, 2)
    made = critical_point(targets, widths, [0])
    assert (made.kind, made.lowest) == ("non-strict saddle", 0.0)
    layers = [np.zeros((b, a)) for a, b in pairwise(widths)]
    value = 2.0 ** (1 / 3)
    for layer in layers:
        layer[0, 0] = value
    for size in (1e-2, 1e-1):
        for layer in layers:
            layer[1, 1] = size / 3**0.5
        loss = 0.5 * np.sum((product(layers) - np.diag(targets)) ** 2)
        fall = float(escape_speed(1.0, 3)) * size**3 / 3
        assert made.loss - loss == pytest.approx(fall, rel=size**3)


def test_critical_points_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="at most 1 indices of modes above 0"):
        critical_point([2.0, 1.0], (2, 1, 2), [0, 1])
    with pytest.raises(InputError, match="indices of modes above 0"):
        critical_point([2.0, 0.0], (2, 2, 2), [1])
    with pytest.raises(InputError, match="widen the ends"):
        critical_point([2.0, 1.0], (1, 2, 2), [0])
    with pytest.raises(InputError, match="depth is 1"):
        critical_point([2.0, 1.0], (2, 2), [0])
    with pytest.raises(InputError, match="critical points, and at most"):
        critical_points(np.arange(1.0, 41.0), (40, 40, 40))


# --- penalties ----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_the_least_norm_of_layers_with_a_given_product(depth):
    """The layers from the second on are free, and the first is `W_1 = (W_L ⋯ W_2)^{−1} W`."""
    rng = np.random.default_rng(depth)
    goal = rng.normal(size=(2, 2))
    widths = (2,) * depth

    def squared_norm(vector):
        layers = split(vector, widths)
        first = np.linalg.solve(product(layers), goal)
        return np.sum(vector**2) + np.sum(first**2)

    starts = [joined([np.eye(2) + 0.3 * rng.normal(size=(2, 2))] * (depth - 1)) for _ in range(4)]
    best = min(minimize(squared_norm, start, options={"gtol": 1e-9}).fun for start in starts)
    wanted = float(least_squared_norm(np.linalg.svd(goal, compute_uv=False), depth))
    assert best == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
@pytest.mark.parametrize("target", [0.0, 0.2, 0.5, 1.0, 3.0])
def test_the_penalised_mode_is_the_best_of_a_grid(depth, target):
    penalty = 0.15
    grid = np.linspace(0, target, 200_001)
    costs = (grid - target) ** 2 / 2 + penalty * depth / 2 * grid ** (2 / depth)
    found = float(regularised_values([target], depth, penalty)[0])
    assert found == pytest.approx(grid[np.argmin(costs)], abs=target / 200_000)


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_just_below_the_threshold_nothing_is_learned(depth):
    threshold = learning_threshold(depth, 0.2)
    below, above = regularised_values(threshold * np.array([1 - 1e-9, 1 + 1e-9]), depth, 0.2)
    assert below == 0 < above
    if depth > 2:
        costs = (above - threshold) ** 2 / 2 + 0.1 * depth * above ** (2 / depth)
        assert costs == pytest.approx(threshold**2 / 2, rel=1e-8)


def test_the_penalised_matrix_is_that_of_its_modes():
    """Whole layers of a 3-layer network, minimised from near a balanced point of the target."""
    rng, depth, penalty, targets = np.random.default_rng(1), 3, 0.05, np.array([2.0, 1.0, 0.1])
    left, right, widths = orthogonal(rng, 3), orthogonal(rng, 3), (3, 3, 3, 3)
    goal = left * targets @ right.T

    def cost(vector):
        missing = goal - product(split(vector, widths))
        value = 0.5 * np.sum(missing**2) + 0.5 * penalty * vector @ vector
        return value, penalty * vector - pulled(vector, widths, missing)

    roots = np.cbrt(targets)
    start = [roots[:, None] * right.T, np.diag(roots), left * roots]
    begin = joined(start) + 0.05 * rng.normal(size=27)
    found = minimize(cost, begin, jac=True, options={"gtol": 1e-10})
    values = np.linalg.svd(product(split(found.x, widths)), compute_uv=False)
    wanted = regularised_values(targets, depth, penalty)
    np.testing.assert_allclose(values, wanted, atol=1e-6)
    assert wanted[2] == 0
    best = 0.5 * np.sum((wanted - targets) ** 2)
    best += 0.5 * penalty * float(least_squared_norm(wanted, depth))
    assert found.fun == pytest.approx(best, rel=1e-9)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: escape_direction(np.zeros((2, 2)), (2,)), "that is not zero"),
        (lambda: escape_direction([1.0], (2,)), "a matrix \\[out, in\\]"),
        (lambda: escape_direction(np.eye(2), ()), "non-empty list"),
        (lambda: escape_speed(1.0, 1), "depth is 1"),
        (lambda: escape_speed(1.0, 500), "below the smallest float"),
        (lambda: escape_time(1.0, 5, 1e-300), "beyond the largest float"),
        (lambda: ray_value(1e-4, 100), "below the smallest float"),
        (lambda: plateau_loss([0.0]), "one of them above 0"),
        (lambda: plateau_loss([[1.0]]), "a list of numbers"),
        (lambda: mode_overlaps(np.eye(2), np.eye(3), np.eye(2), np.eye(2)), "transpose what"),
        (lambda: regularised_values([1.0], 2, [0.1, 0.2]), "weight_decay is"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()
