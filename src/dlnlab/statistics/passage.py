"""When something first happens, and how far something ever goes."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.observables import fit
from dlnlab.observables.base import Observable
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Any, Array, Float, Int, Params, Scalar


class Passage(NamedTuple):
    """A moment: its time (NaN if it has not come) and its step (−1 likewise)."""

    value: Scalar
    step: Int[Array, ""]


def _never(params: Params) -> Passage:
    return Passage(jnp.full((), jnp.nan, like(params)), jnp.asarray(-1))


def _first(memory: Passage, now: Array, step: Step) -> Passage:
    new = now & (memory.step < 0)
    return Passage(
        jnp.where(new, step.time, memory.value).astype(memory.value.dtype),
        jnp.where(new, step.index, memory.step),
    )


@dataclass(frozen=True)
class FirstTime(Statistic):
    """The first time at which an observable lies below, or above, a level (any entry of it).

    The start itself is not looked at: the first moment is the end of the first step.

    >>> from dlnlab.observables import loss
    >>> FirstTime(loss, below=1e-6).name
    'first_loss_below_1e-06'
    """

    observable: Observable
    below: float | None = None
    above: float | None = None

    def __post_init__(self) -> None:
        if (self.below is None) == (self.above is None):
            raise InputError(
                f"FirstTime of {self.observable.name} needs one of below and above, and "
                f"{'neither' if self.below is None else 'both'} was given; pass one level."
            )

    @property
    def name(self) -> str:
        side, level = ("below", self.below) if self.above is None else ("above", self.above)
        return f"first_{self.observable.name}_{side}_{level:g}"

    def init(self, problem: Problem, params: Params) -> Passage:
        return _never(params)

    def update(self, problem: Problem, memory: Passage, step: Step) -> Passage:
        value = self.observable(problem, step.after)
        value = value.value if hasattr(value, "_fields") else value
        level = value < self.below if self.above is None else value > self.above
        return _first(memory, jnp.any(level), step)

    def read(self, problem: Problem, memory: Passage, params: Params, status: Array) -> Passage:
        return memory


@dataclass(frozen=True)
class FirstRise(Statistic):
    """The first step at which the loss rises: where gradient descent leaves the flow's regime.

    A rise counts where it exceeds the rounding of a residual of 4096 machine epsilons of the
    target, `½(4096ε)²‖M‖²`; below that the loss of a converged run wanders.
    """

    @property
    def name(self) -> str:
        return "first_rise"

    def init(self, problem: Problem, params: Params) -> Passage:
        return _never(params)

    def update(self, problem: Problem, memory: Passage, step: Step) -> Passage:
        return _first(memory, loss_rises(problem, step), step)

    def read(self, problem: Problem, memory: Passage, params: Params, status: Array) -> Passage:
        return memory


def loss_rises(problem: Problem, step: Step) -> Array:
    """Whether this step raised the loss by more than rounding."""
    floor = (4096 * jnp.finfo(like(step.before)).eps) ** 2 * jnp.sum(problem.task.target**2) / 2
    return problem.loss(step.after) > problem.loss(step.before) + floor


@dataclass(frozen=True)
class Maximum(Statistic):
    """The largest value of an observable over all steps, entry by entry (the start included)."""

    observable: Observable

    @property
    def name(self) -> str:
        return f"maximum_{self.observable.name}"

    @property
    def dims(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.observable.dims

    def init(self, problem: Problem, params: Params) -> Float[Array, "..."]:
        return self._value(problem, params)

    def update(self, problem: Problem, memory: Any, step: Step) -> Float[Array, "..."]:
        return jnp.maximum(memory, self._value(problem, step.after))

    def read(
        self, problem: Problem, memory: Any, params: Params, status: Array
    ) -> Float[Array, "..."]:
        return memory

    def _value(self, problem: Problem, params: Params) -> Float[Array, "..."]:
        value = self.observable(problem, params)
        return value.value if hasattr(value, "_fields") else value


EXAMPLES = (FirstTime(fit.loss, below=1e-6), FirstRise(), Maximum(fit.loss))
