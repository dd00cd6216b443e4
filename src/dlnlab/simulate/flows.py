"""The loop through the time of a flow: diffrax's solver, driven step by step."""

from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Flow
from dlnlab.run import Run
from dlnlab.simulate.moment import Moment, Statistics, choose, updated
from dlnlab.state import Lane, Status, Step
from dlnlab.typing import Any, Array, Int, Params, Scalar


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


def init(run: Run) -> FlowMemory:
    """What the integrator carries before its first step."""
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


def advance(
    run: Run, statistics: Statistics, lane: Lane, moment: Moment
) -> tuple[Lane, Array, Array]:
    """See `dlnlab.simulate.advance.advance`."""
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
        statistics=updated(run, statistics, lane, _flow_statistics_step(run, lane, after, taken)),
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
    return choose(jnp.asarray(keep), kept, refused)


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


def present(run: Run, lane: Lane, moment: Array) -> Params:
    """One more step of the integrator from the start of the one that passed the moment, shorter
    than it."""
    memory: FlowMemory = lane.memory
    moment = moment.astype(lane.time.dtype)
    inside = (memory.time_before < moment) & (moment < lane.time)
    end = jnp.where(inside, moment, lane.time)
    # The solver's own state belongs to the step's end, so this one begins afresh.
    fresh = _SOLVER.init(_term(run), memory.time_before, end, memory.before, None)
    between = _flow_step(run, memory.time_before, end, memory.before, fresh)[0]
    return choose(inside, between, lane.params)


def _norm(tree: Any) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
