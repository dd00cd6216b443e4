"""The covariance Σ of one sample's gradient: whole, its spectrum, its trace, its anisotropy.

The noise of a step on a batch of B samples has covariance η²Σ/B: in time = η · step, **Σ is the
diffusion matrix of the parameters per unit of η/B**. Whitened: `Σ = Jᵀ 𝒞 J`, J the derivative of
the end-to-end map and `𝒞[A] = (ΔΔᵀ + ς²)A + ΔAᵀΔ` the covariance of the loss's derivative by the
map, `Δ = W − M`. Of samples: over them, drawn with replacement.
"""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab.networks import product, require_linear
from dlnlab.observables.base import observable
from dlnlab.observables.per_sample import check_size, gram, sample_gradients
from dlnlab.observables.sensitivity import kernels, map_covariance, mode_rates
from dlnlab.problem import Problem
from dlnlab.tasks import Samples
from dlnlab.typing import Array, Float, Matrix, Params


@observable(
    dims=("parameter", "other_parameter"),
    symbol="Σ",
    formula="covariance of one sample's gradient: diffusion of the parameters per unit of η/B",
)
def gradient_covariance(problem: Problem, params: Params) -> Matrix:
    """The covariance Σ of one sample's gradient, in the order of `parameters`.

    Per unit of η/B the diffusion matrix of SGD. For small networks: see `gradient_covariance_trace`
    and `noise_anisotropy` for any. Of `Modes` it is the block of their own parameters, those on the
    diagonals: noise acts on all others as well. Source: corlouer2026.

    **Raises:** `InputError` beyond 1000 parameters.
    """
    flat, unravel = ravel_pytree(params)
    check_size("the covariance of gradients", flat.size, "parameters")
    if isinstance(problem.task, Samples):
        gradients = sample_gradients(problem, problem.task, params)
        centred = gradients - jnp.mean(gradients, axis=0)
        return centred.T @ centred / len(gradients)
    moved = jax.jacfwd(lambda at: product(problem.network, unravel(at)))(flat)
    rows = jnp.moveaxis(moved, -1, 0)
    noisy = jax.vmap(lambda row: map_covariance(problem, problem.residual(params), row))(rows)
    return rows.reshape(flat.size, -1) @ noisy.reshape(flat.size, -1).T


@observable(
    dims=("noise_eigenvalue",),
    symbol="λ_i(Σ)",
    formula="eigenvalues of the covariance Σ of one sample's gradient, descending; per unit of η/B",
)
def gradient_covariance_spectrum(
    problem: Problem, params: Params
) -> Float[Array, " noise_eigenvalue"]:
    """The eigenvalues of Σ, descending, without those that are zero for want of directions.

    Noise reaches the parameters through the end-to-end map alone: of white inputs Σ has at most
    `d_out d_in` eigenvalues that are not zero (of samples at most one for each), whatever the
    widths, and these are found from a matrix of that size. Per unit of η/B.

    **Raises:** `InputError` beyond 1000 entries of the map, or samples.
    """
    size = ravel_pytree(params)[0].size
    if isinstance(problem.task, Samples):
        inner = gram(problem, problem.task, params)
        return jnp.linalg.eigvalsh(inner)[::-1][: min(size, len(inner))]
    residual = problem.residual(params)
    network = require_linear(problem.network)
    if residual.ndim == 1:
        rate = mode_rates(network, params)
        return jnp.sort(map_covariance(problem, residual, rate), descending=True)
    check_size("the spectrum of a covariance of gradients", residual.size, "entries of the map")
    return _map_spectrum(problem, residual, *kernels(network, params))[: min(size, residual.size)]


def _map_spectrum(problem: Problem, residual: Array, left: Array, right: Array) -> Array:
    """Eigenvalues of `N^{1/2} 𝒞 N^{1/2}`, `N = JJᵀ = Σ_l A_l ⊗ B_l`, which Σ shares."""
    count = residual.size
    kernel = jnp.einsum("lij,lkm->ikjm", left, right).reshape(count, count)
    values, vectors = jnp.linalg.eigh(kernel)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0))).T.reshape(count, *residual.shape)
    noisy = jax.vmap(lambda row: map_covariance(problem, residual, row))(root)
    whole = root.reshape(count, count) @ noisy.reshape(count, count).T
    return jnp.linalg.eigvalsh((whole + whole.T) / 2)[::-1]


EXAMPLES = (gradient_covariance, gradient_covariance_spectrum)
