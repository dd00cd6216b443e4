"""The gradients of samples, one by one, and their inner products."""

import functools

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork
from dlnlab.observables.sensitivity import kernels, mode_totals
from dlnlab.problem import Problem
from dlnlab.tasks import Samples
from dlnlab.typing import Any, Array, Float, Params

LARGEST = 1000
"""Rows and columns of the largest matrix that is written out here."""


def check_size(what: str, size: int, of: str) -> None:
    """Refuse what is larger than `LARGEST`, in a sentence."""
    if size > LARGEST:
        raise InputError(
            f"{what} is written out up to {LARGEST} {of}, and there are {size}; record "
            "gradient_covariance_trace, or make the network or the sample smaller."
        )


def sample_gradients(
    problem: Problem, task: Samples, params: Params
) -> Float[Array, "sample parameter"]:
    """The gradient of each sample's loss, in one row."""
    return jax.vmap(lambda pair: sample_gradient(problem, params, pair))(sample_rows(task))


def sample_rows(task: Samples) -> tuple[Array, Array]:
    """Inputs and outputs, to be gone through row by row."""
    return jnp.asarray(task.inputs), jnp.asarray(task.outputs)


def sample_gradient(
    problem: Problem, params: Params, pair: tuple[Array, Array]
) -> Float[Array, " parameter"]:
    """The gradient of one sample's loss."""
    inputs, outputs = (row[None] for row in pair)
    one = Samples(inputs, outputs, basis=(problem.task.left, problem.task.right))
    return ravel_pytree(Problem(problem.network, one).gradient(params))[0]


def gram(problem: Problem, task: Samples, params: Params) -> Float[Array, "sample sample"]:
    """Inner products of the samples' centred gradients, over their number."""
    count = len(task.inputs)
    check_size("the Gram matrix of gradients", count, "samples")
    if isinstance(problem.network, LinearNetwork):
        left, right = kernels(problem.network, params)
        errors, inputs = problem.residual(params), jnp.asarray(task.inputs)
        inner = jnp.sum((errors @ left @ errors.T) * (inputs @ right @ inputs.T), axis=0)
    else:
        gradients = sample_gradients(problem, task, params)
        inner = gradients @ gradients.T / count
    inner = inner - jnp.mean(inner, axis=0)
    inner = inner - jnp.mean(inner, axis=1, keepdims=True)
    return (inner + inner.T) / 2


def mode_updates(
    problem: Problem, params: Params, inputs: Any, outputs: Any
) -> Float[Array, "sample mode"]:
    """`∇w_a·g_k` of each sample, by differentiating: the error times how the output moves."""

    def made(at: Params) -> Array:
        return functools.reduce(jnp.add, problem.network.outputs(at, inputs))

    errors = made(params) - outputs
    directions = jax.jacrev(functools.partial(mode_totals, problem))(params)

    def along(direction: Params) -> Array:
        return jnp.sum(errors * jax.jvp(made, (params,), (direction,))[1], axis=1)

    return jax.vmap(along, out_axes=1)(directions)
