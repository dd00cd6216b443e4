"""The covariance Σ of one sample's gradient: whole, its spectrum, its trace, its anisotropy.

The noise of a step on a batch of B samples has covariance η²Σ/B: in time = η · step, **Σ is the
diffusion matrix of the parameters per unit of η/B**. Whitened: `Σ = Jᵀ 𝒞 J`, J the derivative of
the end-to-end map and `𝒞[A] = (ΔΔᵀ + ς²)A + ΔAᵀΔ` the covariance of the loss's derivative by the
map, `Δ = W − M`. Of samples: over them, drawn with replacement.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork, product
from dlnlab.observables.base import observable
from dlnlab.observables.noise import label_variance
from dlnlab.observables.sensitivity import kernels
from dlnlab.problem import Problem
from dlnlab.tasks import Samples
from dlnlab.typing import Array, Float, Matrix, Params, Scalar

LARGEST = 1000
"""Rows and columns of the largest matrix that is written out here."""


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
    _fits("the covariance of gradients", flat.size, "parameters")
    if isinstance(problem.task, Samples):
        gradients = _gradients(problem, params)
        centred = gradients - jnp.mean(gradients, axis=0)
        return centred.T @ centred / len(gradients)
    moved = jax.jacfwd(lambda at: product(problem.network, unravel(at)))(flat)
    rows = jnp.moveaxis(moved, -1, 0)
    noisy = jax.vmap(lambda row: _map_covariance(problem, problem.residual(params), row))(rows)
    return rows.reshape(flat.size, -1) @ noisy.reshape(flat.size, -1).T


def _map_covariance(problem: Problem, residual: Array, direction: Array) -> Array:
    """`𝒞[A]`: the covariance of the derivative by the map with its component along A."""
    noise = label_variance(problem.task, residual)
    if residual.ndim == 1:
        return (2 * residual**2 + noise) * direction
    inner = residual.T @ direction
    return residual @ (inner + inner.T) + noise * direction


def _gradients(problem: Problem, params: Params) -> Float[Array, "sample parameter"]:
    return jax.vmap(lambda pair: _gradient(problem, params, pair))(_rows(problem.task))


def _rows(task: Samples) -> tuple[Array, Array]:
    return jnp.asarray(task.inputs), jnp.asarray(task.outputs)


def _gradient(
    problem: Problem, params: Params, pair: tuple[Array, Array]
) -> Float[Array, " parameter"]:
    """The gradient of one sample's loss."""
    inputs, outputs = (row[None] for row in pair)
    one = Samples(inputs, outputs, basis=(problem.task.left, problem.task.right))
    return ravel_pytree(Problem(problem.network, one).gradient(params))[0]


def _fits(what: str, size: int, of: str) -> None:
    if size > LARGEST:
        raise InputError(
            f"{what} is written out up to {LARGEST} {of}, and there are {size}; record "
            "gradient_covariance_trace, or make the network or the sample smaller."
        )


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
        gram = _gram(problem, params)
        return jnp.linalg.eigvalsh(gram)[::-1][: min(size, len(gram))]
    residual = problem.residual(params)
    left, right = kernels(_linear(problem), params)
    if residual.ndim == 1:
        rate = jnp.sum(left * right, axis=0)
        return jnp.sort(_map_covariance(problem, residual, rate), descending=True)
    _fits("the spectrum of a covariance of gradients", residual.size, "entries of the map")
    return _map_spectrum(problem, residual, left, right)[: min(size, residual.size)]


def _map_spectrum(problem: Problem, residual: Array, left: Array, right: Array) -> Array:
    """Eigenvalues of `N^{1/2} 𝒞 N^{1/2}`, `N = JJᵀ = Σ_l A_l ⊗ B_l`, which Σ shares."""
    count = residual.size
    kernel = jnp.einsum("lij,lkm->ikjm", left, right).reshape(count, count)
    values, vectors = jnp.linalg.eigh(kernel)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0))).T.reshape(count, *residual.shape)
    noisy = jax.vmap(lambda row: _map_covariance(problem, residual, row))(root)
    whole = root.reshape(count, count) @ noisy.reshape(count, count).T
    return jnp.linalg.eigvalsh((whole + whole.T) / 2)[::-1]


def _linear(problem: Problem) -> LinearNetwork:
    """The network of a whitened task, which is linear: `Problem` takes no other."""
    assert isinstance(problem.network, LinearNetwork)
    return problem.network


def _gram(problem: Problem, params: Params) -> Float[Array, "sample sample"]:
    """Inner products of the samples' centred gradients, over their number."""
    count = len(problem.task.inputs)
    _fits("the Gram matrix of gradients", count, "samples")
    if isinstance(problem.network, LinearNetwork):
        left, right = kernels(problem.network, params)
        errors, inputs = problem.residual(params), jnp.asarray(problem.task.inputs)
        inner = jnp.sum((errors @ left @ errors.T) * (inputs @ right @ inputs.T), axis=0)
    else:
        gradients = _gradients(problem, params)
        inner = gradients @ gradients.T / count
    inner = inner - jnp.mean(inner, axis=0)
    inner = inner - jnp.mean(inner, axis=1, keepdims=True)
    return (inner + inner.T) / 2


@observable(
    symbol="Tr Σ",
    formula="trace of the covariance of one sample's gradient, E‖g − ∇ℓ‖²; per unit of η/B",
)
def gradient_covariance_trace(problem: Problem, params: Params) -> Scalar:
    """The trace of Σ, `E‖g‖² − ‖∇ℓ‖²`, exactly and at any size; per unit of η/B.

    Whitened: `Σ_l Tr[(ΔΔᵀ + ς²)A_l] Tr B_l + Tr[Δ B_l Δᵀ A_l]`, `A_l = W_{>l}W_{>l}ᵀ`,
    `B_l = W_{<l}ᵀW_{<l}`, l over the layers of all pathways. Source: corlouer2026.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([3.0]), label_noise=1.0))
    >>> float(gradient_covariance_trace(problem, ((jnp.array([1.0]), jnp.array([1.0])),)))
    18.0
    """
    if isinstance(problem.task, Samples):
        return _sampled_trace(problem, params)
    return _white_moments(problem, params)[0]


def _sampled_trace(problem: Problem, params: Params) -> Scalar:
    mean = ravel_pytree(problem.gradient(params))[0]
    if isinstance(problem.network, LinearNetwork):
        left, right = kernels(problem.network, params)
        errors, inputs = problem.residual(params), jnp.asarray(problem.task.inputs)
        across = jnp.sum((errors @ left) * errors, axis=-1)
        total = jnp.sum(across * jnp.sum((inputs @ right) * inputs, axis=-1))
    else:
        total = jnp.mean(
            jax.lax.map(
                lambda pair: jnp.sum(_gradient(problem, params, pair) ** 2),
                _rows(problem.task),
                batch_size=64,
            )
        )
    return jnp.maximum(total - jnp.sum(mean**2), 0)


class _Moments(NamedTuple):
    trace: Scalar
    squared: Scalar


def _white_moments(problem: Problem, params: Params) -> _Moments:
    """`Tr Σ` and `Tr Σ²`, from the products of layers alone."""
    residual = problem.residual(params)
    left, right = kernels(_linear(problem), params)
    if residual.ndim == 1:
        values = _map_covariance(problem, residual, jnp.sum(left * right, axis=0))
        return _Moments(jnp.sum(values), jnp.sum(values**2))
    noise = label_variance(problem.task, residual)
    # 𝒞N[A] = Σ_l (near A behind + turned Aᵀ away), the four matrices of each layer as follows.
    near = residual @ (residual.T @ left) + noise * left
    turned, away = residual @ right, left @ residual
    traces = jnp.einsum("lii->l", near) * jnp.einsum("lii->l", right)
    # Tr(A ↦ PAQ) = Tr P Tr Q, and Tr(A ↦ PAᵀQ) = ⟨P, Q⟩.
    plain = jnp.einsum("lij,mji->lm", near, near) * jnp.einsum("lij,mji->lm", right, right)
    mixed = jnp.sum((near[:, None] @ turned) * (away @ right[:, None]), axis=(2, 3))
    twice = jnp.einsum("lij,mij->lm", turned, away)
    trace = jnp.sum(traces) + jnp.trace(twice)
    return _Moments(trace, jnp.sum(plain + 2 * mixed + twice * twice.T))


@observable(
    symbol="P Tr Σ²/(Tr Σ)²",
    formula="number of parameters P times Tr Σ²/(Tr Σ)²: 1 of isotropic noise; NaN without noise",
)
def noise_anisotropy(problem: Problem, params: Params) -> Scalar:
    """How far the noise is from isotropic: `P Tr Σ²/(Tr Σ)²`, from 1 to P, whatever η and B.

    Mean square over squared mean of the eigenvalues of Σ: 1 for noise that is the same in all P
    directions, P for noise along a single one. One less is John's statistic U, which tests a
    covariance for sphericity (S. John, Biometrika 58, 123, 1971); P over it is the participation
    ratio `(Tr Σ)²/Tr Σ²`, the effective number of noisy directions. Exact at any size on a whitened
    task. NaN where there is no noise.

    **Raises:** `InputError` beyond 1000 samples.
    """
    size = ravel_pytree(params)[0].size
    if isinstance(problem.task, Samples):
        gram = _gram(problem, params)
        return size * jnp.sum(gram**2) / jnp.trace(gram) ** 2
    moments = _white_moments(problem, params)
    return size * moments.squared / moments.trace**2


EXAMPLES = (
    gradient_covariance,
    gradient_covariance_spectrum,
    gradient_covariance_trace,
    noise_anisotropy,
)
