"""Gradient flow of one balanced chain: the time to reach a value, and the value at a time.

With u = σ/s, q = 2/L − 1 and T = L s^{2−2/L} t the flow `σ̇ = L σ^{2−2/L}(s − σ)` becomes
`dT = u^{q−1}/(1 − u) du`. Its logistic time τ, the growth of ln(u/(1 − u)), is the time that a
chain of depth 2 would need: `dT = u^q dτ`. τ resolves both ends, u near 0 and u near 1, where u
itself rounds. From above the target, s/σ obeys the same law with 1 − q in the place of q.
"""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, finite, positive, together, whole
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.special import exprel

_EPSILON = float(np.finfo(np.float64).eps)
_TERMS = np.arange(60.0)  # of series in u or 1 − u, at most ½: the last one is below rounding
_MOST_ITERATIONS = 100

POSITIVE_STARTS = Assumption(
    "positive_starts",
    "every start lies above zero (zero is a fixed point beyond depth 1)",
    lambda start: float(np.count_nonzero(finite("start", start) <= 0)),
    nowhere=True,
)
POSITIVE_TARGET = Assumption(
    "positive_target",
    "the target is a singular value above zero",
    lambda target: float(np.count_nonzero(finite("target", target) <= 0)),
    nowhere=True,
)


def _scaled(start: Array, target: Array, depth: int) -> tuple[Array, Array, Array]:
    """u_0, 1 − u_0 and the exponent of `dT = u^{exponent−1}/(1 − u) du`, on the start's side."""
    larger, smaller = np.maximum(start, target), np.minimum(start, target)
    exponent = np.where(start <= target, 2 / depth - 1, 2 - 2 / depth)
    return smaller / larger, (larger - smaller) / larger, exponent


def _scaled_time(growth: Array, decay: Array, begin: Array, gap: Array, exponent: Array) -> Array:
    """`∫ u^{q−1}/(1 − u) du` from u = `begin` on; growth = Δ ln u, decay = −Δ ln(1 − u).

    Two series of positive terms meet at u = ½: powers of u below it, of 1 − u above it.
    """
    lower = np.minimum(growth, np.maximum(0, -np.log(2 * begin)))[..., None]
    powers = exponent[..., None] + _TERMS
    base = begin[..., None] * np.where(powers < 0, 1.0, np.exp(lower))
    rising = np.power(base, powers) * lower * exprel(-np.abs(powers) * lower)
    upper = np.maximum(0, decay - np.log(np.maximum(1, 2 * gap)))[..., None]
    ratios = 1 - np.where(_TERMS > 0, exponent[..., None] / np.maximum(_TERMS, 1), 0)
    ends = np.power(np.minimum(gap, 0.5)[..., None], _TERMS) * np.cumprod(ratios, axis=-1)
    return np.asarray(rising.sum(-1) + (ends * upper * exprel(-_TERMS * upper)).sum(-1))


def _growth(logistic_time: Array, begin: Array, gap: Array) -> Array:
    """Δ ln u after a logistic time; the small form keeps its digits where u hardly moves."""
    small = -np.log1p(gap * np.expm1(-np.minimum(logistic_time, 1)))
    large = -np.log(begin + gap * np.exp(-logistic_time))
    return np.where(logistic_time < 1, small, large)


def _first_guess(time: Array, begin: Array, gap: Array, exponent: Array) -> Array:
    """Logistic time from the leading term of each series."""
    half = np.maximum(0, -np.log(2 * begin))
    at_half = np.where(half > 0, np.log(np.maximum(1, 2 * gap)), 0)
    until_half = _scaled_time(half, at_half, begin, gap, exponent)
    leading = np.maximum(exponent * np.minimum(time, until_half) * begin**-exponent, _EPSILON - 1)
    rise = np.minimum(half, np.log1p(leading) / np.where(exponent == 0, 1, exponent))
    left = np.minimum(begin * np.exp(rise), 1 - _EPSILON)
    below_half = rise + np.log(np.maximum(gap, _EPSILON) / (1 - left))
    return np.where(time < until_half, below_half, half + at_half + (time - until_half))


def _logistic_time(time: Array, begin: Array, gap: Array, exponent: Array) -> Array:
    """Solve `∫_0^τ u^q dτ = T` for τ: Newton's steps, halving where one leaves the bracket."""
    low = np.zeros_like(time)
    high = time * np.maximum(1, begin**-exponent)
    guess = np.clip(_first_guess(time, begin, gap, exponent), low, high)
    for _ in range(_MOST_ITERATIONS):
        growth = _growth(guess, begin, gap)
        error = _scaled_time(growth, guess - growth, begin, gap, exponent) - time
        low, high = np.where(error <= 0, guess, low), np.where(error >= 0, guess, high)
        newton = guess - error * (begin * np.exp(growth)) ** -exponent
        inside = (newton > low) & (newton < high)
        guess, before = np.where(inside, newton, (low + high) / 2), guess
        if (np.abs(guess - before) <= 2 * _EPSILON * guess).all():
            break
    return guess


def flow_time(value: ArrayLike, start: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """The time at which the gradient flow of a balanced chain reaches a value.

    `t(σ) = ∫_{σ_0}^{σ} dx / (L x^{2−2/L} (s − x))`.

    `value` σ, `start` σ_0 and `target` s are end-to-end singular values that broadcast against
    each other; time is in units of step × learning rate. Assumes an aligned, depth-balanced
    chain. Raises InputError for a start or target that is not above zero, and for a value that is
    not between start and target (the target itself is reached only as t → ∞).
    Source: kim2026.3, corlouer2026.2.

    >>> round(float(flow_time(0.5, 0.1, 1.0, 2)), 6)  # ln(9)/2
    1.098612
    """
    depth = whole("depth", depth)
    value, start, target = together(
        value=positive("value", value),
        start=positive("start", start),
        target=positive("target", target),
    )
    rising = (start <= value) & (value < target)
    falling = (start >= value) & (value > target)
    if not (rising | falling).all():
        first = np.argmin(rising | falling)
        raise InputError(
            f"value is {value.flat[first]:.6g}, and a value between the start "
            f"{start.flat[first]:.6g} and the target {target.flat[first]:.6g} is needed, short of "
            "the target; the flow passes no other, so choose one there."
        )
    begin, gap, exponent = _scaled(start, target, depth)
    moved, left = (value - start) / start, np.abs(target - value) / np.abs(target - start)
    along = np.where(np.abs(moved) < 0.5, np.log1p(np.maximum(moved, -0.5)), np.log(value / start))
    near = np.log1p(np.maximum((start - value) / (target - start), -0.5))
    towards = np.where(left > 0.5, near, np.log(left))
    growth = np.abs(along)
    decay = np.where(rising, -towards, -towards + along)
    return _scaled_time(growth, decay, begin, gap, exponent) / (depth * target ** (2 - 2 / depth))


@prediction(
    "mode_values",
    dims=("time",),
    symbol="σ(t)",
    assumes=(POSITIVE_STARTS, POSITIVE_TARGET),
    source="kim2026.3",
)
def flow_value(time: ArrayLike, start: ArrayLike, target: ArrayLike, depth: int) -> Array:
    """The value of a balanced chain at a time of its gradient flow.

    `σ̇ = L σ^{2−2/L}(s − σ)`; depth 1 `s + (σ_0 − s)e^{−t}`, depth 2
    `σ_0 / (σ_0/s + (1 − σ_0/s)e^{−2st})`, beyond 2 the inverse of `flow_time`.

    `time` (step × learning rate, at or above zero) is an array; `start` σ_0 and `target` s
    broadcast against it. Accurate to rounding times the condition number 1 + |d ln σ/d ln t|.
    Assumes an aligned, depth-balanced chain and a start and target above zero. Raises InputError
    for arguments out of range. Source: kim2026.3, corlouer2026.2.

    >>> flow_value([0.0, 1.0, 1e6], 0.1, 1.0, 2).round(6).tolist()
    [0.1, 0.450853, 1.0]
    """
    depth = whole("depth", depth)
    time, start, target = together(
        time=at_least_zero("time", time),
        start=positive("start", start),
        target=positive("target", target),
    )
    scaled = depth * target ** (2 - 2 / depth) * time
    if depth == 1:
        value = start * np.exp(-scaled) - target * np.expm1(-scaled)
    elif depth > 2:
        begin, gap, exponent = _scaled(start, target, depth)
        logistic = _logistic_time(scaled, begin, gap, exponent)
        share = begin + gap * np.exp(-logistic)
        value = np.where(start <= target, start / share, start * share)
    else:
        value = start / (start / target + (1 - start / target) * np.exp(-scaled))
    return np.asarray(np.clip(value, np.minimum(start, target), np.maximum(start, target)))


PREDICTIONS: tuple[Prediction, ...] = (flow_value,)
