"""What is to be learned: a target map with its data distribution."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.typing import Array, Float


class Whitened(eqx.Module):
    """A linear target seen through whitened inputs: `y = Mx + ξ`, x ~ N(0, I), ξ ~ N(0, ς²I).

    The population loss is ½‖W − M‖²_F (its constant ½ d_out ς² left out). The task carries the
    basis of singular vectors in which modes are counted, because where singular values coincide
    (or vanish) the target alone does not determine it.

    **Arguments:** `target` is M, `[d_out, d_in]`, or for a network of modes the vector of its
    singular values s, `[mode]`. `label_noise` is ς. `basis` is (U, V), `[d_out, mode]` and
    `[d_in, mode]`, with UᵀMV diagonal; left out, it is computed.

    **Raises:** `InputError` where the target is neither a vector nor a matrix.

    >>> Whitened(np.diag([3.0, 1.0])).strengths
    array([3., 1.])
    """

    target: Float[Array, "..."]
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"] | None
    right: Float[Array, "in mode"] | None
    label_noise: float | Float[Array, ""]

    def __init__(
        self,
        target: Float[Array | np.ndarray, "..."],
        label_noise: float | Float[Array, ""] = 0.0,
        basis: tuple[Float[Array, "out mode"], Float[Array, "in mode"]] | None = None,
    ) -> None:
        # Plain NumPy stays NumPy, so that an example made at import does not wake the device.
        xp = jnp if isinstance(target, jax.Array) else np
        self.target = xp.asarray(target)
        self.label_noise = label_noise
        if self.target.ndim == 1:
            self.strengths, self.left, self.right = self.target, None, None
        elif self.target.ndim == 2:
            if basis is None:
                left, _, right = xp.linalg.svd(self.target, full_matrices=False)
                basis = (left, right.T)
            self.left, self.right = basis
            self.strengths = xp.sum(self.left * (self.target @ self.right), axis=0)
        else:
            raise InputError(
                f"a target has one axis (modes) or two (outputs, inputs), and the shape "
                f"{self.target.shape} was given; pass a matrix, or a vector for a network of modes."
            )


EXAMPLES: tuple[Whitened, ...] = (
    Whitened(np.diag([3.0, 2.0, 1.0])),
    Whitened(np.array([3.0, 2.0, 1.0])),
)
