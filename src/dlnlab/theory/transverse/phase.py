"""How fast a given run mixes: by its own orbit and phase, or by the fastest of them all."""

import functools

import numpy as np

from dlnlab.theory.arguments import Array
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.transverse.attractor import LONGEST_PERIOD, attractor
from dlnlab.theory.transverse.growth import growth_along, growth_exponent
from dlnlab.theory.transverse.onset import mixing_onset

# A sweep asks the same of many runs.
_onset = functools.lru_cache(1024)(mixing_onset)
_fastest = functools.lru_cache(1024)(growth_exponent)
_attractor = functools.lru_cache(1024)(attractor)


@prediction("learning_rate_edge", symbol="onset", source="ghosh2025.6")
def onset(depth: int, targets: tuple[float, ...]) -> float:
    """The step size from which on a mixing grows along the orbit; NaN where there is none.

    `mixing_onset` as a prediction; see there. `targets` s [mode].

    >>> round(float(onset(3, (10.0, 9.5))), 4)
    0.0321
    """
    found = _onset(depth, tuple(targets))
    return np.nan if found is None else found


@prediction("off_diagonal_norm", symbol="max log|μ|/p", source="ghosh2025.6")
def fastest_growth(depth: int, targets: tuple[float, ...], learning_rate: float) -> float:
    """The exponent of the pair of modes, and of the phase, that mixes fastest, for each step.

    `growth_exponent` as a prediction; NaN where an orbit is not bounded. `targets` s [mode].

    >>> [bool(fastest_growth(3, (10.0, 9.5), rate) > 0) for rate in (0.0315, 0.0325)]
    [False, True]
    """
    found = _fastest(depth, tuple(targets), learning_rate)
    return np.nan if found is None else found


@prediction("off_diagonal_norm", symbol="log|μ|/p", source="ghosh2025.6")
def own_growth(
    depth: int, targets: tuple[float, ...], learning_rate: float, values: tuple[float, ...]
) -> float:
    """The exponent of the pair that mixes fastest in the phase that a run is in.

    Two modes on cycles of period 2 may swing together or against each other, and mix at different
    speeds. `values` are the modes' end-to-end values at one step, in the order of `targets`; NaN
    where they are, and where a mode is on no short cycle.

    >>> together = own_growth(3, (10.0, 9.5), 0.0345, (11.7, 11.1))
    >>> bool(together < fastest_growth(3, (10.0, 9.5), 0.0345))
    True
    """
    if np.isnan(values).any():
        return np.nan
    orbits = [_attractor(depth, target, learning_rate) for target in targets]
    short = [orbit for orbit in orbits if orbit is not None and len(orbit) <= LONGEST_PERIOD]
    if len(short) < len(orbits):
        return np.nan
    turned = [_in_phase(orbit, v, depth) for orbit, v in zip(short, values, strict=True)]
    pairs = [(i, j) for i in range(len(turned)) for j in range(i) if targets[i] or targets[j]]
    return max(
        growth_along(depth, (targets[i], targets[j]), learning_rate, turned[i], turned[j])
        for i, j in pairs
    )


def _in_phase(orbit: Array, value: float, depth: int) -> Array:
    """The orbit from the layer value on whose end-to-end value is nearest."""
    return np.roll(orbit, -int(np.abs(orbit**depth - value).argmin()))


PREDICTIONS: tuple[Prediction, ...] = (onset, fastest_growth, own_growth)
