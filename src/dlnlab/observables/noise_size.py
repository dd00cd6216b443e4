"""How strong the noise of gradients is, and how far from isotropic: Tr Σ and Tr Σ², at any size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork, require_linear
from dlnlab.observables.base import observable
from dlnlab.observables.per_sample import gram, sample_gradient, sample_rows
from dlnlab.observables.sensitivity import (
    excess_kurtosis,
    kernels,
    label_variance,
    map_covariance,
    mode_rates,
)
from dlnlab.problem import Problem
from dlnlab.tasks import Samples
from dlnlab.typing import Params, Scalar


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
        return _sampled_trace(problem, problem.task, params)
    return _white_moments(problem, params)[0]


def _sampled_trace(problem: Problem, task: Samples, params: Params) -> Scalar:
    mean = ravel_pytree(problem.gradient(params))[0]
    if isinstance(problem.network, LinearNetwork):
        left, right = kernels(problem.network, params)
        errors, inputs = problem.residual(params), jnp.asarray(task.inputs)
        across = jnp.sum((errors @ left) * errors, axis=-1)
        total = jnp.sum(across * jnp.sum((inputs @ right) * inputs, axis=-1))
    else:
        total = jnp.mean(
            jax.lax.map(
                lambda pair: jnp.sum(sample_gradient(problem, params, pair) ** 2),
                sample_rows(task),
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
    network = require_linear(problem.network)
    if residual.ndim == 1:
        values = map_covariance(problem, residual, mode_rates(network, params))
        return _Moments(jnp.sum(values), jnp.sum(values**2))
    noise, (left, right) = label_variance(problem.task, residual), kernels(network, params)
    # 𝒞N[A] = Σ_l (near A right + turned Aᵀ away), `N[A] = Σ_l left A right` being the kernel.
    near = residual @ (residual.T @ left) + noise * left
    turned, away = residual @ right, left @ residual
    traces = jnp.einsum("lii->l", near) * jnp.einsum("lii->l", right)
    # Tr(A ↦ PAQ) = Tr P Tr Q, and Tr(A ↦ PAᵀQ) = ⟨P, Q⟩.
    plain = jnp.einsum("lij,mji->lm", near, near) * jnp.einsum("lij,mji->lm", right, right)
    mixed = jnp.sum((near[:, None] @ turned) * (away @ right[:, None]), axis=(2, 3))
    twice = jnp.einsum("lij,mij->lm", turned, away)
    pulled = jnp.einsum("oi,lop,pi->li", residual, left, residual)
    own = jnp.sum(pulled * jnp.einsum("lii->li", right))
    trace = jnp.sum(traces) + jnp.trace(twice) + excess_kurtosis(problem.task) * own
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

    **Raises:** `InputError` beyond 1000 samples, and for matrices whose white inputs are not
    Gaussian.
    """
    size = ravel_pytree(params)[0].size
    if isinstance(problem.task, Samples):
        inner = gram(problem, problem.task, params)
        return size * jnp.sum(inner**2) / jnp.trace(inner) ** 2
    if excess_kurtosis(problem.task) and len(problem.network.map_shape) == 2:
        raise InputError(
            "the anisotropy of noise is known for Gaussian inputs, and others were given; take the "
            "eigenvalues of gradient_covariance_spectrum."
        )
    moments = _white_moments(problem, params)
    return size * moments.squared / moments.trace**2


EXAMPLES = (gradient_covariance_trace, noise_anisotropy)
