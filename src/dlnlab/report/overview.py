"""The picture of an experiment that brings no `plot` of its own: a panel for each quantity."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from dlnlab.plotting import COLORS, DOUBLE, SINGLE, legend_above, log_step_axis, panels
from dlnlab.plotting import measured as draw_measured
from dlnlab.plotting import predicted as draw_predicted
from dlnlab.report.text import words
from dlnlab.typing import Any

_MOST_PANELS, _MOST_LANES, _MOST_LINES = 6, 7, 4
_ALONG = ("step", "time")


def overview(
    measured: xr.Dataset, predicted: xr.Dataset, names: Sequence[str], swept: Sequence[str]
) -> Figure:
    """A panel for each variable over step or time, a colour for each of a few runs of the sweep."""
    names = list(names)[:_MOST_PANELS]
    columns = max(1, min(3, len(names)))
    rows = max(1, -(-len(names) // columns))
    figure, axes = panels(rows, columns, width=DOUBLE if columns > 1 else SINGLE)
    lanes = _some_lanes(measured, swept)
    lines: list[Line2D] = []
    for ax, name in zip(axes, names, strict=False):
        theory = [str(n) for n, said in predicted.items() if said.attrs.get("of") == name]
        lines = [_lane(ax, measured, predicted, name, theory, at, c) for at, c in lanes]
        _axes(ax, measured[name])
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    if len(lanes) > 1:
        legend_above(figure, lines, columns=min(len(lines), 4))
    return figure


def _some_lanes(measured: xr.Dataset, swept: Sequence[str]) -> list[tuple[dict[str, int], str]]:
    """Indices into the sweep, evenly spread along it, each with a colour."""
    shape = tuple(measured.sizes[name] for name in swept)
    size = int(np.prod(shape)) if shape else 1
    picked = np.unique(np.linspace(0, size - 1, min(size, _MOST_LANES)).round().astype(int))
    places = [dict(zip(swept, map(int, np.unravel_index(k, shape)), strict=True)) for k in picked]
    if len(places) == 1:
        return [(places[0], COLORS[0])]
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.82, len(places)))
    return [(place, to_hex(shade)) for place, shade in zip(places, shades, strict=True)]


def _lane(
    ax: Axes,
    measured: xr.Dataset,
    predicted: xr.Dataset,
    name: str,
    theory: Sequence[str],
    at: dict[str, int],
    color: str,
) -> Line2D:
    values = measured[name].isel(at, missing_dims="ignore")
    axis, told = (
        _axis(values),
        ", ".join(f"{words(d)} {_told(measured[d][k])}" for d, k in at.items()),
    )
    x = np.asarray(values[axis])
    drawn = [draw_measured(ax, x, line, told, color) for line in _lines(values, axis)]
    for variable in theory:
        said = predicted[variable].isel(at, missing_dims="ignore")
        for line in _lines(said, axis):
            y = line if np.shape(line) == x.shape else np.full(x.shape, line)
            draw_predicted(ax, x, y, stretched="stretched" in said.attrs)
    return drawn[0]


def _told(value: xr.DataArray) -> str:
    return f"{value.item():.4g}" if value.dtype.kind == "f" else str(value.item())


def _axis(values: xr.DataArray) -> str:
    return next((d for d in _ALONG if d in values.dims), str(values.dims[0]))


def _lines(values: xr.DataArray, axis: str) -> list[Any]:
    """The values along `axis`; of many modes only the first, of all else the first few."""
    values = values.isel(mode=0, missing_dims="ignore") if axis != "mode" else values
    if axis not in values.dims:
        return list(np.ravel(values)[:_MOST_LINES])
    table = np.asarray(values.transpose(..., axis)).reshape(-1, values.sizes[axis])
    return list(table[:_MOST_LINES])


def _axes(ax: Axes, values: xr.DataArray) -> None:
    axis = _axis(values)
    x = np.asarray(values[axis])
    if axis == "step" and x[-1] > 100:
        log_step_axis(ax)
    else:
        ax.set_xlabel(words(axis))
    ax.set_title(words(str(values.name)))
    finite = np.asarray(values)[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > 1e4 * finite.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(numticks=6))
