"""The peak of a mode's diffusion before it is learned.

Along a balanced mode, x = w/s and n = ς/s, `D ∝ x^{4−4/L}[2(1 − x)² + n²]`. Its slope vanishes
where y = 1 − x solves `(3L − 2)y² − Ly + (L − 1)n² = 0`: a maximum at the larger root, a minimum
at the smaller one, and D(s) ∝ n² at the end of the way.
"""

import functools
from typing import NamedTuple

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, positive_number, whole
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.flow import flow_time
from dlnlab.theory.noise.scale import single
from dlnlab.theory.special import brentq

LEARNED = 0.95
"""The share of its target at which a mode counts as learned."""


class PeakTimes(NamedTuple):
    """When a mode's diffusion peaks and when it is learned; see `peak_times`."""

    peak: float
    learned: float
    lag: float


def _depth(depth: int) -> int:
    deep = whole("depth", depth)
    if deep < 2:
        raise InputError(
            "depth is 1, and at least 2 is needed: at depth 1 the diffusion of a mode falls from "
            "the start on and has no peak; add a layer."
        )
    return deep


def label_noise_peak_limit(depth: int) -> float:
    """The ς/s below which the diffusion of a mode has a local maximum before it is learned.

    `L / (2√((L−1)(3L−2)))`. `depth` L from 2 on. Source: corlouer2026.3.

    >>> label_noise_peak_limit(2)
    0.5
    """
    deep = _depth(depth)
    return float(deep / (2 * np.sqrt(float((deep - 1) * (3 * deep - 2)))))


def peak_share(depth: int, ratio: float) -> float | None:
    """w/s at the local maximum of D before learning, at `ratio` n = ς/s; None where there is none.

    `x = 1 − [L + √(L² − 4(3L−2)(L−1)n²)] / (2(3L−2))`. Source: corlouer2026.3.

    >>> peak_share(2, 0.0), peak_share(2, 0.5)
    (0.5, None)
    """
    deep, noise = _depth(depth), single("ratio", ratio)
    limit = label_noise_peak_limit(deep)
    if noise >= limit:
        return None
    root = np.sqrt((1 - noise / limit) * (1 + noise / limit))
    return float(1 - deep * (1 + root) / (2 * (3 * deep - 2)))


def _advantage(depth: int, ratio: float) -> float:
    """`ln D(peak) − ln D(s)`."""
    share = peak_share(depth, ratio)
    assert share is not None
    rise = (4 - 4 / depth) * np.log(share)
    return float(rise + np.log1p(2 * ((1 - share) / ratio) ** 2))


@functools.cache
def label_noise_global_limit(depth: int) -> float:
    """The ς/s below which the peak before learning is the largest D over 0 ≤ w ≤ s.

    Where `x^{4−4/L}[2(1 − x)² + n²] = n²` at the peak x. The difference of both sides falls with
    n, since x < 1, so there is one root. `depth` L from 2 on. Source: corlouer2026.3.

    >>> round(label_noise_global_limit(2), 5)
    0.42466
    """
    limit = label_noise_peak_limit(depth)
    low, high = limit / 100, limit * (1 - 1e-9)
    return float(brentq(lambda n: _advantage(depth, n), low, high, xtol=1e-16, rtol=1e-15))


def _beyond_limit(depth: int, label_noise: float, target: float) -> float:
    ratio = single("label_noise", label_noise) / positive_number("target", target)
    return max(0.0, ratio / label_noise_peak_limit(depth) - 1)


PEAKED = Assumption(
    "little_label_noise",
    "the label noise ς/s is below L/(2√((L−1)(3L−2))), from which on D has no peak before learning",
    _beyond_limit,
    nowhere=True,
)


@prediction("noise_peak", symbol="w_peak", assumes=(PEAKED,), source="corlouer2026.3")
def noise_peak(depth: int, target: float, label_noise: float = 0.0) -> Array:
    """The value w at which the diffusion of a mode has its maximum before the mode is learned.

    `w/s = 1 − [L + √(L² − 4(3L−2)(L−1)(ς/s)²)] / (2(3L−2))`; without label noise
    `(2L−2)/(3L−2)`, which is `speed_peak`, the null: there D ∝ ẇ².

    `depth` L from 2 on, `target` s > 0, `label_noise` ς. Assumes an aligned, balanced mode and ς/s
    below `label_noise_peak_limit`; it is the largest D up to w = s only below
    `label_noise_global_limit`. Raises InputError for arguments out of range.
    Source: corlouer2026.3.

    >>> float(noise_peak(2, 10.0))
    5.0
    """
    goal = positive_number("target", target)
    share = peak_share(depth, single("label_noise", label_noise) / goal)
    if share is None:
        raise InputError(
            f"label_noise is {label_noise:g}, and below {label_noise_peak_limit(depth) * goal:g} "
            "is needed for D to have a peak before learning; lower it."
        )
    return np.asarray(goal * share)


def speed_peak(depth: int, target: float) -> float:
    """The value w at which balanced flow is fastest, `s(2L−2)/(3L−2)`.

    The null of the noise peak: without label noise `D ∝ ẇ²`, and both peak together.

    >>> speed_peak(2, 10.0)
    5.0
    """
    deep = _depth(depth)
    return positive_number("target", target) * (2 * deep - 2) / (3 * deep - 2)


def peak_times(start: float, target: float, depth: int, label_noise: float = 0.0) -> PeakTimes:
    """When D peaks and when the mode reaches 95 % of its target, along balanced flow.

    `lag = (learned − peak)/learned`. Above 0 wherever there is a peak, which lies at
    `w/s < 1 − L/(2(3L−2)) ≤ 5/6`.

    `start` w(0), short of the peak; the others as those of `noise_peak`; times are step × learning
    rate. Raises InputError for a start beyond the peak, too much label noise, and arguments out of
    range. Source: corlouer2026.3.

    >>> times = peak_times(0.01, 1.0, 2)
    >>> round(times.peak, 6), round(times.learned, 6), round(times.lag, 6)
    (2.29756, 3.769779, 0.390532)
    """
    value = float(noise_peak(depth, target, label_noise))
    begin = positive_number("start", start)
    if begin >= value:
        raise InputError(
            f"start is {begin:g}, and one below the peak of the diffusion at {value:g} is needed; "
            "begin nearer to zero."
        )
    peak, learned = (float(flow_time(w, begin, target, depth)) for w in (value, LEARNED * target))
    return PeakTimes(peak, learned, (learned - peak) / learned)


@prediction("peak_lag", symbol="(t_95 − t_peak)/t_95", assumes=(PEAKED,), source="corlouer2026.3")
def peak_lag(start: float, target: float, depth: int, label_noise: float = 0.0) -> Array:
    """By how much the peak of a mode's diffusion precedes its learning: `(t_95 − t_peak)/t_95`.

    Along balanced gradient flow, as `peak_times`, whose arguments and errors these are. Assumes an
    aligned, balanced mode, noise too small to change the times, and ς/s below
    `label_noise_peak_limit`. Source: corlouer2026.3.

    >>> float(peak_lag(0.01, 1.0, 2).round(6))
    0.390532
    """
    return np.asarray(peak_times(start, target, depth, label_noise).lag)


PREDICTIONS: tuple[Prediction, ...] = (noise_peak, peak_lag)
