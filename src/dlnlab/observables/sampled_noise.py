"""Gradient noise as a measurement finds it: from samples drawn, with its standard error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.observables.base import observable
from dlnlab.observables.per_sample import mode_updates
from dlnlab.observables.sensitivity import label_variance
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Task
from dlnlab.typing import Any, Array, Float, Key, Params


class SampledDiffusion(NamedTuple):
    """The variance of `∇w_a·g` over samples drawn, and its standard error."""

    value: Float[Array, " mode"]
    error: Float[Array, " mode"]


@observable(
    dims=("mode",),
    symbol="D_a·B/η",
    formula="variance of ∇w_a·g over `count` samples drawn, per unit of η/B",
)
def sampled_mode_diffusion(
    problem: Problem, params: Params, count: int = 1000, seed: int = 0
) -> SampledDiffusion:
    """`mode_diffusion` as estimated from per-sample gradients, with its standard error.

    What a measurement would find, beside what is exact: `count` fresh samples of a whitened task
    (rows of a sample, with replacement), the same at every point; `bind(count=…, seed=…)` others.
    The estimate is unbiased; gradients are heavy-tailed, so that errors fall short at small counts.

    **Raises:** `InputError` for fewer than 2 samples.
    """
    if count < 2:
        raise InputError(f"a variance needs 2 samples or more, and {count} was given; raise count.")
    inputs, outputs = _draw(problem.task, count, jax.random.key(seed), params[0][0].dtype)
    updates = mode_updates(problem, params, inputs, outputs)
    spread = jnp.var(updates, axis=0)
    fourth = jnp.mean((updates - jnp.mean(updates, axis=0)) ** 4, axis=0)
    error = jnp.sqrt(jnp.maximum(fourth - spread**2, 0) / count)
    return SampledDiffusion(spread * (count / (count - 1)), error)


def _draw(task: Task, count: int, key: Key[Array, ""], dtype: Any) -> tuple[Array, Array]:
    """Samples of the task: fresh ones, or rows of those that there are."""
    if isinstance(task, Samples):
        rows = jax.random.randint(key, (count,), 0, len(task.inputs))
        return jnp.asarray(task.inputs)[rows], jnp.asarray(task.outputs)[rows]
    target = jnp.asarray(task.target)
    for_inputs, for_labels = jax.random.split(key)
    inputs = jax.random.normal(for_inputs, (count, target.shape[-1]), dtype)
    labels = inputs * target if target.ndim == 1 else inputs @ target.T
    noise = jax.random.normal(for_labels, labels.shape, dtype)
    return inputs, labels + jnp.sqrt(label_variance(task, labels)) * noise


EXAMPLES = (sampled_mode_diffusion,)
