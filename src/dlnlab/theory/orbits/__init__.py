"""Gradient descent on one singular mode as a discrete dynamical system: cycles and cascades."""

from typing import NamedTuple

from dlnlab.theory.base import Prediction
from dlnlab.theory.orbits import closed_form
from dlnlab.theory.orbits.closed_form import amplitudes, cascade_period, two_cycle
from dlnlab.theory.orbits.cycles import Cycle, branch, cycle, scale
from dlnlab.theory.orbits.doublings import (
    Cascade,
    Window,
    doubling_edges,
    doublings,
    window,
    window_edges,
)
from dlnlab.theory.orbits.layers import LayerCycle, layer_cycle
from dlnlab.theory.orbits.precision import Judgement, judge

PREDICTIONS: tuple[Prediction, ...] = (*closed_form.PREDICTIONS, doubling_edges, window_edges)

__all__ = [
    "PREDICTIONS",
    "Cascade",
    "Cycle",
    "Judgement",
    "LayerCycle",
    "Orbit",
    "Window",
    "amplitudes",
    "branch",
    "cascade_period",
    "cycle",
    "doubling_edges",
    "doublings",
    "judge",
    "layer_cycle",
    "orbit",
    "two_cycle",
    "window",
    "window_edges",
]


class Orbit(NamedTuple):
    """A cycle of one balanced chain, and where it stands between its edges; see `orbit`."""

    period: int
    values: tuple[float, ...]
    multiplier: float
    stable: bool
    edge: float
    doubling_edge: float


def orbit(depth: int, target: float, learning_rate: float, period: int = 2) -> Orbit:
    """The cycle on which gradient descent moves one balanced chain beyond its edge.

    `period`: steps after which the chain returns; 1 is the minimum itself.
    `values`: end-to-end values w^L of the cycle, ascending.
    `multiplier`: the signed derivative of the balanced map along one period.
    `stable`: whether the multiplier lies between −1 and 1.
    `edge`: `2/S`, `S = L s^{2−2/L}`, from which on the minimum is unstable.
    `doubling_edge`: the step size at which the cycle of this period, on its branch, reaches
    multiplier −1 and gives way to one of twice the period; for period 1 the edge.

    `w ← w − ηw^{L−1}(w^L − s)`, `depth` L from 2 on, `target` s > 0, `learning_rate` η. A power of
    two is the cycle of the doubling cascade that begins at the minimum; any other `period` the
    first to appear as η grows, and of the two born together the one that is stable at first. An
    unstable cycle is returned as such. Assumes an aligned, depth-balanced chain and the half-square
    loss. Raises InputError where there is no such cycle, for a step size at or beyond η_WCR (from
    period 2 on), and for arguments out of range. Source: ghosh2025.2, ghosh2025.3.

    >>> found = orbit(3, 10.0, 0.0345)
    >>> [round(value, 5) for value in found.values], found.stable
    ([7.11288, 12.03346], True)
    """
    found = cycle(depth, target, learning_rate, period)
    return Orbit(
        period=int(period),
        values=tuple(sorted(found.end_to_end.tolist())),
        multiplier=found.multiplier,
        stable=found.stable,
        edge=2 / scale(depth, target)[2],
        doubling_edge=window(depth, target, period).closes,
    )
