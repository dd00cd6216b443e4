"""The singular vectors in which a task counts its modes, and which of these there are."""

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.typing import Any, Array, Scalar


def in_modes(target: Any, basis: tuple[Any, Any] | None) -> tuple[Any, Any, Any]:
    """The strengths of a matrix in the basis (U, V), `s_i = u_iᵀ M v_i`, with U and V.

    Left out, the basis is that of the singular value decomposition.

    >>> in_modes(np.diag([3.0, 1.0]), None)[0]
    array([3., 1.])
    """
    # Plain NumPy stays NumPy, so that an example made at import does not wake the device.
    xp = jnp if isinstance(target, jax.Array) else np
    if basis is None:
        left, _, right = xp.linalg.svd(target, full_matrices=False)
        basis = (left, right.T)
    left, right = basis
    return xp.sum(left * (target @ right), axis=0), left, right


def present(strengths: Any) -> Array:
    """Which modes a task has: those above what its strongest rounds to.

    The tolerance is that of `numpy.linalg.matrix_rank`, the largest strength times the number of
    modes times the unit roundoff: a target of rank two has two, whatever its other singular values
    round to.

    >>> present(jnp.array([3.0, 1.0, 1e-17])).tolist()
    [True, True, False]
    """
    sizes = jnp.abs(jnp.asarray(strengths))
    return sizes > jnp.max(sizes) * sizes.size * jnp.finfo(sizes.dtype).eps


def weakest(strengths: Any) -> Scalar:
    """The strength of the weakest mode that a task has; infinite where it has none.

    >>> float(weakest(jnp.array([3.0, 1.0, 1e-17])))
    1.0
    """
    return jnp.min(jnp.where(present(strengths), jnp.abs(jnp.asarray(strengths)), jnp.inf))
