"""What moves a lane: over the steps of a map, through the time of a flow.

Each loop takes a lane to the next recorded moment, or to `stop` if that comes first; it can be
called again from where it stopped, and neither where it is cut nor what is recorded changes a bit
of the trajectory. A lane that is no longer running stays as it is.
"""

from types import ModuleType

import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Map
from dlnlab.run import Run
from dlnlab.simulate import maps
from dlnlab.simulate.lanes import over_lanes
from dlnlab.simulate.moment import Moment, Statistics
from dlnlab.state import Lane, Status
from dlnlab.typing import Array, Params, PyTree


def _flows() -> ModuleType:
    """Imported where there is a flow: a solver's library takes longer to import than a map runs."""
    from dlnlab.simulate import flows

    return flows


def begin(run: Run, statistics: Statistics) -> Lane:
    """The lane before its first step."""
    params = run.params
    dynamics = run.dynamics
    memory = (
        dynamics.init(run.problem, params, run.key)
        if isinstance(dynamics, Map)
        else _flows().init(run)
    )
    dtype = jax.tree.leaves(params)[0].dtype
    return Lane(
        params=params,
        memory=memory,
        statistics=tuple(s.init(run.problem, params) for s in statistics),
        time=jnp.zeros((), dtype),
        status=jnp.asarray(Status.RUNNING),
    )


def advance(
    run: Run, statistics: Statistics, lane: Lane, moment: Moment
) -> tuple[Lane, Array, Array]:
    """The lane at `moment.until`, or where `moment.stop` cut the way there; the position; and
    whether the moment was reached."""
    loop = maps if run.is_map else _flows()
    found: tuple[Lane, Array, Array] = loop.advance(run, statistics, lane, moment)
    return found


def advance_lanes(
    runs: Run,
    axes: PyTree,
    statistics: Statistics,
    lanes: Lane,
    horizons: Array,
    moment: Moment,
) -> tuple[Lane, Array, Array]:
    """The same for many lanes side by side, which stand in the *last* axis of every array.

    There small matrices fill the machine's wide instructions (see `dlnlab.networks.products`).
    `axes` are those of the runs' leaves (see `dlnlab.simulate.lanes.side_by_side`);
    `moment.horizon` is not looked at.
    """
    if runs.is_map:
        return maps.advance_lanes(runs, axes, statistics, lanes, horizons, moment)

    def flow(run: Run, lane: Lane, horizon: Array) -> tuple[Lane, Array, Array]:
        return advance(run, statistics, lane, moment._replace(horizon=horizon))

    lanes, positions, reached = over_lanes(flow, (axes, -1, -1))(runs, lanes, horizons)
    return lanes, jnp.max(positions), jnp.all(reached)


def present(run: Run, lane: Lane, moment: Array) -> Params:
    """The parameters at the recorded moment itself.

    A flow's lane stands at the end of the step that first passed the moment. The value at the
    moment is one more step of the integrator from that step's start, shorter than the accepted
    one, so that recording costs no accuracy and leaves the trajectory alone.
    """
    found: Params = lane.params if run.is_map else _flows().present(run, lane, moment)
    return found
