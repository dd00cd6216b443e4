"""The whole spectrum of the Hessian at any point of the aligned (SVS) set, by small blocks."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, LayerValues, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.curvature.blocks import folded_blocks, mode_blocks, pair_blocks
from dlnlab.theory.curvature.kinds import Kinds, Widths, count_first, kinds_of
from dlnlab.theory.curvature.minima import Spectrum

_CHUNK_BYTES = 2**25  # of the blocks that are diagonalised in one call
_Indices: TypeAlias = NDArray[np.intp]
_Part: TypeAlias = tuple[Array, NDArray[np.int64]]


def _in_chunks(build: Callable[[_Indices], Array], counts: NDArray[np.int64], size: int) -> _Part:
    """Eigenvalues of a stack of blocks, and how often each occurs; block k occurs counts[k] times.

    `build(indices)` makes the blocks of these indices, `size` rows each at most.
    """
    step = max(1, _CHUNK_BYTES // (8 * max(1, size) ** 2))
    found, often = [], []
    for start in range(0, len(counts), step):
        indices = np.arange(start, min(start + step, len(counts)))
        with np.errstate(over="ignore", invalid="ignore"):
            blocks = build(indices)
        if not np.isfinite(blocks).all():
            raise InputError(
                "the second derivatives at layer_values are beyond the largest float, and finite "
                "ones are needed; measure the targets in other units."
            )
        values = np.linalg.eigvalsh(blocks)
        parts = len(values) // len(indices)  # two where the blocks come in halves
        found.append(values.ravel())
        often.append(np.repeat(np.tile(counts[indices], parts), values.shape[1]))
    return np.concatenate(found), np.concatenate(often)


def _by_shape(kinds: Kinds) -> list[_Indices]:
    """The kinds, parted by which layers have their rows and columns."""
    table = np.concatenate([kinds.outward, kinds.inward])
    _, shape = np.unique(table, axis=1, return_inverse=True)
    return [np.flatnonzero(shape.ravel() == k) for k in range(int(shape.max()) + 1)]


def _own(kinds: Kinds, members: _Indices) -> _Part:
    """The entries (i, i) of these kinds."""
    rows = np.flatnonzero(kinds.outward[:, members[0]] & kinds.inward[:, members[0]])

    def build(indices: _Indices) -> Array:
        chosen = members[indices]
        blocks = mode_blocks(kinds.columns(chosen), kinds.residual[chosen])
        return blocks[:, rows[:, None], rows]

    return _in_chunks(build, kinds.counts[members], len(kinds.outward))


def _pairs(
    kinds: Kinds, first: _Indices, second: _Indices
) -> tuple[_Indices, _Indices, NDArray[np.int64]]:
    """Pairs of kinds (i, j), and how many pairs of modes each stands for."""
    counts = kinds.counts
    if first is not second:
        i, j = (index.ravel() for index in np.meshgrid(first, second, indexing="ij"))
        return i, j, counts[i] * counts[j]
    i, j = (first[index] for index in np.triu_indices(len(first)))
    often = np.where(i == j, counts[i] * (counts[i] - 1) // 2, counts[i] * counts[j])
    return i[often > 0], j[often > 0], often[often > 0]


def _reads_alike_backwards(kinds: Kinds, forth: _Indices, back: _Indices) -> bool:
    """Whether a pair's block falls into halves: no layer is lost, and values are palindromes."""
    whole_block = len(forth) == len(back) == len(kinds.outward)
    return whole_block and all((w == w[::-1]).all() for w in kinds.layers)


def _mixed(kinds: Kinds, first: _Indices, second: _Indices) -> _Part:
    """The entries (i, j) and (j, i), i in `first` and j in `second`."""
    i, j, often = _pairs(kinds, first, second)
    a, b = first[0], second[0]
    forth = np.flatnonzero(kinds.outward[:, a] & kinds.inward[:, b])
    back = np.flatnonzero(kinds.outward[:, b] & kinds.inward[:, a])
    fold, size = _reads_alike_backwards(kinds, forth, back), len(kinds.outward)
    rows = np.concatenate([forth, size + back])

    def build(indices: _Indices) -> Array:
        pair = i[indices], j[indices]
        residuals = kinds.residual[pair[0]], kinds.residual[pair[1]]
        columns = kinds.columns(pair[0]), kinds.columns(pair[1])
        if fold:
            return folded_blocks(*columns, residuals)
        return pair_blocks(*columns, residuals)[:, rows[:, None], rows]

    return _in_chunks(build, often, 2 * size) if len(i) else (np.zeros(0), np.zeros(0, np.int64))


def _parts(kinds: Kinds) -> Iterator[_Part]:
    shapes = _by_shape(kinds)
    for k, members in enumerate(shapes):
        yield _own(kinds, members)
        for others in shapes[k:]:
            yield _mixed(kinds, members, others)


def aligned_spectrum(
    layer_values: LayerValues, targets: ArrayLike, widths: Widths | None = None
) -> Spectrum:
    """All eigenvalues of the Hessian at any point of the aligned (SVS) set, descending.

    One block of size `n = Σ_h L_h` for each mode, `g gᵀ + r_i K`, `g_hl = Π_{m≠l} w_hmi`,
    `K_lm = Π_{k≠l,m} w_hki`; one of size 2n for each pair i < j,
    `[[g_ij g_ijᵀ, C], [Cᵀ, g_ji g_jiᵀ]]`, `g_ij,hl = P_{>l,i} P_{<l,j}`, C the residuals times
    what remains of a pathway's product without two of its layers. Where every pathway reads alike
    from both ends (balanced layers do) the latter falls into two of size n.

    `layer_values` w [pathway][layer][mode]; `targets` s [mode]; `widths` [pathway](n_0, …, n_L)
    from inputs to outputs, by default all the number of modes. With widths, layers and targets
    that have fewer modes than there is room for are padded with zeros; a row or column that a
    layer does not have is left out of the blocks. Modes of equal layer values, target and room
    share their blocks, which are diagonalised once: a multiplicity is how often that structure
    occurs, and values that coincide otherwise are not merged (`merged` does). The multiplicities
    sum to the number of parameters. Neither balance nor a minimum is assumed. Costs O(m² n³) and
    O(m² n) of memory for m kinds of modes. Raises InputError for shapes that do not fit, numbers
    that are not finite, negative targets, and a spectrum beyond `kinds.MOST_BYTES` of memory.
    Source: kim2026.1, ghosh2025.6.

    >>> spectrum = aligned_spectrum((([2.0], [1.0]),), [2.0], widths=[(1, 1, 3)])
    >>> spectrum.eigenvalues.tolist(), spectrum.multiplicities.tolist()
    ([5.0, 4.0, 0.0], [1, 2, 1])
    """
    kinds = kinds_of(layer_values, targets, widths)
    count_first(len(kinds.outward), len(kinds.counts))
    values, often = (np.concatenate(column) for column in zip(*_parts(kinds), strict=True))
    order = np.argsort(-values, kind="stable")
    return Spectrum(values[order], often[order])


def svs_spectrum(layer_values: LayerValues, targets: ArrayLike) -> Array:
    """The spectrum of `aligned_spectrum` for square layers as one array, ascending.

    `layer_values` w [pathway][layer][mode]; `targets` s [mode]. Returns all `n d²` eigenvalues of
    d square modes, n = Σ_h L_h. Raises InputError as `aligned_spectrum`. Source: ghosh2025.6.

    >>> svs_spectrum((([2.0], [1.0]),), [2.0])
    array([0., 5.])
    """
    spectrum = aligned_spectrum(layer_values, targets)
    return np.repeat(spectrum.eigenvalues, spectrum.multiplicities)[::-1]


def merged(spectrum: Spectrum, tolerance: float) -> Spectrum:
    """Eigenvalues that follow each other by at most `tolerance` taken together, at their mean.

    Within `tolerance` of zero that is zero itself.

    >>> merged(Spectrum(np.array([5.0, 4.0, 4.0, 1e-17]), np.array([1, 2, 1, 1])), 1e-15)
    Spectrum(eigenvalues=array([5., 4., 0.]), multiplicities=array([1, 3, 1]))
    """
    values, often = spectrum
    starts = np.flatnonzero(np.concatenate([[True], -np.diff(values) > tolerance]))
    counts = np.add.reduceat(often, starts)
    means = np.add.reduceat(values * often, starts) / counts
    return Spectrum(np.where(np.abs(means) <= tolerance, 0.0, means), counts)


@prediction("sharpness", symbol="λ_max", source="kim2026.1")
def aligned_sharpness(
    layer_values: LayerValues, targets: ArrayLike, widths: Widths | None = None
) -> Array:
    """The sharpness of matrices at any point of the aligned (SVS) set, a minimum or not.

    The largest eigenvalue of `aligned_spectrum`, whose arguments and refusals these are. Of modes
    as a network of their own only the pairs i = j exist, and the sharpness may be smaller.
    Source: kim2026.1.

    >>> float(aligned_sharpness((([0.0], [0.0]),), [2.0]))
    2.0
    """
    return aligned_spectrum(layer_values, targets, widths).eigenvalues[0]


@prediction("top_eigenvalues", dims=("eigenvalue",), symbol="λ_1 ≥ λ_2 ≥ …", source="ghosh2025.6")
def aligned_top_eigenvalues(
    layer_values: LayerValues, targets: ArrayLike, widths: Widths | None = None, k: int = 5
) -> Array:
    """The k largest eigenvalues of the Hessian of matrices at any point of the aligned (SVS) set.

    Those of `aligned_spectrum`, each as often as it occurs, descending; fewer where there are no
    more. Source: ghosh2025.6.

    >>> aligned_top_eigenvalues((([2.0, 1.0], [2.0, 1.0]),), [4.0, 1.0], k=3).tolist()
    [8.0, 5.0, 5.0]
    """
    spectrum, most = aligned_spectrum(layer_values, targets, widths), whole("k", k)
    often = np.minimum(spectrum.multiplicities, most)
    return np.repeat(spectrum.eigenvalues[:most], often[:most])[:most]


PREDICTIONS: tuple[Prediction, ...] = (aligned_sharpness, aligned_top_eigenvalues)
