"""The top of the Hessian's spectrum, each eigenvalue with its residual."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.networks.chains import BalancedModes, Diagonal
from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Array, Float, Params, Scalar


class Sharpness(NamedTuple):
    """The largest algebraic Hessian eigenvalue and `‖Hv − λv‖`, which bounds its error."""

    value: Scalar
    residual: Scalar


class TopEigenvalues(NamedTuple):
    """The k largest algebraic Hessian eigenvalues, descending, with their residuals."""

    value: Float[Array, " eigenvalue"]
    residual: Float[Array, " eigenvalue"]


def _operator(problem: Problem, params: Params) -> tuple[linalg.Matvec, Array]:
    """The Hessian as a function of flat vectors, and the flat parameters."""
    flat, unravel = ravel_pytree(params)

    def matvec(vector: Array) -> Array:
        return ravel_pytree(problem.hessian_vector(params, unravel(vector)))[0]

    return matvec, flat


def _top(problem: Problem, params: Params, k: int) -> linalg.Eigenpairs:
    matvec, flat = _operator(problem, params)
    start, k = jax.random.normal(jax.random.key(0), flat.shape, flat.dtype), min(k, flat.size)
    if isinstance(problem.network, Diagonal):  # No mode's gradient depends on another mode.
        return linalg.largest_of_blocks(matvec, start, problem.network.map_shape[0], k)
    return linalg.largest(matvec, start, k)


@observable(symbol="λ_max", formula="largest algebraic eigenvalue of ∇²ℓ")
def sharpness(problem: Problem, params: Params) -> Sharpness:
    """The largest algebraic eigenvalue of the Hessian of the loss, with its residual.

    Dense for modes and up to `linalg.DENSE_LIMIT` parameters, restarted Lanczos above. Gradient
    descent at step size η is linearly unstable where it exceeds 2/η.
    """
    pairs = _top(problem, params, 1)
    return Sharpness(pairs.values[0], pairs.residuals[0])


@observable(dims=("eigenvalue",), symbol="λ_1 ≥ λ_2 ≥ …", formula="largest eigenvalues of ∇²ℓ")
def top_eigenvalues(problem: Problem, params: Params, k: int = 5) -> TopEigenvalues:
    """The k largest algebraic Hessian eigenvalues, with residuals; `bind(k=…)` for others."""
    pairs = _top(problem, params, k)
    missing = (0, k - pairs.values.size)
    return TopEigenvalues(
        jnp.pad(pairs.values, missing, constant_values=jnp.nan),
        jnp.pad(pairs.residuals, missing, constant_values=jnp.nan),
    )


class HessianTrace(NamedTuple):
    """The trace of the Hessian with its standard error, 0 where it is exact."""

    value: Scalar
    error: Scalar


@observable(symbol="tr ∇²ℓ", formula="sum of all eigenvalues of ∇²ℓ")
def hessian_trace(problem: Problem, params: Params, probes: int = 10) -> HessianTrace:
    """The trace of the Hessian, with a standard error.

    Exact up to `linalg.DENSE_LIMIT` parameters; above, from `probes` random vectors of signs, the
    same ones at every point (`bind(probes=…)` for more).
    """
    matvec, flat = _operator(problem, params)
    if flat.size <= linalg.DENSE_LIMIT:
        exact = jnp.trace(linalg.dense(matvec, flat.size, flat.dtype))
        return HessianTrace(exact, jnp.zeros_like(exact))
    drawn = jax.random.rademacher(jax.random.key(0), (probes, flat.size), flat.dtype)
    each = jax.lax.map(lambda probe: probe @ matvec(probe), drawn)
    return HessianTrace(jnp.mean(each), jnp.std(each, ddof=1) / probes**0.5)


class SpectralDensity(NamedTuple):
    """Where the eigenvalues of the Hessian lie, and which share of them each node stands for."""

    value: Float[Array, "probe node"]
    weight: Float[Array, "probe node"]


@observable(
    dims=("probe", "node"), symbol="ρ(λ)", formula="quadrature nodes of the spectrum of ∇²ℓ"
)
def hessian_density(
    problem: Problem, params: Params, probes: int = 10, nodes: int = 40
) -> SpectralDensity:
    """The spectral density of the Hessian as weighted nodes, by stochastic Lanczos quadrature.

    A histogram of the nodes with their weights is the density, smoothed in its middle; each probe
    is an estimate of its own; NaN where there are fewer parameters than nodes. For networks off the
    aligned set, of any size; on it `theory.curvature.aligned_spectrum` gives every eigenvalue.
    """
    matvec, flat = _operator(problem, params)
    found = linalg.spectral_density(
        matvec, jax.random.key(0), flat.size, probes=probes, nodes=nodes, dtype=flat.dtype
    )
    missing = ((0, 0), (0, nodes - found.nodes.shape[1]))
    return SpectralDensity(
        jnp.pad(found.nodes, missing, constant_values=jnp.nan), jnp.pad(found.weights, missing)
    )


@observable(
    symbol="λ_max",
    formula="largest eigenvalue of ∇²ℓ with all layers free, off the balanced set too",
)
def free_sharpness(problem: Problem, params: Params) -> Scalar:
    """The sharpness of the network itself, whose layers may part, where only balanced ones move.

    For `BalancedModes` this is the sharpness of the `Modes` that they stand for: the larger of the
    one within the balanced set and of the eigenvalues `−r w^{L−2}` of layers that part from each
    other, (L − 1)-fold for each mode and pathway. At a minimum r = 0 and it is the former, far
    below the target the latter. Without residual: nothing is factorised where there is one
    pathway. For all other networks it is their `sharpness`.
    """
    network = problem.network
    if not isinstance(network, BalancedModes):
        return sharpness(problem, params).value
    residual = problem.residual(params)
    parting = [
        -residual * layers[0] ** (depth - 2)
        for layers, depth in zip(network.expand(params), network.depths, strict=True)
        if depth > 1
    ]
    within = [_within(problem, params)]
    return functools.reduce(jnp.maximum, [jnp.max(values) for values in (*within, *parting)])


def _within(problem: Problem, params: Params) -> Array:
    """The largest eigenvalues of the Hessian within the balanced set."""
    if len(params) > 1:
        return _top(problem, params, 1).values
    # With one pathway the Hessian is diagonal, one number for each mode.
    ones = jax.tree.map(jnp.ones_like, params)
    diagonal: Array = problem.hessian_vector(params, ones)[0][0]
    return diagonal


EXAMPLES = (sharpness, free_sharpness, top_eigenvalues, hessian_trace, hessian_density)
