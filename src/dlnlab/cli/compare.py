"""`dln compare`: an experiment under several dynamics, from one start and with one noise."""

import itertools
import json as plain_json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from dlnlab.cli.console import number, plain, show, show_json, table
from dlnlab.cli.options import REFERENCE, option, switch
from dlnlab.cli.progress import progress
from dlnlab.cli.run import Request, extent, referred, save, swept_seeds

if TYPE_CHECKING:
    import xarray as xr

    from dlnlab.papers import Entry

Shown = str | None
_MOST_POINTS = 12
_NUMBERS = ("weight_distance", "product_distance", "loss_ratio", "loss")


def compare(
    reference: Annotated[str, REFERENCE],
    /,
    *,
    seeds: Annotated[Shown, option("The seeds 0, 1, … N-1.", "N")] = None,
    steps: Annotated[Shown, option("How many steps of the slowest clock.", "N")] = None,
    time: Annotated[Shown, option("How long to run: the sum of the learning rates.", "T")] = None,
    out: Annotated[Shown, option("Write all that is recorded.", "FILE.nc|DIR.zarr")] = None,
    force: Annotated[bool, switch("Replace the output if it exists.")] = False,
    threads: Annotated[
        Shown, option("Tiles computed at a time; by default one for each core.", "N")
    ] = None,
    json: Annotated[bool, switch("Print one JSON object, to full precision.")] = False,
) -> int:
    """Compare dynamics from one start and with one noise: how far apart they go.

    For experiments that have a parameter `dynamics`, as `dln run ID --help` shows: by default all
    its values are compared; a repeated --dynamics says which, the first being that to which the
    others are compared. Its other coordinates are flags as of `dln run`. SGD and its differential
    equation share the start, but from one seed draw different numbers.
    """
    from dlnlab.papers import load

    request = Request(seeds, steps, time, out, force, threads, json)
    return carry_out(load(reference), {}, request)


def command(tokens: Sequence[str]) -> tuple[Callable[..., int], list[str]]:
    """The command with the flags of the experiment that `tokens` name, and the tokens for it."""
    reference = referred(tokens)
    if reference is None:
        return compare, list(tokens)
    from dlnlab.cli.flags import spelled_out, with_flags
    from dlnlab.papers import load

    entry = load(reference)
    parameters = entry.experiment.parameters

    def with_entry(texts: dict[str, list[str] | None], **options: Any) -> int:
        return carry_out(entry, texts, Request(**options))

    made = with_flags(compare, parameters, with_entry, f"Coordinates of {entry.id}")
    return made, spelled_out(tokens, parameters)


def carry_out(entry: "Entry", texts: dict[str, Any], request: Request) -> int:
    """Compare, write what was asked for, and say how it went."""
    from dlnlab import results
    from dlnlab.cli.flags import values
    from dlnlab.compare import PARAMETER
    from dlnlab.compare import compare as carried_out

    reach = extent(request)
    coords = values(texts, entry.experiment.parameters)
    coords |= swept_seeds(entry, texts, request.seeds)
    names = coords.pop(PARAMETER, ())
    names = (names,) if isinstance(names, str) else tuple(names)
    path = None if request.out is None else Path(request.out)
    if path is not None:
        results.check_writable(path, request.force)
    with progress(entry.id) as monitor:
        found = carried_out(entry.experiment, names, monitor=monitor, **reach, **coords)
    save(found, path)
    if request.json:
        show_json(answer(entry, found))
    else:
        show(*summary(entry, found, path))
    return 0


def answer(entry: "Entry", found: "xr.Dataset") -> dict[str, Any]:
    """The distances at the end and at their largest, over `dynamics` and then the sweep."""
    last, most = found.isel(time=-1), found.max("time")
    axes = [str(name) for name in found.coords if name != "time"]
    return {
        "experiment": entry.id,
        "coords": {name: plain(found[name].values) for name in axes},
        "compared_to": found.attrs["compared_to"],
        "time": float(found.time[-1]),
        "final": {name: plain(last[name].values) for name in _NUMBERS},
        "largest": {name: plain(most[name].values) for name in _NUMBERS},
        "provenance": plain_json.loads(found.attrs["provenance"]),
    }


def summary(entry: "Entry", found: "xr.Dataset", path: Path | None) -> Iterator[RenderableType]:
    """A row for each dynamics at each point of the sweep: its distances at the end, medians over
    seeds."""
    yield Text(f"{entry.id} · {entry.experiment.title}", style="bold")
    yield Text(f"compared to {found.attrs['compared_to']}, at time {number(float(found.time[-1]))}")
    yield Text()
    yield from _rows(found)
    seeds = found.sizes.get("seed", 1)
    if seeds > 1:
        yield Text(f"medians over {seeds:,} seeds", style="dim")
    if "noise" in found.attrs:
        yield Text(found.attrs["noise"], style="dim")
    yield Text("not written; add --out FILE.nc" if path is None else f"written to {path}")


def _rows(found: "xr.Dataset") -> Iterator[RenderableType]:
    last = found.isel(time=-1)
    middle = last.median("seed") if "seed" in last.dims else last
    axes = [str(dim) for dim in middle.loss.dims if dim != "dynamics"]
    rows = table(*axes, "dynamics", *(name.replace("_", " ") for name in _NUMBERS))
    places = list(itertools.product(*(range(middle.sizes[axis]) for axis in axes)))
    for place in places[:_MOST_POINTS]:
        point = middle.isel(dict(zip(axes, place, strict=True)))
        where = [number(plain(point[axis].values)) for axis in axes]
        for name in found.dynamics.values.tolist():
            told = (point[quantity].sel(dynamics=name) for quantity in _NUMBERS)
            rows.add_row(*where, name, *(number(plain(value.values)) for value in told))
    yield rows
    if len(places) > _MOST_POINTS:
        yield Text(f"and {len(places) - _MOST_POINTS:,} more points; --json has all", style="dim")
