"""What a dynamics is: only its mathematics. The loops that drive it stand in `dlnlab.simulate`."""

import abc

import equinox as eqx

from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Key, Params, Scalar

MOST_SOLVER_STEPS = 1_000_000
"""Steps that a flow's solver may try in one run, unless the flow says otherwise."""


class Map(eqx.Module):
    """A dynamics in discrete steps, `θ⁺ = step(θ)`; time is the sum of the learning rates."""

    learning_rate: eqx.AbstractVar[Scalar | float]

    @abc.abstractmethod
    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Any:
        """What the dynamics remembers between steps (momenta, say); `()` for nothing.

        `key` is the run's, for a dynamics that draws; memory holds it as `jax.random.key_data`.
        """

    @abc.abstractmethod
    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        """The parameters and the memory after one step."""


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

    @abc.abstractmethod
    def velocity(self, problem: Problem, params: Params) -> Params:
        """The time derivative of the parameters."""


Dynamics = Map | Flow
