"""What a command line got wrong, in one sentence: what was given, what was needed, what is near."""

from cyclopts import App, CycloptsError
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from dlnlab.errors import nearest


def sentence(error: CycloptsError) -> str:
    """The one sentence that a parse error of cyclopts becomes."""
    command = " ".join(["dln", *(error.command_chain or ())])
    match error:
        case UnknownCommandError():
            given = (error.unused_tokens or [""])[0]
            return f"there is no command {given!r}; {nearest(given, _commands(error.app))}"
        case UnknownOptionError():
            return _unknown_option(error, command)
        case MissingArgumentError():
            return _missing(error, command)
        case RepeatArgumentError():
            return f"{error.token.keyword} was given more than once; give it once."
        case UnusedCliTokensError():
            given = " ".join((error.unused_tokens or [])[:3])
            return f"{command} takes no more, and {given!r} was given; leave it out."
        case CoercionError() if error.token is not None and error.token.keyword:
            return (
                f"{error.token.keyword} is a switch, and {error.token.value!r} was given to it; "
                f"write {error.token.keyword} alone, or leave it out."
            )
    return f"{' '.join(str(error).split()).rstrip('.')}; see {command} --help."


def _commands(app: App | None) -> list[str]:
    return [name for name in app or () if not name.startswith("-")]


def _unknown_option(error: UnknownOptionError, command: str) -> str:
    given = (error.token.keyword or error.token.value).split("=")[0]
    known = [n for a in error.argument_collection for n in a.names if n.startswith("--")]
    return f"{given} is no option of {command}; {nearest(given, [*known, '--help'])}"


def _missing(error: MissingArgumentError, command: str) -> str:
    argument = error.argument
    assert argument is not None
    name = error.keyword or argument.name
    example = argument.parameter.metavar or name.lstrip("-").upper()
    if name.startswith("--"):
        return f"{name} needs a value, and none was given; write {name} {example}."
    meaning = str(argument.parameter.help or "").rstrip(".")
    meaning = f" ({meaning[:1].lower()}{meaning[1:]})" if meaning else ""
    return f"{command} needs {example}{meaning}, and none was given; see {command} --help."
