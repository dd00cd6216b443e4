"""What the steps of a run, one by one, do to the modes: their mean and their variance."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork, pathway_products
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Array, Float, Params


class Updates(NamedTuple):
    """The weighted variance of the updates of each mode, and their mean."""

    value: Float[Array, " mode"]
    mean: Float[Array, " mode"]


@dataclass(frozen=True)
class ModeUpdates(Statistic):
    """Variance and mean of the updates `u_aᵀ(W⁺ − W)v_a/η` of each mode, over about `window` steps.

    Weights fall by `1 − 1/window` with each step; until there are as many steps all weigh the same.
    U and V are the task's basis, of samples that of their own `E[yxᵀ]`, so that who has the samples
    can follow these numbers while training. With batches of B, `window` many and few against the
    time in which modes change, the variance is `mode_diffusion/B` and the mean `mode_drift` (for
    white inputs: W is the map itself, of networks that are not linear `E[f(x)xᵀ]` of the sample).
    Source: corlouer2026.7.

    Raises InputError for a window below 2.

    >>> ModeUpdates(50).name
    'update_variance'
    """

    window: int = 50

    dims: ClassVar[tuple[str, ...]] = ("mode",)

    def __post_init__(self) -> None:
        if self.window < 2:
            raise InputError(
                f"window is {self.window}, and a variance needs at least 2 steps; raise it."
            )

    @property
    def name(self) -> str:
        return "update_variance"

    def init(self, problem: Problem, params: Params) -> Updates:
        nothing = jnp.zeros(problem.task.strengths.shape, like(params))
        return Updates(nothing, nothing)

    def update(self, problem: Problem, memory: Updates, step: Step) -> Updates:
        dtype = like(step.after)
        moved = _modes(problem, step.after) - _modes(problem, step.before)
        weight = jnp.maximum(1 / self.window, 1 / step.index).astype(dtype)
        away = moved / step.learning_rate.astype(dtype) - memory.mean
        variance = (1 - weight) * (memory.value + weight * away**2)
        return Updates(variance, memory.mean + weight * away)

    def read(self, problem: Problem, memory: Updates, params: Params, status: Array) -> Updates:
        return memory


def _modes(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """`u_aᵀWv_a`."""
    network, task = problem.network, problem.task
    if isinstance(network, LinearNetwork):
        made = jax.tree.reduce(jnp.add, pathway_products(network, params))
    else:
        made = problem.end_to_end(params)
    if task.left is None or task.right is None:
        return made
    return jnp.sum(jnp.asarray(task.left) * (made @ jnp.asarray(task.right)), axis=0)


EXAMPLES = (ModeUpdates(window=5),)
