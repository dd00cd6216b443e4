"""The house style of figures, and the few strokes that every figure is drawn with.

Measured is solid and coloured, predicted is dashed over it in ink, and dotted where an assumption
of the prediction is broken. Nothing here touches matplotlib's global state: figures are made with
`panels`, drawn inside `style()` and saved with `save`.

Matplotlib is imported by what draws: every figure's file imports this module, and a run draws
nothing. `Axes`, `Figure`, `Legend`, `Line2D` and `Patch` are its classes for annotations alone.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import xarray as xr

from dlnlab.typing import Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure
    from matplotlib.legend import Legend as Legend
    from matplotlib.lines import Line2D as Line2D
    from matplotlib.patches import Patch as Patch
else:
    Axes = Figure = Legend = Line2D = Patch = Any

INK, FAINT = "#1f2328", "#8b929a"
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")
"""Told apart by readers who see no red or green; pathway (or mode) k always has colour k."""

SINGLE, DOUBLE = 3.4, 7.0
"""The widths of one column and of two, in inches."""

_DASHED, _DOTTED = (0, (4, 2.2)), (0, (1, 1.6))

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "mathtext.fontset": "dejavusans",
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.04,
    "figure.constrained_layout.w_pad": 0.04,
    "savefig.facecolor": "none",
    "svg.fonttype": "path",
}


def style(salt: str = "dlnlab") -> AbstractContextManager[None]:
    """The house style while the context lasts; also a decorator. `salt` makes SVG ids repeatable.

    >>> import matplotlib
    >>> with style():
    ...     float(matplotlib.rcParams["axes.linewidth"])
    0.6
    """
    import matplotlib

    settings: Any = {**_STYLE, "svg.hashsalt": salt}
    return matplotlib.rc_context(settings)


Sharing = bool | Literal["row", "col"]
Swept = TypeVar("Swept", xr.Dataset, xr.DataArray)


def panels(
    rows: int = 1,
    columns: int = 1,
    *,
    height: float | None = None,
    width: float | None = None,
    sharex: Sharing = False,
    sharey: Sharing = False,
) -> tuple[Figure, list[Axes]]:
    """A figure of one column's width, or of two where it has several columns, and its axes.

    The axes come row by row. `height` and `width` are in inches.

    >>> figure, (left, right) = panels(1, 2)
    >>> [round(float(inches), 1) for inches in figure.get_size_inches()]
    [7.0, 2.3]
    """
    from matplotlib import figure as drawing

    with style():
        size = (width or (SINGLE if columns == 1 else DOUBLE), height or 0.1 + 2.2 * rows)
        figure = drawing.Figure(figsize=size)
        grid = figure.subplots(rows, columns, sharex=sharex, sharey=sharey, squeeze=False)
    return figure, list(grid.ravel())


def at(data: Swept, **place: Any) -> Swept:
    """The part of a sweep at these coordinates, whichever of them were swept.

    >>> import xarray as xr
    >>> at(xr.DataArray([3, 4], coords={"depth": [2, 5]}, dims="depth"), depth=5, seed=0).item()
    4
    """
    return data.sel({name: value for name, value in place.items() if name in data.dims})


def with_axes(
    data: xr.Dataset, predicted: xr.Dataset, names: Sequence[str]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Measured and predicted with each of these axes, of length one where it was not swept.

    >>> import xarray as xr
    >>> one = xr.Dataset({"loss": 2.0}, coords={"seed": 3})
    >>> [dict(made.sizes) for made in with_axes(one, xr.Dataset({"edge": 1.0}), ("seed",))]
    [{'seed': 1}, {'seed': 1}]
    """
    fixed = {name: data.coords[name] for name in names if name not in data.dims}
    axes = list(fixed)
    return data.expand_dims(axes), predicted.assign_coords(fixed).expand_dims(axes)


def measured(ax: Axes, x: Any, y: Any, label: str = "", color: str = COLORS[0]) -> Line2D:
    """What was measured: a solid line."""
    return ax.plot(x, y, color=color, linewidth=1.6, label=label, zorder=2)[0]


def predicted(
    ax: Axes, x: Any, y: Any, label: str = "", color: str = INK, *, stretched: bool = False
) -> Line2D:
    """What theory says: dashed over the measured line, dotted where it is stretched."""
    dashes = _DOTTED if stretched else _DASHED
    return ax.plot(x, y, color=color, linewidth=1.0, linestyle=dashes, label=label, zorder=3)[0]


def predicted_level(
    ax: Axes, value: float, label: str = "", color: str = INK, *, stretched: bool = False
) -> Line2D:
    """A predicted value that holds along the whole horizontal axis."""
    dashes = _DOTTED if stretched else _DASHED
    return ax.axhline(value, color=color, linewidth=1.0, linestyle=dashes, label=label, zorder=3)


def edge_line(ax: Axes, value: float, label: str = "", *, vertical: bool = False) -> None:
    """A threshold: a thin grey line across the panel, named at its end."""
    line = ax.axvline if vertical else ax.axhline
    line(value, color=FAINT, linewidth=0.8, zorder=1)
    where = ax.get_xaxis_transform() if vertical else ax.get_yaxis_transform()
    place, offset = ((value, 1.0), (2, -1)) if vertical else ((1.0, value), (0, 2))
    ax.annotate(
        label,
        place,
        offset,
        xycoords=where,
        textcoords="offset points",
        ha="left" if vertical else "right",
        va="top" if vertical else "bottom",
        color="#57606a",
        fontsize=7,
    )


def direct_label(ax: Axes, x: float, y: float, text: str, color: str = INK) -> None:
    """The name of a line, written just beyond its point (x, y)."""
    ax.annotate(
        text,
        (x, y),
        (4, 0),
        textcoords="offset points",
        va="center",
        color=color,
        fontsize=7.5,
        annotation_clip=False,
    )


def log_step_axis(ax: Axes, label: str = "step") -> None:
    """Steps on a logarithmic axis, with a mark at every second or third power of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=5))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(label)


def few_ticks(ax: Axes, most: int = 5, axis: Literal["x", "y"] = "y") -> None:
    """At most so many marks on an axis, the vertical one by default."""
    from matplotlib.ticker import MaxNLocator

    chosen = ax.xaxis if axis == "x" else ax.yaxis
    chosen.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))


def key(label: str, color: str, **look: Any) -> Line2D:
    """An entry of a legend that stands for no one line: a stroke, or a mark where `marker` says."""
    from matplotlib import lines

    if "marker" in look:
        look = {"linestyle": "none", **look}
    return lines.Line2D([], [], color=color, label=label, **{"linewidth": 1.6, **look})


def swatch(label: str, color: str) -> Patch:
    """The same for a filled area."""
    from matplotlib import patches

    return patches.Patch(color=color, label=label)


def legend_above(figure: Figure, lines: Sequence[Line2D], columns: int | None = None) -> Legend:
    """One legend for all panels, above them and outside the data; name the lines by `label`."""
    names = [str(line.get_label()) for line in lines]
    with style():
        return figure.legend(
            lines, names, loc="outside upper left", ncols=columns or len(lines), borderaxespad=0.2
        )


def patches_above(
    figure: Figure, patches: Sequence[Patch | Line2D], columns: int | None = None
) -> Legend:
    """The same for filled areas, and the lines upon them."""
    with style():
        return figure.legend(
            handles=patches,
            loc="outside upper left",
            ncols=columns or len(patches),
            borderaxespad=0.2,
            handlelength=1.0,
            columnspacing=1.2,
        )


def save(figure: Figure, path: Path, salt: str = "dlnlab") -> None:
    """Write a figure, the same bytes each time; PNG at 200 dpi on white, SVG without background."""
    with style(salt):
        if path.suffix == ".svg":
            figure.savefig(path, metadata={"Date": None})
        else:
            figure.savefig(path, dpi=200, facecolor="white")
