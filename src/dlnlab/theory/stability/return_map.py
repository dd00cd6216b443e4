"""The map of gradient descent on a balanced chain, and the step from which it may not return.

With the target at 1 in units of s, κ = ηS and d(w) = ((2L−1)w^L − (L−1))/L, the map's top c
satisfies `κ c^{L−2} d(c) = 1`. All is written in d and in ln w^L, which keeps its digits when
w itself is within 1/L of 1.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array, finite, positive_number, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)


class ReturnPath(NamedTuple):
    """The layer value of the map's top, the top itself, and where it is sent in one more step."""

    argmax: float
    highest: float
    returned: float


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=_EPSILON, rtol=4 * _EPSILON))


def _log_product(d: float, depth: int) -> float:
    """ln c^L of the top with slope variable d."""
    return math.log((depth - 1 + depth * d) / (2 * depth - 1))


def _log_highest_product(d: float, depth: int) -> float:
    """ln f(c)^L: the top's own, and L times the logarithm of f(c)/c."""
    return _log_product(d, depth) + depth * math.log1p((1 - d) / ((2 * depth - 1) * d))


def worst_case_return_constant(depth: int) -> float:
    """The worst-case return step in units of 1/S, `γ(L) = η_WCR S`, `S = L s^{2−2/L}`.

    `f_η(w) = w − η w^{L−1}(w^L − s)`, `c = argmax f_η`, and η_WCR solves `f_η(f_η(c)) = 0`.
    `γ(2) = 3√3 − 2`; `γ ≈ 2W(2L)`, Lambert's W, for large L.

    `depth` L is at least 2; at depth 1 the map is linear and has no top. Accurate to rounding.
    Assumes one aligned, depth-balanced chain. Raises InputError for depth below 2.
    Source: kim2026.7.

    >>> round(worst_case_return_constant(3), 8)
    3.66099628
    """
    depth = whole("depth", depth, 2)

    def excess(log_d: float) -> float:
        d = math.exp(log_d)
        highest = _log_highest_product(d, depth)
        climb = (depth - 2) * math.log1p((1 - d) / ((2 * depth - 1) * d))
        return climb - math.log(depth * d) + highest + math.log(-math.expm1(-highest))

    d = math.exp(_root(excess, math.log(1e-3), math.log(0.9)))
    return math.exp(-_log_product(d, depth) * (1 - 2 / depth)) / d


def worst_case_return(target: float, depth: int) -> float | None:
    """The step size beyond which a chain may be thrown across zero: `η_WCR = γ(L)/S`.

    `S = L s^{2−2/L}`; γ as in `worst_case_return_constant`.

    `target` s > 0. None at depth 1, whose map is linear: it diverges at 2/S, and no step size has
    this property. Assumes one aligned, depth-balanced chain that starts below the target. Raises
    InputError for a target not above zero or a depth below 1. Source: kim2026.7.

    >>> round(worst_case_return(1.0, 5), 8)
    0.84489908
    """
    goal, deep = positive_number("target", target), whole("depth", depth)
    if deep == 1:
        return None
    return float(worst_case_return_constant(deep) / (deep * goal ** (2 - 2 / deep)))


@prediction("layer_value", symbol="f_η(w)", source="kim2026.7")
def map_value(value: ArrayLike, learning_rate: float, target: float, depth: int) -> Array:
    """One step of gradient descent on the layer value of a balanced chain.

    `f_η(w) = w − η w^{L−1}(w^L − s)`.

    `value` w is a layer value, any shape; `target` s > 0. A step beyond the largest float is
    infinite. Assumes one aligned, depth-balanced chain. Raises InputError for a value that is not
    finite, a step size or target not above zero, a depth below 1. Source: kim2026.7.

    >>> float(map_value(0.5, 1.0, 1.0, 2))
    0.875
    """
    layer, deep = finite("value", value), whole("depth", depth)
    step, goal = positive_number("learning_rate", learning_rate), positive_number("target", target)
    with np.errstate(over="ignore"):
        return np.asarray(layer - step * layer ** (deep - 1) * (layer**deep - goal))


def _slope_variable(learning_rate: float, target: float, depth: int) -> float:
    """Solve `κ c^{L−2} d(c) = 1` for d, κ = ηS; d < 1, c below the minimum, where κ > 1."""
    deep, goal = whole("depth", depth, 2), positive_number("target", target)
    step = positive_number("learning_rate", learning_rate)
    log_kappa = math.log(step) + math.log(deep) + (2 - 2 / deep) * math.log(goal)

    def excess(log_d: float) -> float:
        return log_d + (1 - 2 / deep) * _log_product(math.exp(log_d), deep) + log_kappa

    return math.exp(_root(excess, min(-log_kappa, 0.0), max(-log_kappa, 0.0)))


def map_argmax(learning_rate: float, target: float, depth: int) -> float:
    """The layer value c that gradient descent throws highest: `c = argmax_{w>0} f_η(w)`.

    `η[(2L−1)c^{2L−2} − (L−1)s c^{L−2}] = 1`; below the minimum s^{1/L} iff ηS > 1.

    `target` s > 0, `depth` at least 2. Accurate to rounding. Assumes one aligned, depth-balanced
    chain. Raises InputError for arguments out of range. Source: kim2026.7.

    >>> round(map_argmax(1.0, 1.0, 2), 12)  # √((1 + η)/(3η))
    0.816496580928
    """
    return return_path(learning_rate, target, depth).argmax


def return_path(learning_rate: float, target: float, depth: int) -> ReturnPath:
    """The map's top and its fate: `(c, f_η(c), f_η(f_η(c)))`, `c = argmax_{w>0} f_η(w)`.

    Above zero in the last place the chain always returns; η_WCR is where it is zero.

    `target` s > 0, `depth` at least 2; layer values, accurate to rounding in units of s^{1/L}
    (a plain evaluation of f_η loses a factor L). Assumes one aligned, depth-balanced chain. Raises
    InputError for arguments out of range. Source: kim2026.7.

    >>> path = return_path(worst_case_return(1.0, 5), 1.0, 5)
    >>> round(path.highest, 6), abs(path.returned) < 1e-14
    (1.12785, True)
    """
    d = _slope_variable(learning_rate, target, depth)
    scale = target ** (1 / depth)
    highest = _log_highest_product(d, depth)
    kappa = learning_rate * depth * target ** (2 - 2 / depth)
    top = scale * math.exp(highest / depth)
    with np.errstate(over="ignore"):
        fall = kappa / depth * np.exp(highest * (1 - 2 / depth)) * np.expm1(highest)
    argmax = scale * math.exp(_log_product(d, depth) / depth)
    return ReturnPath(argmax, top, float(top * (1 - fall)))


PREDICTIONS: tuple[Prediction, ...] = (map_value,)
