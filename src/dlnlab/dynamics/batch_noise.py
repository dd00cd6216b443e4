"""The noise of a batch's gradient, drawn from its exact covariance without forming it.

A sample's gradient is the residual's Jacobian, transposed, applied to a cotangent; so is a Gaussian
of the same covariance, and the noise of a step is one more term of the cotangent of its gradient:

* white inputs: `ΔS − ςN`, Δ = W − M the residual, N of standard normal entries, S symmetric of
  standard normal entries off and of variance κ − 1 on the diagonal, κ the kurtosis of the inputs;
* modes: `√((κ−1)r_a² + ς²) N_a`, what is left of that on the aligned set;
* n samples: `√n (c_k − c̄)` times the row `(f(x_k) − y_k)/√n` of the residual, c of standard
  normal entries: the covariance over the sample, as batches drawn with replacement have it.

Source: corlouer2026.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.networks import LinearNetwork, require_linear
from dlnlab.networks.products import dot
from dlnlab.problem import Problem
from dlnlab.randomness import blocks, normals, symmetric
from dlnlab.tasks import Samples, Task, Whitened
from dlnlab.typing import Any, Array, Float, Params, Scalar, UInt32


class Draw(NamedTuple):
    """What the numbers of a step depend on: the key's words and the step; and of which dtype."""

    key: UInt32[Array, " 2"]
    step: Array
    like: Params

    @property
    def dtype(self) -> Any:
        return jax.tree.leaves(self.like)[0].dtype

    @property
    def parameters(self) -> int:
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.like))

    def normals(self, shape: tuple[int, ...], first: int = 0) -> Float[Array, "..."]:
        return normals(self.key, self.step, shape, self.dtype, first)


def cotangent(task: Task, residual: Array, draw: Draw) -> Array:
    """What is pulled back to make the noise of a batch of one."""
    if isinstance(task, Samples):
        weights = draw.normals((len(residual),))
        return (math.sqrt(len(residual)) * (weights - jnp.mean(weights)))[:, None] * residual
    if residual.ndim == 1:
        return mode_spread(task, residual) * draw.normals(residual.shape)
    size = residual.shape[1]
    inputs = symmetric(draw.key, draw.step, size, draw.dtype, diagonal=(task.kurtosis - 1) ** 0.5)
    made = dot(residual, inputs)
    if not task.noisy:
        return made
    labels = draw.normals(residual.shape, blocks(size * (size + 1) // 2))
    return made - task.label_noise * labels


def mode_spread(task: Whitened, residual: Float[Array, " mode"]) -> Float[Array, " mode"]:
    """The standard deviation of each mode's cotangent, `√((κ−1)r_a² + ς²)`."""
    variance = (task.kurtosis - 1) * residual**2
    if task.noisy:
        return jnp.sqrt(variance + task.label_noise**2)
    return (task.kurtosis - 1) ** 0.5 * jnp.abs(residual)


def isotropic(params: Params, draw: Draw) -> Params:
    """Standard normal numbers of the shape of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    first, made = 0, []
    for leaf in leaves:
        made.append(draw.normals(leaf.shape, first))
        first += blocks(math.prod(leaf.shape))
    return jax.tree.unflatten(structure, made)


def trace(problem: Problem, params: Params) -> Scalar:
    """`tr Σ`, the variance of one sample's gradient, summed over all parameters.

    White inputs: for each layer `‖P‖²‖C‖² + ‖PC‖² + (κ−3) Σ_i ‖P_{·i}‖²‖C_{i·}‖² + ς²‖A‖²‖C‖²`,
    A = W_{>l}ᵀ, P = AΔ, C = W_{<l}ᵀ; modes: `Σ_a ((κ−1)r_a² + ς²) ‖∂σ_a/∂θ‖²`.
    """
    task = problem.task
    if isinstance(task, Samples):
        every = problem.per_sample_gradients(params, task.inputs, task.outputs)
        gaps = jax.tree.map(lambda g: jnp.sum((g - jnp.mean(g, axis=0)) ** 2), every)
        return sum(jax.tree.leaves(gaps)) / len(task.inputs)
    residual, pull = jax.vjp(problem.residual, params)
    if residual.ndim == 1:
        slopes = jax.tree.map(jnp.square, pull(jnp.ones_like(residual))[0])
        stretch = functools.reduce(jnp.add, jax.tree.leaves(slopes))
        return jnp.sum(mode_spread(task, residual) ** 2 * stretch)
    return _trace_of_matrices(require_linear(problem.network), task, params, residual)


def _trace_of_matrices(
    network: LinearNetwork, task: Whitened, params: Params, residual: Array
) -> Scalar:
    parts, dtype = [], residual.dtype
    for layers in network.expand(params):
        befores = _running(jnp.eye(layers[0].shape[1], dtype=dtype), [w.T for w in layers[:-1]])
        afters = _running(jnp.eye(len(layers[-1]), dtype=dtype), layers[:0:-1])[::-1]
        # C = W_{<l}ᵀ and A = W_{>l}ᵀ, both from the end-to-end map's side inwards.
        for before, after in zip(befores, afters, strict=True):
            parts.append(_trace_of_layer(task, after.T, residual, before))
    return functools.reduce(jnp.add, parts)


def _running(one: Array, factors: Sequence[Array]) -> list[Array]:
    """`1, F_1, F_1F_2, …`"""
    return list(itertools.accumulate(factors, dot, initial=one))


def _trace_of_layer(task: Whitened, later: Array, residual: Array, earlier: Array) -> Scalar:
    gaps = dot(later, residual)
    columns, rows = jnp.sum(gaps**2, axis=0), jnp.sum(earlier**2, axis=1)
    found = jnp.sum(columns) * jnp.sum(rows) + jnp.sum(dot(gaps, earlier) ** 2)
    found = found + (task.kurtosis - 3) * jnp.sum(columns * rows)
    if task.noisy:
        found = found + task.label_noise**2 * jnp.sum(later**2) * jnp.sum(rows)
    return found
