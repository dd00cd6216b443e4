"""The top of a symmetric operator's spectrum, followed while the operator changes.

From one step of a run to the next, eigenvectors turn smoothly; beyond the edge of stability the
orbit has period 2, and those of the last step but one are the better guess. `follow` begins with
the guess that would have been best a step ago, one vector for each pair, because each vector costs
a product; it adds corrections until the residuals are small, and counts the products that it took.
`begin` is the same from vectors at random.

It is a block method (Davidson, J. Comput. Phys. 17, 87, 1975), so that equal eigenvalues are found
as often as they are there; a correction is the residual divided by gaps that the last steps have
seen. Operators are known by their action alone.
"""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from dlnlab.linalg.extrapolation import STEPS, foretold
from dlnlab.linalg.extremes import Eigenpairs, Matvec
from dlnlab.linalg.neighbours import Neighbours, corrections, known, nothing_near, seen
from dlnlab.typing import Any, Array, Float, Int, Key, Scalar


class Track(NamedTuple):
    """What is known of the top at one step, and what the next step begins with.

    `pairs` are k eigenvalues (descending), vectors and residuals, of which the first `following`
    are followed; `history` are the vectors of the last five steps, the latest first, each better by
    what its residual tells; `near` is what was seen beside them, and `guard` the best guess at the
    next vector below. `products` of the operator with a vector were needed in this step, and
    `probes` more for the guard.
    """

    pairs: Eigenpairs
    history: Float[Array, "5 k n"]
    near: Neighbours
    guard: Float[Array, " n"]
    following: Int[Array, ""]
    products: Int[Array, ""]
    probes: Int[Array, ""]


def begin(
    matvec: Matvec,
    key: Key[Array, ""],
    size: int,
    k: int = 1,
    *,
    threshold: Scalar | float = -jnp.inf,
    tolerance: float = 1e-6,
    dtype: Any = float,
) -> Track:
    """The k largest eigenpairs of an operator on vectors of length `size`, from k + 1 at random.

    See `follow` for `threshold` and `tolerance`; all residuals are below the tolerance, or 2,000
    rounds were not enough: read them.
    """
    drawn = jax.random.normal(key, (k + 2, size), dtype)
    none = jnp.zeros_like(drawn[:k])
    near = nothing_near(none)
    return _refined(matvec, near, drawn[:k], none, drawn[k:], threshold, tolerance, rounds=2000)


def follow(
    matvec: Matvec,
    track: Track,
    fresh: Float[Array, " n"],
    *,
    probe: Array | bool = True,
    threshold: Scalar | float = -jnp.inf,
    tolerance: float = 1e-6,
) -> Track:
    """The top of the operator now, from what was known in the last steps.

    Eigenvalues are followed from the largest down to the first that is not above `threshold`, at
    most k (all k by default). They are accepted when every residual is at most `tolerance` times
    the largest Ritz value in magnitude, or after 50 rounds: read the residuals. Where `probe` is
    true the guard enters as well, and the way up from it with a little of the random vector `fresh`
    (two products), so that what rises from below is seen in time.

    >>> spectrum = jnp.linspace(-1.0, 1.0, 200)
    >>> @jax.jit
    ... def later(key):
    ...     track = begin(lambda v: spectrum * v, key, 200, 2, tolerance=1e-3)
    ...     fresh = jax.random.normal(key, (200,))
    ...     return follow(lambda v: (spectrum + 0.01) * v, track, fresh, tolerance=1e-3)
    >>> track = later(jax.random.key(0))
    >>> [round(float(value), 3) for value in track.pairs.values]
    [1.01, 1.0]
    """
    rows = jnp.arange(track.pairs.values.size)[:, None] < track.following
    history = track.history * rows
    # Where a pair more is wanted than was followed, the guard is the first to ask.
    reserve = jnp.where(jnp.cumsum(~rows, axis=0) == 1, track.guard, history[0])
    extra = jnp.where(probe, jnp.stack([track.guard, fresh]), 0)
    seeds = foretold(history)
    made = _refined(matvec, track.near, seeds, reserve, extra, threshold, tolerance, rounds=50)
    guard = jnp.where(probe, made.guard, track.guard)
    history = jnp.concatenate([made.history[:1], history[:-1]])
    return made._replace(history=history, guard=guard)


_FAILED = 1e-3
"""The relative residual above which a guess has failed, and the last vectors enter as well."""

_NOISE = 0.1
"""The share of the random vector in the probe: what has no part in the guard is found by it."""

_Space: TypeAlias = tuple[Array, Array, Array]
"""An orthonormal basis (rows, zero where not used yet), the operator's images of it, and the number
of rows used."""


def _refined(
    matvec: Matvec,
    near: Neighbours,
    seeds: Array,
    reserve: Array,
    extra: Array,
    threshold: Scalar | float,
    tolerance: float,
    rounds: int,
) -> Track:
    k = len(reserve)
    size = min(3 * k + 7, seeds.shape[1])
    empty = jnp.zeros((size, seeds.shape[1]), seeds.dtype)
    space = _probed(matvec, (empty, empty, jnp.asarray(0)), extra)
    probes = space[-1]
    space = _extended(matvec, space, seeds, tolerance / 10)
    beside = known(near)

    def unfinished(carry: Any) -> Array:
        _, _, _, errors, count, _ = carry
        return jnp.any(errors > tolerance) & (count < rounds)

    def again(carry: Any) -> Any:
        space, products, ritz, errors, count, _ = carry
        space = _shortened(space, ritz, k)
        before = space[-1]
        reserved = (count == 0) & jnp.any(errors > _FAILED) & jnp.any(reserve)
        lacking = corrections(beside, ritz.values[:k], ritz.residuals[:k], ritz.largest)
        lacking = lacking * (errors > tolerance)[:, None]
        space = _extended(matvec, space, jnp.where(reserved, reserve, lacking), 0.0)
        ritz, errors, wanted = _ritz(space, k, threshold)
        return space, products + space[-1] - before, ritz, errors, count + 1, wanted

    ritz, errors, wanted = _ritz(space, k, threshold)
    carry = space, space[-1] - probes, ritz, errors, jnp.asarray(0), wanted
    space, products, ritz, _, _, wanted = jax.lax.while_loop(unfinished, again, carry)
    lengths = jnp.linalg.norm(ritz.residuals, axis=1)
    pairs = Eigenpairs(ritz.values[:k], ritz.vectors[:k], lengths[:k])
    # What is left of the error lies mostly in the bulk of the spectrum, and is taken off for free.
    # This also lets what rises grow from nothing, so that it is done in every step.
    filled = jnp.arange(len(ritz.values)) < space[-1]
    bulk = jnp.mean(jnp.where(filled, ritz.values, -jnp.abs(ritz.values[0]))[k:])
    above = ritz.values[:k, None] - bulk
    better = pairs.vectors + ritz.residuals[:k] / jnp.where(above > 0, above, jnp.inf)
    guard = ritz.vectors[jnp.minimum(wanted, len(ritz.vectors) - 1)]
    history = jnp.stack([better] + [jnp.zeros_like(better)] * (STEPS - 1))
    wanted = jnp.minimum(wanted, space[-1])
    top, rest = (Neighbours(ritz.vectors[s], ritz.images[s]) for s in (slice(k), slice(k, None)))
    return Track(pairs, history, seen(near, top, rest), guard, wanted, products, probes)


def _probed(matvec: Matvec, space: _Space, extra: Array) -> _Space:
    """The space with the guard, and with the way up from it, a little of which is random."""
    guard, fresh = extra
    basis, images, used = _extended(matvec, space, guard[None], 0.0)
    ascent = images[0] - (basis[0] @ images[0]) * basis[0]
    lengths = [jnp.linalg.norm(vector) for vector in (ascent, fresh)]
    up, noise = (
        vector / jnp.where(length > 0, length, 1)
        for vector, length in zip((ascent, fresh), lengths, strict=True)
    )
    return _extended(matvec, (basis, images, used), (up + _NOISE * noise)[None], 0.0)


class _Ritz(NamedTuple):
    """The best 2k + 1 Ritz pairs (or all), the residual of each a vector, their images, and the
    largest Ritz value of all in magnitude."""

    values: Array
    vectors: Array
    residuals: Array
    images: Array
    largest: Scalar


def _ritz(space: _Space, k: int, threshold: Scalar | float) -> tuple[_Ritz, Array, Array]:
    """Ritz pairs, the relative residuals of the first k (none where not wanted, infinite where
    wanted and not there), and how many are wanted."""
    basis, images, used = space
    matrix = basis @ images.T
    matrix = (matrix + matrix.T) / 2
    scale = jnp.max(jnp.sum(jnp.abs(matrix), axis=1))
    spare = jnp.arange(len(basis)) >= used
    # Rows that are not used yet stand below all others.
    matrix = matrix - jnp.diag(jnp.where(spare, 2 * scale + 1, 0))
    values, combinations = jnp.linalg.eigh(matrix)
    values, weights = values[::-1], combinations[:, ::-1].T[: 2 * k + 1]
    vectors, applied = weights @ basis, weights @ images
    residuals = applied - values[: 2 * k + 1, None] * vectors
    largest = jnp.max(jnp.where(spare, 0, jnp.abs(values)))
    wanted = jnp.clip(1 + jnp.sum(values[:k] > threshold), 1, k)
    rows = jnp.arange(k)
    errors = jnp.linalg.norm(residuals[:k], axis=1) / jnp.where(largest > 0, largest, 1)
    errors = jnp.where(rows < used, errors, jnp.inf) * (rows < wanted)
    return _Ritz(values[: 2 * k + 1], vectors, residuals, applied, largest), errors, wanted


def _shortened(space: _Space, ritz: _Ritz, k: int) -> _Space:
    """The best Ritz vectors in place of the basis, where there is no room for k more rows."""
    basis, _, used = space
    kept = len(ritz.values)
    full = used + k > len(basis)

    def short() -> _Space:
        blank = jnp.zeros_like(basis)
        return blank.at[:kept].set(ritz.vectors), blank.at[:kept].set(ritz.images), used * 0 + kept

    return jax.lax.cond(full, short, lambda: space)


def _extended(matvec: Matvec, space: _Space, directions: Array, least: float) -> _Space:
    """The space with more directions, each made orthogonal to what is there; those of which no more
    than `least` remains, or nothing beyond rounding, are left out and cost no product."""

    def remainder(basis: Array, vector: Array) -> tuple[Array, Array]:
        vector = vector - (basis @ vector) @ basis
        length = jnp.linalg.norm(vector)
        return vector / jnp.where(length > 0, length, 1), length

    def one(index: Array, space: _Space) -> _Space:
        basis, images, used = space
        vector = directions[index]
        length = jnp.linalg.norm(vector)
        vector = vector / jnp.where(length > 0, length, 1)
        vector, left = remainder(basis, vector)
        vector, again = remainder(basis, vector)
        rounding = 64 * jnp.finfo(vector.dtype).eps
        new = (left > jnp.maximum(least, rounding)) & (again > 0.5) & (used < len(basis))

        def added() -> _Space:
            row = jnp.minimum(used, len(basis) - 1)
            return basis.at[row].set(vector), images.at[row].set(matvec(vector)), used + 1

        return jax.lax.cond(new, added, lambda: space)

    return jax.lax.fori_loop(0, len(directions), one, space)
