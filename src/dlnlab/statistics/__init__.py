"""Measurements that need more than one state: `init`, `update`, `read`."""

from dlnlab.statistics import curvature, orbit, outcome, passage
from dlnlab.statistics.base import Statistic
from dlnlab.statistics.curvature import CurvatureTracker
from dlnlab.statistics.orbit import Amplitude, Lyapunov, Period
from dlnlab.statistics.outcome import OUTCOMES, Outcome
from dlnlab.statistics.passage import FirstRise, FirstTime, Maximum

EXAMPLES = (*passage.EXAMPLES, *orbit.EXAMPLES, *outcome.EXAMPLES, *curvature.EXAMPLES)

__all__ = [
    "EXAMPLES",
    "OUTCOMES",
    "Amplitude",
    "CurvatureTracker",
    "FirstRise",
    "FirstTime",
    "Lyapunov",
    "Maximum",
    "Outcome",
    "Period",
    "Statistic",
]
