"""When a run is recorded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.typing import Any


@dataclass(frozen=True)
class Schedule:
    """Moments at which a run is recorded, always with the start and the end among them.

    A union of evenly spaced, logarithmically spaced, last and given moments; see `linear`,
    `logarithmic`, `last`, `at` and `|`. For a flow, `last` has no meaning and adds nothing.

    >>> (linear(3) | last(2)).steps(100)
    array([  0,  50,  98,  99, 100])
    >>> logarithmic(4).steps(1000)
    array([   0,    1,   10,  100, 1000])
    """

    linear: int = 0
    logarithmic: int = 0
    last: int = 0
    at: tuple[float, ...] = ()
    """Steps or times by themselves."""

    def __or__(self, other: "Schedule") -> "Schedule":
        return Schedule(
            max(self.linear, other.linear),
            max(self.logarithmic, other.logarithmic),
            max(self.last, other.last),
            tuple(sorted({*self.at, *other.at})),
        )

    def steps(self, total: int) -> np.ndarray[Any, Any]:
        """The recorded steps of a map, ascending, of 0 … total."""
        parts = [np.array([0, total])]
        if self.linear:
            parts.append(np.round(np.linspace(0, total, self.linear)).astype(np.int64))
        if self.logarithmic and total:
            parts.append(np.round(np.geomspace(1, total, self.logarithmic)).astype(np.int64))
        if self.last:
            parts.append(np.arange(max(0, total - self.last), total + 1))
        parts.append(np.round([moment for moment in self.at if 0 <= moment <= total]))
        return np.unique(np.concatenate(parts)).astype(np.int64)

    def times(self, total: float) -> np.ndarray[Any, Any]:
        """The recorded times of a flow, ascending, from 0 to total."""
        parts = [np.array([0.0, total])]
        if self.linear:
            parts.append(np.linspace(0, total, self.linear))
        if self.logarithmic:
            parts.append(np.geomspace(total * 1e-6, total, self.logarithmic))
        parts.append(np.array([moment for moment in self.at if 0 <= moment <= total]))
        return np.unique(np.concatenate(parts))

    def count(self, total: float, maps: bool) -> int:
        """An upper bound of the number of moments, without listing them."""
        count = 2 + self.linear + self.logarithmic + len(self.at) + (self.last + 1 if maps else 0)
        return int(min(count, total + 1)) if maps else count


def linear(count: int) -> Schedule:
    """`count` evenly spaced moments."""
    return Schedule(linear=_positive(count))


def logarithmic(count: int) -> Schedule:
    """`count` logarithmically spaced moments (of a flow: over the last six decades)."""
    return Schedule(logarithmic=_positive(count))


def last(count: int) -> Schedule:
    """Each of the last `count` steps."""
    return Schedule(last=_positive(count))


def at(moments: ArrayLike) -> Schedule:
    """Given steps (of a map) or times (of a flow): those beyond the run's end are left out.

    Where a flow escapes is not known beforehand: `dlnlab.statistics.Staircase` locates it in one
    run, and a second records around it.

    >>> at([2.0, 2.5, 9.0]).times(5.0)
    array([0. , 2. , 2.5, 5. ])
    """
    made = np.sort(np.ravel(np.asarray(moments, dtype=float)))
    if not (np.isfinite(made).all() and (made >= 0).all()):
        raise InputError(
            f"a schedule has finite moments from 0 on, and {made[0]:g} to {made[-1]:g} were "
            "given; leave out what is NaN or below 0."
        )
    return Schedule(at=tuple(made.tolist()))


def _positive(count: int) -> int:
    if count < 1:
        raise InputError(f"a schedule records 1 moment or more, and {count} was given; raise it.")
    return count
