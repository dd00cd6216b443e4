"""How a linear map is parametrised.

A network says which arrays its parameters are and how two of them compose. Everything else that a
linear network can be asked (products of pathways, balance gaps, alignment) follows from that, so
observables are written once and hold for matrices and for modes alike.
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
    """A sum over pathways of products of layers: `W = Σ_h W_{h,L_h} ⋯ W_{h,1}`.

    An implementation names its parameter arrays (`shapes`, pathway by pathway, from the input
    on) and says what a layer is: a matrix, or the diagonal of one.
    """

    @property
    @abc.abstractmethod
    def shapes(self) -> Shapes:
        """The shape of each parameter array, `shapes[pathway][layer]`."""

    @abc.abstractmethod
    def compose(self, later: Array, earlier: Array) -> Array:
        """The map that applies `earlier`, then `later`."""

    @abc.abstractmethod
    def transpose(self, layer: Array) -> Array:
        """The adjoint map."""

    @abc.abstractmethod
    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        """Singular values, descending."""

    @abc.abstractmethod
    def coefficients(self, layer: Array, left: Array | None, right: Array | None) -> Array:
        """The map in the basis (U, V): `UᵀWV`, `[mode, mode]`."""

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


class Pathways(Network):
    """Matrices in parallel chains: `W_{h,l}` has shape `[widths[h][l+1], widths[h][l]]`.

    **Arguments:** `widths` lists for each pathway the sizes from input to output; all pathways
    share the first and the last. A single chain is one pathway (see `chain`).

    **Raises:** `InputError` where a pathway has no layer or ends do not agree.

    >>> Pathways(((3, 4, 2), (3, 5, 5, 2))).depths
    (2, 3)
    """

    widths: tuple[tuple[int, ...], ...] = eqx.field(static=True)

    def __check_init__(self) -> None:
        ends = {(w[0], w[-1]) for w in self.widths if len(w) >= 2}
        if len(ends) != 1 or any(len(w) < 2 or min(w) < 1 for w in self.widths):
            raise InputError(
                "pathways need one layer or more, positive widths and the same input and output "
                f"sizes, and the widths {self.widths} were given; see dlnlab.networks.square."
            )

    @property
    def shapes(self) -> Shapes:
        return tuple(tuple((b, a) for a, b in zip(w, w[1:], strict=False)) for w in self.widths)

    def compose(self, later: Array, earlier: Array) -> Array:
        return later @ earlier

    def transpose(self, layer: Array) -> Array:
        return layer.T

    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        return jnp.linalg.svd(layer, compute_uv=False)

    def coefficients(self, layer: Array, left: Array | None, right: Array | None) -> Array:
        return layer if left is None or right is None else left.T @ layer @ right


class Modes(Network):
    """Scalar chains, one for each mode and pathway: what a network is on its aligned manifold.

    A layer is the vector of its values `w_{h,l,i}`, `[mode]`, the diagonal of a matrix in the
    basis of the target's singular vectors; layers compose by multiplication. See
    `dlnlab.reduction.reduce` for when a network of matrices is exactly one of modes.

    >>> Modes((20, 20), 3).depths
    (20, 20)
    """

    layers: tuple[int, ...] = eqx.field(static=True)
    modes: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not self.layers or min(self.layers) < 1 or self.modes < 1:
            raise InputError(
                "a network of modes needs at least one pathway, layer and mode, and depths "
                f"{self.layers} with {self.modes} modes were given; raise what is below 1."
            )

    @property
    def shapes(self) -> Shapes:
        return tuple(((self.modes,),) * depth for depth in self.layers)

    def compose(self, later: Array, earlier: Array) -> Array:
        return later * earlier

    def transpose(self, layer: Array) -> Array:
        return layer

    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        return jnp.sort(jnp.abs(layer), descending=True)

    def coefficients(self, layer: Array, left: Array | None, right: Array | None) -> Array:
        return jnp.diag(layer)


def chain(widths: tuple[int, ...]) -> Pathways:
    """One chain of matrices, `W = W_L ⋯ W_1`.

    >>> chain((5, 5, 5, 5)).depths
    (3,)
    """
    return Pathways((tuple(widths),))


def square(dimension: int, depths: tuple[int, ...]) -> Pathways:
    """Pathways of the given depths whose layers are all `[dimension, dimension]`.

    >>> square(2, (1, 3)).shapes
    (((2, 2),), ((2, 2), (2, 2), (2, 2)))
    """
    return Pathways(tuple((dimension,) * (depth + 1) for depth in depths))


def pathway_products(network: Network, params: Params) -> tuple[Array, ...]:
    """The end-to-end map `Ω_h = W_{h,L_h} ⋯ W_{h,1}` of each pathway."""
    return tuple(_pathway_product(network, pathway) for pathway in params)


def _pathway_product(network: Network, layers: tuple[Array, ...]) -> Array:
    """The product of one pathway; a deep one's layers of equal shape are folded on their own."""
    inner = layers[1:-1]
    if len(layers) <= UNROLLED_DEPTH or len({layer.shape for layer in inner}) > 1:
        return _compose_all(network, layers)
    return _compose_all(network, (layers[0], _deep_product(network, inner), layers[-1]))


def _compose_all(network: Network, layers: tuple[Array, ...]) -> Array:
    return functools.reduce(lambda earlier, later: network.compose(later, earlier), layers)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _deep_product(network: Network, layers: tuple[Array, ...]) -> Array:
    """`W_n ⋯ W_1`, unrolled, so that the compiler shares it between all who ask for it."""
    return _compose_all(network, layers)


@_deep_product.defjvp
def _deep_product_jvp(
    network: Network, primals: tuple[tuple[Array, ...]], tangents: tuple[tuple[Array, ...]]
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


EXAMPLES = (
    square(3, (3,)),
    square(3, (2, 4)),
    Pathways(((2, 4, 3), (2, 3, 5, 3))),
    Modes((3,), 3),
    Modes((2, 4), 3),
)
