"""What theory says: predictions of measured quantities, and topics that answer one question.

Theory is mathematics in NumPy and SciPy, float64, on the host; it never runs a dynamics, so that
its agreement with a simulation is evidence.
"""

from collections.abc import Callable
from typing import Any

from dlnlab.theory import (
    balance,
    curvature,
    escape,
    modes,
    noise,
    orbits,
    regimes,
    stability,
    transverse,
    two_layers,
)
from dlnlab.theory.base import Prediction

TOPICS: tuple[Callable[..., Any], ...] = (
    stability.stability,
    curvature.spectrum,
    orbits.orbit,
    transverse.transverse,
    escape.escape,
    regimes.regime,
    noise.noise,
)
"""Typed functions that return a NamedTuple: their signatures are flags, their fields JSON keys."""

PREDICTIONS: tuple[Prediction, ...] = (
    *modes.PREDICTIONS,
    *balance.PREDICTIONS,
    *curvature.PREDICTIONS,
    *stability.PREDICTIONS,
    *orbits.PREDICTIONS,
    *transverse.PREDICTIONS,
    *two_layers.PREDICTIONS,
    *escape.PREDICTIONS,
    *regimes.PREDICTIONS,
    *noise.PREDICTIONS,
)
"""Every prediction of the package; the law tests run through it."""
