"""Extreme eigenpairs of symmetric operators that are known only by their action on a vector.

"Largest" is always the largest *algebraic* eigenvalue. Near a saddle of a deep linear network the
spectrum has a negative end as large as the positive one, and the eigenvalue of largest magnitude
has either sign. Every eigenvalue comes with its residual `‖Av − λv‖`, which bounds its error.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from matfree import decomp, eig

from dlnlab.typing import Array, Float, Matrix

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
    subspace: int = 24,
    restarts: int = 50,
    tolerance: float = 1e-9,
) -> Eigenpairs:
    """The k largest eigenpairs by restarted Lanczos with full reorthogonalisation.

    Accepted when every residual is at most `tolerance` times the largest Ritz value in magnitude
    (never because a Rayleigh quotient stopped changing), or after `restarts` rounds: read the
    residuals. A restart continues from the sum of the wanted Ritz vectors.
    """
    subspace = min(max(subspace, 2 * k + 20), start.size)
    solve = eig.eigh_partial(decomp.tridiag_sym(subspace, custom_vjp=False))
    tolerance = max(tolerance, 8 * float(jnp.finfo(start.dtype).eps))

    def round_(vector: Array) -> tuple[Eigenpairs, Array]:
        values, vectors = solve(matvec, vector / jnp.linalg.norm(vector))
        order = jnp.argsort(values, descending=True)[:k]
        pairs = _with_residuals(matvec, values[order], vectors[order])
        return pairs, jnp.max(jnp.abs(values))

    def unconverged(carry: tuple[Eigenpairs, Array, Array]) -> Array:
        pairs, scale, count = carry
        return jnp.any(pairs.residuals > tolerance * scale) & (count < restarts)

    def again(carry: tuple[Eigenpairs, Array, Array]) -> tuple[Eigenpairs, Array, Array]:
        pairs, _, count = carry
        return *round_(jnp.sum(pairs.vectors, axis=0)), count + 1

    pairs, _, _ = jax.lax.while_loop(unconverged, again, (*round_(start), jnp.asarray(1)))
    return pairs


def _with_residuals(matvec: Matvec, values: Array, vectors: Array) -> Eigenpairs:
    applied = jax.vmap(matvec)(vectors)
    residuals = jnp.linalg.norm(applied - values[:, None] * vectors, axis=1)
    return Eigenpairs(values, vectors, residuals)
