"""Where the gradient flow of one chain of unbalanced layers ends, and how sharp it is there.

The flow conserves the differences of the squares of layers, so that a chain moves along one curve:
with u the layer of the least square, the others are `w_l = ±√(u² + d_l)`, d_l its distances. Only
u can change its sign.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, finite, shown
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.descent import exclusive_products
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)


class Curve(NamedTuple):
    """The curve of a chain: the index of the least layer, the d_l, the signs of the others."""

    least: int
    distances: Array
    signs: Array

    def layers(self, u: float) -> Array:
        """All layers where the least is u."""
        return np.asarray(np.where(self.signs == 0, u, self.signs * np.hypot(u, self.distances)))


def curve(layers: Array) -> Curve:
    """The curve that the flow from these layers follows; distances are roots of the d_l."""
    least = int(np.argmin(np.abs(layers)))
    sizes, smallest = np.abs(layers), abs(float(layers[least]))
    distances = np.sqrt((sizes - smallest) * (sizes + smallest))
    signs = np.where(layers < 0, -1.0, 1.0)
    signs[least] = 0.0
    return Curve(least, distances, signs)


def checked_chain(layer_values: ArrayLike, target: float, least: int = 1) -> tuple[Array, float]:
    """One value for each layer, at least so many of them, and one target at or above zero."""
    layers, goal = finite("layer_values", layer_values), at_least_zero("target", target)
    if layers.ndim != 1 or layers.size < least or goal.ndim:
        raise InputError(
            f"layer_values has shape {layers.shape} and target is {shown(target)}, and one number "
            f"for each of {least} or more layers and a single target are needed; call once for "
            "each mode."
        )
    return layers, float(goal)


def _meets_a_saddle(layer_values: ArrayLike, target: float) -> float:
    """1 where two layers of the least size keep the product at or below zero for ever, else 0."""
    layers, goal = checked_chain(layer_values, target)
    tied = np.count_nonzero(curve(layers).distances == 0) > 1
    return float(goal > 0 and tied and np.prod(np.sign(layers)) <= 0)


def chain_flow_end(layer_values: ArrayLike, target: float) -> Array:
    """Where the gradient flow of one scalar chain ends, from any layers, balanced or not.

    `Π_l w_l = s` with all `w_i² − w_j²` as they were; one root, since the product is monotone in
    the least layer. Where two layers of the least size have a product that is not above zero they
    cannot pass zero, and the flow ends on the saddle at which they vanish.

    `layer_values` w [layer]; `target` s at or above zero. Returns w [layer]. Assumes one aligned
    mode of one chain. Raises InputError for shapes that do not fit and numbers out of range.
    Source: ghosh2025.4.

    >>> end = chain_flow_end([1.5, 2.25], 5.0)
    >>> end.round(6).tolist(), round(float(end[0] ** 2 - end[1] ** 2), 6)
    ([1.946212, 2.569093], -2.8125)
    """
    layers, goal = checked_chain(layer_values, target)
    way = curve(layers)
    sign = float(np.prod(way.signs[way.signs != 0]))
    if goal == 0 or _meets_a_saddle(layers, goal):
        return way.layers(0.0) + 0.0  # no zero is negative

    def excess(log_u: float) -> float:
        return float(np.log(np.hypot(np.exp(log_u), way.distances)).sum() - np.log(goal))

    # The product is at least u^L, and at most u times that of the others where u = s^{1/L}.
    high = np.log(goal) / len(layers)
    others = np.delete(np.hypot(np.exp(high), way.distances), way.least)
    low = np.log(goal) - np.log(others).sum()
    margin = 1e-9 * (1 + abs(low) + abs(high))
    root = brentq(excess, low - margin, high + margin, xtol=_EPSILON, rtol=4 * _EPSILON)
    u = float(np.exp(root))
    # A large logarithm has few digits behind the point: one step of Newton's on the product.
    slope = ((u / np.hypot(u, way.distances)) ** 2).sum()
    u -= u * (float(np.prod(np.abs(way.layers(u)))) / goal - 1) / slope
    return way.layers(sign * u)


@prediction(
    "flow_end_sharpness",
    symbol="λ(θ_∞)",
    assumes=(
        Assumption(
            "reaches_a_minimum",
            "the flow ends at a minimum, not on the saddle at zero",
            _meets_a_saddle,
        ),
    ),
    source="ghosh2025.4",
)
def chain_flow_end_sharpness(layer_values: ArrayLike, target: float) -> Array:
    """The sharpness of the minimum at which the gradient flow of one scalar chain ends.

    `Σ_l (s/w_l)² = Σ_l Π_{m≠l} w_m²` at `chain_flow_end`; at least `S = L s^{2−2/L}`, to which it
    falls as the layers become balanced.

    Arguments as those of `chain_flow_end`. Assumes that the flow does not end on a saddle.
    Source: ghosh2025.4.

    >>> float(chain_flow_end_sharpness([1.5, 2.25], 5.0).round(6))  # √(4·5² + 2.8125²)
    10.387981
    """
    return np.asarray((exclusive_products(chain_flow_end(layer_values, target)) ** 2).sum())


PREDICTIONS: tuple[Prediction, ...] = (chain_flow_end_sharpness,)
