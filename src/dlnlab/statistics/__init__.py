"""Measurements that need more than one state: `init`, `update`, `read`."""

from dlnlab.statistics import curvature, orbit, oscillation, outcome, passage, step_profile
from dlnlab.statistics.base import Statistic
from dlnlab.statistics.curvature import CurvatureTracker
from dlnlab.statistics.orbit import Amplitude, Lyapunov, Period
from dlnlab.statistics.oscillation import HessianShares
from dlnlab.statistics.outcome import OUTCOMES, Outcome
from dlnlab.statistics.passage import FirstRise, FirstTime, Maximum
from dlnlab.statistics.step_profile import StepProfile

EXAMPLES = (
    *passage.EXAMPLES,
    *orbit.EXAMPLES,
    *outcome.EXAMPLES,
    *curvature.EXAMPLES,
    *oscillation.EXAMPLES,
    *step_profile.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "OUTCOMES",
    "Amplitude",
    "CurvatureTracker",
    "FirstRise",
    "FirstTime",
    "HessianShares",
    "Lyapunov",
    "Maximum",
    "Outcome",
    "Period",
    "Statistic",
    "StepProfile",
]
