"""`dln predict`: what theory says about one question."""

import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from dlnlab.cli.console import number, pairs, plain, show, show_json, table
from dlnlab.cli.options import argument, switch
from dlnlab.errors import InputError, nearest

if TYPE_CHECKING:
    from dlnlab.schema import Parameter


def predict(
    topic: Annotated[str | None, argument("A topic; without one, the topics are listed.")] = None,
    /,
    *,
    json: Annotated[bool, switch("Print one JSON object.")] = False,
) -> int:
    """Ask theory one question, or list what can be asked.

    The arguments of the topic are flags: `dln predict TOPIC --help` lists them.
    """
    if topic is not None:
        return _answer(_topic(topic), {}, json)
    lines = {name: _first_line(function) for name, function in _topics().items()}
    if json:
        show_json([{"topic": name, "title": line} for name, line in lines.items()])
    else:
        show(pairs(lines))
    return 0


def command(tokens: Sequence[str]) -> tuple[Callable[..., int], list[str]]:
    """The command with the flags of the topic that `tokens` name, and the tokens for it."""
    name = next((token for token in tokens if not token.startswith("-")), None)
    if name is None:
        return predict, list(tokens)
    from dlnlab.cli.flags import spelled_out, with_flags
    from dlnlab.schema import schema

    topic = _topic(name)
    parameters = schema(topic)

    def with_topic(texts: dict[str, Any], json: bool = False) -> int:
        return _answer(topic, texts, json)

    made = with_flags(predict, parameters, with_topic, f"Arguments of {topic.__name__}")
    made.__doc__ = _help(topic)
    return made, spelled_out(tokens, parameters)


def _topics() -> dict[str, Callable[..., Any]]:
    from dlnlab.theory.catalogue import TOPICS

    return {topic.__name__: topic for topic in TOPICS}


def _topic(name: str) -> Callable[..., Any]:
    topics = _topics()
    if name.replace("-", "_") not in topics:
        raise InputError(f"there is no topic {name}; {nearest(name, topics)}")
    return topics[name.replace("-", "_")]


def _first_line(topic: Callable[..., Any]) -> str:
    return (topic.__doc__ or "").strip().partition("\n")[0]


def _help(topic: Callable[..., Any]) -> str:
    """What the topic answers: its first paragraph, and what each field of the answer means."""
    question = inspect.cleandoc(topic.__doc__ or "").partition("\n\n")[0]
    meanings = [f"{name}: {meaning}" for name, meaning in _meanings(topic).items()]
    return "\n\n".join([" ".join(question.split()), "It answers with", *meanings])


def _answer(topic: Callable[..., Any], texts: dict[str, Any], json: bool) -> int:
    from dlnlab.cli.flags import values
    from dlnlab.schema import grid, schema

    parameters = schema(topic)
    asked = grid(parameters, values(texts, parameters))
    for name, several in asked.axes.items():
        raise InputError(
            f"{name} takes one value here, and {len(several)} were given; ask for one at a time."
        )
    found = plain(topic(**asked.fixed)._asdict())
    if json:
        show_json(found)
    else:
        show(*_tabulated(topic, parameters, asked.fixed, found))
    return 0


def _tabulated(
    topic: Callable[..., Any],
    parameters: "dict[str, Parameter]",
    asked: dict[str, Any],
    found: dict[str, Any],
) -> list[RenderableType]:
    # What the answer says again is left out: there it may be more than was asked, such as a size
    # that was left to its default.
    given = " · ".join(
        f"{name} {parameters[name].text(value)}"
        for name, value in asked.items()
        if name not in found
    )
    meanings = _meanings(topic)
    rows = table("", "value", "meaning")
    for name, value in found.items():
        rows.add_row(name, number(value), meanings.get(name, ""))
    return [Text(_first_line(topic), style="bold"), Text(given, style="dim"), Text(), rows]


def _meanings(topic: Callable[..., Any]) -> dict[str, str]:
    """What the docstring says of each field, in paragraphs that begin with its name in quotes."""
    found = re.findall(r"`(\w+)`: (.+?\.)(?=\s*(?:\n\s*\n|`|$))", topic.__doc__ or "", re.DOTALL)
    return {name: " ".join(text.split()).replace("`", "") for name, text in found}
