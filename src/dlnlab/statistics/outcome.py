"""How a run ended: the outcomes of kim2026, told apart over its last steps."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from dlnlab.observables.pathways import coefficients
from dlnlab.problem import Problem
from dlnlab.state import Status, Step
from dlnlab.statistics.base import Statistic
from dlnlab.statistics.passage import loss_rises
from dlnlab.tasks.basis import present
from dlnlab.typing import Array, Bool, Float, Int, Params, Scalar

OUTCOMES = (
    "diverged",
    "collapsed",
    "oscillating",
    "never_oscillated",
    "rebalanced",
    "stuck",
    "undecided",
)
"""The meanings of the codes 0, 1, 2, … of an outcome."""


class OutcomeMemory(NamedTuple):
    """What the outcome is judged from; `low`, `high` and `sign_changes` are of the last window,
    `ended` tells whether it is over."""

    loss_limit: Scalar
    exceeded: Bool[Array, ""]
    rose: Bool[Array, ""]
    top_at_rise: Float[Array, " mode"]
    total_at_rise: Float[Array, " mode"]
    sign_changes: Int[Array, " mode"]
    low: Float[Array, " mode"]
    high: Float[Array, " mode"]
    ended: Bool[Array, ""]


@dataclass(frozen=True)
class Outcome(Statistic):
    """How the run ended, judged over its last `window` steps on the modes with a signal.

    With σ_i = Σ_h u_iᵀΩ_hv_i, r_i = σ_i − s_i, in this order: *diverged* (non-finite, or the loss
    above 10⁶ times the larger of the first and ½‖M‖²); *collapsed* (a σ_i stays below 0.01 s_i);
    *oscillating* (a r_i changes sign 10 times or more, peak to peak above 10⁻⁶ s_i); converged
    (every `|r_i| < 10⁻⁵ s_i`); else *undecided*, as is any run of fewer steps than the window.
    Converged runs have *never_oscillated* (the loss never rose), are *rebalanced* (the top share
    of a mode fell by 0.05 or more since the loss first rose) or *stuck*. A flow is judged by its
    last state once it has arrived. Before the end of the run the outcome is undecided.

    Source: kim2026, the outcomes of its register.
    """

    window: int = 200
    share_drop: float = 0.05
    flags: ClassVar[tuple[str, ...]] = OUTCOMES

    @property
    def name(self) -> str:
        return "outcome"

    def init(self, problem: Problem, params: Params) -> OutcomeMemory:
        strengths = jnp.asarray(problem.task.strengths)
        top, total, residual = _state(problem, params)
        zero, first = jnp.zeros_like(residual), problem.loss(params)
        return OutcomeMemory(
            loss_limit=1e6 * jnp.maximum(first, jnp.sum(strengths**2) / 2),
            exceeded=first > jnp.inf,
            rose=first > jnp.inf,
            top_at_rise=top,
            total_at_rise=total,
            sign_changes=jnp.zeros(residual.shape, int),
            low=zero + jnp.inf,
            high=zero - jnp.inf,
            ended=first > jnp.inf,
        )

    def update(self, problem: Problem, memory: OutcomeMemory, step: Step) -> OutcomeMemory:
        top, total, before = _state(problem, step.before)
        residual = _state(problem, step.after)[2]
        rises = loss_rises(problem, step)
        counts = step.remaining < self.window
        changed = (residual * before < 0) & counts
        return memory._replace(
            exceeded=memory.exceeded | (problem.loss(step.after) > memory.loss_limit),
            rose=memory.rose | rises,
            top_at_rise=jnp.where(memory.rose, memory.top_at_rise, top),
            total_at_rise=jnp.where(memory.rose, memory.total_at_rise, total),
            sign_changes=memory.sign_changes + changed,
            low=jnp.where(counts, jnp.minimum(memory.low, residual), memory.low),
            high=jnp.where(counts, jnp.maximum(memory.high, residual), memory.high),
            ended=(step.remaining == 0) & (step.total >= self.window),
        )

    def read(
        self, problem: Problem, memory: OutcomeMemory, params: Params, status: Array
    ) -> Int[Array, ""]:
        s = jnp.asarray(problem.task.strengths)
        judged = present(s) & (s > 0)
        top, total, residual = _state(problem, params)
        collapsed = jnp.any(judged & (memory.high < -0.99 * s))
        swings = (memory.sign_changes >= 10) & (memory.high - memory.low > 1e-6 * s)
        converged = jnp.all(~judged | (jnp.abs(residual) < 1e-5 * s))
        drop = _share(memory.top_at_rise, memory.total_at_rise) - _share(top, total)
        dropped = jnp.any(judged & (drop >= self.share_drop))
        cases = (
            (memory.exceeded | (status == Status.DIVERGED), "diverged"),
            (~memory.ended & (status != Status.ARRIVED), "undecided"),
            (collapsed, "collapsed"),
            (jnp.any(judged & swings), "oscillating"),
            (converged & ~memory.rose, "never_oscillated"),
            (converged & dropped, "rebalanced"),
            (converged, "stuck"),
        )
        code = jnp.asarray(OUTCOMES.index("undecided"), jnp.int8)
        for condition, name in reversed(cases):
            code = jnp.where(condition, jnp.int8(OUTCOMES.index(name)), code)
        return code


def _state(problem: Problem, params: Params) -> tuple[Array, Array, Array]:
    """The largest part of each mode, the sum of all parts in magnitude, and the residual."""
    values = coefficients(problem, params)
    size = jnp.abs(values)
    residual = jnp.sum(values, axis=0) - problem.task.strengths
    return jnp.max(size, axis=0), jnp.sum(size, axis=0), residual


def _share(top: Array, total: Array) -> Array:
    return top / jnp.where(total > 0, total, 1)


EXAMPLES = (Outcome(),)
