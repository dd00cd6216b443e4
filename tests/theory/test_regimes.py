"""Distances from a Gaussian start: exponents against exact and linearised distances of samples."""

import numpy as np
import pytest
from scipy.sparse.linalg import eigsh

from dlnlab.errors import InputError
from dlnlab.theory.regimes import minimum_distance_exponent, regime, saddle_distance_exponent

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
