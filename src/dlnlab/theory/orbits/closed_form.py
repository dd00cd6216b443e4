"""The cycle of period 2 in closed form, and the period that the cascade has reached."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, shown
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.orbits.branches import doubling_cycle
from dlnlab.theory.orbits.cycles import scale, scaled_rate
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)
_LONGEST = 64


def _scaled(depth: int, target: float, learning_rate: float) -> tuple[int, float, float]:
    """Depth, target and κ = ηS."""
    deep, goal, sharpness = scale(depth, target)
    return deep, goal, scaled_rate(learning_rate, sharpness)


def _low_log(log_ratio: float, depth: int) -> float:
    """ln ρ^L/s of the lower point, where z^L = e^{log_ratio} is the ratio of the two.

    `ρ^L/s = (1 + z^{L−1})/(1 + z^{2L−1})`, written so that it keeps its digits as z → 1.
    """
    part = np.exp((1 - 1 / depth) * log_ratio)
    return -float(np.log1p(part / (1 + part) * np.expm1(log_ratio)))


def _log_rate(log_ratio: float, depth: int) -> float:
    """ln κ at which the cycle has this ratio: `z − 1 = η(s − ρ^L)ρ^{L−2}` solved for η."""
    low = _low_log(log_ratio, depth)
    climb = np.log(depth * np.expm1(log_ratio / depth))
    return float(climb - np.log(-np.expm1(low)) - (1 - 2 / depth) * low)


def _edge_passed(depth: int, target: float, learning_rate: float) -> float:
    return max(0.0, 1 - _scaled(depth, target, learning_rate)[2] / 2)


def _past_doubling(depth: int, target: float, learning_rate: float, period: int) -> float:
    deep, _, rate = _scaled(depth, target, learning_rate)
    return max(0.0, rate / doubling_cycle(deep, period).rate - 1)


@prediction(
    "singular_values",
    dims=("phase",),
    symbol="ρ^L",
    assumes=(
        Assumption("edge_passed", "ηS/2 ≥ 1: the minimum is unstable", _edge_passed),
        Assumption(
            "not_doubled",
            "the cycle of period 2 is stable itself",
            lambda depth, target, learning_rate: _past_doubling(depth, target, learning_rate, 2),
        ),
    ),
    source="ghosh2025.2",
)
def two_cycle(depth: int, target: float, learning_rate: float) -> Array:
    """The end-to-end values between which descent on one balanced chain alternates.

    `ρ^L (1 + z^{2L−1})/(1 + z^{L−1}) = s`, `z = 1 + η(s − ρ^L)ρ^{L−2}`; the other value is
    `(zρ)^L`. At depth 2 the two solve `P² − (s + 1/η)P + 1/η² = 0`. Given z, the equations yield
    ρ and η at once, and η grows with z; so one root in ln z is all that is searched.

    `depth` L at least 2, `target` s > 0, `learning_rate` η. Returns [phase], the lower value
    first. Assumes an aligned, depth-balanced chain, a step size beyond the edge 2/S (stretched:
    twice the minimum below it) and before the cycle's own doubling (stretched: the unstable
    cycle). Raises InputError for arguments out of range. Source: ghosh2025.2.

    >>> two_cycle(3, 10.0, 0.0345).round(5).tolist()
    [7.11288, 12.03346]
    """
    deep, goal, rate = _scaled(depth, target, learning_rate)
    lowest, highest = 1e-9, 1.0
    if np.log(rate) <= _log_rate(lowest, deep):
        return np.full(2, goal)
    while _log_rate(highest, deep) < np.log(rate):
        highest *= 2
    ratio = brentq(
        lambda log_ratio: _log_rate(log_ratio, deep) - np.log(rate),
        lowest,
        highest,
        xtol=_EPSILON,
        rtol=4 * _EPSILON,
    )
    low = _low_log(ratio, deep)
    return np.asarray(goal * np.exp([low, low + ratio]))


@prediction(
    "amplitude",
    dims=("mode",),
    symbol="(zρ)^L − ρ^L",
    assumes=(
        Assumption(
            "not_doubled",
            "the cycle of period 2 is stable itself, for every mode",
            lambda depth, targets, learning_rate: max(
                _past_doubling(depth, target, learning_rate, 2) for target in _oscillating(targets)
            ),
        ),
    ),
    source="ghosh2025.1",
)
def amplitudes(depth: int, targets: ArrayLike, learning_rate: float) -> Array:
    """How far each mode moves in a step once transients are over: 0 up to its own edge 2/S_i.

    Beyond it the distance of the two values of its cycle, see `two_cycle`.

    `depth` L at least 2, `targets` s_i ≥ 0 [mode], one of them above 0; `learning_rate` η.
    Returns [mode]. Assumes aligned, depth-balanced chains and that no mode has passed the doubling
    of its cycle (stretched: the unstable cycle). Raises InputError for arguments out of range.
    Source: ghosh2025.1, ghosh2025.2.

    >>> amplitudes(3, [10.0, 9.5, 9.0, 0.0], 0.034).round(3).tolist()
    [4.608, 2.363, 0.0, 0.0]
    """
    _oscillating(targets)
    return np.array(
        [
            np.ptp(two_cycle(depth, target, learning_rate, stretch=True)) if target > 0 else 0.0
            for target in np.atleast_1d(at_least_zero("targets", targets)).tolist()
        ]
    )


def _oscillating(targets: ArrayLike) -> list[float]:
    """The targets that have an edge at all: those above 0."""
    given = np.atleast_1d(at_least_zero("targets", targets))
    found: list[float] = given[given > 0].tolist()
    if given.ndim > 1 or not found:
        raise InputError(
            f"targets is {shown(targets)}, and a list of numbers, one of them above 0, is needed; "
            "name the singular values of the target, say 10,9.5,9."
        )
    return found


@prediction(
    "period",
    symbol="2^n",
    assumes=(
        Assumption(
            "in_cascade",
            f"the cycle of period {_LONGEST} has not yet doubled",
            lambda depth, target, learning_rate: _past_doubling(
                depth, target, learning_rate, _LONGEST
            ),
        ),
    ),
    source="ghosh2025.3",
)
def cascade_period(depth: int, target: float, learning_rate: float) -> Array:
    """The period of the orbit to which descent on one balanced chain tends, in the cascade.

    1 up to the edge 2/S, then 2, 4, 8, … up to 64, each until its multiplier is −1.

    `depth` L at least 2, `target` s > 0, `learning_rate` η. Assumes an aligned, depth-balanced
    chain and a step size before the 64-cycle doubles (stretched: 0, no period, although windows of
    other periods follow). At a doubling itself the approach is slower than any power of a number
    below 1. Raises InputError for arguments out of range. Source: ghosh2025.3.

    >>> [int(cascade_period(2, 0.5, rate)) for rate in (1.9, 2.1, 2.5)]
    [1, 2, 4]
    """
    deep, _, rate = _scaled(depth, target, learning_rate)
    period = 1
    while rate > doubling_cycle(deep, period).rate:
        if period == _LONGEST:
            return np.asarray(0.0)
        period *= 2
    return np.asarray(float(period))


PREDICTIONS: tuple[Prediction, ...] = (two_cycle, amplitudes, cascade_period)
