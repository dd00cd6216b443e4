"""The product of two small matrices, laid out for many lanes at once.

A batch of small matrix products is slow on every library: each product is too small for the
machine's wide instructions. Side by side, with the lanes in the last axis, the same product is a
sum over the inner index of plain products along the lanes, which fill them. `dot` is the matrix
product; only its batching rule writes it so, and what it computes is the same to rounding. Which
of the two is used follows from the shapes alone.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dlnlab.typing import Any, Array, Float

SMALL = 20
"""Up to this many rows and columns a product along the lanes is the faster one."""

ALONE = 16
"""Up to this size a product of two single matrices is a sum as well: five times faster at 8."""

SETTLED = 8
"""From this size on a product is finished before it is used: see `_settled`."""


def dot(later: Float[Array, "a b"], earlier: Float[Array, "b c"]) -> Float[Array, "a c"]:
    """The matrix product of two matrices.

    >>> dot(2 * jnp.eye(2), jnp.ones((2, 1))).tolist()
    [[2.0], [2.0]]
    """
    shapes = (*jnp.shape(later), *jnp.shape(earlier))
    if max(shapes) > SMALL or jnp.result_type(later) != jnp.result_type(earlier):
        return jnp.matmul(later, earlier)
    return _dot.bind(later, earlier)


def _alone(later: Array, earlier: Array) -> Array:
    """One product by itself: the library's, or where a call of it is most of its cost, a sum."""
    if SETTLED <= max(*later.shape, *earlier.shape) <= ALONE and later.shape[1] >= SETTLED:
        return _along_lanes((later, earlier), (None, None))[0][..., 0]
    return jnp.matmul(later, earlier)


_dot = Primitive("small_dot")
_dot.def_impl(jax.jit(jnp.matmul))
mlir.register_lowering(_dot, mlir.lower_fun(_alone, multiple_results=False))


_dot.def_abstract_eval(
    lambda later, earlier: jax.core.ShapedArray((later.shape[0], earlier.shape[1]), later.dtype)
)


ad.defbilinear(
    _dot,
    lambda cotangent, later, earlier: _dot.bind(cotangent, earlier.T),
    lambda cotangent, later, earlier: _dot.bind(later.T, cotangent),
)


def _along_lanes(arguments: tuple[Array, Array], axes: tuple[Any, Any]) -> tuple[Array, int]:
    """`Σ_k A[:, k] B[k, :]`, with the lanes of either, or both, in the last axis."""
    later, earlier = (
        matrix[..., None] if axis is None else jnp.moveaxis(matrix, axis, -1)
        for matrix, axis in zip(arguments, axes, strict=True)
    )

    def made() -> Array:
        parts = [later[:, k, None] * earlier[None, k] for k in range(later.shape[1])]
        return functools.reduce(jnp.add, parts)

    return made() if later.shape[1] < SETTLED else _settled(made, later), 2


def _settled(made: Callable[[], Array], some: Array) -> Array:
    """What `made` makes, in one piece before anything else is computed from it.

    XLA would compute each entry of a product again wherever the next product of a chain asks for
    it, which costs a factor of the size at each layer. It does not look through a conditional, and
    cannot know that this one, on a number below and above zero at once, is never taken.
    """
    first = jnp.ravel(some)[0]
    return jax.lax.cond((first < 0) & (first > 0), lambda: jnp.zeros_like(made()), made)


batching.primitive_batchers[_dot] = _along_lanes
