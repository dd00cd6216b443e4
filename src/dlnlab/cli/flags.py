"""Flags that come from a signature: the coordinates of an experiment, the arguments of a topic."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Group
from cyclopts import Parameter as Flag

from dlnlab.errors import InputError, InputTypeError
from dlnlab.schema import Coordinate, Parameter, parse
from dlnlab.schema.values import number

_OWN = ("threads", "help", "version")
_TRUTHS = re.compile(r"(true|false|yes|no|0|1)(,(true|false|yes|no|0|1))*", re.IGNORECASE)
_NEGATIVE = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)
_METAVARS = {
    "float": "NUMBER",
    "int": "INTEGER",
    "bool": "TRUE|FALSE",
    "text": "TEXT",
    "ints": "INTEGER,…",
    "floats": "NUMBER,…",
    "table": "NUMBER,…/NUMBER,…",
}


def with_flags(
    function: Callable[..., int],
    parameters: Mapping[str, Parameter],
    carry_out: Callable[..., int],
    group: str,
) -> Callable[..., int]:
    """`function`'s signature with one more flag for each parameter, as cyclopts reads it.

    Called, it calls `carry_out(texts, **options)`: `texts` lists for each parameter that was given
    what was written, `options` are `function`'s own keywords.
    """
    for name in parameters:
        if name in _OWN:
            raise InputTypeError(f"{name} is a flag of the command line; give it another name.")
    section = Group(group, sort_key=1)
    flags = [_flag(parameter, section) for parameter in parameters.values()]

    def command(*positional: str, **given: Any) -> int:
        texts = {n: given.pop(_python_name(n)) for n in parameters if _python_name(n) in given}
        return carry_out(texts, **given)

    own = inspect.signature(function, eval_str=True).parameters.values()
    command.__signature__ = inspect.Signature([*own, *flags])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    command.__doc__, command.__name__ = function.__doc__, function.__name__
    return command


def _python_name(name: str) -> str:
    """A name that no option of the command has."""
    return f"coordinate_{name}"


def _flag(parameter: Parameter, group: Group) -> inspect.Parameter:
    flag = Flag(
        name=parameter.flag,
        help=described(parameter),
        metavar=_METAVARS.get(parameter.kind) or "|".join(map(str, parameter.choices)),
        negative=(),
        json_list=False,
        show_default=False,
        group=group,
    )
    return inspect.Parameter(
        _python_name(parameter.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[list[str] | None, flag],
    )


def described(parameter: Parameter) -> str:
    """A parameter in one line: its symbol, its words, its range, its default."""
    coordinate = parameter.coordinate
    parts = [coordinate.symbol, coordinate.help, bounds(coordinate), default(parameter)]
    return "; ".join(part for part in parts if part)


def bounds(coordinate: Coordinate) -> str:
    """The range of a coordinate in words.

    >>> bounds(Coordinate(above=0, most=3))
    'above 0, at most 3'
    """
    limits = {
        "above": coordinate.above,
        "at least": coordinate.least,
        "below": coordinate.below,
        "at most": coordinate.most,
    }
    return ", ".join(f"{word} {number(v)}" for word, v in limits.items() if v is not None)


def default(parameter: Parameter) -> str:
    """The default of a parameter in words."""
    if parameter.required:
        return "required"
    return f"default {parameter.text(parameter.default) or 'empty'}"


def spelled_out(tokens: Sequence[str], parameters: Mapping[str, Parameter]) -> list[str]:
    """The tokens with each parameter's flag in the form `--flag=value`.

    So a value may begin with a minus sign, a bare `--flag` and `--no-flag` switch a bool, and
    underscores will do for hyphens.

    >>> known = {"big_jump": Parameter("big_jump", "float"), "on": Parameter("on", "bool")}
    >>> spelled_out(["--big_jump", "-1", "--on", "--no-on", "x"], known)
    ['--big-jump=-1', '--on=true', '--on=false', 'x']
    """
    flags = {parameter.flag: parameter for parameter in parameters.values()}
    rest = list(tokens)
    spelled: list[str] = []
    while rest:
        token = rest.pop(0)
        if token == "--":
            return [*spelled, token, *rest]
        written, equals, value = token.partition("=")
        flag = "--" + written.removeprefix("--").replace("_", "-")
        negated = flags.get(flag.replace("--no-", "--", 1))
        if not written.startswith("--"):
            spelled.append(token)
        elif flag in flags:
            if not equals and rest and _is_value(flags[flag], rest[0]):
                equals, value = "=", rest.pop(0)
            elif not equals and flags[flag].kind == "bool":
                equals, value = "=", "true"
            spelled.append(f"{flag}{equals}{value}")
        elif negated is not None and negated.kind == "bool" and not equals:
            spelled.append(f"{negated.flag}=false")
        else:
            spelled.append(token)
    return spelled


def _is_value(parameter: Parameter, token: str) -> bool:
    if parameter.kind == "bool":
        # Any bare word is meant as the value, so that a wrong one is told what would do; what names
        # an experiment is not.
        return _TRUTHS.fullmatch(token) is not None or token.isalpha()
    return not token.startswith("-") or _NEGATIVE.match(token) is not None


def values(texts: Mapping[str, list[str] | None], parameters: Mapping[str, Parameter]) -> Any:
    """The values, and sweeps as lists, of the parameters that were given."""
    return {n: parse(parameters[n], given) for n, given in texts.items() if given is not None}


def one(parameter: Parameter, text: str | None) -> Any:
    """The value of an option that takes a single one; None if it was not given."""
    if text is None:
        return None
    value = parse(parameter, [text])
    if isinstance(value, list):
        raise InputError(f"{parameter.name} takes one value, and {text!r} is several; give one.")
    return value
