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
from dlnlab.tasks.basis import in_modes
from dlnlab.typing import Any, Array, Float, Params, Scalar


class Updates(NamedTuple):
    """The weighted variance of the updates of each mode, and their mean."""

    value: Float[Array, " mode"]
    mean: Float[Array, " mode"]


@dataclass(frozen=True)
class _Windowed(Statistic):
    """What is followed of each mode over about `window` steps: all weigh the same until there are
    as many."""

    window: int = 50

    dims: ClassVar[tuple[str, ...]] = ("mode",)

    def __post_init__(self) -> None:
        if self.window < 2:
            raise InputError(
                f"window is {self.window}, and a variance needs at least 2 steps; raise it."
            )

    def weight(self, step: Step) -> Scalar:
        """Of the last step among all so far."""
        return jnp.maximum(1 / self.window, 1 / step.index).astype(like(step.after))


@dataclass(frozen=True)
class ModeUpdates(_Windowed):
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

    @property
    def name(self) -> str:
        return "update_variance"

    def init(self, problem: Problem, params: Params) -> Updates:
        nothing = jnp.zeros(problem.task.strengths.shape, like(params))
        return Updates(nothing, nothing)

    def update(self, problem: Problem, memory: Updates, step: Step) -> Updates:
        basis = problem.task.left, problem.task.right
        moved = _map_of(problem, step.after) - _map_of(problem, step.before)
        weight = self.weight(step)
        away = _along(moved, *basis) / step.learning_rate.astype(weight.dtype) - memory.mean
        variance = (1 - weight) * (memory.value + weight * away**2)
        return Updates(variance, memory.mean + weight * away)

    def read(self, problem: Problem, memory: Updates, params: Params, status: Array) -> Updates:
        return memory


class EstimatedUpdates(NamedTuple):
    """The same in an estimated basis, with what else is seen in it."""

    value: Float[Array, " mode"]
    mean: Float[Array, " mode"]
    level: Float[Array, " mode"]
    strength: Float[Array, " mode"]


class Estimate(NamedTuple):
    """The mean of the batches' E[yxᵀ], that of the updates of W, and the modes' variances."""

    target: Array
    mean: Array
    variance: Float[Array, " mode"]


@dataclass(frozen=True)
class EstimatedModeUpdates(_Windowed):
    """The same, as who has mini-batches alone follows them: the basis too is estimated.

    Û and V̂ are the singular vectors of the mean of yxᵀ over all batches so far, in descending
    order; the mean of the updates is kept as a matrix, so that it turns with the basis, and each
    update counts in the variance along the basis of its moment. Beside variance and `mean` stand
    the `level` û_aᵀWv̂_a and the `strength` ŝ_a, the singular value; modes
    of which nothing was seen yet point anywhere. A dynamics without batches sees the whole task at
    every step. Source: corlouer2026.7.

    Raises InputError for a window below 2, and where batches of several sizes follow each other.

    >>> EstimatedModeUpdates(50).name
    'estimated_update_variance'
    """

    @property
    def name(self) -> str:
        return "estimated_update_variance"

    def init(self, problem: Problem, params: Params) -> Estimate:
        task = problem.task
        made = jax.eval_shape(_map_of, problem, params)
        nothing = jnp.zeros(task.strengths.shape, like(params))
        return Estimate(
            jnp.zeros(task.target.shape, like(params)), jnp.zeros(made.shape, made.dtype), nothing
        )

    def update(self, problem: Problem, memory: Estimate, step: Step) -> Estimate:
        dtype = like(step.after)
        more = jnp.asarray(step.batch().task.target) - memory.target
        target = memory.target + more / step.index.astype(dtype)
        moved = _map_of(problem, step.after) - _map_of(problem, step.before)
        weight = self.weight(step)
        away = moved / step.learning_rate.astype(dtype) - memory.mean
        along = _along(away, *_estimated(problem, target)[1])
        variance = (1 - weight) * (memory.variance + weight * along**2)
        return Estimate(target, memory.mean + weight * away, variance)

    def read(
        self, problem: Problem, memory: Estimate, params: Params, status: Array
    ) -> EstimatedUpdates:
        strength, basis = _estimated(problem, memory.target)
        mean, level = _along(memory.mean, *basis), _along(_map_of(problem, params), *basis)
        return EstimatedUpdates(memory.variance, mean, level, strength)


def _map_of(problem: Problem, params: Params) -> Array:
    """W: of networks that are not linear `E[f(x)xᵀ]` of the sample."""
    network = problem.network
    if isinstance(network, LinearNetwork):
        made: Array = jax.tree.reduce(jnp.add, pathway_products(network, params))
        return made
    return problem.end_to_end(params)


def _along(made: Array, left: Array | None, right: Array | None) -> Float[Array, " mode"]:
    """`u_aᵀWv_a`; a network of modes has these for weights."""
    if left is None or right is None:
        return made
    return jnp.sum(jnp.asarray(left) * (made @ jnp.asarray(right)), axis=0)


def _estimated(problem: Problem, target: Array) -> tuple[Array, tuple[Any, Any]]:
    """The strengths and the basis of an estimate of the target."""
    if problem.task.left is None:
        return target, (None, None)
    strengths, left, right = in_modes(target, None)
    return strengths, (left, right)


EXAMPLES = (ModeUpdates(window=5), EstimatedModeUpdates(window=5))
