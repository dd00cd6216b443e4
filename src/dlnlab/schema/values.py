"""Validating values: one at a time, or a whole axis at once."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnlab.errors import InputError, InputTypeError, nearest

if TYPE_CHECKING:
    from dlnlab.schema.signature import Parameter

# Each kind in words, with an example.
WANTED = {
    "float": ("a number", "0.1"),
    "int": ("a whole number", "3"),
    "bool": ("true or false", "true"),
    "literal": ("one of its choices", ""),
    "text": ("a text on one line", "a-name"),
    "ints": ("a tuple of whole numbers", "3,5"),
    "floats": ("a tuple of numbers", "0.3,0.2"),
    "table": ("rows of numbers, as many in each", "0.7,0.3/0.3,0.2"),
}

_LARGEST_SHOWN = 60
_COMPARE: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "above": ("above", operator.gt),
    "below": ("below", operator.lt),
    "least": ("at least", operator.ge),
    "most": ("at most", operator.le),
}


def check(parameter: Parameter, value: Any) -> Any:
    """One value, normalised to plain Python; InputError if it is not allowed.

    An int will do for a float, and a list or an array for a tuple; a bool is no number, and a float
    no int. NaN and infinity are refused. A seed lies in 0 ≤ seed < 2³².

    >>> from dlnlab.schema import Coordinate, Parameter
    >>> rate = Parameter("rate", "float", default=0.12, coordinate=Coordinate(above=0))
    >>> check(rate, 1)
    1.0
    >>> check(rate, -1.0)
    Traceback (most recent call last):
    dlnlab.errors.InputError: rate must be above 0, and -1.0 was given; the default is 0.12.
    """
    match parameter.kind:
        case "ints" | "floats":
            return tuple(_number(parameter, element) for element in _listed(parameter, value))
        case "table":
            return _table(parameter, value)
        case "bool":
            return _bool(parameter, value)
        case "literal":
            return _choice(parameter, value)
        case "text":
            return _text(parameter, value)
    return _number(parameter, value)


def check_all(
    parameter: Parameter, values: Sequence[Any] | range | NDArray[Any]
) -> tuple[Any, ...]:
    """`check` of each of many values; floats and ints are checked as one array.

    >>> from dlnlab.schema import Parameter
    >>> check_all(Parameter("rate", "float"), [1, 0.5])
    (1.0, 0.5)
    """
    array = _array(parameter, values)
    if array is None:
        return tuple(check(parameter, value) for value in values)
    good = np.isfinite(array)
    for _, compare, bound in _bounds(parameter):
        good &= compare(array, bound)
    for doubtful in array[~good].tolist():
        check(parameter, doubtful)
    return tuple(array.tolist())


def mend(parameter: Parameter) -> str:
    """The end of a sentence: a value that would have done.

    >>> from dlnlab.schema import Parameter
    >>> mend(Parameter("depth", "int", default=20)), mend(Parameter("widths", "ints"))
    ('the default is 20.', 'write for example 3,5.')
    """
    if parameter.required:
        example = WANTED[parameter.kind][1] or parameter.text(parameter.choices[0])
        return f"write for example {example}."
    return f"the default is {parameter.text(parameter.default) or 'empty'}."


def number(value: float) -> str:
    """A number as text, without a trailing .0.

    >>> number(3.0), number(0.1)
    ('3', '0.1')
    """
    return repr(value).removesuffix(".0")


def shown(value: Any) -> str:
    """A value within a sentence: on one line, and not longer than one.

    >>> shown("abc"), shown(10**5000)
    ("'abc'", 'an integer of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LARGEST_SHOWN else text[: _LARGEST_SHOWN - 1] + "…"


def _bounds(parameter: Parameter) -> list[tuple[str, Callable[[Any, Any], Any], float]]:
    found = [
        (phrase, compare, bound)
        for name, (phrase, compare) in _COMPARE.items()
        if (bound := getattr(parameter.coordinate, name)) is not None
    ]
    if parameter.name == "seed":
        found += [("at least", operator.ge, 0), ("below", operator.lt, 2**32)]
    return found


def _number(parameter: Parameter, value: Any) -> float | int:
    value = _plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unfit(parameter, value)
    convert = _whole if parameter.kind in ("int", "ints") else _finite
    converted = convert(parameter, value)
    bounds = _bounds(parameter)
    if not all(compare(converted, bound) for _, compare, bound in bounds):
        phrases = [f"{phrase} {number(bound)}" for phrase, _, bound in bounds]
        raise _outside(parameter, value, "be " + " and ".join(phrases))
    return converted


def _whole(parameter: Parameter, value: float) -> int:
    if not isinstance(value, int):
        raise _unfit(parameter, value)
    if not -(2**63) <= value < 2**63:
        raise _outside(parameter, value, "fit into 64 bits")
    return int(value)


def _finite(parameter: Parameter, value: float) -> float:
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        raise _outside(parameter, value, "be finite")
    return converted


def _table(parameter: Parameter, value: Any) -> tuple[tuple[float, ...], ...]:
    rows = tuple(
        tuple(_number(parameter, element) for element in _listed(parameter, row))
        for row in _listed(parameter, value)
    )
    if rows and (len(set(map(len, rows))) > 1 or not rows[0]):
        raise _unfit(parameter, value)
    return rows


def _bool(parameter: Parameter, value: Any) -> bool:
    value = _plain(value)
    if not isinstance(value, bool):
        raise _unfit(parameter, value)
    return value


def _choice(parameter: Parameter, value: Any) -> str | int:
    value = _plain(value)
    for choice in parameter.choices:
        if type(choice) is type(value) and choice == value:
            return choice
    offered = nearest(str(value), map(str, parameter.choices))
    raise InputError(f"{parameter.name} has no choice {shown(value)}; {offered}")


def _text(parameter: Parameter, value: Any) -> str:
    """Without white space at its ends, and without characters that nobody sees."""
    value = _plain(value)
    if not isinstance(value, str) or not (value.strip() or " ").isprintable():
        raise _unfit(parameter, value)
    return value.strip()


def _listed(parameter: Parameter, value: Any) -> Sequence[Any]:
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value)
    if isinstance(value, list | tuple):
        return value
    raise _unfit(parameter, value)


def _plain(value: Any) -> Any:
    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if scalar else value


def _unfit(parameter: Parameter, value: Any) -> InputTypeError:
    wanted = WANTED[parameter.kind][0]
    return InputTypeError(
        f"{parameter.name} needs {wanted}, and {shown(value)} was given; {mend(parameter)}"
    )


def _outside(parameter: Parameter, value: Any, wanted: str) -> InputError:
    each = "each element of " if parameter.kind in ("ints", "floats", "table") else ""
    return InputError(
        f"{each}{parameter.name} must {wanted}, and {shown(value)} was given; {mend(parameter)}"
    )


def _array(parameter: Parameter, values: Any) -> NDArray[Any] | None:
    """The values as one array, or None where `check` has to look at each."""
    if parameter.kind not in ("float", "int"):
        return None
    real = parameter.kind == "float"
    if isinstance(values, np.ndarray):
        fits = values.dtype.kind in ("iuf" if real else "iu") and values.ndim == 1
        safe = real or np.can_cast(values.dtype, np.int64)
        return values.astype(np.float64 if real else np.int64) if fits and safe else None
    kinds = {float, int, np.float64} if real else {int, np.int64}
    if not set(map(type, values)) <= kinds:
        return None
    try:
        return np.asarray(values, dtype=np.float64 if real else np.int64)
    except OverflowError:
        return None
