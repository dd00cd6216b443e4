"""Measurements that need more than one state: `init`, `update`, `read`."""

from dlnlab.statistics import (
    curvature,
    escape,
    orbit,
    oscillation,
    outcome,
    passage,
    staircase,
    step_profile,
    updates,
)
from dlnlab.statistics.base import Statistic
from dlnlab.statistics.curvature import CurvatureTracker
from dlnlab.statistics.escape import EscapeRate
from dlnlab.statistics.orbit import Amplitude, Lyapunov, Period
from dlnlab.statistics.oscillation import HessianShares
from dlnlab.statistics.outcome import OUTCOMES, Outcome
from dlnlab.statistics.passage import FirstRise, FirstTime, Maximum
from dlnlab.statistics.staircase import Staircase
from dlnlab.statistics.step_profile import StepProfile
from dlnlab.statistics.updates import EstimatedModeUpdates, ModeUpdates

EXAMPLES = (
    *passage.EXAMPLES,
    *orbit.EXAMPLES,
    *outcome.EXAMPLES,
    *curvature.EXAMPLES,
    *oscillation.EXAMPLES,
    *escape.EXAMPLES,
    *staircase.EXAMPLES,
    *updates.EXAMPLES,
    *step_profile.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "OUTCOMES",
    "Amplitude",
    "CurvatureTracker",
    "EscapeRate",
    "EstimatedModeUpdates",
    "FirstRise",
    "FirstTime",
    "HessianShares",
    "Lyapunov",
    "Maximum",
    "ModeUpdates",
    "Outcome",
    "Period",
    "Staircase",
    "Statistic",
    "StepProfile",
]
