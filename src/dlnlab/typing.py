"""The words for arrays that every module shares."""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt32

Params = tuple[tuple[Float[Array, "..."], ...], ...]
"""Parameters of a network: `params[h][l]` is layer l of pathway h, an array of its own."""

Scalar = Float[Array, ""]
Matrix = Float[Array, "rows columns"]

__all__ = [
    "Any",
    "Array",
    "Bool",
    "Float",
    "Int",
    "Key",
    "Matrix",
    "Params",
    "PyTree",
    "Scalar",
    "UInt32",
    "jax",
]
