"""The top of the Hessian's spectrum, each eigenvalue with its residual."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.networks.chains import Diagonal
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


def _top(problem: Problem, params: Params, k: int) -> linalg.Eigenpairs:
    flat, unravel = ravel_pytree(params)

    def matvec(vector: Array) -> Array:
        return ravel_pytree(problem.hessian_vector(params, unravel(vector)))[0]

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


EXAMPLES = (sharpness, top_eigenvalues)
