"""The signature of the Hessian at a critical point."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork, product
from dlnlab.problem import Problem
from dlnlab.typing import Array, Float, Params

MOST_PARAMETERS = 4000
"""Above this the Hessian is not written out (128 MB)."""


class Signature(NamedTuple):
    """Numbers of negative (the index), zero and positive Hessian eigenvalues, the rank of the map,
    the loss, `‖∇ℓ‖`, and the eigenvalues themselves, descending."""

    negative: int
    zero: int
    positive: int
    rank: int
    loss: float
    gradient_norm: float
    eigenvalues: Float[np.ndarray, " n"]


def signature(
    problem: Problem, params: Params, tolerance: float = 1e-9, critical: float = 1e-6
) -> Signature:
    """How the loss curves at a critical point: its index and the rest of the signature.

    The Hessian is written out and factorised. An eigenvalue of at most `tolerance` times the
    largest in magnitude counts as zero, and a singular value of the map likewise for its rank. At
    `W = P_S M` (jacot2021.3) the rank is |S|, and the loss `½Σ_{a∉S} s_a²`.

    **Raises:** `InputError` where `‖∇ℓ‖` exceeds `critical` times (1 + ‖∇C(0)‖), for more than
    4,000 parameters, and for a network that is not linear.

    Source: jacot2021.3.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 2), Whitened(np.array([2.0, 1.0])))
    >>> found = signature(problem, ((np.array([2.0, 0.0]), np.array([1.0, 0.0])),))
    >>> found[:5]
    (1, 1, 2, 1, 0.5)
    """
    network = problem.network
    if not isinstance(network, LinearNetwork):
        raise InputError(
            f"signatures are those of linear networks, and a {type(network).__name__} was given; "
            "pass a chain, pathways or modes."
        )
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda w: np.asarray(w, np.float64), network.check(params))
        flat, unravel = ravel_pytree(exact)
        if flat.size > MOST_PARAMETERS:
            raise InputError(
                f"the network has {flat.size} parameters, and the Hessian of {MOST_PARAMETERS} at "
                "most is written out; take top_eigenvalues, or a narrower network."
            )
        slope = np.asarray(ravel_pytree(problem.gradient(exact))[0])
        hessian = np.asarray(_hessian(problem, flat, unravel))
        made, loss = np.asarray(product(network, exact)), float(problem.loss(exact))
    gradient_norm = float(np.linalg.norm(slope))
    allowed = critical * (1 + float(np.linalg.norm(problem.task.target)))
    if not gradient_norm <= allowed:
        raise InputError(
            f"the gradient has the norm {gradient_norm:.3g}, and at most {allowed:.3g} is allowed "
            "at a critical point; pass a point that is one (see nearest_saddle)."
        )
    values = np.linalg.eigvalsh(hessian)[::-1]
    least = tolerance * np.abs(values).max()
    negative, positive = int(np.sum(values < -least)), int(np.sum(values > least))
    zero = len(values) - negative - positive
    rank = _rank(made, tolerance)
    return Signature(negative, zero, positive, rank, loss, gradient_norm, values)


def _hessian(problem: Problem, flat: Array, unravel: Callable[[Array], Params]) -> Array:
    def matvec(vector: Array) -> Array:
        tangent = unravel(vector)
        return ravel_pytree(problem.hessian_vector(unravel(flat), tangent))[0]

    return jax.jit(lambda: linalg.dense(matvec, flat.size, flat.dtype))()


def _rank(made: Float[np.ndarray, "..."], tolerance: float) -> int:
    values = np.abs(made) if made.ndim == 1 else np.linalg.svd(made, compute_uv=False)
    return int(np.sum(values > tolerance * max(float(values.max()), 1e-300)))
