"""An experiment: a typed function that builds a run, and what is recorded and predicted of it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import xarray as xr

from dlnlab.errors import InputError
from dlnlab.observables.base import Observable
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Grid, Parameter, grid, schema
from dlnlab.simulate import Monitor, simulate_grid
from dlnlab.simulate.examine import examined
from dlnlab.simulate.grids import DEFAULT_SCHEDULE
from dlnlab.statistics.base import Statistic
from dlnlab.theory.base import Prediction
from dlnlab.typing import Any


@dataclass(frozen=True)
class Bound:
    """A prediction with its arguments bound to an experiment's coordinates.

    **Arguments:** `bind(coords, measured)` names the arguments for one lane: `coords` are its
    coordinates by name, `measured` its part of the results, for predictions that start from a
    measured number. Left out, each argument is the coordinate of its own name. `name` is the
    variable's name in the predicted Dataset, by default the prediction's.
    """

    prediction: Prediction
    bind: Callable[[dict[str, Any], xr.Dataset], dict[str, Any]] | None = None
    name: str = ""

    @property
    def variable(self) -> str:
        """The name in the predicted Dataset."""
        return self.name or self.prediction.name

    def arguments(self, coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
        """The prediction's arguments for one lane."""
        if self.bind is not None:
            return self.bind(coords, measured)
        wanted = inspect.signature(self.prediction.function).parameters
        return {name: value for name, value in coords.items() if name in wanted}


@dataclass(frozen=True)
class Experiment:
    """A typed function `build(**coords) -> Run` with what belongs to it; pure data.

    **Arguments:** `build`'s annotated parameters are the coordinates (see `dlnlab.schema`).
    `steps` or `time` says how far a run goes, `schedule` when it is recorded, `observe` and
    `statistics` what. `predictions` go with it. `examine(run)` finds in NumPy what of a run's start
    cannot be compiled (its nearest saddle, say), as a Dataset of one shape for all points; it is
    joined to what is measured. `coords` are those of the figure, where they differ from `build`'s
    defaults (a sweep, say). `title` and `about` are for people.
    """

    build: Callable[..., Run]
    title: str
    about: str = ""
    steps: int | None = None
    time: float | None = None
    schedule: Schedule = DEFAULT_SCHEDULE
    observe: tuple[Observable, ...] = ()
    statistics: tuple[Statistic, ...] = ()
    predictions: tuple[Bound, ...] = ()
    examine: Callable[[Run], xr.Dataset] | None = None
    coords: Mapping[str, Any] = field(default_factory=dict)
    cites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        schema(self.build)
        if (self.steps is None) == (self.time is None):
            raise InputError(
                f"the experiment {self.title!r} needs one of steps and time; say how far it runs."
            )

    @property
    def parameters(self) -> dict[str, Parameter]:
        """The coordinates by name."""
        return schema(self.build)

    def grid(self, **coords: Any) -> Grid:
        """The points that these coordinates span; what is not named takes its default."""
        return grid(self.parameters, coords)

    def measure(
        self,
        *,
        steps: int | None = None,
        time: float | None = None,
        threads: int | None = None,
        monitor: Monitor | None = None,
        **coords: Any,
    ) -> xr.Dataset:
        """Carry out the experiment at a point or over a sweep.

        **Raises:** `InputError` where a coordinate or the whole request cannot be used.
        """
        if steps is None and time is None:
            steps, time = self.steps, self.time
        points = self.grid(**coords)
        # Which of the two takes longer nobody knows; but a run of no steps takes no time.
        share = 1.0 if self.examine is None else 0.5 if steps or time else 0.0
        measured = simulate_grid(
            self.build,
            points,
            steps=steps,
            time=time,
            schedule=self.schedule,
            observe=self.observe,
            statistics=self.statistics,
            threads=threads,
            monitor=_until(share, monitor),
        )
        if self.examine is not None:
            rest = _from(share, monitor)
            measured = measured.assign(
                examined(self.build, self.examine, points, threads=threads, monitor=rest)
            )
        return measured.assign_attrs(title=self.title, source=self.source())

    def source(self) -> str:
        """The text of the file that defines the experiment, for provenance."""
        try:
            return inspect.getsource(inspect.getmodule(self.build) or self.build)
        except (OSError, TypeError):
            return repr(self.build)

    def predict(self, measured: xr.Dataset, *, stretch: bool = False, **coords: Any) -> xr.Dataset:
        """What the experiment's predictions say at the points of `measured`.

        Where an assumption is broken the value is NaN and the attribute `broken` of the variable
        says which, by how much and at how many points; with `stretch` the formula's value stands
        there all the same, and `stretched` says so.
        """
        points = self.grid(**coords)
        answers = _answers(self.predictions, points, measured, stretch)
        return xr.Dataset(
            {
                b.variable: _labelled(b, points, answers[b.variable], stretch)
                for b in self.predictions
            },
            coords={name: measured.coords[name] for name in points.axes},
        )


def _from(share: float, monitor: Monitor | None) -> Monitor | None:
    """A monitor for what begins when this share of all is finished."""
    if monitor is None:
        return None
    return lambda fraction, seconds: monitor(share + (1 - share) * fraction, seconds)


def _until(share: float, monitor: Monitor | None) -> Monitor | None:
    """A monitor for the first share, after which nobody knows yet what is left."""
    if monitor is None or share == 1:
        return monitor
    return lambda fraction, _: monitor(share * fraction, None)


class _Answer(NamedTuple):
    """A prediction's value at one point, None where it has none, and the departures too large."""

    value: Any
    broken: dict[str, float]


def _answers(
    bounds: tuple[Bound, ...], points: Grid, measured: xr.Dataset, stretch: bool
) -> dict[str, list[_Answer]]:
    """The answers of every prediction at every point; each is asked once for equal arguments."""
    made: dict[str, list[_Answer]] = {bound.variable: [] for bound in bounds}
    known: dict[Any, _Answer] = {}
    for index in range(points.size):
        place = np.unravel_index(index, points.shape) if points.axes else ()
        lane = measured.isel({name: int(k) for name, k in zip(points.axes, place, strict=True)})
        coords = points.point(index)
        for bound in bounds:
            arguments = bound.arguments(coords, lane)
            key = _key(bound, arguments)
            answer = known.get(key) or _answer(bound.prediction, arguments, stretch)
            if key is not None:
                known[key] = answer
            made[bound.variable].append(answer)
    return made


def _key(bound: Bound, arguments: dict[str, Any]) -> Any:
    """What tells one question from another; None for arrays, which are not compared."""
    key = (bound.variable, *arguments.items())
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _answer(prediction: Prediction, arguments: dict[str, Any], stretch: bool) -> _Answer:
    departures = prediction.departures(**arguments)
    broken = {
        a.name: departures[a.name]
        for a in prediction.assumes
        if not departures[a.name] <= a.tolerance
    }
    return _Answer(_value(prediction, arguments, stretch or not broken), broken)


def _labelled(bound: Bound, points: Grid, answers: list[_Answer], stretch: bool) -> xr.DataArray:
    values = [answer.value for answer in answers]
    broken: dict[str, tuple[int, float]] = {}
    for answer in answers:
        for name, departure in answer.broken.items():
            count, worst = broken.get(name, (0, 0.0))
            broken[name] = (count + 1, max(worst, departure))
    shape = _common_shape([np.shape(v) for v in values if v is not None])
    filled = [_padded(value, shape) for value in values]
    attrs = {
        "of": bound.prediction.of,
        "source": bound.prediction.source,
        "symbol": bound.prediction.symbol,
        "assumes": "; ".join(a.sentence for a in bound.prediction.assumes),
    }
    if broken:
        attrs["stretched" if stretch else "broken"] = "; ".join(
            _departed(a.sentence, *broken[a.name], points.size)
            for a in bound.prediction.assumes
            if a.name in broken
        )
    dims = bound.prediction.dims[-len(shape) :] if shape else ()
    return xr.DataArray(
        np.asarray(filled).reshape((*points.shape, *shape)), dims=(*points.axes, *dims), attrs=attrs
    )


def _departed(sentence: str, count: int, worst: float, points: int) -> str:
    where = f" at {count} of {points} points" if points > 1 else ""
    most = "up to " if count > 1 else ""
    return f"it assumes that {sentence}, and departs from that{where} by {most}{worst:.3g}"


def _common_shape(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The smallest shape that holds each; those of fewer axes are repeated along the missing."""
    rank = max(map(len, shapes), default=0)
    whole = [shape for shape in shapes if len(shape) == rank]
    return tuple(max(sizes) for sizes in zip(*whole, strict=True))


def _padded(value: Any, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A value in the common shape, NaN where it has nothing to say, as in what was measured."""
    filled = np.full(shape, np.nan)
    if value is not None and np.ndim(value) < len(shape):
        filled[...] = value
    elif value is not None:
        filled[tuple(slice(n) for n in np.shape(value))] = value
    return filled


def _value(prediction: Prediction, arguments: dict[str, Any], allowed: bool) -> Any:
    if not allowed:
        return None
    try:
        return prediction(**arguments, stretch=True)
    except InputError:  # stretched beyond where the formula has a value at all
        return None
