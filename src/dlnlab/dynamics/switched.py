"""Dynamics that follow each other in one run: step sizes and batch sizes that switch."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Map
from dlnlab.dynamics.gradient import GradientDescent
from dlnlab.dynamics.phases import Phase
from dlnlab.dynamics.stochastic import StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Int, Key, Params, Scalar


class Turns(NamedTuple):
    """What each dynamics remembers, and the number of steps taken."""

    memories: tuple[Any, ...]
    steps: Int[Array, ""]


class Switched(Map):
    """One map after the other: `dynamics[k]` from step `at[k − 1]` on, the first from the start.

    A schedule of step sizes or batch sizes is one dynamics for each value. Time is the sum of the
    learning rates taken, and the results tell `learning_rate` and `batch_size` beside each step
    where all phases have them: those of the step that comes next. Where a run ends before a switch,
    the attribute `comment` of `time` says so. Each phase begins with a fresh memory (momenta, say),
    and its noise is its own.

    **Arguments:** `dynamics` are two maps or more, `at` the steps at which they take over.

    **Raises:** `InputError` where the steps are not ascending from 1, or not one fewer than maps.

    >>> small, large = (StochasticGradientDescent(0.1, batch_size=b) for b in (1, 10))
    >>> [p.settings["batch_size"] for p in Switched((small, large), (1000,)).phases]
    [1, 10]
    """

    dynamics: tuple[Map, ...]
    at: tuple[int, ...] = eqx.field(static=True)

    # Written out, because type checkers take the property below for a field to be given.
    def __init__(self, dynamics: tuple[Map, ...], at: tuple[int, ...]) -> None:
        self.dynamics, self.at = dynamics, at

    def __check_init__(self) -> None:
        ascending = all(a < b for a, b in zip((0, *self.at), self.at, strict=False))
        if len(self.dynamics) != len(self.at) + 1 or not self.at or not ascending:
            raise InputError(
                f"{len(self.dynamics)} dynamics need {len(self.dynamics) - 1} ascending steps from "
                f"1 on at which to switch, and at={self.at} was given; change one of them."
            )

    # A property stands for the abstract field: equinox allows what mypy does not.
    @property  # type: ignore[misc]
    def learning_rate(self) -> Scalar | float:  # type: ignore[override]
        """That of the first dynamics."""
        return self.dynamics[0].learning_rate

    @property
    def phases(self) -> tuple[Phase, ...]:
        every = [each.phases for each in self.dynamics]
        told = set.intersection(*({*phase.settings} for phases in every for phase in phases))
        return tuple(
            Phase(start + phase.start, phase.rate, {n: phase.settings[n] for n in sorted(told)})
            for start, phases in zip((0, *self.at), every, strict=True)
            for phase in phases
        )

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Turns:
        keys = [
            key if key is None or not index else jax.random.fold_in(key, index)
            for index in range(len(self.dynamics))
        ]
        made = (d.init(problem, params, k) for d, k in zip(self.dynamics, keys, strict=True))
        return Turns(tuple(made), jnp.asarray(0))

    def step(self, problem: Problem, params: Params, memory: Turns) -> tuple[Params, Turns]:
        return self.step_at(memory.steps, problem, params, memory)

    def step_at(
        self, index: Int[Array, ""], problem: Problem, params: Params, memory: Turns
    ) -> tuple[Params, Turns]:
        def turn(which: int) -> Any:
            def move(params: Params, memories: tuple[Any, ...]) -> tuple[Params, tuple[Any, ...]]:
                after, own = self.dynamics[which].step(problem, params, memories[which])
                return after, (*memories[:which], own, *memories[which + 1 :])

            return move

        now = sum((index >= step for step in self.at), start=jnp.asarray(0))
        turns = [turn(which) for which in range(len(self.dynamics))]
        after, memories = jax.lax.switch(now, turns, params, memory.memories)
        return after, Turns(memories, memory.steps + 1)

    def batch(self, problem: Problem, memory: Turns) -> Problem:
        raise InputError(
            "batches are asked for, and those of dynamics that follow each other differ in size; "
            "run each on its own."
        )


_EXAMPLE = (StochasticGradientDescent(0.01, batch_size=2), GradientDescent(0.005))
EXAMPLES = (Switched(dynamics=_EXAMPLE, at=(2,)),)
