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
    """What the integrator carries: the last accepted step's start, its states, the top speed, the
    steps accepted and tried, and the absolute tolerance that its start asks for."""

    before: Params
    time_before: Scalar
    time_next: Scalar
    solver: Any
    controller: Any
    accepted: Int[Array, ""]
    tried: Int[Array, ""]
    top_speed: Scalar
    atol: Scalar


_SOLVER = diffrax.Dopri8()


def _term(run: Run) -> "diffrax.ODETerm[Any]":
    dynamics = run.dynamics
    assert isinstance(dynamics, Flow)
    return diffrax.ODETerm(lambda t, params, args: dynamics.velocity(run.problem, params))


def _controller(flow: Flow, atol: Scalar) -> diffrax.PIDController:
    return diffrax.PIDController(rtol=flow.rtol, atol=atol)


def smallest_scale(params: Params) -> Scalar:
    """The size of the smallest layer of a start, at most 1: what absolute errors are small against.

    A layer of modes is as small as its smallest entry, since its modes do not mix; one of a matrix
    has the root mean square of its entries. What is exactly zero has no size.
    """

    def size(layer: Array) -> Scalar:
        sizes = jnp.abs(layer) if layer.ndim == 1 else jnp.sqrt(jnp.mean(layer**2))
        return jnp.min(jnp.where(sizes > 0, sizes, 1))

    return jnp.minimum(1, jnp.min(jnp.stack([size(leaf) for leaf in jax.tree.leaves(params)])))


def init(run: Run) -> FlowMemory:
    """What the integrator carries before its first step."""
    flow = run.dynamics
    assert isinstance(flow, Flow)
    term, params = _term(run), run.params
    zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype)
    atol = flow.atol * smallest_scale(params)
    time_next, controller = _controller(flow, atol).init(
        term, zero, zero + 1, params, None, None, _SOLVER.func, _SOLVER.order(term)
    )
    return FlowMemory(
        before=params,
        time_before=zero,
        time_next=jnp.asarray(time_next),
        solver=_SOLVER.init(term, zero, time_next, params, None),
        controller=controller,
        accepted=jnp.asarray(0),
        tried=jnp.asarray(0),
        top_speed=_norm(flow.velocity(run.problem, params)),
        atol=atol,
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
    keep, _, time_next, _, controller, _ = _controller(flow, memory.atol).adapt_step_size(
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
    tried = memory.tried + 1
    spent = jnp.where(tried < flow.most_steps, lane.status, Status.EXHAUSTED)
    kept = Lane(
        params=after,
        memory=FlowMemory(
            lane.params,
            lane.time,
            time_next,
            solver,
            controller,
            memory.accepted + 1,
            tried,
            top,
            memory.atol,
        ),
        statistics=updated(run, statistics, lane, _flow_statistics_step(run, lane, after, taken)),
        time=memory.time_next,
        status=jnp.where(speed <= flow.arrival * top, Status.ARRIVED, spent),
    )
    again = memory._replace(time_next=time_next, controller=controller, tried=tried)
    stuck = time_next <= lane.time
    refused = Lane(
        lane.params,
        again,
        lane.statistics,
        lane.time,
        jnp.where(stuck, Status.FAILED, spent),
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
        lambda: run.problem,
        lambda moment: _shorter(run, lane.time, moment, lane.params),
    )


def present(run: Run, lane: Lane, moment: Array) -> Params:
    """One more step of the integrator from the start of the one that passed the moment, shorter
    than it."""
    memory: FlowMemory = lane.memory
    moment = moment.astype(lane.time.dtype)
    inside = (memory.time_before < moment) & (moment < lane.time)
    end = jnp.where(inside, moment, lane.time)
    between = _shorter(run, memory.time_before, end, memory.before)
    return choose(inside, between, lane.params)


def _shorter(run: Run, start: Scalar, end: Scalar, params: Params) -> Params:
    """One step of the integrator; its own state belongs to another step's end, so it is new."""
    fresh = _SOLVER.init(_term(run), start, end, params, None)
    return _flow_step(run, start, end, params, fresh)[0]


def _norm(tree: Any) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
