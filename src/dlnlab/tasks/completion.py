"""Matrix completion: a target of which some entries are seen."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks.basis import in_modes
from dlnlab.typing import Any, Array, Bool, Float, Key


class Completion(eqx.Module):
    """A matrix M of which the entries of a mask are observed: `C(W) = ½ Σ_obs (W − M)²_ij`.

    The sum is not divided by the number of observed entries. The test loss is the same sum over
    the entries that are not observed. Modes are those of `−∇C(0)`, the observed entries with zeros
    elsewhere, which is the task's `target`.

    **Arguments:** `whole` is M, `[d_out, d_in]`; what is not observed may be NaN, and so is the
    test loss then. `mask` is true where an entry is observed, of the same shape. `basis` is (U, V)
    as for `Whitened`.

    **Raises:** `InputError` where the shapes differ, a row or a column has no observed entry, or
    an observed entry is NaN or infinite.

    Source: jacot2021.0.

    >>> task = Completion(np.array([[3.0, 5.0], [7.0, 1.0]]), np.eye(2) == 1)
    >>> task.target.tolist(), task.strengths.tolist()
    ([[3.0, 0.0], [0.0, 1.0]], [3.0, 1.0])
    """

    whole: Float[Array, "out in"]
    mask: Bool[Array, "out in"]
    target: Float[Array, "out in"]
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"]
    right: Float[Array, "in mode"]

    def __init__(
        self,
        whole: Float[Array | np.ndarray, "out in"],
        mask: Bool[Array | np.ndarray, "out in"],
        basis: tuple[Any, Any] | None = None,
    ) -> None:
        traced = isinstance(whole, jax.Array) or isinstance(mask, jax.Array)
        xp: Any = jnp if traced else np
        self.whole, self.mask = xp.asarray(whole), xp.asarray(mask).astype(bool)
        _check_mask(self.whole, self.mask)
        self.target = xp.where(self.mask, self.whole, 0)
        self.strengths, self.left, self.right = in_modes(self.target, basis)


def _check_mask(whole: Any, mask: Any) -> None:
    if whole.ndim != 2 or whole.shape != mask.shape:
        raise InputError(
            f"a completion needs a matrix and a mask of its shape, and the shapes {whole.shape} "
            f"and {mask.shape} were given; pass both as [outputs, inputs]."
        )
    if isinstance(mask, jax.core.Tracer) or isinstance(whole, jax.core.Tracer):
        return
    seen = np.asarray(mask)
    for axis, name in ((1, "row"), (0, "column")):
        if not seen.any(axis=axis).all():
            index = int(np.argmin(seen.any(axis=axis)))
            raise InputError(
                f"a mask without entries in a {name} was given ({name} {index}), and one at least "
                f"must be observed in each; observe more, or leave that {name} out."
            )
    if not np.isfinite(np.asarray(whole)[seen]).all():
        raise InputError(
            "an observed entry is NaN or infinite, and finite numbers are needed; take it out of "
            "the mask."
        )


def observed(
    key: Key[Array, ""], whole: Float[Array, "out in"], fraction: float | Array
) -> Completion:
    """A completion with a random `fraction` of the entries observed, rounded to whole entries.

    Every row and column is given one entry first, on a random diagonal, and the others are drawn
    uniformly from the rest, so that no draw has to be refused.

    **Raises:** `InputError` for a fraction above 1 or NaN, or too small for every row and column.

    >>> int(observed(jax.random.key(0), jnp.ones((4, 5)), 0.5).mask.sum())
    10
    """
    shape, size = whole.shape, whole.size
    needed = max(shape)
    traced = isinstance(fraction, jax.core.Tracer)
    if not traced and not needed <= np.rint(float(fraction) * size) <= size:
        raise InputError(
            f"a fraction {float(fraction):g} of {size} entries was asked for, and between "
            f"{needed / size:g}, one for every row and column, and 1 is needed; change it."
        )
    row_key, column_key, rest_key = jax.random.split(key, 3)
    along = jnp.arange(needed)
    rows = jax.random.permutation(row_key, shape[0])[along % shape[0]]
    columns = jax.random.permutation(column_key, shape[1])[along % shape[1]]
    order = jax.random.permutation(rest_key, size).reshape(shape)
    order = order.at[rows, columns].add(-size)  # Seen before all others.
    count = jnp.round(jnp.asarray(fraction) * size).astype(int)
    return Completion(whole, order <= jnp.sort(order.ravel())[count - 1])


def low_rank(
    key: Key[Array, ""], shape: tuple[int, int], rank: int, dtype: Any = None
) -> Float[Array, "out in"]:
    """A random matrix of a given rank r, `M = AB/√r` with independent N(0, 1) entries in A and B.

    Its entries have variance 1.

    **Raises:** `InputError` where there is no matrix of this rank.

    >>> low_rank(jax.random.key(0), (4, 5), 2).shape
    (4, 5)
    """
    if not isinstance(rank, int | np.integer) or not 1 <= rank <= min(shape):
        raise InputError(
            f"a matrix of shape {tuple(shape)} has a whole rank between 1 and {min(shape)}, and "
            f"{rank} was asked for; change the rank or the shape."
        )
    left_key, right_key = jax.random.split(key)
    left = jax.random.normal(left_key, (shape[0], rank), dtype)
    right = jax.random.normal(right_key, (rank, shape[1]), dtype)
    return left @ right / rank**0.5


EXAMPLES = (Completion(np.diag([3.0, 2.0, 1.0]) + 0.5, np.eye(3) + np.eye(3, k=1) > 0),)
