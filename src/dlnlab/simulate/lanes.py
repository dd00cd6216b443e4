"""Many lanes side by side: in the last axis of every array, shared where none has a say.

Axes are given as the `in_axes` of `jax.vmap`: -1, or None for what all lanes share.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from dlnlab.typing import Any, Array, PyTree

_LAPACK = """
cholesky eig eigh geqrf hessenberg householder_product lu ormqr qr schur svd triangular_solve
tridiagonal
"""
_FACTORISATIONS = frozenset(_LAPACK.split())


def alone(tree: PyTree, axes: PyTree = -1) -> PyTree:
    """The shapes of one lane of a tree."""

    def shape(leaf: Array, axis: int | None) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape if axis is None else leaf.shape[:-1], leaf.dtype)

    return by_axis(shape, tree, axes)


def at_lane(tree: PyTree, axes: PyTree, lane: Array | int) -> PyTree:
    """One lane's arrays."""
    return by_axis(lambda leaf, axis: leaf if axis is None else leaf[..., lane], tree, axes)


def side_by_side(source: Callable[[PyTree], PyTree], columns: PyTree) -> tuple[PyTree, PyTree]:
    """What `source` makes of each lane's columns (first axis), with the lanes in the last axis; and
    the axis of each leaf: None where all lanes share it, since no column has a say in it."""
    lane = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), columns)
    closed, made = jax.make_jaxpr(source, return_shape=True)(lane)
    flags = [-1 if differs else None for differs in _depends(closed.jaxpr)]
    axes = jax.tree.unflatten(jax.tree.structure(made), flags)
    last = jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), columns)
    return over_lanes(source, -1, axes)(last), axes


def over_lanes(
    function: Callable[..., PyTree], in_axes: PyTree, out_axes: PyTree = -1
) -> Callable[..., PyTree]:
    """`jax.vmap`, but lane after lane where a matrix is factorised.

    A batched call of LAPACK waits for helpers in a pool of threads from within that very pool: two
    at a time on two processors wait for ever (jaxlib 0.10.2).
    """

    def many(*arguments: PyTree) -> PyTree:
        leaves = jax.tree.leaves(by_axis(lambda a, x: None if x is None else a, arguments, in_axes))
        count = leaves[0].shape[-1]
        if count == 1:  # A batch of one would keep large matrices from the library's own product.
            made = jax.tree.map(jnp.asarray, function(*at_lane(arguments, in_axes, 0)))
            return by_axis(lambda a, x: a if x is None else a[..., None], made, out_axes)
        traced = jax.make_jaxpr(function)(*alone(arguments, in_axes))
        if not _factorises(traced.jaxpr):
            return jax.vmap(function, in_axes, out_axes)(*arguments)
        lanes = jnp.arange(count)
        made = jax.lax.map(lambda lane: function(*at_lane(arguments, in_axes, lane)), lanes)
        return by_axis(lambda a, x: a[0] if x is None else jnp.moveaxis(a, 0, -1), made, out_axes)

    return many


def by_axis(function: Callable[[Array, int | None], Any], tree: PyTree, axes: PyTree) -> PyTree:
    """A function of each leaf and its axis, None where all lanes share it."""
    # None is a leaf of the axes, and so it must be one of the tree, which may hold some itself.
    is_none = lambda leaf: leaf is None  # noqa: E731
    leaves, structure = jax.tree.flatten(tree, is_leaf=is_none)
    flags = jax.tree.leaves(jax.tree.broadcast(axes, tree, is_leaf=is_none), is_leaf=is_none)
    made = [
        leaf if leaf is None else function(leaf, f) for leaf, f in zip(leaves, flags, strict=True)
    ]
    return jax.tree.unflatten(structure, made)


def _factorises(jaxpr: Jaxpr) -> bool:
    inside = [inner for equation in jaxpr.eqns for inner in _inside(equation)]
    names = {equation.primitive.name for equation in jaxpr.eqns}
    return bool(names & _FACTORISATIONS) or any(_factorises(inner) for inner in inside)


def _inside(equation: Any) -> list[Jaxpr]:
    """The jaxprs that an operation carries out: of a loop, a branch, a call."""
    found: list[Jaxpr] = []
    for value in equation.params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, Jaxpr):
                found.append(item)
    return found


def _depends(jaxpr: Jaxpr) -> list[bool]:
    """Which outputs of a jaxpr any of its inputs has a say in."""
    moved = set(jaxpr.invars)
    for equation in jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in moved for v in equation.invars):
            moved.update(equation.outvars)
    return [not isinstance(v, Literal) and v in moved for v in jaxpr.outvars]
