"""What the last steps saw of the spectrum next to the top, which costs no product.

A residual says where an eigenvector is wrong. By itself it takes off little of the error, because
the error lies in few directions, much the same ones from step to step, and each is a multiple of
the residual's part by its own gap. These directions with their images are kept; the operator on
them, as it was when they were seen, is good enough to divide by.
"""

from typing import NamedTuple

import jax.numpy as jnp

from dlnlab.typing import Array, Float, Scalar

_FADES = 0.8
"""What is left of a direction's length a step later, unless it is seen again."""

_LEAST_GAP = 0.05
"""The smallest gap that is believed of what was seen earlier, in units of the largest value."""

_LOST = 1e-3
"""The length below which a direction is forgotten."""


class Neighbours(NamedTuple):
    """Orthogonal directions (rows), the longer the surer, and their images when they were seen."""

    vectors: Float[Array, "m n"]
    images: Float[Array, "m n"]


def nothing_near(vectors: Float[Array, "k n"]) -> Neighbours:
    """Room for the neighbours of k eigenvectors."""
    room = jnp.zeros((3 * len(vectors) + 3, vectors.shape[1]), vectors.dtype)
    return Neighbours(room, room)


class Known(NamedTuple):
    """Ritz pairs among the neighbours."""

    values: Float[Array, " m"]
    vectors: Float[Array, "m n"]


def known(near: Neighbours) -> Known:
    """The operator on the neighbours, diagonalised; rows of zeros where there are none."""
    lengths = jnp.linalg.norm(near.vectors, axis=1)
    shrink = jnp.where(lengths > _LOST, 1 / jnp.maximum(lengths, _LOST), 0)[:, None]
    vectors = shrink * near.vectors
    matrix = vectors @ (shrink * near.images).T
    values, turn = jnp.linalg.eigh((matrix + matrix.T) / 2)
    return Known(values, turn.T @ vectors)


def corrections(
    near: Known, values: Float[Array, " k"], residuals: Float[Array, "k n"], largest: Scalar
) -> Float[Array, "k n"]:
    """For each Ritz value θ about `(θ − H)⁻¹ r`: what its vector lacks, to first order.

    Along a neighbour of value τ the residual is divided by `θ − τ`, elsewhere by what that is for
    the lowest neighbour. `largest` is the size of the operator, in which gaps are counted.

    >>> near = Known(jnp.array([0.5]), jnp.array([[0.0, 1.0, 0.0]]))
    >>> corrections(near, jnp.array([1.0]), jnp.array([[0.0, 0.25, 0.5]]), jnp.array(1.0)).tolist()
    [[0.0, 0.5, 1.0]]
    """
    parts = residuals @ near.vectors.T
    least = _LEAST_GAP * largest
    gaps = jnp.maximum(values[:, None] - near.values, least)
    beyond = jnp.maximum(values - jnp.min(near.values), least)[:, None]
    rest = residuals - parts @ near.vectors
    return (parts / gaps) @ near.vectors + rest / beyond


def seen(near: Neighbours, top: Neighbours, fresh: Neighbours) -> Neighbours:
    """The neighbours with those of one more step: the principal directions of all, the older ones
    shorter, beside the vectors of the top."""
    along = near.vectors @ top.vectors.T
    older = (near.vectors - along @ top.vectors, near.images - along @ top.images)
    vectors, images = (
        jnp.concatenate([new, _FADES * old]) for new, old in zip(fresh, older, strict=True)
    )
    turn = jnp.linalg.eigh(vectors @ vectors.T)[1][:, ::-1].T[: len(near.vectors)]
    return Neighbours(turn @ vectors, turn @ images)
