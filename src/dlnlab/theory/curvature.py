"""Curvature of the half-square loss: spectra of its Hessian in closed form or by small blocks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError
from dlnlab.theory.arguments import (
    Array,
    LayerValues,
    at_least_zero,
    finite,
    positive,
    whole,
    whole_numbers,
)
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.descent import exclusive_products, pathway_layers


def _pathway_values(values: ArrayLike, depths: Sequence[int]) -> tuple[Array, tuple[int, ...]]:
    levels, array = whole_numbers("depths", depths), finite("values", values)
    if array.ndim != 2 or len(array) != len(levels):
        raise InputError(
            f"values has shape {array.shape} for {len(levels)} depths, and [pathway][mode] with "
            "one depth for each pathway is needed; write [[...]] for a single pathway."
        )
    return array, levels


def minimum_spectrum(values: ArrayLike, depths: Sequence[int]) -> Array:
    """The Hessian's non-zero eigenvalues at a depth-balanced zero-loss point, by pairs of modes.

    `λ_ij = Σ_h Σ_{l=1}^{L_h} |σ_hi|^{2(L_h−l)/L_h} |σ_hj|^{2(l−1)/L_h}`.

    `values` σ are end-to-end, [pathway][mode]; `depths` are the L_h [pathway]. Returns λ
    [mode, mode], symmetric, each entry one eigenvalue. Assumes square aligned layers, balanced
    (`|w| = |σ|^{1/L}`), whose pathways sum to the target. Raises InputError for values that are
    not finite and depths below 1. Source: kim2026.1.

    >>> minimum_spectrum([[4.0, 1.0]], [2])
    array([[8., 5.],
           [5., 2.]])
    """
    array, levels = _pathway_values(values, depths)
    total = np.zeros((array.shape[1], array.shape[1]))
    for pathway, depth in zip(np.abs(array), levels, strict=True):
        powers = pathway ** (2 * np.arange(depth)[:, None] / depth)
        total += powers[::-1].T @ powers
    return total


def _misfit(values: ArrayLike, targets: ArrayLike) -> float:
    array, target = finite("values", values), at_least_zero("targets", targets)
    if array.ndim != 2 or array.shape[1:] != target.shape or not array.size:
        raise InputError(
            f"values has shape {array.shape} and targets {target.shape}, and [pathway][mode] with "
            "one target for each mode is needed; pad with zeros."
        )
    largest = max(float(target.max()), float(np.finfo(np.float64).tiny))
    return float(np.abs(array.sum(axis=0) - target).max()) / largest


@prediction(
    "sharpness",
    symbol="S",
    assumes=(
        Assumption(
            "zero_loss",
            "the pathways sum to the targets (relative to the largest)",
            _misfit,
            tolerance=1e-8,
        ),
    ),
    source="kim2026.1",
)
def sharpness_at_minimum(values: ArrayLike, depths: Sequence[int], targets: ArrayLike) -> Array:
    """The sharpness of a depth-balanced zero-loss point.

    `S = max_i λ_ii`, `λ_ii = Σ_h L_h |σ_hi|^{2−2/L_h}`.

    `values` σ are end-to-end, [pathway][mode]; `targets` s [mode], at or above zero; `depths` are
    the L_h. A pathway of depth 1 contributes 1 whatever its value, 0 included. Assumes aligned,
    depth-balanced layers, and Σ_h σ_h = s up to 10⁻⁸ of the largest target. Raises InputError for
    shapes that do not fit and values that are not finite. Source: kim2026.1.

    >>> float(sharpness_at_minimum([[0.5], [0.5]], [2, 2], [1.0]))
    2.0
    """
    array, levels = _pathway_values(values, depths)
    _misfit(values, targets)  # refuses shapes that do not fit when stretched, too
    depth = np.array(levels, dtype=np.float64)[:, None]
    return np.asarray((depth * np.abs(array) ** (2 - 2 / depth)).sum(axis=0).max())


class ChainSpectrum(NamedTuple):
    """Non-zero eigenvalues, descending, and how often each occurs; equal ones are not merged."""

    eigenvalues: Array
    multiplicities: NDArray[np.int64]


def chain_minimum_spectrum(
    targets: ArrayLike, depth: int, outputs: int, inputs: int
) -> ChainSpectrum:
    """The Hessian's non-zero eigenvalues at a balanced zero-loss point of one chain of rank r.

    `λ_ij = Σ_l s_i^{2(L−l)/L} s_j^{2(l−1)/L}` for i, j ≤ r, and `s_k^{2−2/L}` with multiplicity
    `outputs + inputs − 2r` for k ≤ r; all other eigenvalues are zero. At depth 1 every one is 1.

    `targets` s [mode] are the r non-zero singular values of the target, `outputs` by `inputs`.
    Holds for hidden layers of any widths at or above r, equal or not, wider than outputs and
    inputs or narrower. Assumes exact balance, `W_{l+1}ᵀW_{l+1} = W_l W_lᵀ`, and zero loss. Raises
    InputError for targets that are not above zero or more than outputs or inputs.
    Source: ghosh2025.1.

    >>> chain_minimum_spectrum([1.0], 3, outputs=2, inputs=2)
    ChainSpectrum(eigenvalues=array([3., 1.]), multiplicities=array([1, 2]))
    """
    values, depth = np.atleast_1d(positive("targets", targets)), whole("depth", depth)
    rank = len(values)
    spare = whole("outputs", outputs, rank) + whole("inputs", inputs, rank) - 2 * rank
    if depth == 1:
        return ChainSpectrum(np.ones(1), np.array([outputs * inputs]))
    within = minimum_spectrum(values[None], [depth])
    upper, across = np.triu_indices(rank), values ** (2 - 2 / depth)
    eigenvalues = np.concatenate([within[upper], across])
    counts = np.concatenate([np.where(upper[0] == upper[1], 1, 2), np.full(rank, spare)])
    order = np.argsort(-eigenvalues, kind="stable")
    order = order[counts[order] > 0]
    return ChainSpectrum(eigenvalues[order], counts[order])


@prediction("sharpness", symbol="S", source="ghosh2025.4")
def unbalanced_chain_sharpness(layer_values: ArrayLike) -> Array:
    """The sharpness of a scalar chain at a minimum, balanced or not.

    `S = Σ_l (s/w_l)² = Σ_l Π_{m≠l} w_m² ≥ L s^{2−2/L}`, `s = Π_l w_l`.

    `layer_values` w [layer], trailing axes kept. Assumes zero loss: the target is the chain's own
    product. Raises InputError for values that are not finite. Source: ghosh2025.4.

    >>> float(unbalanced_chain_sharpness([1.0, 2.0]))
    5.0
    """
    layers = np.atleast_1d(finite("layer_values", layer_values))
    return np.asarray((exclusive_products(layers) ** 2).sum(axis=0))


def _ordered_products(layers: Array) -> tuple[Array, Array, Array]:
    """P_{<l}, P_{>l} [layer, mode], and the product between layers l < m [l, m, mode]."""
    depth, modes = layers.shape
    before = np.cumprod(np.concatenate([np.ones((1, modes)), layers[:-1]]), axis=0)
    after = np.cumprod(np.concatenate([np.ones((1, modes)), layers[:0:-1]]), axis=0)[::-1]
    between = np.zeros((depth, depth, modes))
    for lower in range(depth - 1):
        between[lower, lower + 1 :] = np.cumprod(
            np.concatenate([np.ones((1, modes)), layers[lower + 1 : -1]]), axis=0
        )
    return before, after, between


def _residual_couplings(
    layers: Array, residual: Array, i: NDArray[np.intp], j: NDArray[np.intp]
) -> Array:
    """Second derivatives [pair, layer, layer]: by (i, j) of one layer and (j, i) of another."""
    before, after, between = _ordered_products(layers)
    first = residual[i] * after[None, :, i] * between[:, :, j] * before[:, None, i]
    second = residual[j] * after[None, :, j] * between[:, :, i] * before[:, None, j]
    return np.asarray(first.transpose(2, 1, 0) + second.transpose(2, 0, 1))


def _mode_blocks(pathways: Sequence[Array], residual: Array) -> Array:
    """One block [mode, n, n], n = Σ_h L_h, on the diagonal entries of every layer."""
    gradient = np.concatenate([exclusive_products(layers) for layers in pathways]).T
    blocks, start = gradient[:, :, None] * gradient[:, None, :], 0
    for layers in pathways:
        before, after, between = _ordered_products(layers)
        stop = start + len(layers)
        upper = np.moveaxis(before[:, None] * between * after[None] * residual, 2, 0)
        blocks[:, start:stop, start:stop] += upper + np.swapaxes(upper, 1, 2)
        start = stop
    return np.asarray(blocks)


def _pair_blocks(pathways: Sequence[Array], residual: Array) -> Array:
    """One block [pair, 2n, 2n] on the entries (i, j), then (j, i), of every layer, i < j."""
    i, j = np.triu_indices(len(residual), 1)
    size = sum(len(layers) for layers in pathways)
    blocks, start = np.zeros((len(i), 2 * size, 2 * size)), 0
    products = [_ordered_products(layers)[:2] for layers in pathways]
    for offset, (row, column) in ((0, (i, j)), (size, (j, i))):
        gradient = np.concatenate([after[:, row] * before[:, column] for before, after in products])
        part = slice(offset, offset + size)
        blocks[:, part, part] = gradient.T[:, :, None] * gradient.T[:, None, :]
    for layers in pathways:
        stop = start + len(layers)
        couplings = _residual_couplings(layers, residual, i, j)
        blocks[:, start:stop, size + start : size + stop] = couplings
        blocks[:, size + start : size + stop, start:stop] = np.swapaxes(couplings, 1, 2)
        start = stop
    return blocks


def svs_spectrum(layer_values: LayerValues, targets: ArrayLike) -> Array:
    """The whole spectrum of the Hessian at any point of the aligned (SVS) set, ascending.

    One block of size `n = Σ_h L_h` for each mode, `g gᵀ + r_i K`, `g_hl = Π_{m≠l} w_hmi`,
    `K_lm = Π_{k≠l,m} w_hki`; one of size 2n for each pair i < j,
    `[[g_ij g_ijᵀ, C], [Cᵀ, g_ji g_jiᵀ]]`, `g_ij,hl = P_{>l,i} P_{<l,j}`, C the residuals times
    what remains of a pathway's product without two of its layers.

    `layer_values` w [pathway][layer], each an array [mode]; `targets` s [mode]. Returns all
    `n d²` eigenvalues of d square modes. Assumes square layers; neither balance nor a minimum.
    Cost O(d² n³). Raises InputError for shapes that do not fit. Source: kim2026, ghosh2025.6.

    >>> svs_spectrum((([2.0], [1.0]),), [2.0])
    array([0., 5.])
    """
    pathways, target = pathway_layers(layer_values), at_least_zero("targets", targets)
    if target.ndim != 1 or pathways[0].shape[1:] != target.shape:
        raise InputError(
            f"layer_values has modes of shape {pathways[0].shape[1:]} and targets are of shape "
            f"{target.shape}, and one target for each mode is needed; pad with zeros."
        )
    residual = np.sum([layers.prod(axis=0) for layers in pathways], axis=0) - target
    own = np.linalg.eigvalsh(_mode_blocks(pathways, residual))
    mixed = np.linalg.eigvalsh(_pair_blocks(pathways, residual))
    return np.sort(np.concatenate([own.ravel(), mixed.ravel()]))


PREDICTIONS: tuple[Prediction, ...] = (sharpness_at_minimum, unbalanced_chain_sharpness)
