"""How a map is parametrised.

A network says which arrays its parameters are and what each pathway makes of samples. A linear one
also says how two layers compose. Everything else that it can be asked (products of pathways,
balance gaps, alignment) follows from that, so observables are written once and hold for matrices
and for modes alike.
"""

import abc
import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.typing import Any, Array, Float, Params

Shapes = tuple[tuple[tuple[int, ...], ...], ...]

UNROLLED_DEPTH = 6
"""Deeper pathways are differentiated by a scan over their layers: what is unrolled is fused into
kernels that recompute each other's products, and compiles in a time quadratic in the depth."""

MOST_LAYERS = 2000
"""More layers than this take the compiler hours."""


class Network(eqx.Module):
    """A sum over pathways, `f(x) = Σ_h f_h(x)`, each a chain of layers.

    An implementation names its parameter arrays (`shapes`, pathway by pathway, from the input
    on) and computes the outputs of each pathway.
    """

    @property
    @abc.abstractmethod
    def shapes(self) -> Shapes:
        """The shape of each parameter array, `shapes[pathway][layer]`."""

    @abc.abstractmethod
    def outputs(
        self, params: Params, inputs: Float[Array, "sample in"]
    ) -> tuple[Float[Array, "sample out"], ...]:
        """What each pathway makes of samples, `f_h(x)`, one row for each."""

    @property
    def depths(self) -> tuple[int, ...]:
        """The number of layers of each pathway."""
        return tuple(len(pathway) for pathway in self.shapes)

    def __check_init__(self) -> None:
        layers = sum(self.depths)
        if layers > MOST_LAYERS:
            raise InputError(
                f"the network has {layers} layers and at most {MOST_LAYERS} can be compiled; "
                "lower the depth or the number of pathways."
            )

    def check(self, params: Params) -> Params:
        """The parameters, or an `InputError` that says which of their shapes does not fit."""
        given = tuple(tuple(jnp.shape(layer) for layer in pathway) for pathway in params)
        if given != self.shapes:
            raise InputError(
                f"the parameters have the shapes {given} and the network needs {self.shapes}; "
                "initialise them with a function of dlnlab.initialization."
            )
        return params

    @property
    def map_shape(self) -> tuple[int, ...]:
        """The shape of the end-to-end map: (outputs, inputs), or (modes,)."""
        first, last = self.shapes[0][0], self.shapes[0][-1]
        return first if len(first) == 1 else (last[0], first[1])


class LinearNetwork(Network):
    """A sum over pathways of products of layers: `W = Σ_h W_{h,L_h} ⋯ W_{h,1}`.

    A layer is a matrix, or the diagonal of one; an implementation says how two of them compose.
    """

    def expand(self, params: Params) -> Params:
        """The layers `W_{h,l}`: the parameters themselves, unless layers share some."""
        return params

    def products(self, params: Params) -> tuple[Array, ...]:
        """The end-to-end map `Ω_h = W_{h,L_h} ⋯ W_{h,1}` of each pathway."""
        return tuple(_pathway_product(self, pathway) for pathway in self.expand(params))

    def outputs(
        self, params: Params, inputs: Float[Array, "sample in"]
    ) -> tuple[Float[Array, "sample out"], ...]:
        return tuple(inputs @ made.T for made in pathway_products(self, params))

    @abc.abstractmethod
    def compose(self, later: Array, earlier: Array) -> Array:
        """The map that applies `earlier`, then `later`."""

    def compose_all(self, layers: tuple[Array, ...]) -> Array:
        """The map that applies all layers, the first first."""
        return functools.reduce(lambda earlier, later: self.compose(later, earlier), layers)

    @abc.abstractmethod
    def transpose(self, layer: Array) -> Array:
        """The adjoint map."""

    @abc.abstractmethod
    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        """Singular values, descending."""


def require_linear(network: Network) -> LinearNetwork:
    """The network, if it is linear: what has products of layers, singular values, balance gaps.

    **Raises:** `InputError` where it is not.
    """
    if isinstance(network, LinearNetwork):
        return network
    raise InputError(
        f"products of layers are those of a linear network, and a {type(network).__name__} was "
        "given; record what holds for any network, say shares, mode_values or sharpness."
    )


def pathway_products(network: Network, params: Params) -> tuple[Array, ...]:
    """The end-to-end map `Ω_h = W_{h,L_h} ⋯ W_{h,1}` of each pathway of a linear network."""
    return require_linear(network).products(params)


@functools.partial(jax.jit, static_argnums=0, inline=True)  # traced once for each of its shapes
def _pathway_product(network: LinearNetwork, layers: tuple[Array, ...]) -> Array:
    """The product of one pathway; a deep one's layers of equal shape are folded on their own."""
    inner = layers[1:-1]
    if len(layers) <= UNROLLED_DEPTH or len({layer.shape for layer in inner}) > 1:
        return network.compose_all(layers)
    return network.compose_all((layers[0], _deep_product(network, inner), layers[-1]))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _deep_product(network: LinearNetwork, layers: tuple[Array, ...]) -> Array:
    """`W_n ⋯ W_1`, unrolled, so that the compiler shares it between all who ask for it."""
    return network.compose_all(layers)


@_deep_product.defjvp
def _deep_product_jvp(
    network: LinearNetwork, primals: tuple[tuple[Array, ...]], tangents: tuple[tuple[Array, ...]]
) -> tuple[Array, Array]:
    """`d(W P) = dW P + W dP`, layer by layer in a scan, which transposes to one in reverse."""
    (layers,), (moves,) = primals, tangents

    def extend(carry: tuple[Array, Array], layer: tuple[Array, Array]) -> tuple[Any, None]:
        whole, change = carry
        weight, move = layer
        moved = network.compose(move, whole) + network.compose(weight, change)
        return (network.compose(weight, whole), moved), None

    rest = (jnp.stack(layers[1:]), jnp.stack(moves[1:]))
    (_, change), _ = jax.lax.scan(extend, (layers[0], moves[0]), rest)
    return _deep_product(network, layers), change


def product(network: Network, params: Params) -> Array:
    """The end-to-end map `W = Σ_h Ω_h`."""
    return functools.reduce(jnp.add, pathway_products(network, params))
