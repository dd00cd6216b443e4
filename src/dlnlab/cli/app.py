"""The command `dln` as a whole: its commands, and what becomes of what goes wrong in them."""

import importlib.metadata
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Group

from dlnlab.cli import bench, catalogue, cite, claims, compare, doctor, new, predict, reproduce, run
from dlnlab.cli.console import console, tell, write
from dlnlab.cli.mistakes import sentence
from dlnlab.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


def execute(argv: Sequence[str]) -> int:
    """Carry out one command line and return the exit status.

    Bad input becomes one sentence on stderr and 2, an interrupt 130; whatever else is raised is a
    fault of ours and passes through.
    """
    try:
        return _dispatch(list(argv))
    except CycloptsError as error:
        tell(sentence(error))
    except InputError as error:
        tell(_noted(str(error), error))
    except KeyboardInterrupt as stop:
        tell(_noted("interrupted.", stop))
        return INTERRUPTED
    return BAD_INPUT


def _noted(words: str, error: BaseException) -> str:
    """With what was added on the way: where it happened, what was kept. (JAX adds its own.)"""
    notes = [note for note in getattr(error, "__notes__", ()) if "JAX" not in note]
    return " ".join([words, *notes])


def _dispatch(argv: list[str]) -> int:
    app, tokens = _app(argv)
    target = console()
    with target.capture() as captured:
        status = app(
            tokens,
            console=target,
            print_error=False,
            exit_on_error=False,
            result_action="return_value",
        )
    write(captured.get())
    return int(status or 0)


def _app(argv: list[str]) -> tuple[App, list[str]]:
    """The application with the flags that this command line's experiment or topic brings along."""
    app = App(
        name="dln",
        help="A laboratory for the training dynamics of deep linear networks.",
        help_epilogue="`dln run ID --help` lists the coordinates of an experiment.",
        help_format="plaintext",
        version=f"dlnlab {importlib.metadata.version('dlnlab')}",
        suppress_keyboard_interrupt=False,
        group_arguments=Group("Arguments", sort_key=0),
        group_parameters=Group("Options", sort_key=2),
    )
    tokens = argv[1:]
    run_command, compare_command, predict_command = run.run, compare.compare, predict.predict
    match argv[:1]:
        case ["run"]:
            run_command, tokens = run.command(tokens)
        case ["compare"]:
            compare_command, tokens = compare.command(tokens)
        case ["predict"]:
            predict_command, tokens = predict.command(tokens)
    commands: dict[str, Callable[..., int]] = {
        "list": catalogue.list_experiments,
        "show": catalogue.show_experiment,
        "run": run_command,
        "compare": compare_command,
        "predict": predict_command,
        "reproduce": reproduce.reproduce,
        "claims": claims.claims,
        "new": new.new,
        "doctor": doctor.doctor,
        "cite": cite.cite,
        "bench": bench.bench,
    }
    for name, command in commands.items():
        app.command(command, name=name, help_epilogue="")  # the hint is for the list of commands
    return app, [*argv[:1], *tokens]
