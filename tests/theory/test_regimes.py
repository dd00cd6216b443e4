"""Distances from a Gaussian start: exponents against exact and linearised distances of samples."""

import numpy as np
import pytest
from scipy.sparse.linalg import eigsh

from dlnlab.errors import InputError
from dlnlab.theory.regimes import (
    minimum_distance,
    minimum_distance_corrections,
    minimum_distance_exponent,
    regime,
    saddle_distance,
    saddle_distance_corrections,
    saddle_distance_exponent,
)

WIDTHS = np.array([12, 24, 48, 96])


def start(rng, width, depth, gamma, ends=2):
    sizes = [ends, *(width,) * (depth - 1), ends]
    return [
        width ** (-gamma / 2) * rng.normal(size=(b, a))
        for a, b in zip(sizes, sizes[1:], strict=False)
    ]


def to_nearest_minimum(layers, target):
    """The distance to zero loss in the linearised network: `√(vec(R)ᵀ (JJᵀ)^{−1} vec(R))`,
    `JJᵀ = Σ_l W_{>l}W_{>l}ᵀ ⊗ W_{<l}ᵀW_{<l}`."""
    before = [np.eye(layers[0].shape[1])]
    for layer in layers[:-1]:
        before.append(layer @ before[-1])
    after = [np.eye(len(layers[-1]))]
    for layer in layers[:0:-1]:
        after.insert(0, after[0] @ layer)
    kernel = sum(np.kron(a @ a.T, b.T @ b) for a, b in zip(after, before, strict=True))
    missing = (target - layers[-1] @ before[-1]).ravel()
    return np.sqrt(missing @ np.linalg.solve(kernel, missing))


def fitted_exponent(distance, depth, gamma, seeds, ends=2):
    """κ of `mean log distance = c + κ log w + b/w`, the leading bias with it, and its error."""
    rng = np.random.default_rng(int(100 * gamma) + depth)
    logs = np.log(
        [[distance(start(rng, w, depth, gamma, ends)) for _ in range(seeds)] for w in WIDTHS]
    )
    design = np.stack([np.ones(len(WIDTHS)), np.log(WIDTHS), 1 / WIDTHS], axis=1)
    errors = logs.std(axis=1, ddof=1) / np.sqrt(seeds)
    weighted = np.linalg.pinv(design / errors[:, None])
    return (weighted @ (logs.mean(axis=1) / errors))[1], np.linalg.norm(weighted[1])


def judge(fitted, error, wanted):
    """Within five standard errors: the twelve tests together give a false alarm in 10⁵ runs.

    A power of the width is wrong by 1/8 or more if γ, L or a term is.
    """
    assert 5 * error < 0.125
    assert abs(fitted - wanted) <= 5 * error


@pytest.mark.parametrize(
    ("depth", "gamma"), [(2, 0.25), (2, 0.75), (3, 0.3), (3, 0.8), (4, 0.25), (4, 0.9)]
)
def test_the_nearest_minimum_of_the_linearised_network(depth, gamma):
    """Exponents do not know the target: it is small where the start's product outweighs it at last,
    and large where it outweighs the start's, so that widths of a hundred will do."""
    size, seeds = (1e-3, 2000) if gamma < 1 - 1 / depth else (1e3, 500)
    goal = size * np.diag([2.0, 1.0])
    fitted, error = fitted_exponent(
        lambda layers: to_nearest_minimum(layers, goal), depth, gamma, seeds
    )
    judge(fitted, error, float(minimum_distance_exponent(gamma, depth)))


def to_nearest_saddle(layers):
    """The exact distance for one input and one output, two layers or three.

    Two: the saddle is the origin alone. Three, `cᵀBa`: either a = 0 and Bᵀc = 0, or c = 0 and
    Ba = 0. Of the first, with c moved to the multiple of a unit vector n that is nearest and B to
    the nearest with Bᵀn = 0, `|a|² + |c|² + nᵀ(BBᵀ − ccᵀ)n`, or c moved to 0.
    """
    a, c = layers[0].ravel(), layers[-1].ravel()
    ends = a @ a + c @ c
    if len(layers) == 2:
        return np.sqrt(ends)
    b = layers[1]
    saved = [
        eigsh(form - np.outer(x, x), k=1, which="SA", v0=x, return_eigenvectors=False)[0]
        for form, x in ((b @ b.T, c), (b.T @ b, a))
    ]
    return np.sqrt(ends + min(0.0, *saved))


@pytest.mark.parametrize(
    ("depth", "gamma"), [(2, 0.5), (2, 1.0), (2, 1.5), (2, 2.0), (3, 0.5), (3, 1.5)]
)
def test_the_nearest_saddle(depth, gamma):
    seeds = 1000 if depth == 2 else 100
    fitted, error = fitted_exponent(to_nearest_saddle, depth, gamma, seeds, ends=1)
    judge(fitted, error, float(saddle_distance_exponent(gamma)))


def limit(ratios, powers):
    """The limit of the mean of `ratios[width][seed]` as w → ∞, corrected by these powers of 1/w,
    and its standard error."""
    ratios = np.asarray(ratios)
    design = np.stack([np.ones(len(WIDTHS)), *(WIDTHS**-p for p in powers)], axis=1)
    errors = ratios.std(axis=1, ddof=1) / np.sqrt(ratios.shape[1])
    weighted = np.linalg.pinv(design / errors[:, None])
    return (weighted @ (ratios.mean(axis=1) / errors))[0], np.linalg.norm(weighted[0])


@pytest.mark.parametrize(
    ("depth", "seeds", "gamma"), [(2, 1000, 0.5), (2, 1000, 1.5), (3, 200, 0.5)]
)
def test_the_number_before_the_power_of_the_saddle(depth, seeds, gamma):
    """One input and one output, where the nearest saddle is known: one layer cuts at the cost of 1,
    two at that of 1/2. Numbers of 1, 3/2 and 2 differ by a quarter or more."""
    rng = np.random.default_rng(depth)
    squares = [
        [
            (to_nearest_saddle(start(rng, w, depth, gamma, ends=1)) ** 2)
            / float(saddle_distance(gamma, w, depth, [1.0])) ** 2
            for _ in range(seeds)
        ]
        for w in WIDTHS
    ]
    found, error = limit(squares, saddle_distance_corrections(gamma, depth)[: depth - 1])
    assert 5 * error < 0.25
    assert abs(found - 1) <= 5 * error


@pytest.mark.parametrize(("depth", "gamma"), [(2, 0.25), (2, 0.8), (3, 0.5), (3, 0.8), (4, 0.7)])
def test_the_number_before_the_power_of_the_linearised_minimum(depth, gamma):
    """The target is of the size of the start's product at these widths: both terms count."""
    strengths = WIDTHS[2] ** ((depth - 1 - depth * gamma) / 2) * np.array([2.0, 1.0])
    rng = np.random.default_rng(depth)
    squares = [
        [
            to_nearest_minimum(start(rng, w, depth, gamma), np.diag(strengths)) ** 2
            / float(minimum_distance(gamma, w, depth, strengths)) ** 2
            for _ in range(500)
        ]
        for w in WIDTHS
    ]
    found, error = limit(squares, [1.0])
    assert 5 * error < 0.25
    assert abs(found - 1) <= 5 * error


def largest_overlap(layers):
    """The maximum of `Σ_l q_l·W_l q_{l−1}` over unit vectors, those of both ends given."""
    ends = np.eye(layers[0].shape[1])[0], np.eye(len(layers[-1]))[0]
    frames = [ends[0], *(np.ones(len(layer)) for layer in layers[:-1]), ends[1]]
    for _ in range(300):
        for n in range(1, len(layers)):
            pull = layers[n - 1] @ frames[n - 1] + layers[n].T @ frames[n + 1]
            frames[n] = pull / np.linalg.norm(pull)
    sides = zip(layers, frames, frames[1:], strict=False)
    return sum(after @ layer @ before for layer, before, after in sides)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_what_a_start_above_one_has_of_the_nearest_minimum(depth):
    """`(L − 1)√2 w^{(1−γ)/2}` of each singular vector: layers that fit, q s^{1/L} q', are nearer by
    twice that times s^{1/L} in the square, which is the slope of `minimum_distance` at x = 0."""
    rng, gamma, seeds = np.random.default_rng(depth), 1.5, 20
    ratios = [
        [
            largest_overlap(start(rng, w, depth, gamma)) / w ** ((1 - gamma) / 2)
            for _ in range(seeds)
        ]
        for w in WIDTHS
    ]
    found, error = limit(ratios, [1.0])
    wide, strengths = 1e12, np.array([2.0, 1.0, 0.5])
    least = depth * np.sum(strengths ** (2 / depth))
    fall = 1 - float(minimum_distance(gamma, wide, depth, strengths)) ** 2 / least
    share = fall / wide ** ((1 - gamma) / 2) * least / (2 * np.sum(strengths ** (1 / depth)))
    assert 5 * error < 0.25 * share
    # x is 1e-3 there, and what is of order x² beside it.
    assert abs(found - share) <= 5 * error + 0.01 * share


@pytest.mark.parametrize("depth", [2, 3, 5])
@pytest.mark.parametrize("gamma", [0.3, 0.7, 0.9, 1.5, 2.0])
def test_leading_orders_have_the_exponents(depth, gamma):
    widths, strengths = (1e60, 1e80), [3.0, 0.2]
    for distance, exponent in (
        (saddle_distance, saddle_distance_exponent(gamma)),
        (minimum_distance, minimum_distance_exponent(gamma, depth)),
    ):
        logs = np.log([float(distance(gamma, w, depth, strengths)) for w in widths])
        assert np.diff(logs)[0] / (20 * np.log(10)) == pytest.approx(float(exponent), abs=1e-3)


@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.0, 1.5, 2.0, 2.5])
def test_corrections_vanish_and_differ(gamma):
    for powers in (saddle_distance_corrections(gamma, 3), minimum_distance_corrections(gamma, 3)):
        assert min(powers) > 0
        assert len(set(powers)) == len(powers)
        assert list(powers) == sorted(powers)


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_exponents_are_continuous_and_turn_where_they_should(depth):
    turn = 1 - 1 / depth
    for gamma in (turn, 1.0):
        left, right = (float(minimum_distance_exponent(gamma + d, depth)) for d in (-1e-9, 1e-9))
        assert left == pytest.approx(right, abs=depth * 1e-8)
    powers = np.linspace(0, 2, 201)
    found = [float(minimum_distance_exponent(gamma, depth)) for gamma in powers]
    assert powers[np.argmin(found)] == pytest.approx(turn, abs=0.01)
    assert min(found) >= -turn / 2
    assert max(found[100:]) == min(found[100:]) == 0


def test_the_regime_says_what_comes_nearer_as_the_width_grows():
    for gamma in np.linspace(0.1, 2, 39):
        found = regime(3, float(gamma))
        if found.regime == "lazy":
            assert found.minimum_distance_exponent < 0 < found.saddle_distance_exponent
        elif found.regime == "saddle_to_saddle":
            assert found.saddle_distance_exponent < 0 == found.minimum_distance_exponent
    assert regime(2, 1.0) == ("critical", 0.0, 0.0)


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(InputError, match="at least 2"):
        regime(1, 1.5)
    with pytest.raises(InputError, match="a single number is needed"):
        saddle_distance_exponent([1.0, 2.0])
    with pytest.raises(InputError, match="not all zero"):
        saddle_distance(1.5, 64, 3, [0.0, 0.0])
    with pytest.raises(InputError, match="off_one|γ is not 1"):
        minimum_distance(1.0, 64, 3, [1.0])
