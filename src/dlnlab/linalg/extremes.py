"""Extreme eigenpairs of symmetric operators that are known only by their action on a vector.

"Largest" is always the largest *algebraic* eigenvalue. Near a saddle of a deep linear network the
spectrum has a negative end as large as the positive one, and the eigenvalue of largest magnitude
has either sign. Every eigenvalue comes with its residual `‖Av − λv‖`, which bounds its error.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from dlnlab.typing import Any, Array, Float, Matrix

Matvec = Callable[[Float[Array, " n"]], Float[Array, " n"]]

DENSE_LIMIT = 150
"""Up to this many parameters an operator is written out and factorised, which is then the faster
way; at 200 Lanczos is so by a factor of fifteen."""


class Eigenpairs(NamedTuple):
    """Eigenvalues (descending), eigenvectors (rows, unit norm) and residuals `‖Av − λv‖`."""

    values: Float[Array, " k"]
    vectors: Float[Array, "k n"]
    residuals: Float[Array, " k"]


def dense(matvec: Matvec, size: int, dtype: jnp.dtype) -> Matrix:
    """The operator as a symmetric matrix, one product for each column."""
    matrix = jax.vmap(matvec)(jnp.eye(size, dtype=dtype))
    return (matrix + matrix.T) / 2


def largest(matvec: Matvec, start: Float[Array, " n"], k: int = 1) -> Eigenpairs:
    """The k largest algebraic eigenpairs, densely for small operators and by Lanczos for large.

    **Arguments:** `start` gives size and dtype, and where Lanczos begins: a random vector.

    >>> import numpy as np
    >>> diagonal = jnp.array([-5.0, 1.0, 3.0])
    >>> pairs = largest(lambda v: diagonal * v, jnp.ones(3))
    >>> bool(jnp.isclose(pairs.values[0], 3.0))
    True
    """
    if start.size <= DENSE_LIMIT:
        return largest_dense(matvec, start, k)
    return largest_lanczos(matvec, start, k)


def largest_dense(matvec: Matvec, start: Float[Array, " n"], k: int = 1) -> Eigenpairs:
    """The k largest eigenpairs from the whole factorised matrix."""
    matrix = dense(matvec, start.size, start.dtype)
    values, vectors = jnp.linalg.eigh(matrix)
    return _with_residuals(matvec, values[::-1][:k], vectors.T[::-1][:k])


def largest_of_blocks(
    matvec: Matvec, start: Float[Array, " n"], blocks: int, k: int = 1
) -> Eigenpairs:
    """The k largest eigenpairs of an operator that keeps `blocks` interleaved parts apart.

    Block b is made of entries b, b + blocks, b + 2·blocks, …; all blocks are written out by as many
    products as one has entries, and factorised.

    >>> pairs = largest_of_blocks(lambda v: jnp.array([1.0, 4.0, 3.0, 2.0]) * v, jnp.ones(4), 2, 2)
    >>> pairs.values.tolist(), pairs.vectors[0].tolist()
    ([4.0, 3.0], [0.0, 1.0, 0.0, 0.0])
    """
    size = start.size // blocks
    unit = jnp.repeat(jnp.eye(size, dtype=start.dtype), blocks, axis=1)
    matrices = jnp.moveaxis(jax.vmap(matvec)(unit).reshape(size, size, blocks), -1, 0)
    # One after the other: see `dlnlab.simulate.lanes.over_lanes` for what a batch would risk.
    values, vectors = jax.lax.map(jnp.linalg.eigh, (matrices + jnp.matrix_transpose(matrices)) / 2)
    order = jnp.argsort(values.ravel(), descending=True)[:k]
    block, column = order // size, order % size
    rows = jnp.arange(order.size)
    whole = jnp.zeros((order.size, size, blocks), start.dtype)
    whole = whole.at[rows, :, block].set(vectors[block, :, column])
    return _with_residuals(matvec, values.ravel()[order], whole.reshape(order.size, -1))


def largest_lanczos(
    matvec: Matvec,
    start: Float[Array, " n"],
    k: int = 1,
    *,
    tolerance: float = 1e-9,
    restarts: int = 50,
) -> Eigenpairs:
    """The k largest eigenpairs by Lanczos with thick restarts.

    Accepted when every residual is at most `tolerance` times the largest Ritz value in magnitude
    (never because a Rayleigh quotient stopped changing), or after `restarts` rounds: read the
    residuals. A round goes on from the best Ritz vectors of the last one, to which its new
    directions are kept orthogonal (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 602, 2000). Where
    the operator is too small for a round it is written out.

    >>> spectrum = jnp.linspace(-1.0, 1.0, 500) ** 3
    >>> pairs = largest_lanczos(lambda v: spectrum * v, jnp.cos(jnp.arange(500.0)), 2)
    >>> bool(jnp.allclose(pairs.values, spectrum[:-3:-1]))
    True
    """
    size, kept = 2 * k + 22, k + 4
    if start.size < 2 * size:
        return largest_dense(matvec, start, k)
    tolerance = max(tolerance, 8 * float(jnp.finfo(start.dtype).eps))

    def unconverged(carry: Any) -> Array:
        pairs, scale, _, count = carry
        return jnp.any(pairs.residuals > tolerance * scale) & (count < restarts)

    def again(carry: Any) -> Any:
        *_, space, count = carry
        values, vectors, space = _round(matvec, start, space, kept, count == 0)
        pairs = _with_residuals(matvec, values[:k], vectors[:k])
        return pairs, jnp.max(jnp.abs(values)), space, count + 1

    unknown = jnp.full(k, jnp.inf, start.dtype)
    pairs = Eigenpairs(unknown, jnp.zeros((k, start.size), start.dtype), unknown)
    basis = jnp.zeros((size + 1, start.size), start.dtype)
    space = basis.at[kept].set(start / jnp.linalg.norm(start)), jnp.zeros(kept, start.dtype)
    carry = pairs, jnp.zeros((), start.dtype), space, jnp.asarray(0)
    return jax.lax.while_loop(unconverged, again, carry)[0]


_Space: TypeAlias = tuple[Float[Array, "m n"], Float[Array, " kept"]]
"""An orthonormal basis (rows: Ritz vectors that were kept, then the next direction) and the values
of those Ritz vectors."""


def _round(
    matvec: Matvec, spare: Array, space: _Space, kept: int, first: Array
) -> tuple[Array, Array, _Space]:
    """All Ritz values (descending), the kept Ritz vectors, and where the next round goes on."""
    basis, values = space
    size = len(basis) - 1
    lower = jnp.zeros((size + 1, size + 1), basis.dtype)

    def extend(row: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, lower = carry
        image = matvec(basis[row])
        along = basis @ image  # Zero on rows that are not made yet.
        ahead = image - along @ basis
        bound = 32 * jnp.finfo(basis.dtype).eps * jnp.linalg.norm(image)
        # Where the directions are used up, another one: what they span has no way out.
        ahead = jnp.where(jnp.linalg.norm(ahead) <= bound, jnp.roll(spare, row), ahead)
        ahead = ahead - (basis @ ahead) @ basis  # A second time: rounding would grow without it.
        basis = _with_row(basis, ahead / jnp.linalg.norm(ahead), row + 1)
        return basis, _with_row(lower, along, row)

    basis, lower = jax.lax.fori_loop(kept, size, extend, (basis, lower))
    # The rows of Ritz vectors that are not there yet stand below all others.
    lowest = -3 * jnp.max(jnp.abs(lower)) - 1
    rows = jnp.arange(kept)
    lower = lower.at[rows, rows].set(jnp.where(first, lowest, values))[:size, :size]
    whole = jnp.tril(lower) + jnp.tril(lower, -1).T
    found, combinations = jnp.linalg.eigh(whole)
    values, vectors = found[::-1], combinations[:, ::-1][:, :kept].T @ basis[:size]
    basis = jnp.zeros_like(basis).at[:kept].set(vectors).at[kept].set(basis[size])
    return jnp.where(first & (values <= lowest), 0, values), vectors, (basis, values[:kept])


def _with_row(matrix: Array, row: Array, index: Array) -> Array:
    """In one piece, where a scatter would be a loop of its own."""
    return jax.lax.dynamic_update_slice_in_dim(matrix, row[None], index, axis=0)


def _with_residuals(matvec: Matvec, values: Array, vectors: Array) -> Eigenpairs:
    applied = jax.vmap(matvec)(vectors)
    residuals = jnp.linalg.norm(applied - values[:, None] * vectors, axis=1)
    return Eigenpairs(values, vectors, residuals)
