"""What is to be learned: a target map with its data distribution, or samples."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.typing import Any, Array, Float, Int, Key

Law = Literal["gaussian", "rademacher", "uniform", "laplace"]
"""Laws of mean 0 and variance 1."""

KURTOSIS: dict[Law, float] = {"gaussian": 3.0, "rademacher": 1.0, "uniform": 1.8, "laplace": 6.0}
"""`E[x⁴]` of each law."""


class Whitened(eqx.Module):
    """A linear target seen through whitened inputs: `y = Mx + ξ`, E[xxᵀ] = I, ξ ~ N(0, ς²I).

    The population loss is ½‖W − M‖²_F (its constant ½ d_out ς² left out). The task carries the
    basis of singular vectors in which modes are counted, because where singular values coincide
    (or vanish) the target alone does not determine it.

    **Arguments:** `target` is M, `[d_out, d_in]`, or for a network of modes the vector of its
    singular values s, `[mode]`. `label_noise` is ς. `basis` is (U, V), `[d_out, mode]` and
    `[d_in, mode]`, with UᵀMV diagonal; left out, it is computed. `inputs` is the law of each of
    the independent entries of x (for a network of modes: of Vᵀx), which only the noise of batches
    depends on.

    **Raises:** `InputError` where the target is neither a vector nor a matrix, ς is negative, or
    the law is none of those known.

    >>> Whitened(np.diag([3.0, 1.0])).strengths
    array([3., 1.])
    """

    target: Float[Array, "..."]
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"] | None
    right: Float[Array, "in mode"] | None
    label_noise: float | Float[Array, ""]
    inputs: Law = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)
    """Whether labels may be noisy: False where ς was given as the plain number 0."""

    def __init__(
        self,
        target: Float[Array | np.ndarray, "..."],
        label_noise: float | Float[Array, ""] = 0.0,
        basis: tuple[Any, Any] | None = None,
        inputs: Law = "gaussian",
    ) -> None:
        _check_whitened(label_noise, inputs)
        self.inputs, self.noisy = inputs, _known(label_noise) != 0
        # Plain NumPy stays NumPy, so that an example made at import does not wake the device.
        xp = jnp if isinstance(target, jax.Array) else np
        self.target = xp.asarray(target)
        self.label_noise = label_noise
        if self.target.ndim == 1:
            self.strengths, self.left, self.right = self.target, None, None
        elif self.target.ndim == 2:
            if basis is None:
                left, _, right = xp.linalg.svd(self.target, full_matrices=False)
                basis = (left, right.T)
            self.left, self.right = basis
            self.strengths = xp.sum(self.left * (self.target @ self.right), axis=0)
        else:
            raise InputError(
                f"a target has one axis (modes) or two (outputs, inputs), and the shape "
                f"{self.target.shape} was given; pass a matrix, or a vector for a network of modes."
            )

    @property
    def kurtosis(self) -> float:
        """`E[x_i⁴]` of each input."""
        return KURTOSIS[self.inputs]


def _known(value: Any) -> float | None:
    """The value of a number; none of one that is being traced."""
    return None if isinstance(value, jax.core.Tracer) else float(value)


def _check_whitened(label_noise: Any, inputs: str) -> None:
    given = _known(label_noise)
    if given is not None and not 0 <= given < np.inf:
        raise InputError(
            f"label_noise is a standard deviation, 0 or more, and {given:g} was given; change its "
            "sign."
        )
    if inputs not in KURTOSIS:
        raise InputError(
            f"there is no law of inputs {inputs!r}; choose one of {', '.join(KURTOSIS)}."
        )


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
        if basis is None:
            left, _, right = xp.linalg.svd(self.target, full_matrices=False)
            basis = (left, right.T)
        self.left, self.right = basis
        self.strengths = xp.sum(self.left * (self.target @ self.right), axis=0)

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


Task = Whitened | Samples


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

    >>> teacher_samples(jax.random.key(0), jnp.eye(2), 5).inputs.shape
    (5, 2)
    """
    if count < 1:
        raise InputError(f"a sample has 1 row or more, and {count} were asked for; raise it.")
    input_key, noise_key = jax.random.split(key)
    inputs = white(input_key, (count, target.shape[1]), law, target.dtype)
    noise = jax.random.normal(noise_key, (count, target.shape[0]), target.dtype)
    return Samples(inputs, inputs @ target.T + label_noise * noise, held_out, basis)


def white(key: Key[Array, ""], shape: tuple[int, ...], law: Law, dtype: Any) -> Float[Array, "..."]:
    """Independent numbers of a law of mean 0 and variance 1.

    >>> sorted(set(white(jax.random.key(0), (9,), "rademacher", "float32").tolist()))
    [-1.0, 1.0]
    """
    match law:
        case "gaussian":
            return jax.random.normal(key, shape, dtype)
        case "rademacher":
            return jax.random.rademacher(key, shape, dtype)
        case "uniform":
            return jax.random.uniform(key, shape, dtype, -(3**0.5), 3**0.5)
        case "laplace":
            return jax.random.laplace(key, shape, dtype) / 2**0.5


EXAMPLES: tuple[Task, ...] = (
    Whitened(np.diag([3.0, 2.0, 1.0])),
    Whitened(np.array([3.0, 2.0, 1.0])),
    Whitened(np.diag([3.0, 2.0, 1.0]), label_noise=0.5, inputs="laplace"),
    Samples(np.eye(3), np.diag([3.0, 2.0, 1.0])),
)
