"""The picture of one run or sweep: the figure of its experiment, or each quantity by itself."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from dlnlab import plotting, results
from dlnlab.errors import InputError
from dlnlab.papers import Entry
from dlnlab.report import interactive
from dlnlab.report.figures import Reproduced
from dlnlab.report.overview import overview
from dlnlab.typing import Any

SUFFIXES = (".png", ".svg")


def place_of_figure(path: Path, force: bool) -> Path:
    """The path, if a figure can be written there.

    **Raises:** `InputError` where it cannot, or its ending is none of `SUFFIXES`.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(
            f"a figure is a file ending in {' or '.join(SUFFIXES)}, and {path} was given; change "
            "its ending."
        )
    results.check_place(path, force)
    return path


def draw(entry: Entry, coords: dict[str, Any], measured: xr.Dataset, path: Path) -> str:
    """Draw what was measured at these coordinates, with theory's word, and write it to `path`.

    **Returns:** why the experiment's own figure could not be drawn, and the overview was; empty
    where it could, or there is none.
    """
    stretched = entry.experiment.predict(measured, stretch=True, **coords)
    found = Reproduced(entry, coords, measured, stretched, stretched, [])
    missing = ""
    with plotting.style(entry.id):
        try:
            drawn = picture(found)
        except (LookupError, ValueError) as error:  # a figure may need a sweep that this is not
            missing = f"{type(error).__name__}: {str(error).partition('. ')[0]}"
            drawn = _overview(found)
        plotting.save(drawn, path, entry.id)
    return missing


def picture(figure: Reproduced) -> Figure:
    """The figure as its file draws it; without a `plot`, a panel for each quantity."""
    if figure.entry.plot is None:
        return _overview(figure)
    pair = figure.measured.sel(figure.at), figure.stretched.sel(figure.at)
    drawn: Figure = figure.entry.plot(*pair)
    return drawn


def _overview(figure: Reproduced) -> Figure:
    names, swept = interactive.quantities(figure), interactive.swept(figure)
    return overview(figure.measured, figure.stretched, names, swept)
