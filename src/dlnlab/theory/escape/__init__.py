"""Saddle-to-saddle dynamics: how saddles are left, which there are, and what a penalty prefers."""

from dlnlab.theory.base import Prediction
from dlnlab.theory.escape import direction, regularised, saddles, timing
from dlnlab.theory.escape.direction import escape_direction, escape_speed
from dlnlab.theory.escape.question import Escape, escape
from dlnlab.theory.escape.regularised import (
    learning_threshold,
    least_squared_norm,
    regularised_values,
)
from dlnlab.theory.escape.saddles import (
    CriticalPoint,
    critical_point,
    critical_points,
    learning_order,
    plateau_loss,
)
from dlnlab.theory.escape.timing import (
    escape_time,
    final_norm,
    learning_times,
    mode_overlaps,
    norm_on_ray,
    ray_value,
)

PREDICTIONS: tuple[Prediction, ...] = (
    *direction.PREDICTIONS,
    *timing.PREDICTIONS,
    *saddles.PREDICTIONS,
    *regularised.PREDICTIONS,
)

__all__ = [
    "PREDICTIONS",
    "CriticalPoint",
    "Escape",
    "critical_point",
    "critical_points",
    "escape",
    "escape_direction",
    "escape_speed",
    "escape_time",
    "final_norm",
    "learning_order",
    "learning_threshold",
    "learning_times",
    "least_squared_norm",
    "mode_overlaps",
    "norm_on_ray",
    "plateau_loss",
    "ray_value",
    "regularised_values",
]
