"""The product of two small matrices, laid out for many lanes at once.

A batch of small matrix products is slow on every library: each product is too small for the
machine's wide instructions. Side by side, with the lanes in the last axis, the same product is a
sum over the inner index of plain products along the lanes, which fill them. `dot` is the matrix
product; only its batching rule writes it so, and what it computes is the same to rounding. Which
of the two is used follows from the shapes alone.
"""

import functools
from collections.abc import Callable
from typing import TypeAlias

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

_Turned: TypeAlias = tuple[bool, bool]


def dot(
    later: Float[Array, "a b"], earlier: Float[Array, "b c"], settled: bool = False
) -> Float[Array, "a c"]:
    """The matrix product of two matrices; `settled`, one of a long chain (see `_settled`).

    >>> dot(2 * jnp.eye(2), jnp.ones((2, 1))).tolist()
    [[2.0], [2.0]]
    """
    shapes = (*jnp.shape(later), *jnp.shape(earlier))
    if max(shapes) > SMALL or jnp.result_type(later) != jnp.result_type(earlier):
        return jnp.matmul(later, earlier)
    return _bind(later, earlier, (False, False), settled)


_dot = Primitive("small_dot")
"""Its parameters say which operands are transposed (to be read so, never to be copied) and whether
it is to be finished before it is used, whatever its size."""


def _bind(later: Array, earlier: Array, turned: _Turned, settled: bool) -> Array:
    return _dot.bind(later, earlier, turned=turned, settled=settled)


def _product(later: Array, earlier: Array, *, turned: _Turned, settled: bool) -> Array:
    sides = zip((later, earlier), turned, strict=True)
    return jnp.matmul(*(matrix.T if turn else matrix for matrix, turn in sides))


def _alone(later: Array, earlier: Array, *, turned: _Turned, settled: bool) -> Array:
    """One product by itself: the library's, or where a call of it is most of its cost, a sum."""
    inner = later.shape[not turned[0]]
    if inner >= SETTLED and max(*later.shape, *earlier.shape) <= ALONE:
        axes = (None, None)
        return _along_lanes((later, earlier), axes, turned=turned, settled=settled)[0][..., 0]
    return _product(later, earlier, turned=turned, settled=settled)


def _shape(later: Any, earlier: Any, *, turned: _Turned, settled: bool) -> Any:
    shape = later.shape[turned[0]], earlier.shape[not turned[1]]
    return jax.core.ShapedArray(shape, later.dtype)


def _to_later(
    cotangent: Array, later: Any, earlier: Array, *, turned: _Turned, settled: bool
) -> Array:
    first, second = turned
    if first:
        return _bind(earlier, cotangent, (second, True), settled)
    return _bind(cotangent, earlier, (False, not second), settled)


def _to_earlier(
    cotangent: Array, later: Array, earlier: Any, *, turned: _Turned, settled: bool
) -> Array:
    first, second = turned
    if second:
        return _bind(cotangent, later, (True, first), settled)
    return _bind(later, cotangent, (not first, False), settled)


def _along_lanes(
    arguments: tuple[Array, Array], axes: tuple[Any, Any], *, turned: _Turned, settled: bool
) -> tuple[Array, int]:
    """`Σ_k A[:, k] B[k, :]`, with the lanes of either, or both, in the last axis."""
    later, earlier = (
        matrix[..., None] if axis is None else jnp.moveaxis(matrix, axis, -1)
        for matrix, axis in zip(arguments, axes, strict=True)
    )
    inner = later.shape[not turned[0]]

    def made() -> Array:
        parts = [
            (later[k] if turned[0] else later[:, k])[:, None]
            * (earlier[:, k] if turned[1] else earlier[k])[None]
            for k in range(inner)
        ]
        return functools.reduce(jnp.add, parts)

    return _settled(made, later) if settled or inner >= SETTLED else made(), 2


def _settled(made: Callable[[], Array], some: Array) -> Array:
    """What `made` makes, in one piece before anything else is computed from it.

    XLA would compute each entry of a product again wherever the next product of a chain asks for
    it, which costs a factor of the size at each layer: a gain for small matrices in short chains,
    and ruin in long ones (two pathways of 20 layers of 3×3: over 100 ms a step instead of 0.3). It
    does not look through a conditional, and cannot know that this one, on a number below and above
    zero at once, is never taken.
    """
    first = jnp.ravel(some)[0]
    return jax.lax.cond((first < 0) & (first > 0), lambda: jnp.zeros_like(made()), made)


_dot.def_impl(jax.jit(_product, static_argnames=("turned", "settled")))
_dot.def_abstract_eval(_shape)
mlir.register_lowering(_dot, mlir.lower_fun(_alone, multiple_results=False))
ad.defbilinear(_dot, _to_later, _to_earlier)
batching.primitive_batchers[_dot] = _along_lanes
