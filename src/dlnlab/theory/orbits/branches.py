"""The branch of cycles of each period in scaled units: where it is born, where it doubles.

A branch begins at its superstable cycle (the one through the top, multiplier 0), which is found
from its word, and is followed from there: up to multiplier −1, where the period doubles, and down
to its birth. A power of two is born where half of it doubles; any other period together with an
unstable twin, where the multiplier of both is 1.
"""

from functools import lru_cache

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.orbits.kneading import first_word, odd_part, superstable
from dlnlab.theory.orbits.shooting import Point, corrected, follow, multiplier
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)


@lru_cache(maxsize=256)
def superstable_cycle(depth: int, period: int) -> Point:
    """The first cycle of `period` through the top of the map; at period 1 the minimum, κ = 1."""
    rate, logs = superstable(depth, first_word(period))
    found = corrected(Point(logs, rate), depth, "multiplier", 0.0)
    if found is None:
        raise InputError(
            f"the cycle of period {period} at depth {depth} was not found to rounding; "
            "ask for a shorter one."
        )
    return found


@lru_cache(maxsize=256)
def doubling_cycle(depth: int, period: int) -> Point:
    """The cycle of the branch at multiplier −1, where it gives way to one of twice the period."""
    return follow(superstable_cycle(depth, period), depth, "multiplier", -1.0)


@lru_cache(maxsize=256)
def birth_rate(depth: int, period: int) -> float:
    """κ from which on the branch exists: 0, the doubling of half the period, or a tangency."""
    if period == 1:
        return 0.0
    if odd_part(period) == 1:
        return doubling_cycle(depth, period // 2).rate
    start = superstable_cycle(depth, period)
    return follow(start, depth, "multiplier", 1.0).rate


def cycle_at(depth: int, period: int, rate: float) -> Point:
    """The cycle of the branch at κ, beyond its birth."""
    start = superstable_cycle(depth, period)
    if rate < start.rate:
        return _near_birth(depth, period, rate)

    def apart(point: Point) -> bool:
        # The twin born with it has a multiplier above 1, and so has half the period run twice.
        return multiplier(point, depth) < 1

    return follow(start, depth, "rate", rate, apart)


def _near_birth(depth: int, period: int, rate: float) -> Point:
    """By way of the multiplier between 0 and 1: κ is a smooth function of it down to the birth.

    At a given κ two cycles run into one there, and Newton's method loses its digits.
    """
    start, birth = superstable_cycle(depth, period), birth_rate(depth, period)
    # Before a doubling there is half the period run twice, with a multiplier below 1 too.
    least = birth if odd_part(period) == 1 else 0.0

    def cycle(goal: float) -> Point:
        return follow(start, depth, "multiplier", goal, lambda point: point.rate >= least)

    def excess(goal: float) -> float:
        return (birth if goal == 1 else cycle(goal).rate) - rate

    return cycle(float(brentq(excess, 0.0, 1.0, xtol=_EPSILON, rtol=4 * _EPSILON)))
