"""How far one step carries a mode, by where it started from."""

from dataclasses import dataclass

import jax.numpy as jnp

from dlnlab.observables import mode_diffusion, mode_values
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Any, Array, Float, Params


@dataclass(frozen=True)
class StepProfile(Statistic):
    """The steps of the first mode by the value that they started from, [bin, moment].

    Their number, the sums of Δw and of Δw², and that of the diffusion per unit of η/B which the
    weights have there: drift and diffusion as the steps themselves tell them. Steps from beyond
    the edges are left out.

    **Arguments:** `edges` are the ascending values of w between which steps are counted together.
    """

    edges: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)

    @property
    def name(self) -> str:
        return "step_profile"

    @property
    def dims(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("bin", "moment")

    def init(self, problem: Problem, params: Params) -> Float[Array, "bin moment"]:
        return jnp.zeros((len(self.edges) - 1, 4), like(params))

    def update(self, problem: Problem, memory: Any, step: Step) -> Float[Array, "bin moment"]:
        states = (step.before, step.after)
        before, after = (jnp.sum(mode_values(problem, state), axis=0)[0] for state in states)
        heat, move = mode_diffusion(problem, step.before)[0], after - before
        place = jnp.searchsorted(jnp.asarray(self.edges), before) - 1
        here = (jnp.arange(len(self.edges) - 1) == place)[:, None]
        added = jnp.stack([jnp.ones_like(move), move, move**2, heat])
        return jnp.asarray(memory + here * added, like(step.before))

    def read(
        self, problem: Problem, memory: Any, params: Params, status: Array
    ) -> Float[Array, "bin moment"]:
        return jnp.asarray(memory)


EXAMPLES = (StepProfile(),)
