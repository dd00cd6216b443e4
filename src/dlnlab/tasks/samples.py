"""Finitely many samples, and how they are drawn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks.basis import in_modes
from dlnlab.tasks.laws import Law, require_law, require_noise, white
from dlnlab.typing import Any, Array, Float, Int, Key


class Samples(eqx.Module):
    """Finitely many samples (x, y): `ℓ = (1/2n) Σ_k ‖f(x_k) − y_k‖²`.

    Modes are those of the cross-covariance `Σ_yx = E[yxᵀ] = (1/n) Σ_k y_k x_kᵀ`, which is M where
    the inputs are white: the task's `target`, with its singular values and vectors.

    **Arguments:** `inputs` and `outputs` have a row for each sample. `held_out` are other inputs
    and outputs, on which nothing is trained. `basis` is (U, V) as for `Whitened`.

    **Raises:** `InputError` where rows do not match, there is no sample, or a number is NaN or
    infinite.

    >>> Samples(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[2.0], [0.0]])).strengths
    array([1.])
    """

    inputs: Float[Array, "sample in"]
    outputs: Float[Array, "sample out"]
    target: Float[Array, "out in"]
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"]
    right: Float[Array, "in mode"]
    held_out: tuple[Float[Array, "other in"], Float[Array, "other out"]] | None

    def __init__(
        self,
        inputs: Float[Array | np.ndarray, "sample in"],
        outputs: Float[Array | np.ndarray, "sample out"],
        held_out: tuple[Any, Any] | None = None,
        basis: tuple[Any, Any] | None = None,
    ) -> None:
        xp = jnp if isinstance(inputs, jax.Array) or isinstance(outputs, jax.Array) else np
        self.inputs, self.outputs = _table(inputs, xp), _table(outputs, xp)
        _check_samples(self.inputs, self.outputs)
        self.held_out = None
        if held_out is not None:
            self.held_out = (_table(held_out[0], xp), _table(held_out[1], xp))
            _check_samples(*self.held_out)
        self.target = self.outputs.T @ self.inputs / len(self.inputs)
        self.strengths, self.left, self.right = in_modes(self.target, basis)

    def take(self, rows: Int[Array, " batch"]) -> "Samples":
        """The samples of these rows, counted in the same modes."""
        return Samples(self.inputs[rows], self.outputs[rows], basis=(self.left, self.right))


def _table(values: Any, xp: Any) -> Any:
    """The values as an array of floating-point numbers of its own or the default precision."""
    try:
        made = xp.asarray(values)
        return made if xp.issubdtype(made.dtype, xp.floating) else made.astype(float)
    except (TypeError, ValueError):
        raise InputError(
            "samples are tables of numbers, and some entries are none; convert words to numbers, "
            "or leave their columns out."
        ) from None


def _check_samples(inputs: Any, outputs: Any) -> None:
    if inputs.ndim != 2 or outputs.ndim != 2 or len(inputs) != len(outputs) or not len(inputs):
        raise InputError(
            f"samples are two tables with a row for each, and the shapes {inputs.shape} and "
            f"{outputs.shape} were given; pass inputs [sample, in] and outputs [sample, out]."
        )
    for name, table in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(table, jax.core.Tracer) and not np.isfinite(table).all():
            row, column = np.argwhere(~np.isfinite(np.asarray(table)))[0]
            raise InputError(
                f"the {name} hold {table[row, column]} in row {row}, column {column}; leave that "
                "row out, or fill it in."
            )


def teacher_samples(
    key: Key[Array, ""],
    target: Float[Array, "out in"],
    count: int,
    label_noise: float | Float[Array, ""] = 0.0,
    held_out: tuple[Any, Any] | None = None,
    basis: tuple[Any, Any] | None = None,
    law: Law = "gaussian",
) -> Samples:
    """`count` samples of a linear teacher: `y = Mx + ξ`, ξ ~ N(0, ς²I), entries of x of a law.

    **Raises:** `InputError` where no row is asked for, ς is negative or not finite, or the law is
    none of those known.

    >>> teacher_samples(jax.random.key(0), jnp.eye(2), 5).inputs.shape
    (5, 2)
    """
    require_law(law)
    require_noise(label_noise)
    if count < 1:
        raise InputError(f"a sample has 1 row or more, and {count} were asked for; raise it.")
    input_key, noise_key = jax.random.split(key)
    inputs = white(input_key, (count, target.shape[1]), law, target.dtype)
    noise = jax.random.normal(noise_key, (count, target.shape[0]), target.dtype)
    return Samples(inputs, inputs @ target.T + label_noise * noise, held_out, basis)


EXAMPLES = (Samples(np.eye(3), np.diag([3.0, 2.0, 1.0])),)
