"""The laws that white inputs may have."""

import math
from typing import Literal

import jax

from dlnlab.errors import InputError
from dlnlab.typing import Any, Array, Float, Key

Law = Literal["gaussian", "rademacher", "uniform", "laplace"]
"""Laws of mean 0 and variance 1."""

KURTOSIS: dict[Law, float] = {"gaussian": 3.0, "rademacher": 1.0, "uniform": 1.8, "laplace": 6.0}
"""`E[x⁴]` of each law."""


def require_law(law: Any) -> None:
    """Refuse a law that is none of those known.

    **Raises:** `InputError` where it is.
    """
    if law not in KURTOSIS:
        raise InputError(f"there is no law of inputs {law!r}; choose one of {', '.join(KURTOSIS)}.")


def require_noise(label_noise: Any) -> float | None:
    """The standard deviation of label noise; None of one that is being traced, which is taken.

    **Raises:** `InputError` where it is negative, NaN or infinite.
    """
    if isinstance(label_noise, jax.core.Tracer):
        return None
    given = float(label_noise)
    if not 0 <= given < math.inf:
        raise InputError(
            f"label_noise is a standard deviation, 0 or more and finite, and {given:g} was given; "
            "choose such a number."
        )
    return given


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
