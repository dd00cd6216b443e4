"""A network with its task: the only place that defines the loss and its derivatives."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks import LinearNetwork, Network, pathway_products, product
from dlnlab.tasks import Samples, Task
from dlnlab.typing import Any, Array, Float, Params, Scalar


class Problem(eqx.Module):
    """A network that is to learn a task.

    The loss of a whitened task is `ℓ = ½‖W − M‖²_F` (kim2026, ghosh2025), that of samples half the
    mean squared error, `ℓ = (1/2n) Σ_k ‖f(x_k) − y_k‖²`. PyTorch's `MSELoss` over d_out outputs is
    2/d_out times this loss, and its step sizes are scaled accordingly.

    **Raises:** `InputError` where the network's output and the target differ in shape, or a
    non-linear network has no samples to be trained on.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([4.0])))
    >>> float(problem.loss(((jnp.array([1.0]), jnp.array([2.0])),)))
    2.0
    """

    network: Network
    task: Task

    def __check_init__(self) -> None:
        if self.network.map_shape != self.task.target.shape:
            raise InputError(
                f"the network makes maps of shape {self.network.map_shape} and the target has "
                f"shape {self.task.target.shape}; change the widths or the target."
            )
        if not isinstance(self.task, Samples) and not isinstance(self.network, LinearNetwork):
            raise InputError(
                f"a {type(self.network).__name__} is trained on samples, and a "
                f"{type(self.task).__name__} target was given; pass dlnlab.tasks.Samples."
            )

    def residual(self, params: Params) -> Array:
        """`W − M`; of samples `(f(x_k) − y_k)/√n`, a row for each."""
        if isinstance(self.task, Samples):
            return _misfit(self.network, params, self.task.inputs, self.task.outputs)
        return product(self.network, params) - self.task.target

    def loss(self, params: Params) -> Scalar:
        """Half the sum of squares of the residual."""
        return jnp.sum(self.residual(params) ** 2) / 2

    def test_loss(self, params: Params) -> Scalar:
        """The same on the samples held out.

        **Raises:** `InputError` where there are none.
        """
        held_out = getattr(self.task, "held_out", None)
        if held_out is None:
            raise InputError(
                "a test loss needs samples that were held out, and the task has none; pass "
                "Samples(…, held_out=(inputs, outputs))."
            )
        return jnp.sum(_misfit(self.network, params, *held_out) ** 2) / 2

    def gradient(self, params: Params) -> Params:
        """`∇ℓ`, by reverse-mode differentiation."""
        return jax.grad(self.loss)(params)

    def per_sample_gradients(
        self,
        params: Params,
        inputs: Float[Array, "sample in"],
        outputs: Float[Array, "sample out"],
    ) -> Params:
        """The gradient of `½‖f(x_k) − y_k‖²` by each sample alone, whose mean is a batch's `∇ℓ_B`.

        Their covariance over the law of the samples is Σ, the noise of a batch of one; B of them
        leave Σ/B.

        **Returns:** as the parameters, with the samples in a first axis.

        >>> from dlnlab.networks import square
        >>> from dlnlab.tasks import Whitened
        >>> problem = Problem(square(1, (1,)), Whitened(jnp.ones((1, 1))))
        >>> inputs, outputs = jnp.array([[1.0], [2.0]]), jnp.array([[1.0], [0.0]])
        >>> params = ((jnp.array([[3.0]]),),)
        >>> problem.per_sample_gradients(params, inputs, outputs)[0][0].ravel().tolist()
        [2.0, 12.0]
        """

        def loss(params: Params, x: Array, y: Array) -> Scalar:
            return jnp.sum(_misfit(self.network, params, x[None], y[None]) ** 2) / 2

        gradients: Params = jax.vmap(jax.grad(loss), (None, 0, 0))(params, inputs, outputs)
        return gradients

    def hessian_vector(self, params: Params, tangent: Params) -> Params:
        """`∇²ℓ · v`, forward over reverse."""
        return jax.jvp(self.gradient, (params,), (tangent,))[1]

    def pathway_maps(self, params: Params) -> tuple[Array, ...]:
        """What each pathway maps in the mean, `K_h = E[f_h(x) xᵀ]`; Ω_h for white inputs."""
        if isinstance(self.task, Samples):
            inputs = self.task.inputs
            made = self.network.outputs(params, inputs)
            return tuple(outputs.T @ inputs / len(inputs) for outputs in made)
        return pathway_products(self.network, params)

    def end_to_end(self, params: Params) -> Array:
        """The sum of the pathways' maps: W for white inputs."""
        return functools.reduce(jnp.add, self.pathway_maps(params))


def _misfit(network: Network, params: Params, inputs: Any, outputs: Any) -> Array:
    made = functools.reduce(jnp.add, network.outputs(params, inputs))
    return (made - outputs) / len(inputs) ** 0.5
