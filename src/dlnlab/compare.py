"""Several dynamics from one start and one noise: how far apart they go."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.dynamics import Langevin, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.observables import end_to_end, loss
from dlnlab.observables.base import Observable
from dlnlab.problem import Problem
from dlnlab.schedule import Schedule
from dlnlab.schema import Grid
from dlnlab.simulate import Monitor
from dlnlab.simulate.clock import Clock, of_run
from dlnlab.typing import Any, Array, Params

PARAMETER = "dynamics"
"""The parameter of `build` whose values are compared."""

_ROUNDING = 1e-9
"""Times that differ by less, as a share of the whole, are one."""

_ROUNDED = 50
"""Residuals below so many units of rounding of the map have fewer than two digits."""

Table = np.ndarray[Any, Any]


def _flattened(problem: Problem, params: Params) -> Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)])


def _observed() -> tuple[Observable, ...]:
    named = Observable(_flattened, "parameters", ("parameter",), "θ", "all parameters")
    return (loss, end_to_end, named)


class Distances(NamedTuple):
    """How far one of the dynamics is from the first, with its loss and how it ended."""

    weight_distance: xr.DataArray
    product_distance: xr.DataArray
    loss_ratio: xr.DataArray
    loss: xr.DataArray
    status: xr.DataArray


class _Plan(NamedTuple):
    """One of the dynamics, and its moments: steps, or the times of a flow."""

    name: str
    moments: tuple[float, ...]
    extent: dict[str, Any]


def compare(
    experiment: Experiment,
    dynamics: Sequence[str] = (),
    *,
    steps: int | None = None,
    time: float | None = None,
    threads: int | None = None,
    monitor: Monitor | None = None,
    **coords: Any,
) -> xr.Dataset:
    """Carry out an experiment under several dynamics, from one start and with one key each point.

    Dynamics in steps and flows are matched by time, the sum of the learning rates: all are recorded
    where the slowest clock (the one of fewest steps) is.

    **Arguments:** `dynamics` are values of the experiment's parameter of that name, a `Literal`;
    by default all of them. The first is the one to which the others are compared. Those that draw
    alike share their noise, seed by seed; descent on batches and its equation do not, which the
    attribute `noise` then says. `steps` are those of the slowest clock. Coordinates may be swept,
    but for those that change the time of a step.

    **Returns:** a Dataset over `dynamics`, the axes of the sweep and `time`:
    `weight_distance` `‖θ − θ_1‖` (NaN where parameters are not equally many), `product_distance`
    `‖W − W_1‖_F`, `loss_ratio` `ℓ/ℓ_1` (NaN where either loss is rounding), and `loss`.

    **Raises:** `InputError` where the experiment has no such parameter, fewer than two dynamics are
    named, or their steps never meet.
    """
    names = _names(experiment, dynamics)
    plans = _plans(experiment, names, steps, time, coords)
    found = []
    for index, plan in enumerate(plans):
        watched = None if monitor is None else _share(monitor, index, len(plans))
        schedule = Schedule(at=plan.moments)
        one = dataclasses.replace(experiment, schedule=schedule, observe=_observed(), statistics=())
        point = {**coords, PARAMETER: plan.name}
        found.append(one.measure(**plan.extent, threads=threads, monitor=watched, **point))
    made = _distances(experiment, names, found)
    return made.assign_attrs(noise=_APART) if _draw_apart(experiment, names, coords) else made


_APART = "batches and the differential equation draw different numbers from one seed"


def _draw_apart(experiment: Experiment, names: tuple[str, ...], coords: dict[str, Any]) -> bool:
    """Whether some of the dynamics draw batches and others the noise of their equation."""
    with jax.enable_x64(True):
        grids = [experiment.grid(**coords, **{PARAMETER: name}) for name in names]
        kinds = [type(experiment.build(**points.point(0)).dynamics) for points in grids]
    return {StochasticGradientDescent, Langevin} <= {*kinds}


def _names(experiment: Experiment, dynamics: Sequence[str]) -> tuple[str, ...]:
    parameter = experiment.parameters.get(PARAMETER)
    if parameter is None or parameter.kind != "literal":
        raise InputError(
            f"the experiment {experiment.title!r} has no parameter {PARAMETER} whose values are "
            f"words; add one to its build, as {PARAMETER}: Literal['flow', 'descent']."
        )
    names = tuple(dynamics) or tuple(str(choice) for choice in parameter.choices)
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            f"two different dynamics or more are compared, and {', '.join(names) or 'none'} was "
            f"given; the experiment has {', '.join(map(str, parameter.choices))}."
        )
    return names


def _plans(
    experiment: Experiment,
    names: tuple[str, ...],
    steps: int | None,
    time: float | None,
    coords: dict[str, Any],
) -> list[_Plan]:
    """When each of the dynamics is recorded, so that all are seen at the same times."""
    if steps is None and time is None:
        steps, time = experiment.steps, experiment.time
    clocks = {n: _clock(experiment, experiment.grid(**{PARAMETER: n}, **coords)) for n in names}
    maps = [clock for clock in clocks.values() if clock is not None]
    if not maps:
        if time is None:
            raise InputError(f"flows have no steps, and steps={steps} was given; give a time.")
        times = experiment.schedule.times(time)
    else:
        slowest = max(maps, key=lambda clock: float(clock.table[0, 1]))
        total = steps if time is None else int(slowest.steps(time))
        times = slowest.times(experiment.schedule.steps(int(total or 0)))
    return [_plan(name, clock, times) for name, clock in clocks.items()]


def _plan(name: str, clock: Clock | None, times: Table) -> _Plan:
    if clock is None:
        return _Plan(name, tuple(times.tolist()), {"time": float(times[-1])})
    found = np.array([float(clock.steps(float(moment))) for moment in times])
    apart = np.abs(clock.times(found) - times).max()
    if not apart <= _ROUNDING * max(1.0, float(times[-1])):
        raise InputError(
            f"the steps of {name} miss the recorded times of the others by up to {apart:.3g}; give "
            "all dynamics times of a step of which the longest is a whole multiple."
        )
    return _Plan(name, tuple(found.tolist()), {"steps": int(found[-1])})


def _clock(experiment: Experiment, points: Grid) -> Clock | None:
    """The clock of a grid's runs, None for a flow; refuses a grid whose points have several."""
    with jax.enable_x64(True):
        clocks = [of_run(experiment.build(**points.point(k))) for k in _corners(points)]
    first = clocks[0]
    for other in clocks[1:]:
        same = first is None if other is None else first is not None and _same(first, other)
        if not same:
            raise InputError(
                "the sweep changes the time of a step, and dynamics are matched by time; compare "
                "at one learning rate after the other."
            )
    return first


def _same(one: Clock, other: Clock) -> bool:
    return np.array_equal(one.table[..., :2], other.table[..., :2])


def _corners(points: Grid) -> list[int]:
    """The first point, and of each axis all points along it from there."""
    found, stride = [0], 1
    for length in reversed(points.shape):
        found += [k * stride for k in range(1, length)][:_MOST_PROBES]
        stride *= length
    return found


_MOST_PROBES = 8
"""Values of an axis at which the time of a step is looked at before anything is simulated."""


def _share(monitor: Monitor, index: int, count: int) -> Monitor:
    return lambda done, left: monitor((index + done) / count, None if count > 1 else left)


def _distances(
    experiment: Experiment, names: tuple[str, ...], found: list[xr.Dataset]
) -> xr.Dataset:
    reference = _in_time(found[0])
    parts = []
    for measured in found:
        # Equal but for rounding, and labels must be equal.
        aligned = _in_time(measured).assign_coords(time=reference.time)
        apart = Distances(
            _weight_distance(aligned, reference),
            _norm(aligned.end_to_end - reference.end_to_end),
            _ratio(aligned, reference),
            aligned.loss,
            aligned.status,
        )
        parts.append(xr.Dataset(apart._asdict()))
    whole = xr.concat(parts, xr.DataArray(list(names), dims=PARAMETER, name=PARAMETER))
    for name, (symbol, formula) in _TOLD.items():
        whole[name].attrs = {"symbol": symbol, "formula": formula}
    whole["status"].attrs = dict(found[0].status.attrs)
    provenance = {key: found[0].attrs[key] for key in ("provenance", "source")}
    return whole.assign_attrs(title=experiment.title, compared_to=names[0], **provenance)


def _weight_distance(one: xr.Dataset, reference: xr.Dataset) -> xr.DataArray:
    """`‖θ − θ_1‖`; NaN where the parameters are not even equally many."""
    if one.sizes["parameter"] != reference.sizes["parameter"]:
        return xr.full_like(one.loss, np.nan, dtype=float)
    return _norm(one.parameters - reference.parameters)


def _ratio(one: xr.Dataset, reference: xr.Dataset) -> xr.DataArray:
    """`ℓ/ℓ_1` where neither is rounding: ℓ = ½‖W − M‖² is some ½‖50εW‖² at the least."""
    unit = _ROUNDED * np.finfo(reference.end_to_end.dtype).eps
    least = (unit * _norm(reference.end_to_end)) ** 2 / 2
    return (one.loss / reference.loss).where((one.loss > least) & (reference.loss > least))


_TOLD = {
    "weight_distance": ("‖θ − θ_1‖", "root of the sum of squares over all parameters"),
    "product_distance": ("‖W − W_1‖_F", "Frobenius norm of the difference of end-to-end maps"),
    "loss_ratio": ("ℓ/ℓ_1", "loss over that of the first dynamics, where neither is rounding"),
    "loss": ("ℓ", "half the squared residual"),
}


def _in_time(measured: xr.Dataset) -> xr.Dataset:
    """The recorded moments by their time, under names that no other dynamics has differently."""
    if "step" in measured.dims:
        measured = measured.swap_dims(step="time").drop_vars("step")
    kept = [name for name in measured.coords if name in measured.dims]
    return measured.reset_coords(drop=True)[["loss", "end_to_end", "parameters", "status"]].pipe(
        lambda data: data.assign_coords({n: measured[n] for n in kept if n in data.dims})
    )


def _norm(difference: xr.DataArray) -> xr.DataArray:
    inner = [d for d in difference.dims if d in ("parameter", "output", "input", "mode")]
    squares: xr.DataArray = (difference**2).sum(inner, skipna=False)
    return squares**0.5
