"""Reading a typed function: each parameter with its kind, its default and its coordinate."""

import inspect
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from dlnlab.errors import InputError, InputTypeError
from dlnlab.schema.values import check, number

Kind = Literal["float", "int", "bool", "literal", "text", "ints", "floats", "table"]

RESERVED = frozenset(
    [
        "steps",
        "time",
        "seeds",
        "out",
        "figure",
        "json",
        "force",
        "store",
        "observe",
        "record",
        "threads",
        "help",
        "version",
    ]
)

_KINDS: dict[Any, Kind] = {
    float: "float",
    int: "int",
    bool: "bool",
    str: "text",
    tuple[int, ...]: "ints",
    tuple[float, ...]: "floats",
    tuple[tuple[float, ...], ...]: "table",
}

_NAMELESS = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
}


@dataclass(frozen=True)
class Coordinate:
    """Range, scale and symbol of a parameter; for a tuple the range holds for each element.

    `above` and `below` exclude their bound, `least` and `most` include it.

    >>> Coordinate(above=0, log=True, symbol="η").above
    0
    """

    above: float | None = None
    below: float | None = None
    least: float | None = None
    most: float | None = None
    log: bool = False
    symbol: str = ""
    unit: str = ""
    help: str = ""


@dataclass(frozen=True)
class Parameter:
    """One parameter of `build`; `choices` are those of a Literal.

    >>> Parameter("learning_rate", "float", default=0.12).flag
    '--learning-rate'
    """

    name: str
    kind: Kind
    default: Any = inspect.Parameter.empty
    choices: tuple[str | int, ...] = ()
    coordinate: Coordinate = Coordinate()

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is inspect.Parameter.empty

    @property
    def traced(self) -> bool:
        """Whether values are arguments of the compiled program; of a tuple, all but its shape.

        >>> Parameter("depth", "int").traced, Parameter("seed", "int").traced
        (False, True)
        """
        return self.kind in ("float", "floats", "table") or self.name == "seed"

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return "--" + self.name.replace("_", "-")

    def static_key(self, value: Any) -> Hashable:
        """What of a checked value forces a compilation of its own; None if nothing does.

        >>> Parameter("alphas", "floats").static_key((0.02, 0.01))
        (2,)
        """
        if not self.traced:
            static: Hashable = value
            return static
        if self.kind == "floats":
            return (len(value),)
        if self.kind == "table":
            return (len(value), len(value[0]) if value else 0)
        return None

    def text(self, value: Any) -> str:
        """A checked value as the command line writes it; `parse` reads it back.

        >>> Parameter("target", "table").text(((0.7, 0.3), (0.3, 2.0)))
        '0.7,0.3/0.3,2'
        """
        match self.kind:
            case "ints" | "floats":
                return ",".join(map(number, value))
            case "table":
                return "/".join(",".join(map(number, row)) for row in value)
            case "bool":
                return str(value).lower()
            case "literal" | "text":
                return str(value)
        return number(value)


def schema(build: Callable[..., Any]) -> dict[str, Parameter]:
    """The parameters of `build`, in the order of its signature.

    Raises InputTypeError for what cannot be a coordinate: a missing or unsupported annotation,
    `*args`, `**kwargs`, a positional-only parameter, a name that the command line needs itself.

    >>> def build(rate: Annotated[float, Coordinate(above=0)] = 0.12, seed: int = 0): ...
    >>> [(p.name, p.kind, p.default) for p in schema(build).values()]
    [('rate', 'float', 0.12), ('seed', 'int', 0)]
    """
    try:
        entries = inspect.signature(build).parameters
        hints = get_type_hints(build, include_extras=True)
    except Exception as error:  # annotations written as strings may raise anything
        raise InputTypeError(
            f"the signature of {build!r} cannot be read ({error}); "
            "give a function whose annotations are names of its own module."
        ) from error
    return {name: _parameter(entry, hints.get(name)) for name, entry in entries.items()}


def _parameter(entry: inspect.Parameter, hint: Any) -> Parameter:
    name = entry.name
    if entry.kind in _NAMELESS:
        raise InputTypeError(f"{entry} cannot be given by name; write each parameter out by name.")
    if name in RESERVED:
        raise InputTypeError(f"{name} is a flag of the command line; give it another name.")
    kind, choices, coordinate = _annotation(name, hint)
    if name == "seed" and kind != "int":
        raise InputTypeError("seed must be an int; annotate it as int.")
    parameter = Parameter(name, kind, choices=choices, coordinate=coordinate)
    if entry.default is inspect.Parameter.empty:
        return parameter
    return replace(parameter, default=_default(parameter, entry.default))


def _default(parameter: Parameter, value: Any) -> Any:
    try:
        return check(parameter, value)
    except InputError as error:
        raise type(error)(f"the default is not allowed: {error}") from None


def _annotation(name: str, hint: Any) -> tuple[Kind, tuple[str | int, ...], Coordinate]:
    coordinate = Coordinate()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        coordinate = next((e for e in extras if isinstance(e, Coordinate)), coordinate)
    if get_origin(hint) is Literal:
        return "literal", _choices(name, get_args(hint)), coordinate
    for known, kind in _KINDS.items():
        if hint == known:
            return kind, (), coordinate
    given = "no annotation" if hint is None else f"the annotation {hint}"
    raise InputTypeError(
        f"{name} has {given}; it needs float, int, bool, str, Literal[…], tuple[int, ...], "
        "tuple[float, ...] or tuple[tuple[float, ...], ...], or one of these in Annotated."
    )


def _choices(name: str, choices: tuple[Any, ...]) -> tuple[str | int, ...]:
    texts = [str(choice) for choice in choices]
    plain = all(text and text == text.strip() and "," not in text for text in texts)
    if not plain or len(set(texts)) < len(texts) or {*map(type, choices)} - {str, int}:
        raise InputTypeError(
            f"{name} has the choices {choices}; "
            "they must be strings without commas, or ints, each written differently."
        )
    return choices
