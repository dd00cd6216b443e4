"""Noise on modes: formulas at any weights against samples' gradients, and balanced ones."""

import doctest
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import norm

from dlnlab.errors import InputError
from dlnlab.theory import noise
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.noise import (
    balance_drift,
    balanced_values,
    expected_balance_gap,
    ito_drift,
    ito_parts,
    mode_diffusion,
    mode_drift,
    mode_motion,
    trace_at_minimum,
)

EPS = np.finfo(np.float64).eps
ALARMS = 1e-4  # of all comparisons of one test together
RATE, BATCH = 0.1, 2


@pytest.mark.parametrize("made", noise.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


# --- samples' gradients -----------------------------------------------------------------------


class Case(NamedTuple):
    layers: list
    target: np.ndarray


def random_case(widths, seed):
    rng = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths, strict=False))
    layers = [rng.normal(size=shape) / np.sqrt(max(shape)) for shape in shapes]
    return Case(layers, rng.normal(size=(widths[-1], widths[0])))


def balanced_case(depth, values, strengths, seed, hidden=None):
    """Aligned and balanced layers in random bases, with hidden widths of their own."""
    rng = np.random.default_rng(seed)
    modes = len(values)
    sizes = [modes, *[hidden or modes] * (depth - 1), modes]
    bases = [np.linalg.qr(rng.normal(size=(n, modes)))[0] for n in sizes]
    layer = np.diag(np.asarray(values) ** (1 / depth))
    layers = [a @ layer @ b.T for a, b in zip(bases[1:], bases, strict=False)]
    return Case(layers, bases[-1] @ np.diag(strengths) @ bases[0].T)


def sampled(case, label_noise, count, seed, inputs="normal"):
    """Deviations of samples' gradients from their mean, [layer][sample, out, in], batch of one."""
    rng = np.random.default_rng(seed)
    layers, target = case
    shape = (count, target.shape[1])
    if inputs == "normal":
        x = rng.normal(size=shape)
    else:
        x = rng.uniform(-np.sqrt(3), np.sqrt(3), size=shape)
    labels = x @ target.T + label_noise * rng.normal(size=(count, len(target)))
    befores = [x]
    for layer in layers[:-1]:
        befores.append(befores[-1] @ layer.T)
    back = befores[-1] @ layers[-1].T - labels
    gradients = []
    for layer, before in zip(layers[::-1], befores[::-1], strict=True):
        gradients.append(back[:, :, None] * before[:, None, :])
        back = back @ layer
    gradients = gradients[::-1]
    whole = np.linalg.multi_dot([*layers[::-1], np.eye(target.shape[1])])
    descent = []
    for index in range(len(layers)):
        above = product(layers[index + 1 :], len(target))
        below = product(layers[:index], target.shape[1])
        descent.append(above.T @ (whole - target) @ below.T)
    return descent, [g - d for g, d in zip(gradients, descent, strict=True)]


def product(layers, size):
    made = np.eye(size) if not layers else layers[0]
    for layer in layers[1:]:
        made = layer @ made
    return made


def moved(case, parts, mode):
    """`u_aᵀ(W with some layers replaced)v_a` for each sample; parts is {layer: [sample, …]}."""
    left, _, right = np.linalg.svd(case.target, full_matrices=False)
    vector = np.broadcast_to(right[mode], (len(next(iter(parts.values()))), right.shape[1]))
    for index, layer in enumerate(case.layers):
        if index in parts:
            vector = np.einsum("noi,ni->no", parts[index], vector)
        else:
            vector = vector @ layer.T
    return vector @ left[:, mode]


def first_order(case, noises, mode):
    return -sum(moved(case, {index: part}, mode) for index, part in enumerate(noises))


def second_order(case, noises, mode):
    depth = len(noises)
    pairs = [(low, high) for high in range(depth) for low in range(high)]
    return sum(moved(case, {low: noises[low], high: noises[high]}, mode) for low, high in pairs)


def z_scores(samples, wanted):
    """How many standard errors the mean of [sample, …] is from what is wanted."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    return np.abs(samples.mean(axis=0) - wanted) / error


def bound(count):
    """The z that `count` comparisons together pass with probability 1 − ALARMS (Bonferroni)."""
    return norm.isf(ALARMS / (2 * count))


def diffusion_scores(case, motion, noises):
    modes = len(motion.values)
    moves = np.stack([first_order(case, noises, mode) for mode in range(modes)], axis=1)
    products = moves[:, :, None] * moves[:, None, :]
    return z_scores(products, BATCH / RATE * motion.mode_diffusion)[np.triu_indices(modes)]


def ito_scores(case, drift, noises):
    moves = np.stack([second_order(case, noises, mode) for mode in range(len(drift))], axis=1)
    return z_scores(moves, BATCH / RATE * drift)


CASES = {
    "two": random_case((3, 4, 2), 0),
    "three": random_case((2, 3, 4, 3), 1),
    "four": random_case((3, 2, 4, 3, 2), 2),
    "five": random_case((2, 3, 2, 3, 2, 3), 3),
    "aligned": balanced_case(3, [0.8, 0.3, 0.1], [2.0, 1.0, 0.5], 4),
    "balanced, wide": balanced_case(4, [0.8, 0.3], [2.0, 1.0], 5, hidden=4),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize(("kurtosis", "inputs"), [(3.0, "normal"), (1.8, "uniform")])
def test_motion_is_that_of_samples_gradients(case, kurtosis, inputs):
    motion = mode_motion(*case, 0.7, RATE, BATCH, kurtosis=kurtosis)
    descent, noises = sampled(case, 0.7, 40_000, 10, inputs)
    for mode, value in enumerate(motion.values):
        step = {index: g[None] for index, g in enumerate(descent)}
        drift = -sum(moved(case, {k: g}, mode)[0] for k, g in step.items())
        assert abs(motion.mode_drift[mode] - drift) < 1e3 * EPS
        assert abs(moved(case, {0: case.layers[0][None]}, mode)[0] - value) < 1e3 * EPS
    scores = np.concatenate(
        [diffusion_scores(case, motion, noises), ito_scores(case, motion.ito_drift, noises)]
    )
    assert scores.max() < bound(len(CASES) * 2 * len(scores))


def test_the_comparison_can_say_no():
    case = CASES["two"]
    _, noises = sampled(case, 0.7, 40_000, 10)
    wrong = mode_motion(*case, 1.4, RATE, BATCH)
    assert diffusion_scores(case, wrong, noises).max() > 10
    assert ito_scores(case, wrong.ito_drift, noises).max() > 10
    gaussian = mode_motion(*case, 0.7, RATE, BATCH)
    _, uniform = sampled(case, 0.7, 40_000, 10, "uniform")
    assert diffusion_scores(case, gaussian, uniform).max() > 10


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_balanced_formulas_are_those_of_any_weights(depth):
    values, strengths = np.array([0.9, 0.4, 0.1]), np.array([2.0, 1.2, 0.5])
    case = balanced_case(depth, values, strengths, depth, hidden=4)
    motion = mode_motion(*case, 0.3, RATE, BATCH)
    taken = balanced_values(*case)
    settings = (strengths, depth, 0.3, RATE, BATCH)
    rounding = 1e4 * EPS
    np.testing.assert_allclose(taken, values, atol=rounding)
    np.testing.assert_allclose(motion.values, values, atol=rounding)
    np.testing.assert_allclose(
        motion.mode_drift, mode_drift(values, strengths, depth), atol=rounding
    )
    diffusion = np.diag(mode_diffusion(values, *settings))
    np.testing.assert_allclose(motion.mode_diffusion, diffusion, atol=rounding)
    np.testing.assert_allclose(motion.ito_drift, ito_drift(values, *settings), atol=rounding)
    parts = ito_parts(values, *settings)
    alone = [ito_parts(values[a : a + 1], strengths[a : a + 1], *settings[1:]) for a in range(3)]
    np.testing.assert_array_equal(parts.own, np.concatenate([part.own for part in alone]))
    assert all((part.cross == 0).all() for part in alone)
    assert depth == 1 or np.abs(parts.cross).min() > 1e-4


def test_independent_modes_miss_what_others_add_to_the_ito_drift():
    """Without the cross-mode part the same comparison with samples fails, where it matters."""
    values, strengths = np.array([0.9, 0.8]), np.array([2.0, 1.5])
    case = balanced_case(3, values, strengths, 6)
    _, noises = sampled(case, 0.0, 100_000, 11)
    settings = (values, strengths, 3, 0.0, RATE, BATCH)
    assert ito_scores(case, ito_drift(*settings), noises).max() < bound(2)
    assert ito_scores(case, ito_parts(*settings).own, noises).max() > 10


def test_kurtosis_takes_the_place_of_two_and_modes_off_the_axes_diffuse_together():
    values, strengths = np.array([0.9, 0.4]), np.array([2.0, 1.0])
    on_axes = Case([np.diag(np.sqrt(values))] * 2, np.diag(strengths))
    motion = mode_motion(*on_axes, 0.3, RATE, BATCH, kurtosis=5.0)
    wanted = mode_diffusion(values, strengths, 2, 0.3, RATE, BATCH, kurtosis=5.0)
    np.testing.assert_allclose(motion.mode_diffusion, np.diag(wanted), atol=1e3 * EPS)
    drift = ito_drift(values, strengths, 2, 0.3, RATE, BATCH, kurtosis=5.0)
    np.testing.assert_allclose(motion.ito_drift, drift, atol=1e3 * EPS)
    by_hand = RATE / BATCH * 4 * values**2 * (4 * (strengths - values) ** 2 + 0.3**2)
    np.testing.assert_allclose(wanted, by_hand, rtol=10 * EPS)
    turn, root = rotation(0.6), np.diag(np.sqrt(values))
    turned = Case([root @ turn.T, root], np.diag(strengths) @ turn.T)
    assert abs(mode_motion(*turned, 0.3, RATE, BATCH).mode_diffusion[0, 1]) < 1e3 * EPS
    found = mode_motion(*turned, 0.3, RATE, BATCH, kurtosis=5.0).mode_diffusion[0, 1]
    pulls = 2 * values * (values - strengths)
    shared = 2 * (np.cos(0.6) * np.sin(0.6)) ** 2  # Σ_i v_ai² v_bi²
    assert abs(found / (RATE / BATCH * pulls.prod() * 2 * shared) - 1) < 1e3 * EPS


def test_a_time_axis_in_front_is_taken_along():
    values, strengths = np.array([[0.9, 0.4], [0.2, 0.1], [0.5, 0.5]]), np.array([2.0, 1.0])
    settings = (strengths, 3, 0.3, RATE, BATCH)
    for formula in (mode_diffusion, ito_drift):
        rows = [formula(row, *settings) for row in values]
        np.testing.assert_allclose(formula(values, *settings), rows, rtol=10 * EPS)


# --- what is refused --------------------------------------------------------------------------


def test_other_weights_are_refused_with_the_size_of_their_departure():
    aligned = balanced_case(3, [0.8, 0.3], [2.0, 1.0], 8)
    turned = Case([*aligned.layers[:2], aligned.layers[2] @ rotation(0.01)], aligned.target)
    with pytest.raises(BrokenAssumption, match=r"weights are aligned.*departure is 0\.0\d+"):
        balanced_values(*turned)
    scaled = Case([2 * aligned.layers[0], aligned.layers[1], aligned.layers[2] / 2], aligned.target)
    with pytest.raises(BrokenAssumption, match=r"layers are balanced.*departure is 0\.\d+"):
        balanced_values(*scaled)
    measured = balanced_values.departures(*scaled)
    assert measured["aligned"] < 1e-10 < 0.1 < measured["balanced"]
    np.testing.assert_allclose(balanced_values(*scaled, stretch=True), [0.8, 0.3], rtol=1e3 * EPS)


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label_noise": -0.1}, "label_noise is -0.1"),
        ({"label_noise": [0.1]}, "a single number"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 1.5}, "whole number"),
        ({"kurtosis": 0.5}, "no law has less than 1"),
        ({"layers": [np.eye(2), np.eye(3)]}, "list them from the input on"),
        ({"layers": []}, "list them from the input on"),
        ({"layers": [np.full((2, 2), np.nan)]}, "finite"),
    ],
)
def test_bad_weights_and_sizes_are_refused(change, words):
    given = {
        "layers": [np.eye(2)],
        "target": np.eye(2),
        "label_noise": 0.1,
        "learning_rate": 0.1,
        "batch_size": 1,
    }
    with pytest.raises(InputError, match=words):
        mode_motion(**{**given, **change})


@pytest.mark.parametrize("layers", [[np.eye(2)] * 2, (np.eye(2),), ((np.eye(2), np.eye(2)),)])
@pytest.mark.parametrize("formula", [mode_drift, mode_diffusion, ito_drift, ito_parts])
def test_layers_are_not_taken_for_values(layers, formula):
    sizes = () if formula is mode_drift else (0.2, 0.1, 1)
    with pytest.raises(InputError, match=r"pass balanced_values\(layers, target\)"):
        formula(layers, [1.0, 0.5], 2, *sizes)
    # Rows of values in time, as numbers or arrays, are none.
    for rows in ([[0.5, 0.2]] * 3, [np.array([0.5, 0.2])] * 3, np.full((2, 3, 2), 0.5)):
        formula(rows, [1.0, 0.5], 2, *sizes)


def test_one_target_for_each_mode_is_needed():
    with pytest.raises(InputError, match="one target for each mode"):
        mode_drift([1.0, 2.0], [1.0, 2.0, 3.0], 2)


# --- balance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "batch"), [((0.7, 1.1), 1), ((0.7, 1.1, 0.9, 0.4), 3)])
def test_the_mean_gap_after_a_stochastic_step(values, batch):
    rng = np.random.default_rng(12)
    layers, target, rate, level = np.array(values), 1.3, 0.3, 0.8
    residual = layers.prod() - target
    x, label = rng.normal(size=(2, 200_000, batch))
    pull = (residual * x**2 - level * label * x).mean(axis=1)
    after = layers - rate * pull[:, None] * (layers.prod() / layers)
    gaps = after[:, 0] ** 2 - after[:, 1] ** 2
    gap = layers[0] ** 2 - layers[1] ** 2
    wanted = expected_balance_gap(gap, residual, layers[2:], level, rate, batch)
    assert z_scores(gaps, wanted) < bound(2)
    without = gap * (1 - rate**2 * residual**2 * layers[2:].prod() ** 2)
    assert z_scores(gaps, without) > 10


@pytest.mark.parametrize("name", ["two", "three", "four"])
def test_the_balance_of_matrices_drifts_as_samples_say(name):
    case = CASES[name]
    _, noises = sampled(case, 0.7, 20_000, 13)
    drifts = balance_drift(*case, 0.7, RATE, BATCH)
    scores = []
    for low, drift in enumerate(drifts):
        above, below = noises[low + 1], noises[low]
        gained = np.einsum("noi,noj->nij", above, above) - np.einsum("noi,npi->nop", below, below)
        scores.append(z_scores(gained, BATCH / RATE * drift).ravel())
    everything = np.concatenate(scores)
    assert everything.max() < bound(3 * len(everything))


def test_on_a_minimum_balance_goes_where_the_trace_falls():
    """`(η/B)…` at Δ = 0 against central differences of the trace, Richardson's extrapolation."""
    layers = random_case((3, 4, 2, 3), 14).layers
    target, level = product(layers, 3), 0.7
    flow = []
    for index, layer in enumerate(layers):
        slope = np.zeros_like(layer)
        for place in np.ndindex(*layer.shape):
            slope[place] = derivative(layers, target, index, place)
        flow.append(-RATE * level**2 / (4 * BATCH) * slope)
    for low, drift in enumerate(balance_drift(layers, target, level, RATE, BATCH)):
        up = flow[low + 1].T @ layers[low + 1]
        down = flow[low] @ layers[low].T
        np.testing.assert_allclose(drift, up + up.T - down - down.T, atol=1e-8)


def derivative(layers, target, index, place):
    def difference(h):
        ends = []
        for sign in (1, -1):
            shifted = [layer.copy() for layer in layers]
            shifted[index][place] += sign * h
            ends.append(trace_at_minimum(shifted, target))
        return (ends[0] - ends[1]) / (2 * h)

    return (4 * difference(5e-4) - difference(1e-3)) / 3


def test_the_least_trace_is_balanced_for_one_mode_but_not_for_several_in_three_layers():
    one = balanced_case(3, [0.7], [0.7], 15)
    assert all(np.abs(drift).max() < 1e2 * EPS for drift in balance_drift(*one, 1.0, RATE, BATCH))
    two = balanced_case(2, [0.7, 0.3], [0.7, 0.3], 16)
    assert all(np.abs(drift).max() < 1e2 * EPS for drift in balance_drift(*two, 1.0, RATE, BATCH))
    several = balanced_case(3, [0.7, 0.3], [0.7, 0.3], 17)
    assert np.abs(balance_drift(*several, 1.0, RATE, BATCH)[0]).max() > 1e-3


def test_the_trace_is_that_of_the_hessian():
    case = CASES["three"]
    total = 0.0
    for index, layer in enumerate(case.layers):
        for place in np.ndindex(*layer.shape):
            changed = [np.zeros_like(one) if k == index else one for k, one in enumerate(case[0])]
            changed[index][place] = 1
            total += np.sum(product(changed, 2) ** 2)
    assert abs(trace_at_minimum(*case) - total) < 1e3 * EPS * total
