"""The arguments of a formula, checked: finite numbers, numbers above zero, depths."""

import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError, InputTypeError

Array: TypeAlias = NDArray[np.float64]
LayerValues: TypeAlias = Sequence[Sequence[ArrayLike]]
"""Layer values w of every pathway's layers: [pathway][layer], each an array over modes."""


def shown(given: Any) -> str:
    """What was given, on one line, cut short where it is long."""
    text = " ".join(repr(given).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def finite(name: str, given: Any) -> Array:
    """The given numbers as a float64 array, all of them finite.

    Raises InputError for NaN and infinities, InputTypeError for what is not a real number.

    >>> finite("time", [0, 1])
    array([0., 1.])
    """
    try:
        array = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputTypeError(
            f"{name} is {shown(given)}, and real numbers in a rectangular array are needed; "
            "pass a number, a list of numbers or an array."
        ) from None
    if not np.isfinite(array).all():
        raise InputError(
            f"{name} is {shown(given)}, and finite numbers are needed; "
            "leave out lanes that diverged, or check for a division by zero."
        )
    return array


def at_least_zero(name: str, given: Any) -> Array:
    """The given numbers as a float64 array, finite and none of them negative."""
    array = finite(name, given)
    if (array < 0).any():
        raise InputError(
            f"{name} is {shown(given)}, and numbers at or above 0 are needed; "
            "check the sign, or move it into the singular vectors."
        )
    return array


def positive(name: str, given: Any) -> Array:
    """The given numbers as a float64 array, finite and above zero."""
    array = finite(name, given)
    if not (array > 0).all():
        raise InputError(
            f"{name} is {shown(given)}, and numbers above 0 are needed; "
            "check the sign, and leave out what is zero."
        )
    return array


def together(**arrays: Array) -> tuple[Array, ...]:
    """Arrays broadcast to one shape; raises InputError where their shapes do not fit."""
    try:
        return tuple(np.broadcast_arrays(*arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} of shape {array.shape}" for name, array in arrays.items())
        raise InputError(
            f"{shapes} were given, and shapes that broadcast against each other are needed; "
            "add an axis of length 1, as in time[:, None]."
        ) from None


def positive_number(name: str, given: Any) -> float:
    """One finite number above zero."""
    array = positive(name, given)
    if array.ndim:
        raise InputTypeError(
            f"{name} is {shown(given)}, and a single number is needed; call once for each value."
        )
    return float(array)


def whole(name: str, given: Any, least: int = 1) -> int:
    """One whole number, at or above `least`.

    >>> whole("depth", 3)
    3
    """
    try:
        number = -1 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        raise InputTypeError(
            f"{name} is {shown(given)}, and a whole number is needed; round it to an int."
        ) from None
    if number < least:
        raise InputError(
            f"{name} is {shown(given)}, and a whole number of at least {least} is needed; raise it."
        )
    return number


def whole_numbers(name: str, given: Any, least: int = 1) -> tuple[int, ...]:
    """One or more whole numbers, each at or above `least`."""
    items = tuple(given) if np.ndim(given) == 1 else ()
    if not items:
        raise InputTypeError(
            f"{name} is {shown(given)}, and a non-empty list of whole numbers is needed; "
            "write one for each pathway, as in (3, 5)."
        )
    return tuple(whole(name, item, least) for item in items)
