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
    Spectrum,
    aligned_sharpness,
    aligned_spectrum,
    aligned_top_eigenvalues,
    chain_minimum_spectrum,
    merged,
    minimum_spectrum,
    sharpness_at_minimum,
    spectrum,
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


def diagonal(rows, columns, values):
    made = np.zeros((rows, columns))
    made[np.arange(len(values)), np.arange(len(values))] = values
    return made


def on_rectangular_svs_set(rng, layer_values, targets, widths):
    """Layers of these widths, diagonal in random frames, and the target's matrix."""
    first, last = (orthogonal(rng, widths[0][end]) for end in (0, -1))
    pathways = []
    for layers, around in zip(layer_values, widths, strict=True):
        frames = [first, *(orthogonal(rng, width) for width in around[1:-1]), last]
        pathways.append(
            [
                frames[k + 1] @ diagonal(around[k + 1], around[k], w) @ frames[k].T
                for k, w in enumerate(layers)
            ]
        )
    return pathways, last @ diagonal(len(last), len(first), targets) @ first.T


RECTANGLES = [
    ([(4, 2, 3)], False),  # more inputs and outputs than hidden units: a bottleneck
    ([(2, 2, 2, 5)], False),
    ([(5, 3, 2, 3, 3)], False),
    ([(2, 4, 4, 3)], False),  # hidden layers wider than both ends
    ([(1, 3, 1)], False),
    ([(3, 2)], False),  # a single layer
    ([(3, 2, 4), (3, 4)], False),
    ([(3, 2, 4), (3, 4, 3, 4)], False),
    ([(4, 3, 3, 4), (4, 2, 4), (4, 4)], False),
    ([(4, 3, 3, 4), (4, 2, 4), (4, 4)], True),  # alike from both ends, of two kinds of room
    ([(3, 3, 3, 3), (3, 3, 3)], True),  # and square: blocks fall into halves
]


@pytest.mark.parametrize(("widths", "alike"), RECTANGLES)
def test_aligned_spectrum_of_any_widths_against_autodiff(widths, alike):
    rng = np.random.default_rng(len(widths) + widths[0][0])
    for _ in range(3):
        values = [
            [rng.uniform(-1.3, 1.3, min(sides)) for sides in pairwise(around)] for around in widths
        ]
        if alike:
            values = [[(w + v) / 2 for w, v in zip(p, p[::-1], strict=True)] for p in values]
        targets = rng.uniform(0, 2, min(widths[0][0], widths[0][-1]))
        found = aligned_spectrum(values, targets, widths)
        weights, target = on_rectangular_svs_set(rng, values, targets, widths)
        expected = hessian_spectrum(weights, target)
        assert found.multiplicities.sum() == len(expected)
        assert (np.diff(found.eigenvalues) <= 0).all()
        every = np.repeat(*found)
        assert_same_spectrum(every, expected)
        norm = np.abs(expected).max()
        assert np.abs(every[::-1] - expected).max() < 1e-12 * norm
        assert abs(aligned_sharpness(values, targets, widths) - expected[-1]) < 1e-12 * norm
        top = aligned_top_eigenvalues(values, targets, widths, k=4)
        np.testing.assert_allclose(top, expected[::-1][:4], rtol=0, atol=1e-12 * norm)


def test_modes_that_cannot_be_told_apart_are_diagonalised_once():
    rng, widths = np.random.default_rng(8), [(7, 6, 6, 6)]
    values = [[np.array([1.2, 0.7, 0.7, 0.7]), *rng.uniform(0.5, 1, (2, 1)).repeat(4, 1)]]
    targets = np.array([1.0, 0.5, 0.5, 0.5])
    found = aligned_spectrum(values, targets, widths)
    # Four kinds: the first; three alike; two without values; one more input without hidden units.
    assert len(found.eigenvalues) == 3 * 3 + 0 + (5 * 6) + 3 * 1
    padded = [[np.pad(w, (0, 2)) for w in values[0]]]
    weights, target = on_rectangular_svs_set(rng, padded, targets, widths)
    assert_same_spectrum(np.repeat(*found), hessian_spectrum(weights, target))


def test_a_spectrum_beyond_dense_hessians_has_the_right_trace():
    """2·10⁵ eigenvalues of 20 layers of 100 × 100: the trace is that of the Gauss-Newton part, and
    the sum of squares that of all second derivatives, written out."""
    rng, size, depth = np.random.default_rng(9), 100, 20
    layers, targets = rng.uniform(0.9, 1.1, (depth, size)), rng.uniform(0, 2, size)
    found = aligned_spectrum([layers], targets)
    assert found.multiplicities.sum() == depth * size**2
    before = np.array([layers[:k].prod(axis=0) for k in range(depth)])
    after = np.array([layers[k + 1 :].prod(axis=0) for k in range(depth)])
    trace = sum((after[k] ** 2).sum() * (before[k] ** 2).sum() for k in range(depth))
    square = 0.0
    residual = layers.prod(axis=0) - targets
    for k in range(depth):
        for m in range(depth):
            square += ((after[k] * after[m]) ** 2).sum() * ((before[k] * before[m]) ** 2).sum()
            if k < m:
                between = layers[k + 1 : m].prod(axis=0)
                coupling = np.outer(residual * after[m] * before[k], between)
                gauss = np.diag(after[k] * before[k] * after[m] * before[m])
                # On the diagonal both parts fall on one entry.
                square += 2 * ((coupling + gauss) ** 2 - gauss**2).sum()
    np.testing.assert_allclose((found.eigenvalues * found.multiplicities).sum(), trace, rtol=1e-12)
    np.testing.assert_allclose(
        (found.eigenvalues**2 * found.multiplicities).sum(), square, rtol=1e-12
    )


def test_merged_takes_together_what_follows_closely():
    given = Spectrum(np.array([3.0, 1.0 + 1e-13, 1.0, 0.5, 1e-13, -1e-13]), np.arange(1, 7))
    eigenvalues, multiplicities = merged(given, 1e-12)
    np.testing.assert_allclose(eigenvalues, [3.0, 1.0, 0.5, 0.0], rtol=1e-12)
    assert multiplicities.tolist() == [1, 5, 4, 11]
    assert eigenvalues[-1] == 0


@pytest.mark.parametrize(
    ("outputs", "inputs", "hidden"), [(0, 0, 0), (4, 0, 0), (3, 5, 0), (2, 3, 4)]
)
def test_the_topic_counts_every_parameter_once(outputs, inputs, hidden):
    rng, sigma = np.random.default_rng(10), ((0.7, 0.3), (0.3, 0.1))
    answer = spectrum((3, 2), (1.0, 0.5), sigma, outputs, inputs, hidden)
    assert answer.hidden == hidden or (
        not hidden and answer.hidden == min(outputs or 2, inputs or 2)
    )
    widths = [(answer.inputs, *(answer.hidden,) * (depth - 1), answer.outputs) for depth in (3, 2)]
    values = balanced(np.transpose(sigma), (3, 2))
    weights, target = on_rectangular_svs_set(rng, values, [1.0, 0.5], widths)
    expected = hessian_spectrum(weights, target)
    assert answer.parameters == sum(answer.multiplicities) == len(expected)
    assert (np.diff(answer.eigenvalues) < 0).all()
    assert_same_spectrum(np.repeat(answer.eigenvalues, answer.multiplicities), expected)


def test_the_topic_at_a_minimum_of_one_chain_is_the_closed_form():
    answer = spectrum((3,), (2.0, 1.0), ((2.0,), (1.0,)), outputs=4, inputs=5)
    closed = chain_minimum_spectrum([2.0, 1.0], 3, outputs=4, inputs=5)
    assert answer.eigenvalues[-1] == 0
    np.testing.assert_allclose(answer.eigenvalues[:-1], closed.eigenvalues, rtol=1e-13)
    np.testing.assert_array_equal(answer.multiplicities[:-1], closed.multiplicities)


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
        lambda: svs_spectrum((), [1.0]),
        lambda: svs_spectrum(((1.0, 1.0),), [1.0]),
        lambda: svs_spectrum((([1e200], [1e200]),), [1.0]),
        lambda: svs_spectrum((([np.nan], [1.0]),), [1.0]),
        lambda: aligned_spectrum((([1.0], [1.0]),), [1.0], [(1, 1)]),
        lambda: aligned_spectrum((([1.0], [1.0]),), [1.0], [(1, 0, 1)]),
        lambda: aligned_spectrum((([1.0], [1.0, 1.0]),), [1.0], [(1, 1, 2)]),
        lambda: aligned_spectrum((([1.0], [1.0]),), [1.0, 1.0], [(1, 2, 2)]),
        lambda: aligned_spectrum((([1.0],), ([1.0],)), [1.0], [(1, 2), (2, 2)]),
        lambda: aligned_spectrum((([1.0], [1.0]),), [1.0], [(1, 10**10, 1)]),
        lambda: aligned_spectrum([[[1.0]] * 3000], [1.0]),
        lambda: aligned_top_eigenvalues((([1.0], [1.0]),), [1.0], k=0),
        lambda: spectrum((3,), (1.0,), ((1.0,), (0.5,))),
        lambda: spectrum((3, 3), (1.0,), ((1.0,),)),
        lambda: spectrum((3,), (), ()),
        lambda: spectrum((3,), (1.0,), ((-1.0,),)),
        lambda: spectrum((3,), (1.0,), ((np.nan,),)),
        lambda: spectrum((3,), (1e150,), ((1.0,),)),
        lambda: spectrum((3,), (1.0, 1.0), ((1.0,), (1.0,)), outputs=1),
        lambda: spectrum((3,), (1.0, 1.0), ((1.0,), (1.0,)), hidden=1),
        lambda: spectrum((10**12,), (1.0,), ((1.0,),)),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask):
    with pytest.raises(InputError, match=r"need|assumes|allowed"):
        ask()
