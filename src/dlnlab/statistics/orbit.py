"""What kind of orbit a run is on: its period and its Lyapunov exponent."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Array, Float, Int, Params, Scalar


class PeriodMemory(NamedTuple):
    """The window's start, the steps since, the first return in it, and the last window's."""

    anchor: Float[Array, "..."]
    lag: Int[Array, ""]
    found: Int[Array, ""]
    published: Int[Array, ""]


@dataclass(frozen=True)
class Period(Statistic):
    """The period of the orbit of the end-to-end map: 1 a fixed point, 0 none up to `longest`.

    In windows of `longest` steps the map is compared with itself at the window's start; the
    period is the first lag at which every entry returns within `tolerance` times the target's
    largest entry. The last completed window is read, so memory does not grow with the period.
    """

    longest: int = 64
    tolerance: float = 1e-6

    @property
    def name(self) -> str:
        return "period"

    def init(self, problem: Problem, params: Params) -> PeriodMemory:
        zero = jnp.asarray(0)
        return PeriodMemory(problem.end_to_end(params), zero, zero, zero)

    def update(self, problem: Problem, memory: PeriodMemory, step: Step) -> PeriodMemory:
        now = problem.end_to_end(step.after)
        near = self.tolerance * jnp.max(jnp.abs(problem.task.target))
        returned = jnp.all(jnp.abs(now - memory.anchor) <= near)
        lag = memory.lag + 1
        found = jnp.where(returned & (memory.found == 0), lag, memory.found)
        ends = lag >= self.longest
        return PeriodMemory(
            jnp.where(ends, now, memory.anchor),
            jnp.where(ends, 0, lag),
            jnp.where(ends, 0, found),
            jnp.where(ends, found, memory.published),
        )

    def read(self, memory: PeriodMemory, status: Array) -> Int[Array, ""]:
        return memory.published


class LyapunovMemory(NamedTuple):
    """The unit tangent, the logarithm of its growth so far, and the steps counted."""

    tangent: Params
    growth: Scalar
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Lyapunov(Statistic):
    """The largest Lyapunov exponent per step, `lim (1/n) ln ‖J_n ⋯ J_1 v‖`.

    The tangent v starts in a fixed random direction and follows the Jacobian of every step; the
    first `transient` share of the run is dropped. At a fixed point or on a cycle of a network
    with symmetries the exponent is at most 0, and 0 where a direction is neutral.
    """

    transient: float = 0.25

    @property
    def name(self) -> str:
        return "lyapunov"

    def init(self, problem: Problem, params: Params) -> LyapunovMemory:
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(0), len(leaves))
        drawn = [jax.random.normal(k, w.shape, w.dtype) for k, w in zip(keys, leaves, strict=True)]
        tangent, _ = _normalise(jax.tree.unflatten(structure, drawn))
        return LyapunovMemory(tangent, jnp.zeros((), like(params)), jnp.asarray(0))

    def update(self, problem: Problem, memory: LyapunovMemory, step: Step) -> LyapunovMemory:
        tangent, norm = _normalise(step.pushforward(memory.tangent))
        counted = step.index > self.transient * (step.index + step.remaining)
        return LyapunovMemory(
            tangent,
            memory.growth + jnp.where(counted, jnp.log(norm), 0).astype(memory.growth.dtype),
            memory.steps + counted,
        )

    def read(self, memory: LyapunovMemory, status: Array) -> Scalar:
        mean = memory.growth / jnp.maximum(memory.steps, 1)
        return jnp.where(memory.steps > 0, mean, jnp.nan)


def _normalise(tangent: Params) -> tuple[Params, Scalar]:
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tangent)))
    return jax.tree.map(lambda leaf: leaf / norm, tangent), norm


EXAMPLES = (Period(), Lyapunov())
