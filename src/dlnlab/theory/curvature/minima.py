"""Curvature of the half-square loss at its minima, in closed form."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError
from dlnlab.theory.arguments import (
    Array,
    at_least_zero,
    finite,
    positive,
    whole,
    whole_numbers,
)
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.descent import exclusive_products


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


class Spectrum(NamedTuple):
    """Eigenvalues, descending, and how often each occurs."""

    eigenvalues: Array
    multiplicities: NDArray[np.int64]


def chain_minimum_spectrum(targets: ArrayLike, depth: int, outputs: int, inputs: int) -> Spectrum:
    """The Hessian's non-zero eigenvalues at a balanced zero-loss point of one chain of rank r.

    `λ_ij = Σ_l s_i^{2(L−l)/L} s_j^{2(l−1)/L}` for i, j ≤ r, and `s_k^{2−2/L}` with multiplicity
    `outputs + inputs − 2r` for k ≤ r; all other eigenvalues are zero. At depth 1 every one is 1.
    Equal ones are not merged.

    `targets` s [mode] are the r non-zero singular values of the target, `outputs` by `inputs`.
    Holds for hidden layers of any widths at or above r, equal or not, wider than outputs and
    inputs or narrower. Assumes exact balance, `W_{l+1}ᵀW_{l+1} = W_l W_lᵀ`, and zero loss. Raises
    InputError for targets that are not above zero or more than outputs or inputs.
    Source: ghosh2025.1.

    >>> chain_minimum_spectrum([1.0], 3, outputs=2, inputs=2)
    Spectrum(eigenvalues=array([3., 1.]), multiplicities=array([1, 2]))
    """
    values, depth = np.atleast_1d(positive("targets", targets)), whole("depth", depth)
    rank = len(values)
    spare = whole("outputs", outputs, rank) + whole("inputs", inputs, rank) - 2 * rank
    if depth == 1:
        return Spectrum(np.ones(1), np.array([outputs * inputs]))
    within = minimum_spectrum(values[None], [depth])
    upper, across = np.triu_indices(rank), values ** (2 - 2 / depth)
    eigenvalues = np.concatenate([within[upper], across])
    counts = np.concatenate([np.where(upper[0] == upper[1], 1, 2), np.full(rank, spare)])
    order = np.argsort(-eigenvalues, kind="stable")
    order = order[counts[order] > 0]
    return Spectrum(eigenvalues[order], counts[order])


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


PREDICTIONS: tuple[Prediction, ...] = (sharpness_at_minimum, unbalanced_chain_sharpness)
