"""Where cycles double, and the windows in which they are stable."""

from typing import NamedTuple

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, whole
from dlnlab.theory.base import prediction
from dlnlab.theory.orbits.branches import birth_rate, doubling_cycle, superstable_cycle
from dlnlab.theory.orbits.cycles import scale
from dlnlab.theory.orbits.kneading import MOST_PERIOD, first_word

_MOST_DOUBLINGS = MOST_PERIOD.bit_length()


class Cascade(NamedTuple):
    """Step sizes at which the cycles of `periods` 1, 2, 4, … lose their stability; see `doublings`.

    `ratios` are `δ_n = (η_n − η_{n−1})/(η_{n+1} − η_n)`, two fewer than there are step sizes.
    """

    periods: tuple[int, ...]
    learning_rates: tuple[float, ...]
    ratios: tuple[float, ...]


class Window(NamedTuple):
    """Step sizes between which a cycle is stable, and where its multiplier is zero."""

    period: int
    opens: float
    superstable: float
    closes: float


def doublings(depth: int, target: float, count: int) -> Cascade:
    """The step sizes of the doubling cascade 1 → 2 → 4 → …, where each cycle's multiplier is −1.

    `Π_i f_η'(w_i) = −1` along the cycle of period 2^n; the first is the edge 2/S of the minimum,
    the second `2(√5−1)/S` at depth 2. The ratios tend to Feigenbaum's constant 4.669….

    `depth` L at least 2, `target` s > 0, `count` from 1 to 9. Step sizes are accurate to rounding,
    the ratio δ_n to that times 4.669^n. Assumes one aligned, depth-balanced chain. Raises
    InputError for arguments out of range. Source: ghosh2025.3.

    >>> cascade = doublings(2, 0.5, 8)
    >>> [round(rate, 8) for rate in cascade.learning_rates[:3]], round(cascade.ratios[-1], 3)
    ([2.0, 2.47213595, 2.57606351], 4.669)
    """
    deep, _, sharpness = scale(depth, target)
    if whole("count", count) > _MOST_DOUBLINGS:
        raise InputError(
            f"count is {count}, and at most {_MOST_DOUBLINGS} are computed, after which float64 "
            "hardly tells one from the next; lower it."
        )
    periods = tuple(2**index for index in range(count))
    rates = [doubling_cycle(deep, period).rate for period in periods]
    gaps = np.diff(rates)
    return Cascade(
        periods=periods,
        learning_rates=tuple(rate / sharpness for rate in rates),
        ratios=tuple((gaps[:-1] / gaps[1:]).tolist()),
    )


def window(depth: int, target: float, period: int) -> Window:
    """The first window of step sizes in which a cycle of this period is stable.

    It opens where the multiplier is 1: a tangency at which the stable cycle and its unstable twin
    are born, or, for a power of two, the doubling of half the period. It closes at multiplier −1,
    and is `superstable` (multiplier 0) where the cycle passes through the map's top. Every period
    has its window before η_WCR, where `f(f(c)) = 0` and all words of sides have occurred.

    `depth` L at least 2, `target` s > 0, `period` at most 256, its odd part at most 21. Assumes
    one aligned, depth-balanced chain. Raises InputError for arguments out of range.
    Source: ghosh2025.3.

    >>> period, opens, _, closes = window(2, 0.5, 3)
    >>> round(opens, 6), round(closes, 6)
    (2.900882, 2.921657)
    """
    deep, _, sharpness = scale(depth, target)
    first_word(period)
    return Window(
        period=int(period),
        opens=birth_rate(deep, period) / sharpness,
        superstable=superstable_cycle(deep, period).rate / sharpness,
        closes=doubling_cycle(deep, period).rate / sharpness,
    )


@prediction("learning_rate_edge", dims=("doubling",), symbol="η_n", source="ghosh2025.3")
def doubling_edges(depth: int, target: float, count: int = 5) -> Array:
    """The step sizes at which the orbit doubles its period, 2/S first [doubling]; see `doublings`.

    `Π_i f_η'(w_i) = −1` along the cycle of period 2^n.

    `depth` L at least 2, `target` s > 0, `count` from 1 to 9. Assumes one aligned, depth-balanced
    chain. Raises InputError for arguments out of range. Source: ghosh2025.3.

    >>> doubling_edges(2, 0.5, 3).round(6).tolist()
    [2.0, 2.472136, 2.576064]
    """
    return np.asarray(doublings(depth, target, count).learning_rates)


@prediction("learning_rate_edge", dims=("end",), symbol="η", source="ghosh2025.3")
def window_edges(depth: int, target: float, period: int) -> Array:
    """Where the first window of a period opens and closes [end]; see `window`.

    `depth` L at least 2, `target` s > 0, `period` at most 256, its odd part at most 21. Assumes
    one aligned, depth-balanced chain. Raises InputError for arguments out of range.
    Source: ghosh2025.3.

    >>> window_edges(2, 0.5, 3).round(6).tolist()
    [2.900882, 2.921657]
    """
    found = window(depth, target, period)
    return np.array([found.opens, found.closes])
