"""The singular vectors in which a task counts its modes."""

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.typing import Any


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
