"""A target map seen through white inputs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks.basis import in_modes
from dlnlab.typing import Any, Array, Float


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
        basis: tuple[Any, Any] | None = None,
    ) -> None:
        # Plain NumPy stays NumPy, so that an example made at import does not wake the device.
        xp = jnp if isinstance(target, jax.Array) else np
        self.target = xp.asarray(target)
        self.label_noise = label_noise
        if self.target.ndim == 1:
            self.strengths, self.left, self.right = self.target, None, None
        elif self.target.ndim == 2:
            self.strengths, self.left, self.right = in_modes(self.target, basis)
        else:
            raise InputError(
                f"a target has one axis (modes) or two (outputs, inputs), and the shape "
                f"{self.target.shape} was given; pass a matrix, or a vector for a network of modes."
            )


EXAMPLES = (Whitened(np.diag([3.0, 2.0, 1.0])), Whitened(np.array([3.0, 2.0, 1.0])))
