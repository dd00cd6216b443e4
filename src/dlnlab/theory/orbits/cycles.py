"""Cycles of descent on one balanced chain, at a step size and along their branch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, positive, positive_number, whole
from dlnlab.theory.orbits.branches import birth_rate, cycle_at
from dlnlab.theory.orbits.kneading import first_word
from dlnlab.theory.orbits.scaled_map import escape_rate
from dlnlab.theory.orbits.shooting import Point, multiplier
from dlnlab.theory.stability.edge import single_path_sharpness
from dlnlab.theory.stability.return_map import map_value

_LARGEST = 1e100
_DEEPEST = 10**6


class Cycle(NamedTuple):
    """A cycle of one balanced chain; layer values and end-to-end values in the order visited.

    `multiplier` is the signed derivative of the map along one period, and the cycle is `stable`
    where it lies between −1 and 1. `residual` is the largest `|f_η(w_i) − w_{i+1}|` in units of
    s^{1/L}, from the map as it stands, in float64.
    """

    learning_rate: float
    values: Array
    end_to_end: Array
    multiplier: float
    stable: bool
    residual: float


def scale(depth: int, target: float) -> tuple[int, float, float]:
    """Depth, target and `S = L s^{2−2/L}`, checked: in units of 1/S only the depth matters.

    Raises InputError for depths below 2, whose map is linear and has no cycle, and for sizes
    whose powers are no ordinary numbers.
    """
    deep, goal = whole("depth", depth), positive_number("target", target)
    if not 2 <= deep <= _DEEPEST:
        raise InputError(
            f"depth is {deep}, and a whole number from 2 to {_DEEPEST} is needed (at depth 1 "
            "descent is linear and has no cycles); name the layers of one chain."
        )
    if not 1 / _LARGEST <= goal <= _LARGEST:
        raise InputError(
            f"target is {goal:g}, and numbers from {1 / _LARGEST:g} to {_LARGEST:g} will do, whose "
            "squares are ordinary numbers still; measure the target in other units."
        )
    return deep, goal, float(single_path_sharpness(goal, deep))


def scaled_rate(learning_rate: float, sharpness: float) -> float:
    """κ = ηS, an ordinary number; raises InputError where it is none."""
    rate = positive_number("learning_rate", learning_rate) * sharpness
    if not 1 / _LARGEST <= rate <= _LARGEST:
        raise InputError(
            f"learning_rate is {learning_rate:g}, and its product with S = {sharpness:g} must lie "
            f"between {1 / _LARGEST:g} and {_LARGEST:g}; take one nearer to 2/S."
        )
    return rate


def cycle(depth: int, target: float, learning_rate: float, period: int) -> Cycle:
    """The cycle of a period of gradient descent on one balanced chain, stable or not.

    `w_{i+1} = f_η(w_i)`, `w_{i+period} = w_i`, `f_η(w) = w − ηw^{L−1}(w^L − s)`, all w > 0.

    `depth` L at least 2, `target` s > 0, `learning_rate` η. Period 1 is the minimum. A power of
    two is the cycle of the doubling cascade that begins there; any other period the first one that
    appears as η grows, and of the two born together the one that is stable at first. `values` and
    `end_to_end` are [period], from the lowest on. By Newton's method on all points together, to
    rounding. Assumes one aligned, depth-balanced chain whose layer values keep their sign. Raises
    InputError where η is below the birth of that cycle or, from period 2 on, at η_WCR or beyond,
    and for arguments out of range. Source: ghosh2025.2, ghosh2025.3.

    >>> found = cycle(3, 10.0, 0.0345, 2)
    >>> found.end_to_end.round(5).tolist(), found.stable
    ([7.11288, 12.03346], True)
    """
    deep, goal, sharpness = scale(depth, target)
    rate = scaled_rate(learning_rate, sharpness)
    first_word(period)
    if period == 1:
        point = Point(np.zeros(1), rate)
    else:
        _check_rate(rate, deep, period, sharpness)
        point = cycle_at(deep, period, rate)
    return unscaled(point, deep, goal, float(learning_rate))


def _check_rate(rate: float, depth: int, period: int, sharpness: float) -> None:
    given = f"learning_rate is {rate / sharpness:.12g}"
    if not rate > 2:
        raise InputError(
            f"{given}, and a cycle needs one above the edge 2/S = {2 / sharpness:.12g}, below "
            "which the minimum is stable; raise it, or ask for period 1."
        )
    if not rate < escape_rate(depth):
        raise InputError(
            f"{given}, and one below η_WCR = {escape_rate(depth) / sharpness:.12g} is needed, "
            "beyond which the chain may be thrown across zero; lower it."
        )
    if not rate > birth_rate(depth, period):
        raise InputError(
            f"{given}, and there is no cycle of period {period} before "
            f"{birth_rate(depth, period) / sharpness:.12g}; raise it, or ask for another period."
        )


def unscaled(point: Point, depth: int, target: float, learning_rate: float) -> Cycle:
    """A cycle in the units of the target, from its lowest point on."""
    logs = np.roll(point.logs, -int(np.argmin(point.logs)))
    unit = target ** (1 / depth)
    values = unit * np.exp(logs / depth)
    made = map_value(values, learning_rate, target, depth)
    along = multiplier(point, depth)
    return Cycle(
        learning_rate=learning_rate,
        values=values,
        end_to_end=target * np.exp(logs),
        multiplier=along,
        stable=abs(along) < 1,
        residual=float(np.abs(made - np.roll(values, -1)).max() / unit),
    )


def branch(
    depth: int, target: float, learning_rates: Sequence[float], period: int
) -> tuple[Cycle, ...]:
    """The cycle of a period at each of several step sizes, stable or not; see `cycle`.

    For the lines of an orbit diagram, the unstable ones included.

    >>> [found.stable for found in branch(2, 1.0, (1.1, 1.3), 2)]
    [True, False]
    """
    rates = positive("learning_rates", learning_rates)
    return tuple(cycle(depth, target, float(rate), period) for rate in rates.ravel())
