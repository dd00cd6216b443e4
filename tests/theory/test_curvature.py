"""Curvature: every closed form and every block against the whole Hessian by autodiff."""

import doctest
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from dlnlab.errors import InputError
from dlnlab.theory import curvature
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.curvature import (
    chain_minimum_spectrum,
    minimum_spectrum,
    sharpness_at_minimum,
    svs_spectrum,
    unbalanced_chain_sharpness,
)

EPS = np.finfo(np.float64).eps


@pytest.mark.parametrize("made", curvature.PREDICTIONS, ids=lambda made: made.name)
def test_examples_in_docstrings_of_predictions_hold(made):
    (example,) = doctest.DocTestFinder(recurse=False).find(made.function)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def hessian_spectrum(pathways, target):
    """Eigenvalues, ascending, of the Hessian of ½‖Σ_h W_hL ⋯ W_h1 − M‖² in all entries."""
    with jax.enable_x64(True):
        flat, unravel = ravel_pytree(jax.tree.map(jnp.asarray, pathways))

        def loss(parameters):
            maps = []
            for layers in unravel(parameters):
                product = layers[0]
                for layer in layers[1:]:
                    product = layer @ product
                maps.append(product)
            return 0.5 * jnp.sum((sum(maps) - target) ** 2)

        return np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(loss))(flat)))


def on_svs_set(rng, layer_values, targets):
    """Square weights with these layer values in random frames, and the target's matrix."""
    size = len(targets)
    first, last = orthogonal(rng, size), orthogonal(rng, size)
    pathways = []
    for layers in layer_values:
        frames = [first, *(orthogonal(rng, size) for _ in layers[1:]), last]
        pathways.append([frames[k + 1] @ np.diag(w) @ frames[k].T for k, w in enumerate(layers)])
    return pathways, last @ np.diag(targets) @ first.T


def assert_same_spectrum(found, expected):
    """Symmetric eigenvalues move by no more than the perturbation of the matrix: n ε ‖H‖ each for
    the solver, and as much for the products that make the entries.
    """
    np.testing.assert_allclose(
        np.sort(found), expected, rtol=0, atol=8 * len(expected) * EPS * np.abs(expected).max()
    )


def balanced(values, depths):
    return [
        [np.sign(sigma) * np.abs(sigma) ** (1 / depth)]
        + [np.abs(sigma) ** (1 / depth)] * (depth - 1)
        for sigma, depth in zip(np.asarray(values), depths, strict=True)
    ]


MINIMA = [
    ([[2.0, 1.0, 0.5]], (3,)),
    ([[1.5, 0.0, 0.2], [0.5, 1.0, 0.0]], (2, 3)),
    ([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]], (1, 4)),
    ([[1.0, 0.5, 0.1], [0.4, 0.3, 0.0], [0.2, 0.0, 0.0]], (2, 2, 2)),
    ([[2.5, 1.0, 0.1], [-0.5, -0.2, 0.0]], (3, 2)),  # negative values are minima too
]


@pytest.mark.parametrize(("values", "depths"), MINIMA)
def test_minimum_spectrum_and_sharpness_against_autodiff(values, depths):
    targets = np.sum(values, axis=0)
    weights, target = on_svs_set(np.random.default_rng(2), balanced(values, depths), targets)
    expected = hessian_spectrum(weights, target)
    found = minimum_spectrum(values, depths)
    np.testing.assert_array_equal(found.shape, (3, 3))
    zeros = np.zeros(len(expected) - found.size)
    assert_same_spectrum(np.concatenate([found.ravel(), zeros]), expected)
    sharpness = sharpness_at_minimum(values, depths, targets)
    assert abs(sharpness - expected[-1]) < 8 * len(expected) * EPS * expected[-1]


def test_minimum_spectrum_against_its_sum_written_out():
    rng, depths = np.random.default_rng(3), (1, 2, 5)
    values = rng.uniform(0, 2, (3, 4))
    expected = [
        [
            sum(
                values[h, i] ** (2 * (depth - level) / depth)
                * values[h, j] ** (2 * (level - 1) / depth)
                for h, depth in enumerate(depths)
                for level in range(1, depth + 1)
            )
            for j in range(4)
        ]
        for i in range(4)
    ]
    np.testing.assert_allclose(minimum_spectrum(values, depths), expected, rtol=16 * EPS)


def test_sharpness_is_the_largest_of_all_pairs():
    rng = np.random.default_rng(4)
    for _ in range(200):
        depths = tuple(int(depth) for depth in rng.integers(1, 8, rng.integers(1, 4)))
        values = rng.uniform(0, 2, (len(depths), 4)) * rng.integers(0, 2, (len(depths), 4))
        found = sharpness_at_minimum(values, depths, values.sum(axis=0))
        assert abs(found - minimum_spectrum(values, depths).max()) <= 32 * EPS * found


def test_sharpness_refuses_points_off_the_minimum_unless_stretched():
    with pytest.raises(BrokenAssumption, match="sum to the targets"):
        sharpness_at_minimum([[0.5], [0.4]], [3, 3], [1.0])
    assert sharpness_at_minimum([[1.0], [0.0]], [3, 3], [2.0], stretch=True) == 3.0


CHAINS = [
    ([2.0, 1.0], (5, 2, 2, 4)),  # hidden widths at the rank
    ([2.0, 1.0], (5, 3, 6, 4)),  # wider than it, one wider than both ends
    ([2.0, 1.0], (3, 2, 7)),
    ([1.5, 1.5], (2, 4, 3)),  # equal values, rank at the smaller end
    ([2.0, 0.7, 0.3], (3, 3, 3)),  # square and full: nothing to spare
    ([2.0, 1.0], (4, 3)),  # a single layer
    ([0.5], (3, 1, 1, 2, 2)),
]


@pytest.mark.parametrize(("targets", "widths"), CHAINS)
def test_chain_spectrum_against_autodiff_for_any_widths(targets, widths):
    rng, rank, depth = np.random.default_rng(5), len(targets), len(widths) - 1
    frames = [orthogonal(rng, width) for width in widths]
    layers = [
        out[:, :rank] @ np.diag(np.array(targets) ** (1 / depth)) @ back[:, :rank].T
        for back, out in pairwise(frames)
    ]
    target = frames[-1][:, :rank] @ np.diag(targets) @ frames[0][:, :rank].T
    expected = hessian_spectrum([layers], target)
    spectrum = chain_minimum_spectrum(targets, depth, outputs=widths[-1], inputs=widths[0])
    assert (np.diff(spectrum.eigenvalues) <= 0).all()
    assert (spectrum.eigenvalues > 0).all()
    assert (spectrum.multiplicities > 0).all()
    found = np.repeat(spectrum.eigenvalues, spectrum.multiplicities)
    assert_same_spectrum(np.concatenate([found, np.zeros(len(expected) - len(found))]), expected)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_unbalanced_chain_sharpness_against_autodiff(depth):
    layers = np.random.default_rng(depth).uniform(0.5, 2, depth)
    expected = hessian_spectrum([[np.array([[w]]) for w in layers]], layers.prod())
    found = unbalanced_chain_sharpness(layers)
    assert abs(found - expected[-1]) < 8 * depth * EPS * expected[-1]
    assert abs(found - ((layers.prod() / layers) ** 2).sum()) < 8 * depth * EPS * found
    assert found >= depth * layers.prod() ** (2 - 2 / depth) * (1 - 8 * depth * EPS)


POINTS = [
    ((1,), 3, False),
    ((2,), 3, False),
    ((4,), 2, False),
    ((2, 3), 3, False),
    ((2, 3), 3, True),
    ((1, 2, 3), 2, True),
    ((5, 1), 2, False),
    ((3, 3), 1, False),
]


@pytest.mark.parametrize(("depths", "size", "zeros"), POINTS)
def test_svs_spectrum_against_autodiff_anywhere(depths, size, zeros):
    rng = np.random.default_rng(6)
    values = [[rng.uniform(-1.3, 1.3, size) for _ in range(depth)] for depth in depths]
    if zeros:
        values[0][0][:] = values[-1][1][0] = values[-1][2][0] = 0.0
    targets = rng.uniform(0, 2, size)
    found = svs_spectrum(values, targets)
    assert found.shape == (sum(depths) * size**2,)
    weights, target = on_svs_set(rng, values, targets)
    assert_same_spectrum(found, hessian_spectrum(weights, target))


def test_svs_spectrum_at_a_minimum_is_the_closed_form():
    values, depths = MINIMA[1]
    spectrum = svs_spectrum(balanced(values, depths), np.sum(values, axis=0))
    closed = np.sort(minimum_spectrum(values, depths).ravel())
    zeros = np.zeros(len(spectrum) - closed.size)
    assert_same_spectrum(spectrum, np.sort(np.concatenate([zeros, closed])))


def test_svs_spectrum_at_saddles():
    origin = svs_spectrum(([[0.0, 0.0], [0.0, 0.0]],), [2.0, 1.0])
    np.testing.assert_allclose(origin, -origin[::-1], atol=64 * EPS)
    assert abs(origin[-1] - 2.0) < 64 * EPS
    small, depth = 1e-6, 5
    chain = svs_spectrum(([[small]] * depth,), [1.0])
    # The Gauss-Newton part, L w^{2L−2}, is smaller than the residual's by w^L.
    np.testing.assert_allclose(chain[0], -(depth - 1) * chain[-1], rtol=64 * EPS)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: minimum_spectrum([1.0, 2.0], [2]),
        lambda: minimum_spectrum([[1.0], [2.0]], [2]),
        lambda: minimum_spectrum([[1.0]], [0]),
        lambda: minimum_spectrum([[np.nan]], [2]),
        lambda: sharpness_at_minimum([[np.inf]], [2], [1.0]),
        lambda: sharpness_at_minimum([[1.0]], [2], [-1.0]),
        lambda: sharpness_at_minimum([[1.0]], [2], [1.0, 0.0]),
        lambda: sharpness_at_minimum([[]], [2], []),
        lambda: chain_minimum_spectrum([1.0, 0.0], 2, 3, 3),
        lambda: chain_minimum_spectrum([1.0, 2.0], 2, 1, 3),
        lambda: chain_minimum_spectrum([1.0, 2.0], 2, 3, 1),
        lambda: chain_minimum_spectrum([1.0, 2.0], 0, 3, 3),
        lambda: unbalanced_chain_sharpness([1.0, np.nan]),
        lambda: svs_spectrum((([1.0], [1.0]),), [1.0, 2.0]),
        lambda: svs_spectrum((([1.0], []),), [1.0]),
        lambda: svs_spectrum((([1.0], [1.0]),), [-1.0]),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match=r"need|assumes"):
        ask()
