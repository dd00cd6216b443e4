"""The gap of two layers in arbitrary precision, for as long as float64 can follow it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array, whole_numbers
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.orbits.precision import judge

MOST_STEPS = 5000


@prediction(
    "balance_gap",
    dims=("step",),
    symbol="b_t",
    assumes=(
        Assumption(
            "two_layers",
            "the chain has two layers",
            lambda layer_values: abs(np.size(layer_values) - 2.0),
        ),
        Assumption(
            "short",
            f"at most {MOST_STEPS} steps are asked for",
            lambda at: max(0.0, max(whole_numbers("at", at, 0)) - MOST_STEPS),
        ),
    ),
    source="ghosh2025.4",
)
def trusted_gap(
    layer_values: ArrayLike,
    target: float,
    learning_rate: float,
    at: Sequence[int],
    tolerance: float = 1e-12,
) -> Array:
    """The gap `|w_1² − w_2²|` of descent at the steps `at`, exact; NaN once float64 has lost it.

    It has lost it from the step on at which `judge`'s own run in float64 is off by more than
    `tolerance` times the gap, and where the run escapes. Another run in float64, which rounds alike
    but in another order, is to be asked for less than that: the default is a hundredth of 1e-10.

    `layer_values` w [layer] is the start; `target` s > 0, `learning_rate` η. Returns [step].
    Assumes one aligned mode of two layers (stretched: of any number, the largest gap of all pairs)
    and no more than 5,000 steps, since chaos doubles the digits every few hundred. Needs mpmath.
    Raises InputError without it and for arguments out of range. Source: ghosh2025.4.

    >>> trusted_gap([1.5, 2.25], 5.0, 0.21, (0, 1, 100, 400)).round(6).tolist()
    [2.8125, 2.48498, 0.008847, nan]
    """
    depth, steps = np.size(layer_values), whole_numbers("at", at, 0)
    last = max(steps)
    found = judge(layer_values, depth, target, learning_rate, last, steps, tolerance)
    ends = [end for end in (found.first_gap_difference, found.escaped) if end is not None]
    return np.where(np.asarray(steps) < min(ends, default=last + 1), found.gaps, np.nan)


PREDICTIONS: tuple[Prediction, ...] = (trusted_gap,)
