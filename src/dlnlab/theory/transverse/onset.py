"""From which step size on oscillating modes mix their singular vectors."""

from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.curvature.minima import minimum_spectrum
from dlnlab.theory.special import brentq
from dlnlab.theory.transverse.growth import checked_depth, checked_modes, growth_exponent

_NEAR_THE_EDGE = (1e-4, 1e-3, 1e-2)
_STRIDE = 0.02  # between step sizes that are looked at, in units of the first mode's edge


class Transverse(NamedTuple):
    """Step sizes around the mixing of two oscillating modes; see `transverse`."""

    first_mode_edge: float
    mixing_edge: float
    onset: float | None
    second_mode_edge: float | None


def _two_largest(targets: ArrayLike) -> Array:
    return np.sort(checked_modes(targets))[:-3:-1]


@prediction("learning_rate_edge", symbol="2/λ_12", source="ghosh2025.6")
def mixing_edge(depth: int, targets: ArrayLike) -> Array:
    """The step size beyond which minima are unstable to a mixing of the two strongest modes.

    `2/λ_12`, `λ_12 = Σ_{l=1}^{L} s_1^{2(L−l)/L} s_2^{2(l−1)/L}`, between 2/S_1 and 2/S_2. Beyond
    2/S_1 the first mode is not at its minimum but on a cycle: see `mixing_onset`.

    `targets` s [mode], at or above zero, in any order; `depth` L at least 2. Assumes one aligned,
    depth-balanced chain at zero loss. Raises InputError for arguments out of range.
    Source: ghosh2025.1, ghosh2025.6.

    >>> round(float(mixing_edge(3, [10.0, 9.5])), 6)
    0.032008
    """
    deep, goals = checked_depth(depth), _two_largest(targets)
    return np.asarray(2 / minimum_spectrum(goals[None], [deep])[0, 1])


def _sampled(depth: int, targets: Array, edge: float) -> Iterator[tuple[float, float]]:
    """Step sizes from the first mode's edge on, with the exponent there, until it diverges."""
    for beyond in chain(_NEAR_THE_EDGE, count(_STRIDE, _STRIDE)):
        rate = edge * (1 + beyond)
        exponent = growth_exponent(depth, targets, rate)
        if exponent is None:
            return
        yield rate, exponent


def _crossing(exponent: Callable[[float], float], low: float, high: float) -> float:
    """Where it changes sign; along chaotic orbits an average is rough, and a few steps will do."""
    return float(brentq(exponent, low, high, rtol=1e-12, maxiter=12, disp=False))


def mixing_onset(depth: int, targets: ArrayLike) -> float | None:
    """The step size from which on a mixing of the two strongest modes grows along their orbits.

    Where `growth_exponents` of the first two modes first crosses 0 beyond 2/S_1; None if it does
    not before a mode diverges (or is thrown upon the saddle at zero).

    Searched for in strides of 2 % of 2/S_1, then solved; a pair whose exponent is positive at
    once, as that of equal targets, has its onset at 2/S_1. For two layers it is `2/λ_12 =
    2/(s_1 + s_2)`: there, on the first mode's 2-cycle, the largest multipliers are a complex pair
    of product 1. For deeper chains and a first mode on a short cycle it comes a little later, by
    some per cent; where that mode is chaotic it may come earlier, and is as rough as an average
    along an orbit, to about a hundredth.

    `targets` s [mode], at or above zero, in any order: the two largest, whose λ is the largest, are
    looked at. Assumes aligned modes of one depth-balanced chain. Raises InputError for arguments
    out of range. Source: ghosh2025.6.

    >>> round(mixing_onset(2, [10.0, 8.0]), 12)  # 2/18
    0.111111111111
    """
    deep, goals = checked_depth(depth), _two_largest(targets)
    edge = low = 2 / float(deep * goals[0] ** (2 - 2 / deep))

    def exponent(rate: float) -> float:
        found = growth_exponent(deep, goals, rate)
        return np.inf if found is None else found

    for rate, growth in _sampled(deep, goals, edge):
        if growth > 0:
            return edge if low == edge else _crossing(exponent, low, rate)
        low = rate
    return None


def transverse(depth: int, targets: tuple[float, ...]) -> Transverse:
    """From which step size on the two strongest modes of a chain mix while they oscillate.

    `first_mode_edge`: `2/S_1`, `S_i = L s_i^{2−2/L}`, beyond which the first mode oscillates.
    `mixing_edge`: `2/λ_12`, `λ_12 = Σ_l s_1^{2(L−l)/L} s_2^{2(l−1)/L}`, beyond which minima are
    unstable to a mixing of singular vectors.
    `onset`: beyond which a mixing grows along the orbit of the modes; null if it does not before
    the first mode diverges.
    `second_mode_edge`: `2/S_2`, beyond which the second mode oscillates; null where s_2 is 0.

    `targets` s [mode], at least two, at or above zero, in any order, of which the two largest are
    taken; `depth` L at least 2. Assumes aligned modes of one depth-balanced chain and the
    half-square loss. Raises InputError for arguments out of range. Source: ghosh2025.6.

    >>> [round(step, 6) for step in transverse(3, (10.0, 9.5))]
    [0.030944, 0.032008, 0.032061, 0.033134]
    """
    deep, goals = checked_depth(depth), _two_largest(targets)
    own = deep * goals ** (2 - 2 / deep)
    return Transverse(
        first_mode_edge=float(2 / own[0]),
        mixing_edge=float(mixing_edge(deep, goals)),
        onset=mixing_onset(deep, goals),
        second_mode_edge=float(2 / own[1]) if own[1] > 0 else None,
    )


PREDICTIONS: tuple[Prediction, ...] = (mixing_edge,)
