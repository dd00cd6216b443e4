"""`dln run`: carry out an experiment at a point or over a sweep."""

import importlib
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from dlnlab.cli.console import show, show_json, tell
from dlnlab.cli.options import REFERENCE, option, switch
from dlnlab.cli.progress import progress
from dlnlab.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from dlnlab.papers import Entry
    from dlnlab.schema import Grid

INTERRUPTED = 130
_SWITCHES = ("--json", "--force", "--help", "-h", "--version")
_REFERENCE = re.compile(r".*\.py|[A-Za-z]\w*/\w+")

Text = str | None


@dataclass(frozen=True)
class Request:
    """What the options of the command ask for, as they were written."""

    seeds: Text = None
    steps: Text = None
    time: Text = None
    out: Text = None
    force: bool = False
    threads: Text = None
    json: bool = False
    figure: Text = None


def run(
    reference: Annotated[str, REFERENCE],
    /,
    *,
    seeds: Annotated[Text, option("The seeds 0, 1, … N-1.", "N")] = None,
    steps: Annotated[Text, option("How many steps to run.", "N")] = None,
    time: Annotated[
        Text, option("How long to run: learning rate × step, or a flow's time.", "T")
    ] = None,
    out: Annotated[Text, option("Write all that is recorded.", "FILE.nc|DIR.zarr")] = None,
    figure: Annotated[
        Text, option("Draw the experiment's figure from what was found.", "FILE.png|FILE.svg")
    ] = None,
    force: Annotated[bool, switch("Replace the output if it exists.")] = False,
    threads: Annotated[
        Text, option("Tiles computed at a time; by default one for each core.", "N")
    ] = None,
    json: Annotated[bool, switch("Print one JSON object, to full precision.")] = False,
) -> int:
    """Carry out an experiment: one run, or a sweep over its coordinates.

    The coordinates of the experiment are flags: `dln run ID --help` lists them. Commas and ranges,
    start:stop:count or start:stop:count:log, sweep a number; a repeated flag sweeps anything.
    """
    from dlnlab.papers import load

    request = Request(seeds, steps, time, out, force, threads, json, figure)
    return carry_out(load(reference), {}, request)


def command(tokens: Sequence[str]) -> tuple[Callable[..., int], list[str]]:
    """The command with the flags of the experiment that `tokens` name, and the tokens for it."""
    reference = referred(tokens)
    if reference is None:
        return run, list(tokens)
    from dlnlab.cli.flags import spelled_out, with_flags
    from dlnlab.papers import load

    entry = load(reference)
    parameters = entry.experiment.parameters

    def with_entry(texts: dict[str, list[str] | None], **options: Any) -> int:
        return carry_out(entry, texts, Request(**options))

    made = with_flags(run, parameters, with_entry, f"Coordinates of {entry.id}")
    return made, spelled_out(tokens, parameters)


def referred(tokens: Sequence[str]) -> str | None:
    """The experiment that the tokens name: the first that is neither a flag nor a flag's value.

    >>> referred(["--steps", "5", "--rate", "0.1", "my.py"]), referred(["--rotated", "my.py"])
    ('my.py', 'my.py')
    """
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if not token.startswith("-"):
            return token
        takes_value = "=" not in token and token not in _SWITCHES
        if takes_value and rest and (token in ("--out", "--figure") or _may_be_value(rest[0])):
            rest.pop(0)
    return None


def _may_be_value(token: str) -> bool:
    return not token.startswith("--") and _REFERENCE.fullmatch(token) is None


def carry_out(entry: "Entry", texts: dict[str, Any], request: Request) -> int:
    """Measure, write what was asked for, and say how it went."""
    from dlnlab import results
    from dlnlab.cli.flags import values
    from dlnlab.simulate import Interrupted

    reach = extent(request)
    coords = values(texts, entry.experiment.parameters) | swept_seeds(entry, texts, request.seeds)
    points = entry.experiment.grid(**coords)
    _check_points(entry, points)
    _check_start(entry, points)
    path = None if request.out is None else Path(request.out)
    if path is not None:
        results.check_writable(path, request.force)
        # An interrupt leaves no time to import what writes the file.
        importlib.import_module("h5netcdf" if path.suffix == ".nc" else "zarr")
    picture = _place_of_figure(request)
    try:
        with progress(entry.id) as monitor:
            measured = entry.experiment.measure(monitor=monitor, **reach, **coords)
    except Interrupted as interrupt:
        return _interrupted(interrupt.measured, path)
    save(measured, path)
    if picture is not None:
        _draw(entry, points, measured, picture)
    _report(entry, points, measured, (path, picture), request.json)
    if "exhausted" in measured.attrs:
        tell(f"{measured.attrs['exhausted']}")
    return 0


def _place_of_figure(request: Request) -> Path | None:
    """Where the picture goes, if one is wanted, before anything is computed."""
    if request.figure is None:
        return None
    from dlnlab import report

    return report.place_of_figure(Path(request.figure), request.force)


def _draw(entry: "Entry", points: "Grid", measured: "xr.Dataset", path: Path) -> None:
    from dlnlab import report

    missing = report.draw(entry, {**points.fixed, **points.axes}, measured, path)
    if missing:
        tell(
            f"the figure of {entry.id} cannot be drawn from these coordinates ({missing}); each "
            f"quantity over its course is in {path} instead."
        )


def _report(
    entry: "Entry",
    points: "Grid",
    measured: "xr.Dataset",
    paths: tuple[Path | None, Path | None],
    json: bool,
) -> None:
    from dlnlab.cli.answer import answer, asked
    from dlnlab.cli.summary import summary

    said = asked(entry, points, measured)
    found = answer(entry, points, measured, said)
    if json:
        show_json(found)
    else:
        show(*summary(entry, points, measured, said, found, paths))


def extent(request: Request) -> dict[str, Any]:
    """How far to run, and in how many threads, as `measure` takes it."""
    from dlnlab.cli.flags import one
    from dlnlab.schema import Coordinate, Parameter

    return {
        "steps": one(Parameter("steps", "int", coordinate=Coordinate(least=0)), request.steps),
        "time": one(Parameter("time", "float", coordinate=Coordinate(above=0)), request.time),
        "threads": one(
            Parameter("threads", "int", coordinate=Coordinate(least=1)), request.threads
        ),
    }


def swept_seeds(entry: "Entry", texts: dict[str, Any], seeds: Text) -> dict[str, range]:
    """The sweep that `--seeds N` stands for."""
    from dlnlab.cli.flags import one
    from dlnlab.schema import MOST_POINTS, Coordinate, Parameter

    if "," in str(seeds) or ":" in str(seeds):
        raise InputError(f"--seeds takes how many, and {seeds} was given; pass --seed {seeds}.")
    count = one(Parameter("seeds", "int", coordinate=Coordinate(least=1, most=MOST_POINTS)), seeds)
    if count is None:
        return {}
    if "seed" not in entry.experiment.parameters:
        raise InputError(f"{entry.id} has no seed, and --seeds was given; leave it out.")
    if texts.get("seed") is not None:
        raise InputError("--seed and --seeds were both given, and one is needed; leave one out.")
    return {"seed": range(count)}


def _check_points(entry: "Entry", points: "Grid") -> None:
    """Refuse, by counting, a grid of which not even the last values fit into memory."""
    from dlnlab.simulate import limits

    recorded = len(entry.experiment.observe) + len(entry.experiment.statistics) + 4
    limits.check_size([8 * recorded], [points.size], 2)


def _check_start(entry: "Entry", points: "Grid") -> None:
    """Refuse a run whose first point would stay where it starts; a whole sweep is not looked at."""
    import jax

    from dlnlab.run import as_arrays
    from dlnlab.simulate.starts import critical_start, stands_still

    with jax.enable_x64(True):
        if stands_still(as_arrays(entry.experiment.build(**points.point(0)))):
            raise InputError(critical_start())


def _interrupted(measured: "xr.Dataset", path: Path | None) -> int:
    save(measured, path)
    tell(
        "interrupted; nothing was written: with --out FILE.nc what is finished would be kept."
        if path is None
        else f"interrupted; what was finished is in {path}, marked so."
    )
    return INTERRUPTED


def save(measured: "xr.Dataset", path: Path | None) -> None:
    """Write what was found, if a place was given."""
    from dlnlab import results

    if path is not None:
        with _undisturbed():
            results.write(measured, path)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no interrupt cut short what follows."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
