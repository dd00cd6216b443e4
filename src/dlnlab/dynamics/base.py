"""What a dynamics is: only its mathematics. The loops that drive it stand in `dlnlab.simulate`."""

import abc
import dataclasses
import numbers
import typing

import equinox as eqx
import jax
import numpy as np

from dlnlab.dynamics.phases import Phase
from dlnlab.errors import InputError
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Int, Key, Params, Scalar

MOST_SOLVER_STEPS = 1_000_000
"""Steps that a flow's solver may try in one run, unless the flow says otherwise."""


class Map(eqx.Module):
    """A dynamics in discrete steps, `θ⁺ = step(θ)`; time is the sum of the learning rates."""

    learning_rate: eqx.AbstractVar[Scalar | float]

    def __check_init__(self) -> None:
        require_at_least("learning_rate", self.learning_rate, 0.0)
        require_words(self)

    @abc.abstractmethod
    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Any:
        """What the dynamics remembers between steps (momenta, say); `()` for nothing.

        `key` is the run's, for a dynamics that draws; memory holds it as `jax.random.key_data`.
        """

    @abc.abstractmethod
    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        """The parameters and the memory after one step."""

    def step_at(
        self, index: Int[Array, ""], problem: Problem, params: Params, memory: Any
    ) -> tuple[Params, Any]:
        """The same for a driver, which knows that all lanes stand at step `index` (from 0)."""
        return self.step(problem, params, memory)

    def batch(self, problem: Problem, memory: Any) -> Problem:
        """The problem of the next step's mini-batch alone, for a dynamics that draws them."""
        return problem

    @property
    def phases(self) -> tuple[Phase, ...]:
        """How long the steps take: each the learning rate, unless a dynamics says otherwise."""
        return (Phase(0, self.learning_rate, {"learning_rate": self.learning_rate}),)


class Flow(eqx.Module):
    """A dynamics in continuous time, `θ̇ = velocity(θ)`, integrated with error control.

    A flow has arrived where its speed has fallen to `arrival` times the largest speed so far.
    `atol` counts in units of the smallest layer of the start, or of 1 where that is larger.
    """

    rtol: eqx.AbstractVar[float]
    atol: eqx.AbstractVar[float]
    arrival: eqx.AbstractVar[float]
    # No field, so that flows with fields of their own need not state it.
    most_steps = MOST_SOLVER_STEPS

    def __check_init__(self) -> None:
        require_words(self)

    @abc.abstractmethod
    def velocity(self, problem: Problem, params: Params) -> Params:
        """The time derivative of the parameters."""


Dynamics = Map | Flow


def known(value: Any) -> float | None:
    """The value of a number; none of one that is being traced, or stands for many."""
    if isinstance(value, jax.core.Tracer) or not isinstance(value, float | int | np.number | Array):
        return None
    return float(value) if np.ndim(value) == 0 else None


def require_at_least(name: str, given: Any, least: float, *, above: bool = False) -> None:
    """Refuse a number below `least` (or at it, if it is to be `above`); a traced one is taken.

    **Raises:** `InputError` where it is, or is NaN.
    """
    value = known(given)
    if value is None or value > least or (value == least and not above):
        return
    need = f"above {least:g}" if above else f"{least:g} or more"
    raise InputError(f"{name} must be {need}, and {value:g} was given; choose such a number.")


def require_words(dynamics: eqx.Module) -> None:
    """Refuse a word that a field does not know: those that it knows stand in its `Literal`.

    **Raises:** `InputError` where a field was given another.
    """
    for field in dataclasses.fields(dynamics):
        words, given = typing.get_args(field.type), getattr(dynamics, field.name)
        if typing.get_origin(field.type) is typing.Literal and given not in words:
            raise InputError(
                f"{field.name} is {' or '.join(map(repr, words))}, and {given!r} was given; "
                "choose one of them."
            )


def require_whole(name: str, given: Any, least: int) -> None:
    """Refuse what is no whole number from `least` on.

    **Raises:** `InputError` where it is none.
    """
    whole = isinstance(given, numbers.Integral) and not isinstance(given, bool)
    if not whole or given < least:
        raise InputError(
            f"{name} must be a whole number of {least} or more, and {given!r} was given; choose "
            "such a number."
        )


def require_key(key: Key[Array, ""] | None) -> Key[Array, ""]:
    """The run's key, for a dynamics that draws.

    **Raises:** `InputError` where the run has none.
    """
    if key is None:
        raise InputError(
            "the dynamics draws at random and the run has no key; pass "
            "Run(…, key=jax.random.key(seed))."
        )
    return key
