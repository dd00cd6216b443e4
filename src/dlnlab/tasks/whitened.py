"""A target map seen through white inputs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks.basis import in_modes
from dlnlab.tasks.laws import KURTOSIS, Law, require_law, require_noise
from dlnlab.typing import Any, Array, Float


class Whitened(eqx.Module):
    """A linear target seen through whitened inputs: `y = Mx + ξ`, E[xxᵀ] = I, ξ ~ N(0, ς²I).

    The population loss is ½‖W − M‖²_F (its constant ½ d_out ς² left out). The task carries the
    basis of singular vectors in which modes are counted, because where singular values coincide
    (or vanish) the target alone does not determine it.

    **Arguments:** `target` is M, `[d_out, d_in]`, or for a network of modes the vector of its
    singular values s, `[mode]`. `label_noise` is ς. `basis` is (U, V), `[d_out, mode]` and
    `[d_in, mode]`, with UᵀMV diagonal; left out, it is computed. `inputs` is the law of each of
    the independent entries of x (for a network of modes: of Vᵀx), which only the noise of batches
    depends on.

    **Raises:** `InputError` where the target is neither a vector nor a matrix, ς is negative, or
    the law is none of those known.

    >>> Whitened(np.diag([3.0, 1.0])).strengths
    array([3., 1.])
    """

    target: Float[Array, "..."]
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"] | None
    right: Float[Array, "in mode"] | None
    label_noise: float | Float[Array, ""]
    inputs: Law = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)
    """Whether labels may be noisy: False where ς was given as the plain number 0."""

    def __init__(
        self,
        target: Float[Array | np.ndarray, "..."],
        label_noise: float | Float[Array, ""] = 0.0,
        basis: tuple[Any, Any] | None = None,
        inputs: Law = "gaussian",
    ) -> None:
        require_law(inputs)
        self.inputs, self.noisy = inputs, require_noise(label_noise) != 0
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

    @property
    def kurtosis(self) -> float:
        """`E[x_i⁴]` of each input."""
        return KURTOSIS[self.inputs]


def require_whitened(task: Any) -> Whitened:
    """The task, if it says by which law its inputs are drawn.

    **Raises:** `InputError` where it does not.
    """
    if isinstance(task, Whitened):
        return task
    raise InputError(
        f"the noise of batches is that of samples or of white inputs, and a {type(task).__name__} "
        "task has neither; pass dlnlab.Whitened or dlnlab.Samples."
    )


EXAMPLES = (
    Whitened(np.diag([3.0, 2.0, 1.0])),
    Whitened(np.array([3.0, 2.0, 1.0])),
    Whitened(np.diag([3.0, 2.0, 1.0]), label_noise=0.5, inputs="laplace"),
)
