"""Diagonal linear networks: each weight of a linear map is a product of factors of its own."""

import functools

import equinox as eqx
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks.base import Network, Shapes
from dlnlab.typing import Array, Float, Params


class DiagonalLinear(Network):
    """A linear map of samples whose weights are products: `f(x)_o = Σ_i (Π_l w_{l,oi}) x_i`.

    With one output it is the diagonal linear network of the literature, `f(x) = ⟨w_L ∘ ⋯ ∘ w_1,
    x⟩`. Gradient descent fills the map weight by weight, where a chain of matrices fills it
    singular pair by singular pair. It has no products of layers in the sense of `LinearNetwork`,
    and is trained on samples.

    **Arguments:** the numbers of outputs (`size_out`), inputs (`size_in`) and `factors` L.

    **Raises:** `InputError` where one of them is below 1.

    >>> network = DiagonalLinear(1, 2, 2)
    >>> u, v = jnp.array([[1.0, 2.0]]), jnp.array([[3.0, -1.0]])
    >>> network.outputs(((u, v),), jnp.eye(2))[0].tolist()
    [[3.0], [-2.0]]
    """

    size_out: int = eqx.field(static=True)
    size_in: int = eqx.field(static=True)
    factors: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if min(self.size_out, self.size_in, self.factors) < 1:
            raise InputError(
                "a diagonal linear network needs an output, an input and a factor at least, and "
                f"{self.size_out}, {self.size_in} and {self.factors} were given; raise what is "
                "below 1."
            )

    @property
    def shapes(self) -> Shapes:
        return (((self.size_out, self.size_in),) * self.factors,)

    def outputs(
        self, params: Params, inputs: Float[Array, "sample in"]
    ) -> tuple[Float[Array, "sample out"], ...]:
        return tuple(inputs @ functools.reduce(jnp.multiply, factors).T for factors in params)


EXAMPLES = (DiagonalLinear(1, 3, 2), DiagonalLinear(2, 3, 3))
