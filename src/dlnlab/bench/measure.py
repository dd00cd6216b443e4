"""Contenders timed in turn, so that a noisy machine is noisy for all of them alike."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from dlnlab.typing import Any

ROUNDS = 6
"""The least and the largest of six independent numbers hold their median with 96.9 %."""

LEAST_SECONDS = 0.05
"""A call shorter than this is repeated within a round, else its cost would be that of waking up
the caches and threads after the contender before it."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a case.

    **Arguments:** `prepare()` returns the function that does it once and hands back what it found
    (a number to compare, or None); compiling belongs to the preparation and to one untimed call.
    `work` is how much one call does, in the case's unit.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    work: float


@dataclass(frozen=True)
class Case:
    """A cell of a workload: the first contender is ours, to which the others are compared."""

    workload: str
    name: str
    unit: str
    contenders: tuple[Contender, ...]


@dataclass(frozen=True)
class Row:
    """What one contender did: rates in units per second, round by round, and its ratio to ours.

    `ratio` is ours over it, median, least and largest over the rounds; `first` are the seconds
    of preparing and of the untimed call; `found` is what it computed; `missing` says why it
    could not be run.
    """

    workload: str
    case: str
    unit: str
    name: str
    rates: tuple[float, ...] = ()
    ratio: tuple[float, float, float] | None = None
    first: float = 0.0
    found: Any = None
    missing: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def measure(case: Case, rounds: int = ROUNDS) -> list[Row]:
    """Time all contenders of a case in turn, round after round."""
    ready: list[tuple[Contender, Callable[[], Any], float, Any]] = []
    repeats: list[int] = []
    missing: list[tuple[Contender, str]] = []
    for contender in case.contenders:
        began = time.perf_counter()
        try:
            run = contender.prepare()
            found = run()
        except ImportError as error:
            missing.append((contender, f"{error.name or error} is not installed"))
            continue
        ready.append((contender, run, time.perf_counter() - began, found))
        repeats.append(max(1, math.ceil(LEAST_SECONDS / _timed(run, 1))))
    runs = [(run, times) for (_, run, _, _), times in zip(ready, repeats, strict=True)]
    seconds = np.array([[_timed(run, times) for run, times in runs] for _ in range(rounds)])
    rates = np.array([contender.work for contender, _, _, _ in ready]) / seconds
    rows = [
        Row(
            case.workload,
            case.name,
            case.unit,
            contender.name,
            tuple(rates[:, k].tolist()),
            _spread(rates[:, 0] / rates[:, k]) if k else None,
            first,
            found,
        )
        for k, (contender, _, first, found) in enumerate(ready)
    ]
    absent = [Row(case.workload, case.name, case.unit, c.name, missing=why) for c, why in missing]
    return [*rows, *absent]


def _timed(run: Callable[[], Any], times: int) -> float:
    """Seconds of one call, in the mean over `times` of them in a row."""
    began = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - began) / times


def _spread(values: Any) -> tuple[float, float, float]:
    return float(np.median(values)), float(np.min(values)), float(np.max(values))


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """The exponent of a power law through times at growing sizes, and its standard error.

    >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0])[0], 6)
    1.0
    """
    x, y = np.log(sizes), np.log(seconds)
    slope, offset = np.polyfit(x, y, 1)
    left = y - slope * x - offset
    error = np.sqrt(np.sum(left**2) / max(1, len(x) - 2) / np.sum((x - x.mean()) ** 2))
    return float(slope), float(error)
