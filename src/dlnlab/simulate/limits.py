"""What cannot be carried out is found here, by counting, before anything is computed."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from dlnlab import observables, statistics
from dlnlab.errors import InputError, InputTypeError
from dlnlab.observables.base import Observable
from dlnlab.schema.values import shown
from dlnlab.statistics.base import Statistic
from dlnlab.theory.base import Prediction
from dlnlab.typing import Any

MOST_SECONDS = 14 * 86400.0
"""What takes longer is refused. An estimate, good to an order of magnitude."""

_STEP_SECONDS, _OPERATION_SECONDS = 1e-6, 5e-10
"""The least that a step of a tile takes, and a floating-point operation on one core."""


def recorded(
    observe: Sequence[Observable], statistics: Sequence[Statistic]
) -> tuple[tuple[Observable, ...], tuple[Statistic, ...]]:
    """What is to be recorded, as tuples; refuses what is none, and two quantities of one name."""
    for argument, given, kind in (
        ("observe", observe, Observable),
        ("statistics", statistics, Statistic),
    ):
        wrong = [g for g in given if not isinstance(g, kind)] if _several(given) else [given]
        if wrong:
            name = getattr(wrong[0], "name", None) or shown(wrong[0])
            what = ", a prediction of theory" if isinstance(wrong[0], Prediction) else ""
            raise InputTypeError(
                f"{argument} holds {name}{what}, and a tuple of {kind.__name__.lower()}s is "
                f"needed; write {argument}=(…,), with those of dlnlab.{_MODULES[argument]}"
                f"{_namesake(wrong[0])}."
            )
    _check_names(observe, statistics)
    return tuple(observe), tuple(statistics)


_MODULES = {"observe": "observables", "statistics": "statistics"}


def _namesake(wrong: object) -> str:
    """The measured quantity that a prediction speaks of, if it stands where all of them do."""
    if not isinstance(wrong, Prediction):
        return ""
    found = (module for module in (observables, statistics) if hasattr(module, wrong.of))
    return "".join(f", as {module.__name__}.{wrong.of}" for module in found)


def _several(given: object) -> bool:
    return isinstance(given, tuple | list)


def _check_names(observe: Sequence[Observable], statistics: Sequence[Statistic]) -> None:
    names = [o.name for o in observe] + [s.name for s in statistics]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{name} is recorded twice; leave one out, or name it with bind(name=…)."
            )


def check_points(points: int) -> None:
    """Refuse a grid whose mere list of points does not fit into memory."""
    have = available_memory()
    if points * 64 > have:
        raise InputError(
            f"the sweep has {points:,} points, whose list alone needs {_bytes(points * 64)}, and "
            f"{_bytes(have)} of memory is free; sweep fewer values, or fewer coordinates at a time."
        )


def check_steps(steps: int | None, points: int) -> None:
    """Refuse, before even tracing, what takes weeks whatever is simulated."""
    if steps is not None:
        _check_seconds(steps, points, steps * _STEP_SECONDS * max(1.0, points / 1e4))


def same_kind(are_maps: Sequence[bool]) -> bool:
    """Whether the lanes move in steps; refuses a grid that mixes steps with continuous time."""
    if len(set(are_maps)) > 1:
        raise InputError(
            "the sweep mixes dynamics in steps with flows in continuous time, which share no "
            "axis; sweep them one after the other."
        )
    return are_maps[0]


def horizon(
    is_map: bool,
    steps: int | None,
    time: float | None,
    lanes: int,
    nearest: Callable[[float], np.ndarray[Any, Any]],
) -> np.ndarray[Any, Any]:
    """The last step of each lane, or for a flow its last time.

    **Arguments:** `nearest` tells how many steps of each lane come nearest to a time.
    """
    if (steps is None) == (time is None):
        given = "neither was" if steps is None else "both were"
        raise InputError(f"one of steps and time says how far to run, and {given} given.")
    if not is_map:
        if time is None:
            raise InputError(f"a flow has no steps, and steps={steps} was given; give a time.")
        return np.full(lanes, _positive("time", time), dtype=float)
    if steps is not None:
        return np.full(lanes, int(_positive("steps", steps)), dtype=np.int64)
    wanted = nearest(_positive("time", time))
    if not np.all((wanted >= 1) & (wanted < 2**53)):
        raise InputError(
            f"time {time:g} takes {wanted.max():.3g} steps at the smallest learning rate given and "
            f"{wanted.min():.3g} at the largest; from 1 to 1e15 can be taken: change one of them."
        )
    return wanted.astype(np.int64)


def _positive(name: str, value: Any) -> Any:
    if not (np.isfinite(value) and value >= 0 and (name != "time" or value > 0)):
        need = "above 0" if name == "time" else "0 or more"
        raise InputError(f"{name} must be {need}, and {value} was given; choose such a number.")
    return value


def check_size(row_bytes: Sequence[int], lanes: Sequence[int], moments: int) -> None:
    """Refuse results that do not fit into memory."""
    need = sum(row * count for row, count in zip(row_bytes, lanes, strict=True)) * moments * 2
    have = available_memory()
    if need > have:
        raise InputError(
            f"the results need {_bytes(need)} ({sum(lanes):,} lanes, {moments:,} recorded moments) "
            f"and {_bytes(have)} of memory is free; record fewer moments or sweep fewer points."
        )


def check_state(bytes_needed: int) -> None:
    """Refuse a network that does not fit into memory."""
    have = available_memory()
    if bytes_needed > have:
        raise InputError(
            f"one tile of this network needs about {_bytes(bytes_needed)} and {_bytes(have)} of "
            "memory is free; lower its widths or depth."
        )


def check_length(
    operations: Sequence[float],
    tiles: Sequence[int],
    lanes: Sequence[int],
    total: int,
    is_map: bool,
) -> None:
    """Refuse what would take weeks.

    **Arguments:** `operations` are those of one step of one lane, `tiles` the lanes of one tile,
    `lanes` all lanes, of each group; `total` counts steps.
    """
    if not is_map:
        return
    seconds = sum(
        total * -(-count // tile) * max(_STEP_SECONDS, tile * work * _OPERATION_SECONDS)
        for work, tile, count in zip(operations, tiles, lanes, strict=True)
    )
    _check_seconds(total, sum(lanes), seconds)


def _check_seconds(steps: int, points: int, seconds: float) -> None:
    if seconds > MOST_SECONDS:
        raise InputError(
            f"{steps:,} steps of {points:,} point{'s' * (points > 1)} take some "
            f"{seconds / 86400:,.0f} days, and at most {MOST_SECONDS / 86400:.0f} are allowed; "
            "lower the steps, the points or the size."
        )


def available_memory() -> int:
    """Bytes of memory that are free now, as far as the system tells."""
    try:
        with open("/proc/meminfo") as table:
            for line in table:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB"
