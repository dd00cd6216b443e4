"""Linear networks: pathways of matrices, and the modes that they reduce to."""

import functools

import equinox as eqx
import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks.base import UNROLLED_DEPTH, LinearNetwork, Shapes
from dlnlab.networks.products import dot
from dlnlab.typing import Array, Float, Params


class Pathways(LinearNetwork):
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
        return dot(later, earlier)

    def compose_all(self, layers: tuple[Array, ...]) -> Array:
        is_long = len(layers) > UNROLLED_DEPTH
        return functools.reduce(lambda earlier, later: dot(later, earlier, is_long), layers)

    def transpose(self, layer: Array) -> Array:
        return layer.T

    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        return jnp.linalg.svd(layer, compute_uv=False)


class Diagonal(LinearNetwork):
    """A linear network each of whose layers is the diagonal of a matrix, `[mode]`."""

    def outputs(
        self, params: Params, inputs: Float[Array, "sample in"]
    ) -> tuple[Float[Array, "sample out"], ...]:
        return tuple(inputs * made for made in self.products(params))

    def compose(self, later: Array, earlier: Array) -> Array:
        return later * earlier

    def transpose(self, layer: Array) -> Array:
        return layer

    def singular_values(self, layer: Array) -> Float[Array, " mode"]:
        return jnp.sort(jnp.abs(layer), descending=True)


class Modes(Diagonal):
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


class BalancedModes(Diagonal):
    """Scalar chains whose layers are all equal: what modes are on the depth-balanced set.

    The layers of pathway h have one value, `w_h = v_h / √L_h`, and `Ω_h = w_h^{L_h}`; the parameter
    v_h is the length of the vector of its layers, so that the balanced set is embedded without
    stretching: gradient flow, gradient descent and momentum in v are exactly those of the layers,
    which keep equal layers equal. A step costs as much at any depth.

    The Hessian (and a Lyapunov exponent) is that within the balanced set. At a minimum its largest
    eigenvalue is that of `Modes`; elsewhere layers may also part, which only `Modes` sees.

    >>> network = BalancedModes((4,), 1)
    >>> [float(w[0]) for w in network.expand(((jnp.array([1.0]),),))[0]]
    [0.5, 0.5, 0.5, 0.5]
    """

    pathway_depths: tuple[int, ...] = eqx.field(static=True)
    modes: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        Modes(self.pathway_depths, self.modes)

    @property
    def shapes(self) -> Shapes:
        return (((self.modes,),),) * len(self.pathway_depths)

    @property
    def depths(self) -> tuple[int, ...]:
        return self.pathway_depths

    def expand(self, params: Params) -> Params:
        pairs = zip(params, self.pathway_depths, strict=True)
        return tuple((length * depth**-0.5,) * depth for (length,), depth in pairs)

    def products(self, params: Params) -> tuple[Array, ...]:
        pairs = zip(params, self.pathway_depths, strict=True)
        return tuple((length * depth**-0.5) ** depth for (length,), depth in pairs)


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


def require_width(width: int, rank: int) -> None:
    """Refuse a hidden width below the rank of what is to be learned, which no training reaches.

    **Raises:** `InputError` where it is.

    >>> require_width(3, 3)
    """
    if width < rank:
        raise InputError(
            f"width is {width}, and a target of {rank} mode{'s' if rank > 1 else ''} needs as many "
            "hidden units; raise it."
        )


EXAMPLES = (
    square(3, (3,)),
    square(3, (2, 4)),
    Pathways(((2, 4, 3), (2, 3, 5, 3))),
    Modes((3,), 3),
    Modes((2, 4), 3),
    BalancedModes((2, 4), 3),
)
