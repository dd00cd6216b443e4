"""The edge 2/η of gradient descent, and what lies on either side of it for several pathways."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import (
    Array,
    at_least_zero,
    positive,
    positive_number,
    whole,
)
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.special import brentq
from dlnlab.theory.stability.return_map import worst_case_return_constant

_EPSILON = float(np.finfo(np.float64).eps)

Window: TypeAlias = Literal["flow", "rebalances", "beyond"]


def single_path_sharpness(target: ArrayLike, depth: int) -> Array:
    """The sharpness of one balanced chain that carries a singular value alone.

    `S = L s^{2−2/L}`.

    `target` s at or above zero, any shape; `depth` L. Assumes an aligned, depth-balanced chain at
    zero loss. Raises InputError for a negative target or a depth below 1. Source: kim2026.1.

    >>> float(single_path_sharpness(4.0, 2))
    8.0
    """
    goal, deep = at_least_zero("target", target), whole("depth", depth)
    return np.asarray(deep * goal ** (2 - 2 / deep))


@prediction("sharpness", symbol="2/η", source="kim2026.5")
def edge_sharpness(learning_rate: ArrayLike) -> Array:
    """The largest sharpness at which gradient descent is stable: `2/η`.

    `learning_rate` η > 0, any shape. Assumes plain gradient descent near a minimum. Raises
    InputError for a learning rate that is not above zero. Source: kim2026.5.

    >>> float(edge_sharpness(0.1))
    20.0
    """
    return np.asarray(2 / positive("learning_rate", learning_rate))


@prediction("learning_rate_edge", symbol="2/S", source="ghosh2025.1")
def stability_edge(target: ArrayLike, depth: int) -> Array:
    """The largest step size at which one balanced chain is stable: `2/S`, `S = L s^{2−2/L}`.

    `target` s > 0, any shape; `depth` L. Assumes an aligned, depth-balanced chain at zero loss.
    Raises InputError for a target not above zero or a depth below 1. Source: ghosh2025.1.

    >>> float(stability_edge(1.0, 20))
    0.1
    """
    return np.asarray(2 / single_path_sharpness(positive("target", target), depth))


@prediction("learning_rate_edge", dims=("mode",), symbol="2/S_i", source="ghosh2025.1")
def mode_edges(targets: ArrayLike, depth: int) -> Array:
    """The step size beyond which each mode of a chain oscillates: its own edge `2/S_i`.

    `targets` s_i ≥ 0 [mode]; `depth` L from 2 on. Infinite where s_i = 0, for what has no signal
    stays at rest. Assumes an aligned, depth-balanced chain at zero loss. Raises InputError for a
    negative target or a depth below 2. Source: ghosh2025.1.

    >>> mode_edges([10.0, 9.5, 9.0, 0.0], 3).round(6).tolist()
    [0.030944, 0.033134, 0.035611, inf]
    """
    sharpness = single_path_sharpness(at_least_zero("targets", targets), whole("depth", depth, 2))
    with np.errstate(divide="ignore"):
        return np.asarray(2 / sharpness)


def _scaled_rate(learning_rate: float, depth: int, target: float) -> float:
    """ηS/2: 1 at the edge of a single path."""
    rate, goal = positive_number("learning_rate", learning_rate), positive_number("target", target)
    return rate * float(single_path_sharpness(goal, depth)) / 2


def _short_of_edge(learning_rate: float, depth: int, target: float) -> float:
    return max(0.0, 1 - _scaled_rate(learning_rate, depth, target))


def _past_flattest(learning_rate: float, depth: int, target: float, pathways: int) -> float:
    flattest = float(whole("pathways", pathways) ** (2 / whole("depth", depth) - 1))
    return max(0.0, _scaled_rate(learning_rate, depth, target) * flattest - 1)


@prediction(
    "mode_values",
    dims=("pathway",),
    symbol="σ_h",
    assumes=(
        Assumption(
            "deep", "the depth is beyond 2", lambda depth: max(0.0, 3.0 - whole("depth", depth))
        ),
        Assumption(
            "two_pathways",
            "there are two pathways (more may share what the top leaves in many ways)",
            lambda pathways: abs(whole("pathways", pathways) - 2.0),
        ),
        Assumption("edge_passed", "ηS/2 ≥ 1: the single path is unstable", _short_of_edge),
        Assumption("minimum_stable", "ηλ_min/2 ≤ 1: equal shares are stable", _past_flattest),
    ),
    source="kim2026.5",
)
def edge_split(learning_rate: float, depth: int, target: float, pathways: int = 2) -> Array:
    """Where re-balancing stops: the split whose sharpness is at the edge, top share first.

    `L σ_1^{2−2/L} + L σ_2^{2−2/L} = 2/η`, `σ_1 + σ_2 = s`, `σ_1 ≥ σ_2`.

    Returns σ [pathway], descending. Assumes aligned, balanced pathways of equal depth beyond 2,
    two of them, and a step between the edges of the single path and of equal shares,
    `2/S ≤ η ≤ 2/λ_min`, `λ_min = H^{2/L−1} S`. Stretched: a single path below, equal shares above,
    and for more pathways the split whose others are equal. A trajectory stops near this split, on
    its stable side. Raises InputError for arguments out of range. Source: kim2026.5.

    >>> edge_split(0.12, 20, 1.0).round(4).tolist()
    [0.9015, 0.0985]
    """
    count, deep = whole("pathways", pathways), whole("depth", depth)
    goal, exponent = positive_number("target", target), 2 - 2 / deep
    relief = 1 - 1 / _scaled_rate(learning_rate, deep, goal)
    most = 1 - 1 / count

    def excess(rest: float) -> float:
        others = (count - 1) * (rest / (count - 1)) ** exponent
        return float(-np.expm1(exponent * np.log1p(-rest)) - others - relief)

    if count == 1 or relief <= 0 or deep <= 2:
        rest = 0.0
    elif excess(most) <= 0:
        rest = most
    else:
        rest = float(brentq(excess, 0, most, xtol=np.finfo(float).tiny, rtol=4 * _EPSILON))
    shares = np.full(count, rest / max(1, count - 1))
    shares[0] = 1 - rest
    return goal * shares


def windows(
    learning_rate: float, targets: ArrayLike, depth: int, pathways: int
) -> tuple[Window, ...]:
    """For each mode what a step size does to it: as gradient flow, re-balancing, or beyond.

    "flow" for `η < 2/S_i`, "rebalances" for `2/S_i ≤ η < min(2/λ_i^min, η_WCR,i)`, else "beyond";
    `S_i = L s_i^{2−2/L}`, `λ_i^min = H^{2/L−1} S_i`, `η_WCR,i = γ(L)/S_i`.

    `targets` s [mode], at or above zero (a mode without signal flows); H `pathways` of equal
    `depth` L, at least 2; at depth 2 the second window is empty. Assumes aligned, balanced
    pathways whose singular vectors do not mix. Raises InputError for arguments out of range.
    Source: kim2026.6.

    >>> windows(0.105, [1.0, 0.9], 20, 2)
    ('rebalances', 'flow')
    """
    modes = np.atleast_1d(at_least_zero("targets", targets))
    if modes.ndim != 1:
        raise InputError(
            f"targets has shape {modes.shape}, and one value for each mode is needed; flatten it."
        )
    deep, count = whole("depth", depth, 2), whole("pathways", pathways)
    scaled = positive_number("learning_rate", learning_rate) * single_path_sharpness(modes, deep)
    last = min(2 * count ** (1 - 2 / deep), worst_case_return_constant(deep))
    return tuple(
        "flow" if rate < 2 else "rebalances" if rate < last else "beyond" for rate in scaled
    )


PREDICTIONS: tuple[Prediction, ...] = (edge_sharpness, stability_edge, mode_edges, edge_split)
