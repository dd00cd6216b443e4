"""Where the descent of one balanced mode ends up: a minimum, a cycle, or a chaotic orbit.

In units of the minimum, `u = w/s^{1/L}`, one step is `f(u) = u − (κ/L) u^{L−1}(u^L − 1)`, κ = ηS.
"""

import math
from collections.abc import Iterator

import numpy as np

from dlnlab.theory.arguments import Array
from dlnlab.theory.stability.return_map import map_argmax

LONGEST_PERIOD = 64
CHAOTIC_STEPS = 2**13
_TRANSIENT = 2**13
_MOST_TRANSIENTS = 16
_EPSILON = float(np.finfo(np.float64).eps)


def attractor(depth: int, target: float, learning_rate: float) -> Array | None:
    """The attractor of the balanced map that holds the map's top, or None.

    None where the top diverges, or is thrown so near to the saddle at zero that it does not leave
    it within 10⁵ steps (or, from below at odd depths, ever).

    Layer values in their order in time: one, at a minimum (which is taken as such up to `ηS = 2`);
    up to `LONGEST_PERIOD`, of a cycle, polished to rounding; or `CHAOTIC_STEPS` of an orbit
    without one. The orbit of the map's top is looked at because no attracting cycle of a
    map with negative Schwarzian derivative is without a critical point.
    """
    if target == 0:
        return np.zeros(1)
    scaled = learning_rate * depth * target ** (2 - 2 / depth)
    orbit = np.ones(1) if scaled <= 2 else _scaled_attractor(scaled, depth)
    return None if orbit is None else target ** (1 / depth) * orbit


def _orbit(u: float, step: float, depth: int) -> Iterator[float]:
    """The iterates after u, until they diverge: `|f(u)| > |u| > 1` goes on for ever."""
    while True:
        power = u ** (depth - 2)
        misfit = power * u * u - 1
        if step * abs(power) * (abs(misfit + 1) - 1) > 2:
            return
        u -= step * power * u * misfit
        yield u


def _steps(u: float, step: float, depth: int, count: int) -> list[float] | None:
    try:
        made = [v for v, _ in zip(_orbit(u, step, depth), range(count), strict=False)]
    except OverflowError:
        return None
    return made if len(made) == count else None


def _slope(u: Array, step: float, depth: int) -> Array:
    """f'(u)."""
    return np.asarray(1 - step * u ** (depth - 2) * ((2 * depth - 1) * u**depth - (depth - 1)))


def _scaled_attractor(scaled: float, depth: int) -> Array | None:
    step, u = scaled / depth, map_argmax(scaled / depth, 1.0, depth)
    for _ in range(_MOST_TRANSIENTS):
        passed = _steps(u, step, depth, _TRANSIENT)
        if passed is None:
            return None
        cycle = _cycle(passed[-2 * LONGEST_PERIOD :], step, depth)
        if cycle is not None:
            return cycle if len(cycle) > 1 else None  # beyond the edge only the saddle at zero
        u, tail = passed[-1], np.array(passed[-CHAOTIC_STEPS // 2 :])
        with np.errstate(divide="ignore"):
            chaotic = np.log(np.abs(_slope(tail, step, depth))).mean() > 0.01
        if chaotic:
            break
    orbit = _steps(u, step, depth, CHAOTIC_STEPS)
    return None if orbit is None or max(orbit) - min(orbit) < 1e-6 else np.array(orbit)


def _cycle(tail: list[float], step: float, depth: int) -> Array | None:
    """The shortest stable cycle that the last iterates follow, by Newton's steps, if any."""
    orbit = np.array(tail)
    for period in range(1, LONGEST_PERIOD + 1):
        if np.abs(orbit[period:] - orbit[:-period]).max() < 1e-6:
            found = _polished(tail[0], period, step, depth)
            if found is not None and np.abs(found - orbit[:period]).max() < 1e-3:
                return found
    return None


def _polished(u: float, period: int, step: float, depth: int) -> Array | None:
    """The attracting cycle of this period through a point near u, if Newton's steps find it."""
    for _ in range(50):
        passed = _steps(u, step, depth, period)
        if passed is None:
            return None
        cycle = np.array([u, *passed[:-1]])
        multiplier = float(np.prod(_slope(cycle, step, depth)))
        miss = passed[-1] - u
        if abs(multiplier) < 1 and abs(miss) <= 64 * period * _EPSILON:
            return cycle
        if multiplier == 1 or not math.isfinite(multiplier):
            return None
        u += miss / (1 - multiplier)
    return None
