"""All topics and all predictions, for whoever goes through them.

It stands apart so that a figure imports the theory that it needs, and no other.
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
