"""Which cycle of a period comes first, as the word of sides on which the top's orbit falls.

The map has one top c. Its orbit f(c), f(f(c)), … falls right (R) or left (L) of c; the word of a
cycle through c names its points up to the last, which is c itself. Words are ordered by the
orbit of the top, which rises with κ, so a superstable cycle is found by bisection on κ from its
word alone (Metropolis, Stein and Stein, 1973).
"""

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, whole
from dlnlab.theory.orbits.scaled_map import escape_rate, step, top

MOST_PERIOD = 256
MOST_ODD_PART = 21
"""Beyond it a window is narrower than float64 resolves."""


def doubled(word: str) -> str:
    """The word of the cycle that is born where the cycle of `word` loses its stability.

    >>> doubled(""), doubled(doubled(""))
    ('R', 'RLR')
    """
    turned = word.translate(str.maketrans("LR", "RL"))
    return "R" + "".join(side + "R" for side in turned)


def odd_part(period: int) -> int:
    """What is left of a period when it is halved as often as it can be."""
    return period // (period & -period)


def first_word(period: int) -> str:
    """The word of the first cycle of this period as the step size grows.

    A power of two belongs to the cascade from the minimum. An odd period q beyond 1 has
    `RLR…R` (q − 1 letters: Štefan's cycle), and `2^k q` is that, doubled k times.

    Raises InputError for periods below 1 or beyond what float64 resolves.

    >>> [first_word(period) for period in (1, 2, 3, 4, 5, 6)]
    ['', 'R', 'RL', 'RLR', 'RLRR', 'RLRRR']
    """
    whole("period", period)
    odd = odd_part(period)
    if period > MOST_PERIOD or odd > MOST_ODD_PART:
        raise InputError(
            f"period is {period}, and one of at most {MOST_PERIOD} is needed, {MOST_ODD_PART} times"
            " a power of two at the most, because windows of others are narrower than float64 "
            "resolves; ask for a shorter one."
        )
    word = "" if odd == 1 else "RL" + "R" * (odd - 3)
    while len(word) + 1 < period:
        word = doubled(word)
    return word


def orbit_of_top(rate: float, depth: int, count: int) -> Array:
    """u of the top c and of the points that follow it: c, f(c), … [count]."""
    logs = np.empty(count)
    logs[0] = top(rate, depth)
    for index in range(1, count):
        logs[index] = step(logs[index - 1], rate, depth).value
    return logs


def _beyond(rate: float, depth: int, word: str) -> bool:
    """Whether the top's orbit comes after `word` in the order of words."""
    logs = orbit_of_top(rate, depth, len(word) + 2)
    upright = True
    for side, value in zip(word, logs[1:], strict=False):
        right = bool(value > logs[0])
        if right != (side == "R"):
            return right == upright
        upright = upright != right
    return bool(logs[-1] > logs[0]) == upright


def superstable(depth: int, word: str) -> tuple[float, Array]:
    """κ at which the cycle of `word` passes through the top, and the u of its points [period].

    Accurate to about the rounding of κ; the points are refined by Newton's method elsewhere.
    """
    low, high = 1.0, escape_rate(depth)
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if _beyond(middle, depth, word) else (middle, high)
    return low, orbit_of_top(low, depth, len(word) + 1)
