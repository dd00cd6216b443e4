"""Descent on one mode in arbitrary precision, to judge for how long float64 can be believed.

A chaotic orbit loses the digits of its start at the rate of its Lyapunov exponent, and a gap
between layers that decays sinks below the rounding of the layers themselves. Both are iterated
here with as many digits as it takes for twice as many to give the same answer.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import (
    Array,
    finite,
    positive_number,
    shown,
    whole,
    whole_numbers,
)
from dlnlab.theory.orbits.layers import layer_step

_FIRST_DIGITS = 32
_MOST_DIGITS = 2**17
_SHOWN_DIGITS = 30
_MOST_STEPS = 10**6
_ESCAPED = 1e100


class Judgement(NamedTuple):
    """A run in float64 beside the same run in arbitrary precision; see `judge`.

    `values`, `float_values` [step, layer] are layer values at `steps`, the first rounded to
    float64 and as `texts` with 30 digits; `gaps`, `float_gaps` [step] the largest `|w_i² − w_j²|`.
    `first_difference`, `first_gap_difference`: the first step, recorded or not, at which float64
    is off by more than the tolerance, None where it never is. `escaped`: the step at which the
    layer values left all bounds, after which both runs are infinite. `digits`: the precision.
    """

    steps: tuple[int, ...]
    values: Array
    texts: tuple[tuple[str, ...], ...]
    gaps: Array
    float_values: Array
    float_gaps: Array
    first_difference: int | None
    first_gap_difference: int | None
    escaped: int | None
    digits: int


class _Undecided(Exception):
    """Two precisions differ by more than the tolerance."""


def judge(
    start: ArrayLike,
    depth: int,
    target: float,
    learning_rate: float,
    steps: int,
    at: Sequence[int] | None = None,
    tolerance: float = 1e-6,
) -> Judgement:
    """For how many steps float64 tells the truth about descent on one chain.

    `w_l ← w_l − η r Π_{m≠l} w_m`, `r = Π_m w_m − s`, in both precisions from the same binary
    numbers. A layer value is off where it differs by more than `tolerance · s^{1/L}`, the gap where
    it differs by more than `tolerance` times itself. The precision begins at 32 digits and is
    doubled until a run with twice as many agrees by the same measure at every step.

    `start` is one layer value, shared by all `depth` layers, or one for each [layer]; `target`
    s > 0, `learning_rate` η, `steps` up to a million; `at` are the steps to record, all of them if
    not given. Assumes one aligned chain, balanced or not. Needs mpmath. Raises InputError without
    it, for arguments out of range, and where 131072 digits do not suffice.

    >>> found = judge(0.6, 2, 1.0, 1.55, 200)
    >>> found.first_difference is not None and found.first_gap_difference is None
    True
    """
    goal, rate = positive_number("target", target), positive_number("learning_rate", learning_rate)
    near, count = positive_number("tolerance", tolerance), whole("steps", steps, 0)
    if count > _MOST_STEPS:
        raise InputError(
            f"steps is {count}, and at most {_MOST_STEPS} are iterated in arbitrary precision; "
            "ask for fewer."
        )
    wanted = tuple(range(count + 1)) if at is None else whole_numbers("at", at, 0)
    if max(wanted) > count:
        raise InputError(f"at holds {max(wanted)}, and there are {count} steps; raise steps.")
    layers, digits = _layers(start, depth), _FIRST_DIGITS
    while digits <= _MOST_DIGITS:
        try:
            return _compared(layers, goal, rate, count, wanted, near, digits)
        except _Undecided:
            digits *= 2
    raise InputError(
        f"steps is {count}, and {_MOST_DIGITS} digits do not suffice for so many from this start; "
        "ask for fewer."
    )


def _layers(start: ArrayLike, depth: int) -> Array:
    layers, deep = finite("start", start), whole("depth", depth)
    if layers.shape not in ((), (deep,)):
        raise InputError(
            f"start is {shown(start)} and depth is {deep}, and one layer value or one for each "
            f"layer is needed; give 1 or {deep} numbers."
        )
    return np.broadcast_to(layers, (deep,)).copy()


def _context(digits: int) -> Any:
    """mpmath's arithmetic with so many digits, apart from whatever the caller has set."""
    try:
        import mpmath
    except ImportError:
        raise InputError(
            "mpmath is not installed, and arbitrary precision needs it; "
            "install dlnlab[precision], or mpmath itself."
        ) from None
    context = mpmath.mp.clone()
    context.dps = digits
    return context


def _run(layers: Array, target: float, rate: float, digits: int) -> Iterator[list[Any]]:
    """The layer values of a chain, step by step without end, with so many digits."""
    context = _context(digits)
    values = [context.mpf(float(value)) for value in layers]
    goal, eta, one = context.mpf(target), context.mpf(rate), context.mpf(1)
    alike = len(set(values)) == 1
    while True:
        yield values
        if alike:
            # Equal layers stay equal, and one of them costs as much as its powers.
            (value, *_), count = values, len(values)
            power = value ** (count - 1)
            values = [value - eta * (power * value - goal) * power] * count
            continue
        before, after = [one], [one]
        for value, other in zip(values, reversed(values), strict=True):
            before.append(before[-1] * value)
            after.append(after[-1] * other)
        kick = eta * (before[-1] - goal)
        others = [b * a for b, a in zip(before[:-1], after[-2::-1], strict=True)]
        values = [value - kick * other for value, other in zip(values, others, strict=True)]


def _gap(values: Sequence[Any]) -> Any:
    """The largest `|w_i² − w_j²|`, from sums and differences so that nothing is lost."""
    low, high = min(values, key=abs), max(values, key=abs)
    return abs((high - low) * (high + low))


def _compared(
    layers: Array,
    target: float,
    rate: float,
    steps: int,
    wanted: tuple[int, ...],
    tolerance: float,
    digits: int,
) -> Judgement:
    """Three runs side by side; raises _Undecided where the two in high precision differ."""
    allowed = tolerance * target ** (1 / len(layers))
    rows: dict[int, tuple[Any, ...]] = {}
    differs: int | None = None
    gap_differs: int | None = None
    escaped: int | None = None
    recorded, plain = set(wanted), layers
    exact, rough = (_run(layers, target, rate, n * digits) for n in (2, 1))
    for index in range(steps + 1):
        true, other = next(exact), next(rough)
        gap = _gap(true)
        if _off(true, other, allowed) or abs(gap - _gap(other)) > tolerance * gap:
            raise _Undecided
        if max(map(abs, true)) > _ESCAPED * max(1.0, target):
            escaped = index
            break
        if differs is None and _off(true, plain.tolist(), allowed):
            differs = index
        float_gap = float(_gap(plain.tolist()))
        if gap_differs is None and not abs(gap - float_gap) <= tolerance * gap:
            gap_differs = index
        if index in recorded:
            rows[index] = (true, float(gap), plain, float_gap)
        with np.errstate(all="ignore"):
            plain = layer_step(plain, target, rate)
    return _gathered(rows, wanted, len(layers), (differs, gap_differs, escaped), 2 * digits)


def _off(true: Sequence[Any], other: Sequence[Any], allowed: float) -> bool:
    return any(not abs(a - b) <= allowed for a, b in zip(true, other, strict=True))


def _gathered(
    rows: dict[int, tuple[Any, ...]],
    wanted: tuple[int, ...],
    count: int,
    events: tuple[int | None, int | None, int | None],
    digits: int,
) -> Judgement:
    beyond = ([np.inf] * count, np.inf, np.full(count, np.inf), np.inf)
    true, gaps, plain, plain_gaps = zip(*(rows.get(step, beyond) for step in wanted), strict=True)
    context = _context(digits)
    return Judgement(
        steps=wanted,
        values=np.array([[float(value) for value in row] for row in true]),
        texts=tuple(tuple(context.nstr(value, _SHOWN_DIGITS) for value in row) for row in true),
        gaps=np.array(gaps),
        float_values=np.stack(plain),
        float_gaps=np.array(plain_gaps),
        first_difference=events[0],
        first_gap_difference=events[1],
        escaped=events[2],
        digits=digits,
    )
