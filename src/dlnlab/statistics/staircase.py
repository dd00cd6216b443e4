"""Plateaus and escapes of a run, located within the steps in which they occur."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.observables.saddles import rank_learned
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Any, Array, Float, Int, Params, Scalar

_HALVINGS = 60


class Level(NamedTuple):
    """A state on a plateau: where the gradient norm is least, with the end-to-end map there."""

    gradient_norm: Scalar
    time: Scalar
    loss: Scalar
    made: Array


class Escape(NamedTuple):
    """Where the loss falls fastest in logarithmic time, the gradient norm there, and whether
    there has been one."""

    known: Array
    gradient_norm: Scalar
    time: Scalar


class Plateaus(NamedTuple):
    """What a `Staircase` reads, a number for each plateau; NaN (rank −1) where there is none."""

    value: Float[Array, " plateau"]
    rank: Int[Array, " plateau"]
    gradient_norm: Float[Array, " plateau"]
    time: Float[Array, " plateau"]
    escape: Float[Array, " plateau"]
    escape_gradient_norm: Float[Array, " plateau"]


class Memory(NamedTuple):
    """Finished plateaus, the maps on them and their number; the present one, an escape that may end
    it, what came after that escape; the signs of the two slopes at the end of the last step."""

    done: Plateaus
    maps: Float[Array, "plateau ..."]
    ended: Int[Array, ""]
    level: Level
    escape: Escape
    next_level: Level
    signs: Array


@dataclass(frozen=True)
class Staircase(Statistic):
    """The plateaus of a run in turn: `value` is the loss where the gradient norm is least.

    An escape is a maximum of `−dℓ/d ln t = t‖∇ℓ‖²`, a plateau's time the least gradient norm
    between two escapes (arrival; the start itself where the norm rises from it). For a flow both
    are located, to rounding of the time, as zeros of `‖∇ℓ‖² − 2t ∇ℓᵀ∇²ℓ∇ℓ` and `∇ℓᵀ∇²ℓ∇ℓ` within
    the step where these change sign; for a map they are those of the nearest step. An escape
    counts where more than the share `least_fall` of the loss is gone at the next least gradient
    norm, and more than the loss of the target rounds: where modes are learned together there is
    one. `rank` counts the modes that are learned, as `dlnlab.observables.learned_rank` does.

    **Fields:** `most` is the number of plateaus that are kept; the last one is the end of the run,
    with NaN for its escape. `gradient_norm` and `escape_gradient_norm` say how well plateaus
    separate: the loss is that of a saddle where the first is far below the second on both sides.
    Assumes the velocity −∇ℓ.

    >>> Staircase().name
    'plateau'
    """

    most: int = 8
    least_fall: float = 0.01
    # No dimension bears the statistic's name, which would make of its values a coordinate.
    dims: ClassVar[tuple[str, ...]] = ("level",)

    def __post_init__(self) -> None:
        if self.most < 1 or not 0 < self.least_fall < 1:
            raise InputError(
                f"a staircase keeps 1 plateau or more, falls between 0 and 1 apart, and most="
                f"{self.most}, least_fall={self.least_fall} were given; choose such numbers."
            )

    @property
    def name(self) -> str:
        return "plateau"

    def init(self, problem: Problem, params: Params) -> Memory:
        zero = jnp.zeros((), like(params))
        none = jnp.full((self.most,), jnp.nan, like(params))
        ranks = jnp.full((self.most,), -1)
        level, signs = _look(problem, params, zero)
        unseen = level._replace(gradient_norm=jnp.full_like(zero, jnp.inf))
        done = Plateaus(none, ranks, none, none, none, none)
        maps = jnp.zeros((self.most, *level.made.shape), level.made.dtype)
        return Memory(done, maps, jnp.asarray(0), level, _never(zero), unseen, signs > 0)

    def update(self, problem: Problem, memory: Memory, step: Step) -> Memory:
        level, slopes = _look(problem, step.after, step.time)
        bends = memory.signs & (slopes <= 0)
        least, fastest = _located(problem, step, bends, level)
        found = Escape(jnp.asarray(True), fastest.gradient_norm, fastest.time)
        memory = _observe(memory, least)
        memory = _choose(bends[1], self._escape(problem, memory, found, fastest), memory)
        return _observe(memory, level)._replace(signs=slopes > 0)

    def _escape(self, problem: Problem, memory: Memory, found: Escape, level: Level) -> Memory:
        """Another maximum: the one before it, if it counted, ends the plateau before that."""
        counts = self._counts(problem, memory)
        merged = _least(memory.level, memory.next_level)
        done, maps = self._ended(memory, counts)
        return Memory(
            done=done,
            maps=maps,
            ended=memory.ended + counts,
            level=_choose(counts, memory.next_level, merged),
            escape=found,
            next_level=level,
            signs=memory.signs,
        )

    def _counts(self, problem: Problem, memory: Memory) -> Array:
        """Whether the pending escape ends a plateau: by a share of its loss, beyond rounding."""
        dtype = memory.level.loss.dtype
        whole = jnp.sum(jnp.asarray(problem.task.target) ** 2) / 2
        rounding = 4096 * jnp.finfo(dtype).eps * whole
        lost = memory.level.loss - memory.next_level.loss
        return (
            memory.escape.known & (lost > self.least_fall * memory.level.loss) & (lost > rounding)
        )

    def _ended(self, memory: Memory, counts: Array) -> tuple[Plateaus, Array]:
        """The finished plateaus, with the present one where its escape counts."""
        put = _put(memory.done, memory.maps, memory.ended, memory.level, memory.escape)
        return _choose(counts, put, (memory.done, memory.maps))

    def read(self, problem: Problem, memory: Memory, params: Params, status: Array) -> Plateaus:
        counts = self._counts(problem, memory)
        done, maps = self._ended(memory, counts)
        merged = _least(memory.level, memory.next_level)
        last = _choose(counts, memory.next_level, merged)
        count = memory.ended + counts
        done, maps = _put(done, maps, count, last, _never(last.time))

        def rank(place: tuple[Array, Array]) -> Array:
            index, made = place
            known = index <= count
            return jax.lax.cond(known, lambda: rank_learned(problem, made), lambda: jnp.asarray(-1))

        return done._replace(rank=jax.lax.map(rank, (jnp.arange(self.most), maps)))


def _look(problem: Problem, params: Params, time: Scalar) -> tuple[Level, Array]:
    """The state as a level, and minus the slopes of ‖∇ℓ‖² and of t‖∇ℓ‖² up to sign.

    The first is positive while the norm falls, the second while the loss falls ever faster.
    """
    gradient = problem.gradient(params)
    curved = problem.hessian_vector(params, gradient)
    square = _dot(gradient, gradient)
    bend = _dot(gradient, curved)
    level = Level(jnp.sqrt(square), time, problem.loss(params), problem.end_to_end(params))
    return level, jnp.stack([bend, square - 2 * time * bend])


def _located(problem: Problem, step: Step, bends: Array, end: Level) -> tuple[Level, Level]:
    """The states where each of the slopes changes sign within the step; the end for a map."""
    if step.within is None:
        return end, end
    within = step.within

    def locate(_: None, which: Array) -> tuple[None, Level]:
        return None, _bisected(problem, within, step, which, bends[which], end)

    found = jax.lax.scan(locate, None, jnp.arange(2))[1]  # which compiles the integrator once
    least, fastest = (jax.tree.map(lambda a: a[k], found) for k in range(2))  # noqa: B023
    return least, fastest


def _bisected(
    problem: Problem,
    within: Callable[[Scalar], Params],
    step: Step,
    which: Array,
    bends: Array,
    end: Level,
) -> Level:
    """The state where a slope vanishes, by halving; nothing is done where it does not bend."""

    def going(carry: tuple[Scalar, Scalar, Level, Array]) -> Array:
        low, high, _, count = carry
        middle = (low + high) / 2
        return bends & (count < _HALVINGS) & (low < middle) & (middle < high)

    def halve(carry: tuple[Scalar, Scalar, Level, Array]) -> tuple[Scalar, Scalar, Level, Array]:
        low, high, level, count = carry
        middle = (low + high) / 2
        found, slopes = _look(problem, within(middle), middle)
        rising = slopes[which] > 0
        low, high = jnp.where(rising, middle, low), jnp.where(rising, high, middle)
        return low, high, _choose(rising, level, found), count + 1

    start = (step.time - step.learning_rate, step.time, end, jnp.asarray(0))
    return jax.lax.while_loop(going, halve, start)[2]


def _observe(memory: Memory, level: Level) -> Memory:
    """One more state: the least gradient norm before the pending escape, or after it."""
    pending = memory.escape.known
    before = _choose(pending, memory.level, _least(memory.level, level))
    after = _choose(pending, _least(memory.next_level, level), memory.next_level)
    return memory._replace(level=before, next_level=after)


def _least(one: Level, other: Level) -> Level:
    return _choose(other.gradient_norm < one.gradient_norm, other, one)


def _never(like: Scalar) -> Escape:
    return Escape(jnp.asarray(False), jnp.full_like(like, jnp.nan), jnp.full_like(like, jnp.nan))


def _put(
    done: Plateaus, maps: Array, index: Array, level: Level, escape: Escape
) -> tuple[Plateaus, Array]:
    seen = (level.loss, done.rank, level.gradient_norm, level.time)
    values = (*seen, escape.time, escape.gradient_norm)
    # By a mask: along the lanes it is mere arithmetic, and a scatter is not.
    here = jnp.arange(len(done.value)) == index
    put = Plateaus(*(jnp.where(here, v, a) for a, v in zip(done, values, strict=True)))
    return put, jnp.where(here.reshape(-1, *[1] * level.made.ndim), level.made, maps)


def _dot(one: Params, other: Params) -> Scalar:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    products = [jnp.sum(a * b) for a, b in pairs]
    return jnp.sum(jnp.stack(products))


def _choose(condition: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


EXAMPLES = (Staircase(),)
