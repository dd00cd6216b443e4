"""The loop over the steps of a map: of one lane, and of many side by side."""

import jax
import jax.numpy as jnp

from dlnlab.dynamics import phases
from dlnlab.dynamics.base import Map
from dlnlab.run import Run
from dlnlab.simulate.entries import Entrywise, apart, together
from dlnlab.simulate.lanes import alone, over_lanes
from dlnlab.simulate.moment import Moment, Statistics, choose, updated
from dlnlab.state import Lane, Status, Step
from dlnlab.typing import Any, Array, Params, PyTree


def advance(
    run: Run, statistics: Statistics, lane: Lane, moment: Moment
) -> tuple[Lane, Array, Array]:
    """See `dlnlab.simulate.advance.advance`."""
    end = jnp.minimum(moment.until, moment.stop)

    def body(index: Array, lane: Lane) -> Lane:
        return _step(run, statistics, lane, index + 1, moment.horizon)

    lane = jax.lax.fori_loop(moment.position, end, body, lane)
    position = jnp.maximum(moment.position, end)
    return lane, position, position >= moment.until


def advance_lanes(
    runs: Run,
    axes: PyTree,
    statistics: Statistics,
    lanes: Lane,
    horizons: Array,
    moment: Moment,
) -> tuple[Lane, Array, Array]:
    """One loop around all lanes, so that their layout is kept from step to step: entry by entry
    where these are few, else array by array."""

    def step(run: Run, lane: Lane, horizon: Array, index: Array) -> Lane:
        return _step(run, statistics, lane, index + 1, horizon)

    start, end = moment.position, jnp.minimum(moment.until, moment.stop)
    in_axes = (axes, -1, -1, None)
    entrywise = Entrywise(step, *alone((runs, lanes, horizons, start), in_axes))
    if entrywise.possible:
        run, horizon = apart((runs, horizons), (axes, -1))
        turn = lambda index, lanes: entrywise(run, lanes, horizon, index)  # noqa: E731
        lanes = together(jax.lax.fori_loop(start, end, turn, apart(lanes)))
    else:
        many = over_lanes(step, in_axes)
        body = lambda index, lanes: many(runs, lanes, horizons, index)  # noqa: E731
        lanes = jax.lax.fori_loop(start, end, body, lanes)
    position = jnp.maximum(start, end)
    return lanes, position, position >= moment.until


def _step(run: Run, statistics: Statistics, lane: Lane, index: Array, horizon: Array) -> Lane:
    problem, dynamics = run.problem, run.dynamics
    assert isinstance(dynamics, Map)

    def move(params: Params) -> tuple[Params, Any]:
        return dynamics.step_at(index - 1, problem, params, lane.memory)

    def pushforward(tangent: Params) -> Params:
        return jax.jvp(lambda p: move(p)[0], (lane.params,), (tangent,))[1]

    after, memory = move(lane.params)
    rate = phases.rate(dynamics.phases, index - 1).astype(lane.time.dtype)
    time = phases.times(dynamics.phases, index).astype(lane.time.dtype)
    active = (lane.status == Status.RUNNING) & (index <= horizon)
    # Numbers that are not finite are looked for in the parameters: to ask the loss would cost
    # another pass through all layers. A loss that has overflowed already is seen when recorded.
    finite = jnp.isfinite(sum(jnp.sum(leaf) for leaf in jax.tree.leaves(after)))
    batch = lambda: dynamics.batch(problem, lane.memory)  # noqa: E731
    step = Step(lane.params, after, index, time, rate, horizon, pushforward, batch)
    status = jnp.where(active & ~finite, jnp.full_like(lane.status, Status.DIVERGED), lane.status)
    moved = Lane(after, memory, updated(run, statistics, lane, step), lane.time, status)
    still = Lane(lane.params, lane.memory, lane.statistics, lane.time, status)
    return choose(active & finite, moved, still)
