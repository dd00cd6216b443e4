"""Singular values of the network and its layers, and how far their bases are from the target's."""

import jax
import jax.numpy as jnp

from dlnlab.networks import pathway_products, require_linear
from dlnlab.networks.products import dot
from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Float, Params, Scalar


@observable(dims=("mode",), symbol="σ_i(W)", formula="singular values of Σ_h Ω_h, descending")
def singular_values(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """Singular values of the end-to-end map, descending."""
    made = problem.end_to_end(params)
    return require_linear(problem.network).singular_values(made) if made.ndim == 1 else _svd(made)


def _svd(matrix: Array) -> Float[Array, " mode"]:
    return jnp.linalg.svd(matrix, compute_uv=False)


@observable(
    dims=("output", "input"), symbol="W", formula="Σ_h Ω_h; the diagonal matrix of a Modes network"
)
def end_to_end(problem: Problem, params: Params) -> Float[Array, "output input"]:
    """The end-to-end map `W = Σ_h Ω_h`, as a matrix; on samples `E[f(x) xᵀ]`."""
    made = problem.end_to_end(params)
    return jnp.diag(made) if made.ndim == 1 else made


@observable(
    dims=("pathway", "layer", "mode"),
    symbol="σ_i(W_{h,l})",
    formula="singular values of each layer, descending; NaN where there is no such layer or value",
)
def layer_singular_values(problem: Problem, params: Params) -> Float[Array, "pathway layer mode"]:
    """Singular values of every layer, padded with NaN to one shape."""
    network = require_linear(problem.network)
    values = [
        [network.singular_values(layer) for layer in pathway] for pathway in network.expand(params)
    ]
    layers = max(len(pathway) for pathway in values)
    modes = max(len(v) for pathway in values for v in pathway)
    padded = jnp.full((len(values), layers, modes), jnp.nan, values[0][0].dtype)
    for h, pathway in enumerate(values):
        for index, v in enumerate(pathway):
            padded = padded.at[h, index, : len(v)].set(v)
    return padded


@observable(symbol="‖off(UᵀWV)‖_F", formula="Frobenius norm of UᵀWV off its diagonal")
def off_diagonal_norm(problem: Problem, params: Params) -> Scalar:
    """The size of what is off the diagonal of the end-to-end map in the target's basis."""
    task, made = problem.task, problem.end_to_end(params)
    if task.left is None or task.right is None:
        return jnp.zeros((), made.dtype)  # of modes
    return jnp.linalg.norm(_without_diagonal(_turned(made, task.left, task.right)))


@observable(symbol="ε_align", formula="‖UᵀWV − diag‖_F / ‖W‖_F")
def alignment_error(problem: Problem, params: Params) -> Scalar:
    """The share of the end-to-end map that is off-diagonal in the target's basis."""
    task, made = problem.task, problem.end_to_end(params)
    if task.left is None or task.right is None:
        return jnp.zeros((), made.dtype)  # of modes
    return _off_diagonal(_turned(made, task.left, task.right))


@observable(
    symbol="ε_SVS",
    formula="largest off-diagonal share of UᵀΩ_hV and of VᵀPᵀPV, P = W_{h,l}⋯W_{h,1}, over h and l",
)
def svs_error(problem: Problem, params: Params) -> Scalar:
    """How far the weights are from the set whose singular vectors are the target's (the mixing).

    On the SVS set every partial product P of a pathway has a Gram matrix that is diagonal in the
    target's right singular vectors, and every whole product is diagonal in (U, V); this is the
    largest relative Frobenius norm of what is off the diagonal (ghosh2025, the singular vector
    stationary set).
    """
    task, network = problem.task, require_linear(problem.network)
    wholes = jnp.stack(pathway_products(network, params))
    if task.left is None or task.right is None:
        return jnp.zeros((), wholes.dtype)  # of modes
    errors = [jax.vmap(lambda w: _off_diagonal(_turned(w, task.left, task.right)))(wholes)]
    grams = [g for pathway in network.expand(params) for g in _partial_grams(problem, pathway)]
    if grams:
        turned = jax.vmap(lambda g: _turned(g, task.right, task.right))
        errors.append(jax.vmap(_off_diagonal)(turned(jnp.stack(grams))))
    return jnp.max(jnp.concatenate(errors))


def _turned(matrix: Array, left: Any, right: Any) -> Array:
    """The matrix in the basis (U, V): `UᵀWV`."""
    return dot(dot(jnp.asarray(left).T, matrix), jnp.asarray(right))


def _partial_grams(problem: Problem, pathway: tuple[Array, ...]) -> list[Array]:
    """`PᵀP` of the partial products of one pathway, short of the whole."""
    network, grams, partial = require_linear(problem.network), [], pathway[0]
    for layer in pathway[1:]:
        grams.append(network.compose(network.transpose(partial), partial))
        partial = network.compose(layer, partial)
    return grams


def _without_diagonal(matrix: Array) -> Array:
    return matrix - jnp.diag(jnp.diagonal(matrix))


def _off_diagonal(matrix: Array) -> Scalar:
    whole = jnp.linalg.norm(matrix)
    off = jnp.linalg.norm(_without_diagonal(matrix))
    return jnp.where(whole > 0, off / jnp.where(whole > 0, whole, 1), 0)


EXAMPLES = (
    singular_values,
    end_to_end,
    layer_singular_values,
    off_diagonal_norm,
    alignment_error,
    svs_error,
)
