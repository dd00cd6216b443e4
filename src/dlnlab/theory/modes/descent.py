"""Gradient descent on the layer values of aligned modes, one step at a time."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, LayerValues, at_least_zero, finite, positive
from dlnlab.theory.base import Prediction, prediction


def exclusive_products(layers: Array) -> Array:
    """Products of all the other layers, `Π_{m≠l} w_m`, along the first axis.

    Built from products before and after each layer, never by division: layer values may be zero.

    >>> exclusive_products(np.array([2.0, 3.0, 0.0]))
    array([0., 0., 6.])
    """
    one = np.ones_like(layers[:1])
    before = np.cumprod(np.concatenate([one, layers[:-1]]), axis=0)
    after = np.cumprod(np.concatenate([one, layers[:0:-1]]), axis=0)[::-1]
    return np.asarray(before * after)


def pathway_layers(layer_values: LayerValues) -> tuple[Array, ...]:
    """One array [layer, ...] for each pathway, all with the same modes.

    Raises InputError where a pathway has no layer, or where layers differ in their modes.
    """
    nested = [[finite("layer_values", layer) for layer in pathway] for pathway in layer_values]
    shapes = {layer.shape for pathway in nested for layer in pathway}
    if len(shapes) != 1 or not all(nested):
        raise InputError(
            f"layer_values has layers of shapes {sorted(shapes)} in pathways of "
            f"{[len(pathway) for pathway in nested]} layers, and at least one layer in each "
            "pathway and the same modes in every layer are needed; nest them [pathway][layer]."
        )
    return tuple(np.stack(pathway) for pathway in nested)


def descent_map(
    layer_values: LayerValues, targets: ArrayLike, learning_rate: float
) -> tuple[tuple[Array, ...], ...]:
    """One step of gradient descent on the aligned set, mode by mode.

    `w_{h,l} ← w_{h,l} − η r Π_{m≠l} w_{h,m}`, `r = Σ_h Π_l w_{h,l} − s`.

    `layer_values` is nested [pathway][layer], each an array [mode]; `targets` s is [mode], the
    singular values of the target, at or above zero; the loss is half the squared Frobenius norm.
    Returns the next layer values, nested alike. Assumes aligned layers (the SVS set), balanced or
    not. Raises InputError for negative targets, a learning rate that is not above zero, and
    shapes that do not fit. Source: kim2026.

    >>> descent_map((([1.0], [2.0]),), [3.0], 0.1)
    ((array([1.2]), array([2.1])),)
    """
    step = positive("learning_rate", learning_rate)
    target = at_least_zero("targets", targets)
    pathways = pathway_layers(layer_values)
    if pathways[0].shape[1:] != target.shape:
        raise InputError(
            f"layer_values has modes of shape {pathways[0].shape[1:]} and targets are of shape "
            f"{target.shape}, and one target for each mode is needed; pad with zeros."
        )
    residual = sum(layers.prod(axis=0) for layers in pathways) - target
    return tuple(
        tuple(layers - step * residual * exclusive_products(layers)) for layers in pathways
    )


def balance_factor(residual: ArrayLike, other_values: ArrayLike, learning_rate: float) -> Array:
    """What one step of gradient descent multiplies the gap between two layers by, exactly.

    `1 − η² r² Π_{m≠i,j} w_m²`: between −1 and 1, so that the gap shrinks, iff
    `η² r² Π_{m≠i,j} w_m² < 2`; below 0 it changes its sign, below −1 it grows.

    Arguments as those of `balance_gap_next`. Source: ghosh2025.4.

    >>> float(balance_factor(-1.0, [0.5], 0.2))
    0.99
    """
    step = positive("learning_rate", learning_rate)
    others = finite("other_values", other_values).prod(axis=0)
    return np.asarray(1 - (step * finite("residual", residual) * others) ** 2)


@prediction("balance_gap", symbol="b⁺", source="ghosh2025.4")
def balance_gap_next(
    gap: ArrayLike, residual: ArrayLike, other_values: ArrayLike, learning_rate: float
) -> Array:
    """The gap between two layers of a pathway after one step of gradient descent, exactly.

    `b_ij = w_i² − w_j²`, `b⁺ = b (1 − η² r² Π_{m≠i,j} w_m²)`.

    `gap` b and `residual` r (the total over pathways) are numbers or arrays [mode];
    `other_values` [layer, ...] holds the layer values of the pathway other than i and j, and is
    empty for depth 2. Assumes aligned layers; no balance. Raises InputError for numbers that are
    not finite. Source: ghosh2025.4, kim2026.

    >>> float(balance_gap_next(2.0, -1.0, [0.5], 0.2))
    1.98
    """
    factor = balance_factor(residual, other_values, learning_rate)
    return np.asarray(finite("gap", gap) * factor)


PREDICTIONS: tuple[Prediction, ...] = (balance_gap_next,)
