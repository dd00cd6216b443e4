"""What an L2 penalty on the parameters means for the product: a Schatten quasi-norm."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, shown, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)


@prediction("least_squared_norm", symbol="L‖W‖_{2/L}^{2/L}", source="jacot2021.5")
def least_squared_norm(singular_values: ArrayLike, depth: int) -> Array:
    """The least `Σ_l ‖W_l‖²_F` of all layers whose product has these singular values.

    `L Σ_i σ_i^{2/L}`: L times the Schatten quasi-norm of order 2/L, to its power. It is reached by
    balanced layers, and counts the rank as L → ∞.

    `singular_values` σ [mode] at or above zero; `depth` L at least 1. Assumes hidden layers at
    least as wide as the rank. Raises InputError for arguments out of range. Source: jacot2021.5.

    >>> float(least_squared_norm([4.0, 1.0], 2))  # twice the nuclear norm
    10.0
    """
    deep, values = whole("depth", depth), at_least_zero("singular_values", singular_values)
    return np.asarray(deep * (values[values > 0] ** (2 / deep)).sum())


def learning_threshold(depth: int, weight_decay: float) -> float:
    """The strength above which a mode is learned at all under an L2 penalty of the parameters.

    `s_c = σ_c (L−1)/(L−2)`, `σ_c = (λ(L−2))^{L/(2L−2)}`, for L > 2, where the best value jumps from
    0 to σ_c; λ for L = 2, and 0 for L = 1.

    `depth` L at least 1, `weight_decay` λ at or above zero in `ℓ + (λ/2) Σ_l ‖W_l‖²_F`. Raises
    InputError for arguments out of range. Source: jacot2021.5.

    >>> learning_threshold(2, 0.1), round(learning_threshold(3, 0.1), 6)
    (0.1, 0.355656)
    """
    deep, penalty = whole("depth", depth), _penalty(weight_decay)
    if deep <= 2:
        return penalty if deep == 2 else 0.0
    return _jump(deep, penalty) * (deep - 1) / (deep - 2)


def _penalty(weight_decay: float) -> float:
    penalty = at_least_zero("weight_decay", weight_decay)
    if penalty.ndim:
        raise InputError(
            f"weight_decay is {shown(weight_decay)}, and a single number is needed; call once for "
            "each value."
        )
    return float(penalty)


def _jump(depth: int, penalty: float) -> float:
    return float((penalty * (depth - 2)) ** (depth / (2 * depth - 2)))


@prediction("mode_values", dims=("mode",), symbol="σ_λ", source="jacot2021.5")
def regularised_values(targets: ArrayLike, depth: int, weight_decay: float) -> Array:
    """The singular values of the best map under an L2 penalty of the parameters.

    The minimiser of `½(σ − s)² + (λL/2) σ^{2/L}`, mode by mode: `s/(1 + λ)` for one layer,
    `max(0, s − λ)` for two; beyond, the larger root of `σ + λσ^{2/L−1} = s` above
    `learning_threshold`, and 0 below it.

    `targets` s [mode] at or above zero; `depth` L; `weight_decay` λ at or above zero in
    `ℓ + (λ/2) Σ_l ‖W_l‖²_F`, ℓ the half-square loss of white inputs. Returns [mode]. Assumes hidden
    layers at least as wide as the rank; at the threshold itself both minima are as good, and 0 is
    returned. For L > 2 gradient descent may stay in the other. Raises InputError for arguments out
    of range. Source: jacot2021.5.

    >>> regularised_values([1.0, 0.3], 3, 0.1).round(6).tolist()
    [0.896283, 0.0]
    """
    deep, penalty = whole("depth", depth), _penalty(weight_decay)
    goals = np.atleast_1d(at_least_zero("targets", targets))
    if deep == 1:
        return np.asarray(goals / (1 + penalty))
    if deep == 2 or penalty == 0:
        return np.maximum(0.0, goals - penalty)
    least, low = learning_threshold(deep, penalty), _jump(deep, penalty)
    roots = [_root(goal, deep, penalty, low) if goal > least else 0.0 for goal in goals.flat]
    return np.array(roots).reshape(goals.shape)


def _root(goal: float, depth: int, penalty: float, low: float) -> float:
    return float(
        brentq(
            lambda value: value - goal + penalty * value ** (2 / depth - 1),
            low,
            goal,
            xtol=_EPSILON * goal,
            rtol=4 * _EPSILON,
        )
    )


PREDICTIONS: tuple[Prediction, ...] = (least_squared_norm, regularised_values)
