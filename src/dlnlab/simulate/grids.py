"""From a run, or a grid of runs, to a labelled Dataset."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab import results
from dlnlab.errors import InputError
from dlnlab.run import Run, as_arrays
from dlnlab.schedule import Schedule
from dlnlab.schema import Grid, Group, Parameter, grid
from dlnlab.simulate import limits
from dlnlab.simulate.clock import Coordinates, clock, coordinates, joined
from dlnlab.simulate.moment import Statistics
from dlnlab.simulate.program import Program, Shapes, shapes
from dlnlab.simulate.record import Observe
from dlnlab.simulate.starts import check_starts, told_exhausted
from dlnlab.simulate.tiles import Work
from dlnlab.simulate.workers import Interrupted, Monitor, execute
from dlnlab.typing import Any, PyTree

DEFAULT_SCHEDULE = Schedule(linear=201)


_LANE = " lane"
"""A column that every lane has, so that there is one to map over where nothing is traced."""


@dataclass(frozen=True)
class Source:
    """A lane's run from its traced values: `build` with the group's static parameters filled in."""

    build: Callable[..., Run]
    static: tuple[tuple[str, Any], ...]
    tuples: tuple[tuple[str, tuple[int, ...]], ...]

    def __call__(self, columns: dict[str, Any]) -> Run:
        arguments = {**dict(self.static), **columns}
        del arguments[_LANE]
        for name, shape in self.tuples:
            arguments[name] = _as_tuple(columns[name], shape)
        return self.build(**arguments)


def _as_tuple(values: Any, shape: tuple[int, ...]) -> Any:
    if not shape:
        return values
    return tuple(_as_tuple(values[k], shape[1:]) for k in range(shape[0]))


def _source(build: Callable[..., Run], parameters: dict[str, Parameter], group: Group) -> Source:
    traced = {name for name, parameter in parameters.items() if parameter.traced}
    static = tuple((n, v) for n, v in group.static.items() if n not in traced)
    return Source(build, static, tuple((n, v) for n, v in group.static.items() if n in traced))


def _columns(points: Grid, group: Group) -> dict[str, Any]:
    return {**points.columns(group), _LANE: group.indices}


@dataclass(frozen=True)
class Same:
    """The source of a run that was handed over whole: its leaves are the columns."""

    def __call__(self, run: Run) -> Run:
        return run


def _alone(leaf: Any) -> Any:
    """A column of one lane; keys are arrays that NumPy does not know."""
    return leaf[None] if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else np.asarray(leaf)[None]


def simulate(
    run: Run,
    *,
    steps: int | None = None,
    time: float | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    observe: Observe = (),
    statistics: Statistics = (),
    monitor: Monitor | None = None,
) -> xr.Dataset:
    """Carry out one run and label what was recorded.

    **Arguments:** `steps` (of a map) or `time` (η × step, or a flow's time) says how far;
    `schedule` when to record; `observe` and `statistics` what.

    **Returns:** a Dataset over `step` (with `time` beside it) or `time`, then the observable's own
    dimensions; `status` says how the run stands. The dtype is that of the run's parameters.

    **Raises:** `InputError` where the request cannot be carried out: found before computing.
    `Interrupted`, on Ctrl-C, with all that was finished.

    >>> from dlnlab.dynamics import GradientDescent
    >>> from dlnlab.networks import Modes
    >>> from dlnlab.observables import loss
    >>> from dlnlab.problem import Problem
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((1,), 1), Whitened(np.array([1.0])))
    >>> run = Run(problem, GradientDescent(0.5), ((np.array([0.0]),),))
    >>> simulate(run, steps=2, observe=(loss,)).loss.values.tolist()
    [0.5, 0.125, 0.03125]
    """
    with jax.enable_x64(True):
        columns = jax.tree.map(_alone, as_arrays(run))
    return _simulate(
        grid({}, {}),
        [(Same(), columns, np.zeros(1, np.int64))],
        steps,
        time,
        schedule,
        observe,
        statistics,
        None,
        monitor,
    )


def simulate_grid(
    build: Callable[..., Run],
    points: Grid,
    *,
    steps: int | None = None,
    time: float | None = None,
    schedule: Schedule = DEFAULT_SCHEDULE,
    observe: Observe = (),
    statistics: Statistics = (),
    threads: int | None = None,
    monitor: Monitor | None = None,
) -> xr.Dataset:
    """Carry out `build` at every point of a grid, in float64, one compilation for each group.

    **Arguments, Returns, Raises:** as for `simulate`; the grid's axes come first. `threads` is the
    number of tiles computed at a time, by default one for each processor.
    """
    limits.check_points(points.size)
    limits.check_steps(steps, points.size)
    groups: list[Lanes] = [
        (_source(build, points.parameters, group), _columns(points, group), group.indices)
        for group in points.groups()
    ]
    return _simulate(points, groups, steps, time, schedule, observe, statistics, threads, monitor)


Lanes = tuple[Callable[[Any], Run], PyTree, np.ndarray[Any, Any]]


def _simulate(
    points: Grid,
    groups: list[Lanes],
    steps: int | None,
    time: float | None,
    schedule: Schedule,
    observe: Observe,
    statistics: Statistics,
    threads: int | None,
    monitor: Monitor | None,
) -> xr.Dataset:
    with jax.enable_x64(True):
        observe, statistics = limits.recorded(observe, statistics)
        works = _works(points, groups, steps, time, schedule, observe, statistics)
        indices = [lanes for _, _, lanes in groups]
        beside: Coordinates = {}
        if works[0].shape.is_map:
            whole = joined([work.clock for work in works], indices, points.size)
            beside = coordinates(whole, points, works[0].moments)
        label = functools.partial(
            results.label, points, works, indices, beside, observe, statistics
        )
        try:
            execute(works, threads, monitor)
        except KeyboardInterrupt:
            raise Interrupted(label(interrupted=True)) from None
        return told_exhausted(label(interrupted=False))


def _works(
    points: Grid,
    groups: list[Lanes],
    steps: int | None,
    time: float | None,
    schedule: Schedule,
    observe: Observe,
    statistics: Statistics,
) -> list[Work]:
    programs = [Program(source, observe, statistics) for source, _, _ in groups]
    found = [shapes(p, columns) for p, (_, columns, _) in zip(programs, groups, strict=True)]
    is_map = limits.same_kind([shape.is_map for shape in found])
    clocks = [clock(p, columns) for p, (_, columns, _) in zip(programs, groups, strict=True)]
    horizons = [limits.horizon(is_map, steps, time, c.lanes, c.steps) for c in clocks]
    total = max(horizon.max() for horizon in horizons)
    count = schedule.count(float(total), is_map)
    if not is_map:
        check_starts(programs, [columns for _, columns, _ in groups])
    limits.check_size([s.row_bytes for s in found], [c.lanes for c in clocks], count)
    limits.check_length(
        [s.operations for s in found],
        [s.tile for s in found],
        [c.lanes for c in clocks],
        int(total),
        is_map,
    )
    moments = schedule.steps(int(total)) if is_map else schedule.times(float(total))
    return [
        Work(program, columns, moments, horizon, each, shape.cut(len(moments)))
        for program, (_, columns, _), horizon, each, shape in zip(
            programs, groups, horizons, clocks, found, strict=True
        )
    ]


__all__ = ["DEFAULT_SCHEDULE", "InputError", "Shapes", "simulate", "simulate_grid"]
