"""Pathways with a non-linearity between their layers."""

import types
from collections.abc import Callable, Mapping
from typing import Literal

import equinox as eqx
import jax

from dlnlab.errors import InputError
from dlnlab.networks.base import Network, Shapes
from dlnlab.networks.chains import Pathways
from dlnlab.typing import Array, Float, Params

Activation = Literal["tanh", "relu", "gelu", "identity"]

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = types.MappingProxyType(
    {
        "tanh": jax.nn.tanh,
        "relu": jax.nn.relu,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
        "identity": lambda x: x,
    }
)


class Perceptrons(Network):
    """Multilayer perceptrons in parallel, without biases: `f(x) = Σ_h f_h(x)`,
    `f_h(x) = W_{h,L_h} φ(W_{h,L_h−1} ⋯ φ(W_{h,1} x))`.

    **Arguments:** `widths` as for `Pathways`; `activation` is φ, `"tanh"`, `"relu"`, `"gelu"` (the
    exact one, `x Φ(x)`) or `"identity"`, which makes the network one of `Pathways`.

    **Raises:** `InputError` where the widths do not fit together, or for an unknown activation.

    >>> Perceptrons(((3, 4, 2), (3, 5, 5, 2)), "tanh").depths
    (2, 3)
    """

    widths: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    activation: Activation = eqx.field(static=True, default="tanh")

    def __check_init__(self) -> None:
        Pathways(self.widths)
        if self.activation not in ACTIVATIONS:
            raise InputError(
                f"there is no activation {self.activation!r}; choose one of "
                f"{', '.join(ACTIVATIONS)}."
            )

    @property
    def shapes(self) -> Shapes:
        return Pathways(self.widths).shapes

    def outputs(
        self, params: Params, inputs: Float[Array, "sample in"]
    ) -> tuple[Float[Array, "sample out"], ...]:
        activate = ACTIVATIONS[self.activation]

        def forward(pathway: tuple[Array, ...]) -> Array:
            values = inputs
            for layer in pathway[:-1]:
                values = activate(values @ layer.T)
            return values @ pathway[-1].T

        return tuple(forward(pathway) for pathway in params)


EXAMPLES = (
    Perceptrons(((3, 4, 2), (3, 5, 4, 2)), "tanh"),
    Perceptrons(((3, 5, 2),), "gelu"),
)
