"""The loops that move one lane: over the steps of a map, through the time of a flow.

Each loop takes a lane to the next recorded moment, or to `stop` if that comes first; it can be
called again from where it stopped, and neither where it is cut nor what is recorded changes a bit
of the trajectory. A lane that is no longer running stays as it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Flow, Map
from dlnlab.run import Run
from dlnlab.simulate.entries import Entrywise, alone, apart, side_by_side, together
from dlnlab.state import Lane, Status, Step
from dlnlab.statistics.base import Statistic
from dlnlab.typing import Any, Array, Int, Params, PyTree, Scalar

Statistics = tuple[Statistic, ...]


class Moment(NamedTuple):
    """Where a loop is to pause: a recorded step (map) or time (flow), and when to stop at latest.

    `position` counts steps (of a map) or attempted steps (of a flow), `stop` bounds it, and
    `horizon` is the lane's last step or time.
    """

    until: Array
    position: Int[Array, ""]
    stop: Int[Array, ""]
    horizon: Array


def begin(run: Run, statistics: Statistics) -> Lane:
    """The lane before its first step."""
    params = run.params
    dynamics = run.dynamics
    memory = (
        dynamics.init(run.problem, params, run.key)
        if isinstance(dynamics, Map)
        else _flow_init(run)
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
    loop = _advance_map if isinstance(run.dynamics, Map) else _advance_flow
    return loop(run, statistics, lane, moment)


def advance_lanes(
    source: Callable[[PyTree], Run],
    statistics: Statistics,
    columns: PyTree,
    lanes: Lane,
    horizons: Array,
    moment: Moment,
) -> tuple[Lane, Array, Array]:
    """The same for many lanes side by side, which stand in the *last* axis of every array.

    There small matrices fill the machine's wide instructions (see `dlnlab.networks.products`). The
    steps of a map are one loop around all lanes, so that the layout is kept from step to step.
    `columns` hold in their first axis the values in which lanes differ, `source` makes runs of
    them; `moment.horizon` is not looked at.
    """
    runs, axes = side_by_side(source, columns)
    if not runs.is_map:

        def flow(run: Run, lane: Lane, horizon: Array) -> tuple[Lane, Array, Array]:
            return advance(run, statistics, lane, moment._replace(horizon=horizon))

        lanes, positions, reached = jax.vmap(flow, (axes, -1, 0), (-1, 0, 0))(runs, lanes, horizons)
        return lanes, jnp.max(positions), jnp.all(reached)

    def step(run: Run, lane: Lane, horizon: Array, index: Array) -> Lane:
        return _map_step(run, statistics, lane, index + 1, horizon)

    end = jnp.minimum(moment.until, moment.stop)
    position = jnp.maximum(moment.position, end)
    lanes = _loop(step, moment.position, end, (runs, axes), lanes, horizons)
    return lanes, position, position >= moment.until


def _loop(
    step: Callable[..., Lane],
    start: Array,
    end: Array,
    runs: tuple[Run, PyTree],
    lanes: Lane,
    horizons: Array,
) -> Lane:
    """All steps of all lanes: entry by entry where these are few, else array by array."""
    run, axes = runs
    in_axes = (axes, -1, -1, None)
    shapes = alone((run, lanes, horizons, start), in_axes)
    entrywise = Entrywise(step, *shapes)
    if entrywise.possible:
        fixed = apart((run, horizons), in_axes[0::2])

        def turn(index: Array, lanes: PyTree) -> PyTree:
            return entrywise(fixed[0], lanes, fixed[1], index)

        return together(jax.lax.fori_loop(start, end, turn, apart(lanes)))
    many = jax.vmap(step, in_axes, -1)
    return jax.lax.fori_loop(start, end, lambda i, x: many(run, x, horizons, i), lanes)


def present(run: Run, lane: Lane, moment: Array) -> Params:
    """The parameters at the recorded moment itself.

    A flow's lane stands at the end of the step that first passed the moment. The value at the
    moment is one more step of the integrator from that step's start, shorter than the accepted
    one, so that recording costs no accuracy and leaves the trajectory alone.
    """
    if isinstance(run.dynamics, Map):
        return lane.params
    memory: FlowMemory = lane.memory
    moment = moment.astype(lane.time.dtype)
    inside = (memory.time_before < moment) & (moment < lane.time)
    end = jnp.where(inside, moment, lane.time)
    # The solver's own state belongs to the step's end, so this one begins afresh.
    fresh = _SOLVER.init(_term(run), memory.time_before, end, memory.before, None)
    between = _flow_step(run, memory.time_before, end, memory.before, fresh)[0]
    return _where(inside, between, lane.params)


def _advance_map(
    run: Run, statistics: Statistics, lane: Lane, moment: Moment
) -> tuple[Lane, Array, Array]:
    end = jnp.minimum(moment.until, moment.stop)

    def body(index: Array, lane: Lane) -> Lane:
        return _map_step(run, statistics, lane, index + 1, moment.horizon)

    lane = jax.lax.fori_loop(moment.position, end, body, lane)
    position = jnp.maximum(moment.position, end)
    return lane, position, position >= moment.until


def _map_step(run: Run, statistics: Statistics, lane: Lane, index: Array, horizon: Array) -> Lane:
    problem, dynamics = run.problem, run.dynamics
    assert isinstance(dynamics, Map)

    def move(params: Params) -> tuple[Params, Any]:
        return dynamics.step(problem, params, lane.memory)

    def pushforward(tangent: Params) -> Params:
        return jax.jvp(lambda p: move(p)[0], (lane.params,), (tangent,))[1]

    after, memory = move(lane.params)
    rate = jnp.asarray(dynamics.learning_rate, lane.time.dtype)
    time = (index * rate).astype(lane.time.dtype)
    active = (lane.status == Status.RUNNING) & (index <= horizon)
    # Numbers that are not finite are looked for in the parameters: to ask the loss would cost
    # another pass through all layers. A loss that has overflowed already is seen when recorded.
    finite = jnp.isfinite(sum(jnp.sum(leaf) for leaf in jax.tree.leaves(after)))
    step = Step(lane.params, after, index, time, rate, horizon, pushforward)
    status = jnp.where(active & ~finite, jnp.full_like(lane.status, Status.DIVERGED), lane.status)
    moved = Lane(after, memory, _update(run, statistics, lane, step), lane.time, status)
    still = Lane(lane.params, lane.memory, lane.statistics, lane.time, status)
    return _where(active & finite, moved, still)


class FlowMemory(NamedTuple):
    """What the integrator carries: the last accepted step's start, its states, the top speed."""

    before: Params
    time_before: Scalar
    time_next: Scalar
    solver: Any
    controller: Any
    accepted: Int[Array, ""]
    top_speed: Scalar


_SOLVER = diffrax.Dopri8()


def _term(run: Run) -> "diffrax.ODETerm[Any]":
    dynamics = run.dynamics
    assert isinstance(dynamics, Flow)
    return diffrax.ODETerm(lambda t, params, args: dynamics.velocity(run.problem, params))


def _controller(flow: Flow) -> diffrax.PIDController:
    return diffrax.PIDController(rtol=flow.rtol, atol=flow.atol)


def _flow_init(run: Run) -> FlowMemory:
    flow = run.dynamics
    assert isinstance(flow, Flow)
    term, params = _term(run), run.params
    zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype)
    time_next, controller = _controller(flow).init(
        term, zero, zero + 1, params, None, None, _SOLVER.func, _SOLVER.order(term)
    )
    return FlowMemory(
        before=params,
        time_before=zero,
        time_next=jnp.asarray(time_next),
        solver=_SOLVER.init(term, zero, time_next, params, None),
        controller=controller,
        accepted=jnp.asarray(0),
        top_speed=_norm(flow.velocity(run.problem, params)),
    )


def _flow_step(
    run: Run, start: Scalar, end: Scalar, params: Params, solver: Any
) -> tuple[Params, Params, Any]:
    after, error, _, solver, _ = _SOLVER.step(
        _term(run), start, end, params, None, solver, made_jump=False
    )
    return after, error, solver


def _advance_flow(
    run: Run, statistics: Statistics, lane: Lane, moment: Moment
) -> tuple[Lane, Array, Array]:
    until = jnp.minimum(moment.until, moment.horizon).astype(lane.time.dtype)

    def going(carry: tuple[Lane, Array]) -> Array:
        lane, position = carry
        return (lane.status == Status.RUNNING) & (lane.time < until) & (position < moment.stop)

    def body(carry: tuple[Lane, Array]) -> tuple[Lane, Array]:
        lane, position = carry
        return _flow_attempt(run, statistics, lane), position + 1

    lane, position = jax.lax.while_loop(going, body, (lane, moment.position))
    return lane, position, (lane.status != Status.RUNNING) | (lane.time >= until)


def _flow_attempt(run: Run, statistics: Statistics, lane: Lane) -> Lane:
    """One step of the integrator, kept if its error allows."""
    flow, memory = run.dynamics, lane.memory
    assert isinstance(flow, Flow)
    after, error, solver = _flow_step(run, lane.time, memory.time_next, lane.params, memory.solver)
    keep, _, time_next, _, controller, _ = _controller(flow).adapt_step_size(
        lane.time,
        memory.time_next,
        lane.params,
        after,
        None,
        error,
        _SOLVER.order(_term(run)),
        memory.controller,
    )
    time_next = jnp.asarray(time_next)
    speed = _norm(flow.velocity(run.problem, after))
    top = jnp.maximum(memory.top_speed, speed)
    taken = memory.time_next - lane.time
    kept = Lane(
        params=after,
        memory=FlowMemory(
            lane.params, lane.time, time_next, solver, controller, memory.accepted + 1, top
        ),
        statistics=_update(run, statistics, lane, _flow_statistics_step(run, lane, after, taken)),
        time=memory.time_next,
        status=jnp.where(speed <= flow.arrival * top, Status.ARRIVED, lane.status),
    )
    again = memory._replace(time_next=time_next, controller=controller)
    stuck = time_next <= lane.time
    refused = Lane(
        lane.params,
        again,
        lane.statistics,
        lane.time,
        jnp.where(stuck, Status.FAILED, lane.status),
    )
    return _where(jnp.asarray(keep), kept, refused)


def _flow_statistics_step(run: Run, lane: Lane, after: Params, taken: Scalar) -> Step:
    memory = lane.memory

    def pushforward(tangent: Params) -> Params:
        def move(params: Params) -> Params:
            return _flow_step(run, lane.time, lane.time + taken, params, memory.solver)[0]

        return jax.jvp(move, (lane.params,), (tangent,))[1]

    return Step(
        lane.params,
        after,
        memory.accepted + 1,
        lane.time + taken,
        taken,
        memory.accepted + 1,
        pushforward,
    )


def _update(run: Run, statistics: Statistics, lane: Lane, step: Step) -> tuple[Any, ...]:
    pairs = zip(statistics, lane.statistics, strict=True)
    return tuple(s.update(run.problem, memory, step) for s, memory in pairs)


def _where(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b).astype(jnp.result_type(b)), yes, no)


def _norm(tree: Any) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
