"""Descent on a balanced chain in units in which only depth and κ = ηS remain.

With u = ln(w^L/s), the logarithm of the end-to-end value, a step `w ← w − ηw^{L−1}(w^L − s)` is
`u ← u + L ln(1 − q)`, `q = (κ/L) e^{(1−2/L)u}(e^u − 1)`. The change of variable is smooth on
w > 0, so cycles and multipliers are those of the layer value, and it keeps its digits at large
depth, where w itself is within 1/L of s^{1/L}.
"""

from typing import NamedTuple

import numpy as np

from dlnlab.theory.arguments import Array
from dlnlab.theory.special import brentq
from dlnlab.theory.stability.return_map import worst_case_return_constant

_EPSILON = float(np.finfo(np.float64).eps)


class Step(NamedTuple):
    """One step of the map from each u, with its derivatives (u twice, κ once, both)."""

    value: Array
    slope: Array
    curvature: Array
    by_rate: Array
    slope_by_rate: Array


def step(logs: Array, rate: float, depth: int) -> Step:
    """The map and its derivatives at `logs` u, any shape; `rate` is κ.

    A value thrown across zero has no logarithm: NaN. No errors raised, no warnings.
    """
    power = 1 - 2 / depth
    with np.errstate(all="ignore"):
        low, kick = np.exp(power * logs), np.expm1(logs)
        high = np.exp((1 + power) * logs)
        pull = rate / depth * low * kick
        pull_slope = rate / depth * ((1 + power) * high - power * low)
        pull_curvature = rate / depth * ((1 + power) ** 2 * high - power**2 * low)
        left = np.where(pull < 1, 1 - pull, np.nan)
        return Step(
            value=logs + depth * np.log1p(np.where(pull < 1, -pull, np.nan)),
            slope=1 - depth * pull_slope / left,
            curvature=-depth * (pull_curvature / left + (pull_slope / left) ** 2),
            by_rate=-depth / rate * pull / left,
            slope_by_rate=-depth / rate * pull_slope / left**2,
        )


def top(rate: float, depth: int) -> float:
    """u of the layer value that a step throws highest, for κ ≥ 1: below 0, the minimum.

    `(κ/L)[(2L−1)e^{(2−2/L)u} − (L−1)e^{(1−2/L)u}] = 1`.
    """

    def excess(u: float) -> float:
        parts = (2 * depth - 1) * np.exp(u) - (depth - 1)
        return float(rate / depth * parts * np.exp((1 - 2 / depth) * u) - 1)

    if excess(0.0) <= 0:  # κ = 1 to rounding
        return 0.0
    lowest = float(np.log((depth - 1) / (2 * depth - 1)))
    return float(brentq(excess, lowest, 0.0, xtol=_EPSILON, rtol=4 * _EPSILON))


def escape_rate(depth: int) -> float:
    """κ from which on the chain may be thrown across zero: `γ(L) = η_WCR S`."""
    return worst_case_return_constant(depth)
