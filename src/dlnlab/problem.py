"""A network with its task: the only place that defines the loss and its derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks import Network, product
from dlnlab.tasks import Whitened
from dlnlab.typing import Array, Params, Scalar


class Problem(eqx.Module):
    """A network that is to learn a task.

    The loss of a whitened task is `ℓ = ½‖W − M‖²_F` (kim2026, ghosh2025). PyTorch's `MSELoss`
    over d_out outputs is 2/d_out times this loss, and its step sizes are scaled accordingly.

    **Raises:** `InputError` where the network's output and the target differ in shape.

    >>> from dlnlab.networks import Modes
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([4.0])))
    >>> float(problem.loss(((jnp.array([1.0]), jnp.array([2.0])),)))
    2.0
    """

    network: Network
    task: Whitened

    def __check_init__(self) -> None:
        first, last = self.network.shapes[0][0], self.network.shapes[0][-1]
        made = first if len(first) == 1 else (last[0], first[1])
        if made != self.task.target.shape:
            raise InputError(
                f"the network makes maps of shape {made} and the target has shape "
                f"{self.task.target.shape}; change the widths or the target."
            )

    def residual(self, params: Params) -> Array:
        """`W − M`."""
        return product(self.network, params) - self.task.target

    def loss(self, params: Params) -> Scalar:
        """`½‖W − M‖²_F`."""
        return jnp.sum(self.residual(params) ** 2) / 2

    def gradient(self, params: Params) -> Params:
        """`∇ℓ`, by reverse-mode differentiation."""
        return jax.grad(self.loss)(params)

    def hessian_vector(self, params: Params, tangent: Params) -> Params:
        """`∇²ℓ · v`, forward over reverse."""
        return jax.jvp(self.gradient, (params,), (tangent,))[1]
