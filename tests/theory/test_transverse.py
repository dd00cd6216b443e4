"""Transverse stability: predicted growth against descent on whole matrices, perturbed off the SVS
set, in plain NumPy."""

import doctest
import itertools

import numpy as np
import pytest

from dlnlab.errors import InputError
from dlnlab.theory import transverse
from dlnlab.theory.transverse import (
    growth_along,
    growth_exponent,
    growth_exponents,
    hidden_rotations,
    mixing_edge,
    mixing_onset,
    transverse_maps,
)
from dlnlab.theory.transverse.attractor import LONGEST_PERIOD, attractor

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("made", transverse.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def sharpness(target, depth):
    return depth * target ** (2 - 2 / depth)


# --- descent on matrices ------------------------------------------------------------------------


def descend(layers, target, rate):
    """One step on `½‖W_L ⋯ W_1 − M‖²`; layers [layer, row, column]."""
    size = len(target)
    before, after = [np.eye(size)], [np.eye(size)]
    for early, late in zip(layers[:-1], layers[:0:-1], strict=True):
        before.append(early @ before[-1])
        after.append(after[-1] @ late)
    residual = layers[-1] @ before[-1] - target
    gradients = [a.T @ residual @ b.T for a, b in zip(after[::-1], before, strict=True)]
    return layers - rate * np.array(gradients)


def off_diagonal(layers):
    return layers * (1 - np.eye(layers.shape[-1]))


def growth_of_a_perturbation(depth, targets, rate, start, steps, size=1e-9):
    """Mean growth of the off-diagonal norm for each step, and the most it grew, as logarithms: a
    line through its logarithm after a tenth of the steps. The norm is scaled down by a thousand
    whenever it has grown so much.
    """
    rng, goal = np.random.default_rng(0), np.diag(targets)
    layers = np.array([np.diag(start)] * depth) + off_diagonal(
        size * rng.normal(size=(depth, len(goal), len(goal)))
    )
    scale, logs = 0.0, []
    for _ in range(steps):
        layers = descend(layers, goal, rate)
        norm = np.linalg.norm(off_diagonal(layers))
        if norm > 1e3 * size * depth * len(goal):
            layers = layers - (1 - 1e-3) * off_diagonal(layers)
            scale, norm = scale + np.log(1e3), 1e-3 * norm
        logs.append(scale + np.log(norm))
    late = np.arange(steps // 10, steps)
    return np.polyfit(late, np.array(logs)[late], 1)[0], np.max(logs) - logs[0]


def settled(depth, targets, rate, steps=20_000):
    """The layer values of balanced modes after many steps from below their targets."""
    goals = np.array(targets, dtype=float)
    values = 0.9 * goals ** (1 / depth)
    for _ in range(steps):
        values = values - rate * values ** (depth - 1) * (values**depth - goals)
    return values


GROWING = [  # depth, targets, ηS_1, steps
    (3, (10.0, 9.5), 2.12, 2000),
    (3, (10.0, 8.0), 2.40, 1000),
    (2, (10.0, 8.0), 2.40, 1000),
    (2, (10.0, 8.0), 2.49, 1000),  # the first mode on a 4-cycle
    (4, (1.0, 0.9), 2.25, 2000),
    (10, (1.0, 0.9), 2.33, 1500),
]


@pytest.mark.parametrize(("depth", "targets", "scaled", "steps"), GROWING)
def test_perturbations_grow_at_the_predicted_exponent(depth, targets, scaled, steps):
    rate = scaled / sharpness(targets[0], depth)
    predicted = growth_exponent(depth, targets, rate)
    assert predicted > 0
    start = settled(depth, targets, rate)
    measured, _ = growth_of_a_perturbation(depth, targets, rate, start, steps)
    assert measured == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize(
    ("depth", "targets", "share"),
    [(3, (10.0, 9.5), 0.5), (3, (10.0, 8.0), 0.9), (2, (10.0, 8.0), 0.95), (4, (1.0, 0.9), 0.9)],
)
def test_before_the_onset_perturbations_do_not_grow(depth, targets, share):
    edge, onset = 2 / sharpness(targets[0], depth), mixing_onset(depth, targets)
    rate = edge + share * (onset - edge)
    assert growth_exponent(depth, targets, rate) < 0
    start = settled(depth, targets, rate)
    # What is left of it are hidden rotations; on its way there it may grow by a finite factor.
    slope, most = growth_of_a_perturbation(depth, targets, rate, start, 4000)
    assert slope < 1e-4
    assert most < np.log(10)


def test_two_cycles_grow_at_the_exponent_of_the_phase_that_is_less_stable():
    depth, targets = 3, (10.0, 9.5)
    rate = 2.3 / sharpness(targets[0], depth)
    cycles = [attractor(depth, target, rate) for target in targets]
    assert [len(cycle) for cycle in cycles] == [2, 2]
    measured = [
        growth_of_a_perturbation(depth, targets, rate, (cycles[0][0], value), 1500)[0]
        for value in cycles[1]
    ]
    assert min(measured) < 0.5 * max(measured)
    assert growth_exponent(depth, targets, rate) == pytest.approx(max(measured), rel=0.05)
    # Each phase at its own exponent: from the same step on, the first cycle's first value.
    for turn, found in enumerate(measured):
        orbits = cycles[0], np.roll(cycles[1], -turn)
        assert growth_along(depth, targets, rate, *orbits) == pytest.approx(found, rel=0.05)


def test_chaotic_orbits_grow_at_an_average_exponent_before_the_mixing_edge():
    """Deep chains whose weaker mode is far below mix along chaos where minima would not yet."""
    depth, targets = 3, (10.0, 2.0)
    rate = 3.62 / sharpness(targets[0], depth)
    assert len(attractor(depth, 10.0, rate)) > LONGEST_PERIOD
    assert mixing_onset(depth, targets) < rate < mixing_edge(depth, targets)
    start = settled(depth, targets, rate)
    runs = [
        growth_of_a_perturbation(depth, targets, rate, start * (1 + 1e-9 * k), 8000)[0]
        for k in range(4)
    ]
    error = np.std(runs, ddof=1)  # of one run of the length of the predicted average
    assert error < 0.2 * np.mean(runs)
    assert abs(growth_exponent(depth, targets, rate) - np.mean(runs)) < 4 * error


# --- multipliers --------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_just_one_multiplier_for_each_hidden_layer_is_one(depth):
    targets = (10.0, 9.0)
    rate = 2.2 / sharpness(10.0, depth)
    first, second = attractor(depth, 10.0, rate), attractor(depth, 9.0, rate)
    assert (len(first), len(second)) == (2, 1)
    maps = transverse_maps(depth, targets, rate, first, second[[0, 0]])
    multipliers = np.linalg.eigvals(maps[1] @ maps[0])
    departures = np.sort(np.abs(multipliers - 1))
    # Rounding of products of 2L × 2L maps; multipliers off balance are smaller than 1 by more.
    assert departures[depth - 2] < 64 * depth * EPS * np.linalg.norm(maps[0]) ** 2
    assert departures[depth - 1] > 1e-6
    others = multipliers[np.argsort(np.abs(multipliers - 1))[depth - 1 :]]
    expected = np.log(np.abs(others).max()) / 2
    assert growth_exponent(depth, targets, rate) == pytest.approx(expected, rel=1e-8)


def test_hidden_rotations_are_carried_into_themselves():
    rng, depth, rate = np.random.default_rng(1), 5, 0.1
    targets, first, second = (2.0, 1.5), rng.uniform(0.5, 1.4, 9), rng.uniform(0.5, 1.4, 9)

    def step(values, target):
        return values - rate * values ** (depth - 1) * (values**depth - target)

    moved = transverse_maps(depth, targets, rate, first, second) @ hidden_rotations(
        depth, first, second
    )
    after = hidden_rotations(depth, step(first, 2.0), step(second, 1.5))
    np.testing.assert_allclose(moved, after, rtol=0, atol=64 * EPS * np.abs(moved).max())


def test_transverse_maps_are_the_differences_of_descent_on_matrices():
    """Central differences of one step, off the diagonal; third order in h, rounding ε/h."""
    rng, depth, rate = np.random.default_rng(2), 4, 0.07
    values, targets = rng.uniform(0.6, 1.3, 2), np.array([1.4, 0.8])
    (made,) = transverse_maps(depth, tuple(targets), rate, values[:1], values[1:])
    base, h = np.array([np.diag(values)] * depth), 1e-5
    for column, (row, layer) in enumerate(itertools.product((0, 1), range(depth))):
        nudge = np.zeros_like(base)
        nudge[layer, row, 1 - row] = h
        ends = [descend(base + sign * nudge, np.diag(targets), rate) for sign in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * h)
        expected = np.concatenate([slope[:, 0, 1], slope[:, 1, 0]])
        np.testing.assert_allclose(made[:, column], expected, rtol=0, atol=1e-9)


def test_below_the_first_edge_growth_is_that_of_the_hessian_at_the_minimum():
    for depth, targets in ((2, (3.0, 2.0)), (3, (10.0, 9.0)), (5, (1.0, 0.0))):
        assert abs(growth_exponent(depth, targets, 1.9 / sharpness(targets[0], depth))) < 1e-10


# --- the onset ----------------------------------------------------------------------------------


@pytest.mark.parametrize("second", [9.5, 9.0, 8.2])
def test_the_onset_of_two_layers_is_the_mixing_edge(second):
    assert mixing_onset(2, (10.0, second)) == pytest.approx(2 / (10.0 + second), rel=1e-9)


@pytest.mark.parametrize("depth", [3, 4, 8, 20])
@pytest.mark.parametrize("ratio", [0.98, 0.95, 0.9])
def test_the_onset_of_deeper_chains_lies_between_the_edges(depth, ratio):
    onset = mixing_onset(depth, (1.0, ratio))
    lower, upper = float(mixing_edge(depth, (1.0, ratio))), 2 / sharpness(ratio, depth)
    assert lower < onset < upper
    below, above = (growth_exponent(depth, (1.0, ratio), onset * (1 + k)) for k in (-1e-4, 1e-4))
    assert below < 0 < above


def test_the_mixing_edge_is_its_sum():
    terms = [10 ** (2 * (3 - level) / 3) * 9.5 ** (2 * (level - 1) / 3) for level in (1, 2, 3)]
    assert mixing_edge(3, (9.5, 1.0, 10.0)) == pytest.approx(2 / sum(terms), rel=8 * EPS)


def test_no_other_pair_mixes_before_the_two_strongest_modes():
    rng = np.random.default_rng(3)
    for depth in (2, 3, 5):
        for _ in range(3):
            targets = np.sort(rng.uniform(0.75, 1.0, 4))[::-1]
            onset = mixing_onset(depth, targets)
            exponents = growth_exponents(depth, targets, onset * (1 - 1e-4))
            assert np.nanmax(exponents) < 1e-10


def test_the_onset_does_not_depend_on_the_unit_or_the_order():
    onset = mixing_onset(3, (1.0, 0.9))
    assert mixing_onset(3, (0.1, 900.0, 1000.0)) == pytest.approx(onset * 1e-4, rel=1e-9)


def test_equal_modes_mix_at_once_and_a_mode_without_signal_never():
    answer = transverse.transverse(3, (10.0, 10.0))
    assert answer.onset == answer.first_mode_edge == pytest.approx(answer.mixing_edge)
    answer = transverse.transverse(3, (10.0, 0.0))
    assert answer.onset is None
    assert answer.second_mode_edge is None


# --- attractors ---------------------------------------------------------------------------------


def test_the_two_cycle_of_the_literature():
    found = attractor(3, 10.0, 0.0345) ** 3
    np.testing.assert_allclose(np.sort(found), [7.11288, 12.03346], atol=5e-6)


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_cycles_return_and_attract(depth):
    for scaled in np.arange(2.05, 3.4, 0.1):
        rate = scaled / sharpness(2.0, depth)
        orbit = attractor(depth, 2.0, rate)
        after = orbit - rate * orbit ** (depth - 1) * (orbit**depth - 2.0)
        joins = after[:-1] - orbit[1:]
        np.testing.assert_allclose(joins, 0, atol=1e-13)
        if len(orbit) <= LONGEST_PERIOD:
            assert abs(after[-1] - orbit[0]) < 1e-12
            nearby = settled(depth, [2.0], rate, 100_000 - 100_000 % len(orbit))
            assert np.abs(orbit - nearby).min() < 1e-9


def test_a_mode_that_diverges_or_is_lost_has_no_exponent():
    for depth, scaled in ((2, 4.1), (3, 3.8), (4, 6.0)):
        rate = scaled / sharpness(10.0, depth)
        assert growth_exponent(depth, (10.0, 5.0), rate) is None
        assert np.isnan(growth_exponents(depth, (10.0, 5.0), rate)).all()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: growth_exponent(1, (1.0, 0.5), 0.1),
        lambda: growth_exponent(500, (1.0, 0.5), 0.1),
        lambda: growth_exponent(3, (1.0,), 0.1),
        lambda: growth_exponent(3, (1.0, -0.5), 0.1),
        lambda: growth_exponent(3, (0.0, 0.0), 0.1),
        lambda: growth_exponent(3, (1e200, 0.0), 0.1),
        lambda: growth_exponent(3, (np.nan, 0.5), 0.1),
        lambda: growth_exponent(3, (1.0, 0.5), 0.0),
        lambda: growth_along(3, (1.0, -0.5), 0.1, np.ones(1), np.ones(1)),
        lambda: mixing_edge(1, (1.0, 0.5)),
        lambda: mixing_onset(3, 1.0),
        lambda: transverse.transverse(2, ()),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match="need"):
        ask()
