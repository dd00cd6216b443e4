"""What kind of orbit a run is on: its amplitude, its period and its Lyapunov exponent."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.observables.pathways import coefficients
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Array, Float, Int, Params, Scalar


@dataclass(frozen=True)
class Amplitude(Statistic):
    """How far each mode moved in the last step, `|σ_i(t) − σ_i(t−1)|`, σ_i = Σ_h u_iᵀΩ_hv_i.

    On a cycle of period 2 the distance of its two values, at a minimum 0. Modes are told apart by
    their singular vectors: oscillating singular values pass each other, and in descending order
    the same index is another mode from step to step.

    Source: ghosh2025, the figure of the oscillation range.
    """

    dims: ClassVar[tuple[str, ...]] = ("mode",)

    @property
    def name(self) -> str:
        return "amplitude"

    def init(self, problem: Problem, params: Params) -> Float[Array, " mode"]:
        return jnp.zeros_like(coefficients(problem, params)[0])

    def update(self, problem: Problem, memory: Array, step: Step) -> Float[Array, " mode"]:
        after, before = (
            jnp.sum(coefficients(problem, params), axis=0) for params in (step.after, step.before)
        )
        return jnp.abs(after - before)

    def read(
        self, problem: Problem, memory: Array, params: Params, status: Array
    ) -> Float[Array, " mode"]:
        return memory


class PeriodMemory(NamedTuple):
    """The window's start, the first return in it, and the last window's."""

    anchor: Float[Array, "..."]
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
        return PeriodMemory(problem.end_to_end(params), zero, zero)

    def update(self, problem: Problem, memory: PeriodMemory, step: Step) -> PeriodMemory:
        now = problem.end_to_end(step.after)
        near = self.tolerance * jnp.max(jnp.abs(problem.task.target))
        returned = jnp.all(jnp.abs(now - memory.anchor) <= near)
        lag = (step.index - 1) % self.longest + 1
        found = jnp.where(returned & (memory.found == 0), lag, memory.found)
        ends = lag == self.longest
        return PeriodMemory(
            jnp.where(ends, now, memory.anchor),
            jnp.where(ends, 0, found),
            jnp.where(ends, found, memory.published),
        )

    def read(
        self, problem: Problem, memory: PeriodMemory, params: Params, status: Array
    ) -> Int[Array, ""]:
        return memory.published


class LyapunovMemory(NamedTuple):
    """The tangent, the exponent of 2 that was taken out of it since counting began, the square of
    its length there, and the steps counted."""

    tangent: Params
    exponent: Scalar
    start_square: Scalar
    steps: Int[Array, ""]


@dataclass(frozen=True)
class Lyapunov(Statistic):
    """The largest Lyapunov exponent per step, `lim (1/n) ln ‖J_n ⋯ J_1 v‖`.

    The tangent v starts in a fixed random direction and follows the Jacobian of every step; the
    first `transient` share of the run is dropped. At a fixed point or on a cycle of a network
    with symmetries the exponent is at most 0, and 0 where a direction is neutral; −∞ where a step
    extinguishes the tangent.
    """

    transient: float = 0.25

    @property
    def name(self) -> str:
        return "lyapunov"

    def init(self, problem: Problem, params: Params) -> LyapunovMemory:
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(0), len(leaves))
        drawn = [jax.random.normal(k, w.shape, w.dtype) for k, w in zip(keys, leaves, strict=True)]
        tangent = jax.tree.unflatten(structure, drawn)
        zero = jnp.zeros((), like(params))
        return LyapunovMemory(tangent, zero, _square(tangent), jnp.asarray(0))

    def update(self, problem: Problem, memory: LyapunovMemory, step: Step) -> LyapunovMemory:
        tangent = step.pushforward(memory.tangent)
        square = _square(tangent)
        # The length itself remembers the growth; a power of 2 is taken out, exactly, long before
        # it could overflow. A logarithm is taken when the statistic is read, never in the loop.
        power = 200 if square.dtype == jnp.float64 else 24
        large, small = square > 2.0 ** (2 * power), square < 2.0 ** (-2 * power)
        shift = jnp.where(large, power, jnp.where(small, -power, 0)).astype(square.dtype)
        factor = jnp.where(large, 2.0**-power, jnp.where(small, 2.0**power, 1.0))
        factor = factor.astype(square.dtype)
        tangent = jax.tree.map(lambda leaf: factor * leaf, tangent)
        counted = step.index > self.transient * step.total
        return LyapunovMemory(
            tangent,
            jnp.where(counted, memory.exponent + shift, 0),
            jnp.where(counted, memory.start_square, square * factor**2),
            memory.steps + counted,
        )

    def read(
        self, problem: Problem, memory: LyapunovMemory, params: Params, status: Array
    ) -> Scalar:
        growth = jnp.log(_square(memory.tangent)) - jnp.log(memory.start_square)
        total = growth / 2 + memory.exponent * jnp.asarray(jnp.log(2.0), growth.dtype)
        mean = total / jnp.maximum(memory.steps, 1)
        return jnp.where(memory.steps > 0, mean, jnp.nan)


def _square(tangent: Params) -> Scalar:
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(tangent)]
    return sum(squares[1:], squares[0])


EXAMPLES = (Amplitude(), Period(), Lyapunov())
