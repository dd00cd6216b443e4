"""Reading the command line: the texts given to one flag become a value or a sweep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from dlnlab.errors import InputError
from dlnlab.schema.signature import Parameter
from dlnlab.schema.values import WANTED, check, mend, shown

MOST_POINTS = 10_000_000

_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_FORM = "start:stop:count or start:stop:count:log"


@dataclass(frozen=True)
class _Range:
    """`start:stop:count[:log]`, counted but not yet built; both ends are included."""

    start: Any
    stop: Any
    count: int
    log: bool

    def values(self) -> list[Any]:
        if self.count == 1:
            return [self.start]
        return self._whole() if isinstance(self.start, int) else self._real()

    def _real(self) -> list[float]:
        space = np.geomspace if self.log else np.linspace
        with np.errstate(over="ignore", under="ignore"):
            values = space(self.start, self.stop, self.count)
        # Rounding may carry points beyond an end, and an end may be a bound.
        inner = np.clip(values, min(self.start, self.stop), max(self.start, self.stop))[1:-1]
        return [self.start, *inner.tolist(), self.stop]

    def _whole(self) -> list[int]:
        """The values, or none at all if one is not a whole number."""
        if not self.log:
            step, rest = divmod(self.stop - self.start, self.count - 1)
            return [] if rest else list(range(self.start, self.stop + step, step))
        if self.count > 64:  # a geometric sequence of 64-bit integers has no more terms
            return []
        second = self.start * (self.stop / self.start) ** (1 / (self.count - 1))
        ratio = Fraction(self.stop if self.count == 2 else round(second), self.start)
        values = [self.start * ratio**k for k in range(self.count)]
        exact = values[-1] == self.stop and all(v.denominator == 1 for v in values)
        return [int(v) for v in values] if exact else []


def parse(parameter: Parameter, texts: list[str]) -> Any:
    """The value that `texts`, one for each time the flag was given, stand for; a list is a sweep.

    For a float or int, a choice or a bool, commas separate sweep points, and repeated flags add to
    them. Numbers also come as ranges, `start:stop:count` or `start:stop:count:log`, both ends
    included; a range is a sweep even if it has one point. For a tuple commas are one value, `/`
    separates the rows of a table, and a repeated flag sweeps. A text is taken as it stands.

    >>> rate, widths = Parameter("rate", "float"), Parameter("widths", "ints")
    >>> parse(rate, ["0.1"]), parse(rate, ["0.1,0.2"]), parse(rate, ["1:100:3:log"])
    (0.1, [0.1, 0.2], [1.0, 10.0, 100.0])
    >>> parse(widths, ["3,5"]), parse(widths, ["3,5", "4"])
    ((3, 5), [(3, 5), (4,)])
    >>> parse(rate, ["fast"])
    Traceback (most recent call last):
    dlnlab.errors.InputError: rate needs a number, and 'fast' was given; write for example 0.1.
    """
    if parameter.kind == "bool":  # a bare flag switches on
        texts = [text if text.strip() else "true" for text in texts or [""]]
    if not texts:
        raise InputError(f"{parameter.name} was given no value; {mend(parameter)}")
    if parameter.kind in ("text", "ints", "floats", "table"):
        one = check if parameter.kind == "text" else _tuple
        values = [one(parameter, text) for text in texts]
        return values if len(values) > 1 else values[0]
    items = [_item(parameter, part.strip()) for text in texts for part in text.split(",")]
    _count(parameter, items)
    if len(items) == 1 and not isinstance(items[0], _Range):
        return items[0]
    return [value for item in items for value in _points(parameter, item)]


def _tuple(parameter: Parameter, text: str) -> Any:
    if not text.strip():
        return check(parameter, ())
    rows = text.split("/") if parameter.kind == "table" else [text]
    numbers = [[_number(parameter, part) for part in row.split(",")] for row in rows]
    return check(parameter, numbers if parameter.kind == "table" else numbers[0])


def _item(parameter: Parameter, text: str) -> Any:
    if parameter.kind == "literal":
        return check(parameter, {str(c): c for c in parameter.choices}.get(text, text))
    if parameter.kind == "bool":
        return check(parameter, _BOOLS.get(text.lower(), text))
    if ":" in text:
        return _range(parameter, text)
    return check(parameter, _number(parameter, text))


def _number(parameter: Parameter, text: str) -> Any:
    try:
        return int(text) if parameter.kind in ("int", "ints") else float(text)
    except ValueError:
        wanted = WANTED[parameter.kind][0]
        raise InputError(
            f"{parameter.name} needs {wanted}, and {shown(text)} was given; {mend(parameter)}"
        ) from None


def _range(parameter: Parameter, text: str) -> _Range:
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (3, 4) or parts[3:] not in ([], ["log"]):
        raise _broken(parameter, text, f"a range is {_FORM}, such as 1:10:4")
    start, stop = (check(parameter, _number(parameter, part)) for part in parts[:2])
    try:
        count = int(parts[2])
    except ValueError:
        raise _broken(parameter, text, "its count must be a whole number") from None
    if count < 1:
        raise _broken(parameter, text, "its count must be at least 1")
    if (count == 1) != (start == stop):
        raise _broken(parameter, text, "it has one point just when start and stop are equal")
    log = len(parts) == 4
    if log and min(start, stop) <= 0:
        raise _broken(parameter, text, "with log both ends must be above 0")
    if not math.isfinite(float(stop) - float(start)):
        raise _broken(parameter, text, "its length must be a finite number")
    return _Range(start, stop, count, log)


def _count(parameter: Parameter, items: list[Any]) -> None:
    points = sum(item.count if isinstance(item, _Range) else 1 for item in items)
    if points > MOST_POINTS:
        raise InputError(
            f"{parameter.name} would have {shown(points)} points, and {MOST_POINTS} are the most "
            "that one coordinate takes; lower the count."
        )


def _points(parameter: Parameter, item: Any) -> list[Any]:
    if not isinstance(item, _Range):
        return [item]
    values = item.values()
    if not values:
        raise InputError(
            f"{parameter.name} needs whole numbers, and {item.count} points from {item.start} to "
            f"{item.stop} do not all fall on one; change the count or write the points with commas."
        )
    return values


def _broken(parameter: Parameter, text: str, wanted: str) -> InputError:
    return InputError(
        f"{parameter.name} was given the range {shown(text)}; {wanted}; {mend(parameter)}"
    )
