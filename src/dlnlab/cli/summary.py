"""What a run found, for a person."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from rich.console import RenderableType
from rich.text import Text

from dlnlab.cli.answer import last
from dlnlab.cli.console import number, pairs, table
from dlnlab.papers import Entry
from dlnlab.schema import Grid

_MOST_ROWS = 12
_MOST_COLUMNS = 7
_MOST_NUMBERS = 12
_MOST_PREDICTED = 2
_MOST_IN_CELL = 4


def summary(
    entry: Entry,
    points: Grid,
    measured: xr.Dataset,
    said: xr.Dataset,
    found: dict[str, Any],
    paths: tuple[Path | None, Path | None],
) -> Iterator[RenderableType]:
    """The parts of the summary: title, coordinates, final values, statistics, outcome, and where
    results and figure were written."""
    yield Text(f"{entry.id} · {entry.experiment.title}", style="bold")
    yield Text(_coordinates(points), style="dim")
    yield Text()
    if points.axes:
        yield from _sweep(points, measured, found, _alike(said, points))
    else:
        yield from _point(measured, found)
    if said.data_vars and not points.axes:
        yield Text()
        yield _theory(said)
    yield Text()
    yield Text(_ending(measured, found))
    if "comment" in measured.time.attrs:
        yield Text(measured.time.attrs["comment"])
    yield Text(_written(*paths))


def _written(path: Path | None, picture: Path | None) -> str:
    places = [str(place) for place in (path, picture) if place is not None]
    if places:
        return f"written to {' and '.join(places)}"
    return "not written; add --out FILE.nc, or --figure FILE.png for a picture"


def _ending(measured: xr.Dataset, found: dict[str, Any]) -> str:
    """How it ended and at which moment; of a diverged run, the first that shows nothing finite."""
    last = "step" if "step" in measured.dims else "time"
    moment = measured[last].values[-1]
    if found["status"] == "diverged":
        seen = _observed(measured, last)
        gone = [v.isnull().all([d for d in v.dims if d != last]) for v in seen]
        moment = measured[last].values[int(np.argmax(np.all(gone, axis=0)))] if seen else moment
    return f"{_counted(found['outcome'] or found['status'])} · {last} {number(moment.item())}"


def _observed(measured: xr.Dataset, last: str) -> list[xr.DataArray]:
    """What an observable found at every recorded moment."""
    return [v for v in measured.data_vars.values() if last in v.dims and "formula" in v.attrs]


def _coordinates(points: Grid) -> str:
    fixed = [f"{name} {points.label(name, value)}" for name, value in points.fixed.items()]
    swept = [f"{name} × {len(values)}" for name, values in points.axes.items()]
    return " · ".join(swept + fixed)


def _counted(words: Any) -> str:
    """One word, or how often each occurs."""
    if isinstance(words, str):
        return words
    counts = Counter(np.ravel(np.asarray(words, object)).tolist())
    return ", ".join(f"{count} {word}" for word, count in counts.most_common())


def _point(measured: xr.Dataset, found: dict[str, Any]) -> Iterator[RenderableType]:
    rows = table("", "symbol", "final value")
    for name, value in found["final"].items():
        rows.add_row(name, measured[name].attrs.get("symbol", ""), _short(value))
    yield rows
    if found["statistics"]:
        yield Text()
        yield pairs({name: _short(value) for name, value in found["statistics"].items()})


def _theory(predicted: xr.Dataset) -> RenderableType:
    """What theory says of the same point, or which assumption keeps it silent."""
    rows = table("theory", "of", "value")
    for name, said in predicted.items():
        value = (
            f"not here: {said.attrs['broken']}" if "broken" in said.attrs else _named(last(said))
        )
        rows.add_row(str(name), said.attrs["of"], value)
    return rows


def _named(said: xr.DataArray) -> str:
    """A prediction's value; of several quantities each with its symbol."""
    symbols = said.attrs["symbol"].split(", ")
    if said.ndim != 1 or len(symbols) != said.size or len(symbols) == 1:
        return _short(np.asarray(said).tolist())
    pairs = zip(symbols, said.values.tolist(), strict=True)
    return " · ".join(f"{symbol} {number(value)}" for symbol, value in pairs)


def _alike(said: xr.Dataset, points: Grid) -> dict[str, Any]:
    """What theory says of each point of a sweep, where that is a number."""
    return {f"{n} (theory)": v.values for n, v in said.items() if v.shape == points.shape}


def _short(value: Any) -> str:
    count = np.size(np.asarray(value, object))
    return number(value) if count <= _MOST_NUMBERS else f"{count} numbers; see --json"


def _sweep(
    points: Grid, measured: xr.Dataset, found: dict[str, Any], predicted: dict[str, Any]
) -> Iterator[RenderableType]:
    theory = dict(list(predicted.items())[:_MOST_PREDICTED])
    columns, left_out = _columns(points, measured, found, _MOST_COLUMNS - len(theory))
    columns |= theory
    rows = table(*points.axes, *columns)
    for lane in range(min(points.size, _MOST_ROWS)):
        index = np.unravel_index(lane, points.shape)
        axes = [
            _label(points, name, values[position])
            for (name, values), position in zip(points.axes.items(), index, strict=True)
        ]
        rows.add_row(*axes, *(_cell(values[index]) for values in columns.values()))
    yield rows
    if left_out:
        yield Text(f"not shown: {', '.join(left_out)}; see --json", style="dim")
    if "seed" in points.axes and _same_for_all_seeds(measured):
        yield Text("every seed gave the same numbers: nothing here is drawn at random")
    if points.size > _MOST_ROWS:
        yield Text(f"… and {points.size - _MOST_ROWS} more points", style="dim")


def _columns(
    points: Grid, measured: xr.Dataset, found: dict[str, Any], most: int
) -> tuple[dict[str, np.ndarray[Any, Any]], list[str]]:
    """How each point ended, and the first few quantities: numbers before short lists of them; and
    the names of those left out."""
    ends = "outcome" if found["outcome"] else "status"
    columns = {ends: np.asarray(found[ends], object)}
    wider: dict[str, np.ndarray[Any, Any]] = {}
    unfit: list[str] = []
    for name, value in {**found["final"], **found["statistics"]}.items():
        values = np.asarray(value, object)
        if "long_name" in measured[name].attrs:
            continue
        if values.shape == points.shape:
            columns[name] = values
        elif values.size <= _MOST_IN_CELL * points.size:
            wider[name] = values
        else:
            unfit.append(name)
    every = {**columns, **wider}
    return dict(list(every.items())[:most]), [*list(every)[most:], *unfit]


def _cell(value: Any) -> str:
    return number(value.tolist() if isinstance(value, np.ndarray) else value)


def _same_for_all_seeds(measured: xr.Dataset) -> bool:
    first = measured.isel(seed=0, drop=True)
    others = (measured.isel(seed=k, drop=True) for k in range(1, measured.sizes["seed"]))
    return measured.sizes["seed"] > 1 and all(first.equals(other) for other in others)


def _label(points: Grid, name: str, value: Any) -> str:
    return number(value) if isinstance(value, float) else points.label(name, value)
