"""The time of each lane's steps, and what else changes from step to step by itself."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.dynamics.base import Map
from dlnlab.run import Run
from dlnlab.schema import Grid
from dlnlab.simulate.program import Program
from dlnlab.typing import Any, PyTree

Table = np.ndarray[Any, Any]
Coordinates = dict[str, tuple[tuple[str, ...], Table, dict[str, Any]]]

_NEVER = 2.0**62
"""The first step of a phase that never comes: lanes of fewer phases are padded with it."""


class Clock(NamedTuple):
    """The phases of lanes: `table[…, phase, column]`, of which the first two columns are the first
    step and the time of each step, the others what `names` say; a flow has no phases."""

    table: Table
    names: tuple[str, ...] = ()

    @property
    def lanes(self) -> int:
        return len(self.table)

    def times(self, steps: Table) -> Table:
        """The time after so many steps, `[…, step]`."""
        starts, rates = self.table[..., 0, None], self.table[..., 1, None]
        ends = np.concatenate([starts[..., 1:, :], np.full_like(starts[..., :1, :], _NEVER)], -2)
        return np.sum(rates * np.clip(steps - starts, 0, ends - starts), axis=-2)

    def steps(self, time: float) -> Table:
        """How many steps come nearest to a time, `[…]`."""
        found = np.round(time / self.table[..., 0, 1])
        for phase in range(1, self.table.shape[-2]):
            start, rate = self.table[..., phase, 0], self.table[..., phase, 1]
            begun = self.times(start[..., None])[..., 0]
            after = (start < _NEVER) & (time >= begun)
            left = np.divide(time - begun, rate, out=np.zeros_like(begun), where=after)
            found = np.where(after, start + np.round(left), found)
        return found

    def held(self, name: str, steps: Table) -> Table:
        """The value of a name that holds for the step after so many, `[…, step]`."""
        values = self.table[..., 2 + self.names.index(name)]
        phase = np.sum(steps >= self.table[..., 0, None], axis=-2) - 1
        return np.take_along_axis(values, phase, axis=-1)


def clock(program: Program, columns: PyTree) -> Clock:
    """The clock of a group's lanes."""
    phases = _phases(program)(columns)
    lanes = len(jax.tree.leaves(columns)[0])
    names = tuple(sorted(phases[0].settings)) if phases else ()
    rows = [
        [np.full(lanes, phase.start), phase.rate, *(phase.settings[name] for name in names)]
        for phase in phases
    ]
    table = np.moveaxis(np.asarray(rows, dtype=float), -1, 0) if rows else np.zeros((lanes, 0, 2))
    return Clock(table, names)


def of_run(run: Run) -> Clock | None:
    """The clock of a single run of known numbers; None for a flow."""
    if not isinstance(run.dynamics, Map):
        return None
    rows = [[float(phase.start), float(phase.rate)] for phase in run.dynamics.phases]
    return Clock(np.asarray(rows))


@functools.lru_cache(maxsize=64)
def _phases(program: Program) -> Callable[[PyTree], Any]:
    def phases(lane: PyTree) -> Any:
        dynamics = program.run(lane).dynamics
        found = dynamics.phases if isinstance(dynamics, Map) else ()
        return jax.tree.map(jnp.asarray, found)

    return jax.jit(jax.vmap(phases))


def joined(clocks: Sequence[Clock], indices: Sequence[Table], size: int) -> Clock:
    """One clock of the lanes of all groups, in the grid's order; of the names that all have."""
    names = tuple(n for n in clocks[0].names if all(n in c.names for c in clocks))
    most = max(c.table.shape[1] for c in clocks)
    table = np.zeros((size, most, 2 + len(names)))
    table[..., 0] = _NEVER
    for each, lanes in zip(clocks, indices, strict=True):
        columns = [0, 1, *(2 + each.names.index(name) for name in names)]
        table[lanes, : each.table.shape[1]] = each.table[..., columns]
    return Clock(table, names)


def coordinates(clock: Clock, points: Grid, moments: Table) -> Coordinates:
    """`time`, and whatever switches in mid-run, beside the recorded steps, over those axes on which
    they depend. A name that the grid has already is told as `step_…`."""
    dims, alone = _varying(Clock(clock.table[..., :2]), points)
    told = {"long_name": "sum of the learning rates", **_not_reached(clock, int(moments[-1]))}
    made: Coordinates = {"time": ((*dims, "step"), alone.times(moments), told)}
    switches = clock.table.shape[1] > 1
    for column, name in enumerate(clock.names if switches else (), 2):
        dims, alone = _varying(Clock(clock.table[..., [0, column, column]], (name,)), points)
        free = name if name not in points.parameters else f"step_{name}"
        told = {"long_name": f"{name} of the next step"}
        made[free] = ((*dims, "step"), alone.held(name, moments), told)
    return made


def _not_reached(clock: Clock, last: int) -> dict[str, str]:
    """A comment where the dynamics would have switched, but the run was over."""
    starts = clock.table[..., 1:, 0]
    late = starts[(starts < _NEVER) & (starts >= last)]
    if not late.size:
        return {}
    return {
        "comment": f"the dynamics switches at step {int(late.min())}, and the run ends at step "
        f"{last}, before it does"
    }


def _varying(clock: Clock, points: Grid) -> tuple[tuple[str, ...], Clock]:
    """The axes of the grid on which a clock depends, and the clock over them alone."""
    table, varying = clock.table.reshape(*points.shape, *clock.table.shape[1:]), list[str]()
    for position, name in reversed(list(enumerate(points.axes))):
        first = table.take([0], axis=position)
        if np.array_equal(np.broadcast_to(first, table.shape), table, equal_nan=True):
            table = table.take(0, axis=position)
        else:
            varying.insert(0, name)
    return tuple(varying), clock._replace(table=table)
