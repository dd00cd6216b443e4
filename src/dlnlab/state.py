"""What a run is at one moment, and what one of its steps was."""

import enum
from collections.abc import Callable

import equinox as eqx

from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Int, Params, Scalar


class Status(enum.IntEnum):
    """How a lane stands. Lanes that are not running are frozen and keep their last finite state."""

    RUNNING = 0
    ARRIVED = 1
    DIVERGED = 2
    FAILED = 3
    """The flow's solver could not go on: its step size underflowed."""
    EXHAUSTED = 4
    """The flow's solver has taken as many steps as it may; nothing is shown of later moments."""


class Step(eqx.Module):
    """One step of a dynamics, as statistics see it.

    `index` counts steps from 1, `time` is the sum of the learning rates so far (for a flow, its
    time), `learning_rate` this step's share of it. `total` is the number of steps of the whole run
    (for a flow, which does not know, of those taken), `remaining` of those still to come.
    `pushforward(v)` is the Jacobian of the step at `before`, applied to v: what Lyapunov exponents
    are made of. `within(time)` is the state at a time inside the step of a flow, by one more step
    of the integrator; None for a map, which has no such states.
    """

    before: Params
    after: Params
    index: Int[Array, ""]
    time: Scalar
    learning_rate: Scalar
    total: Int[Array, ""]
    pushforward: Callable[[Params], Params]
    batch: Callable[[], Problem]
    within: Callable[[Scalar], Params] | None = None

    @property
    def remaining(self) -> Int[Array, ""]:
        return self.total - self.index


class Lane(eqx.Module):
    """All that a driver carries from step to step for one lane; `time` is a flow's."""

    params: Params
    memory: Any
    statistics: Any
    time: Scalar
    status: Int[Array, ""]
