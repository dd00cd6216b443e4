"""The data of a figure's interactive plot: what was measured and predicted, thinned for a page.

The page's script slices these arrays by dimension; nothing here knows about any figure.
"""

import numpy as np
import xarray as xr

from dlnlab.report.figures import Reproduced
from dlnlab.report.text import math, words
from dlnlab.typing import Any

ALONG = ("step", "time")
MOST_POINTS, MOST_VALUES, MOST_QUANTITIES = 1500, 40_000, 10
"""A trace has at most so many points; a variable, over all its runs, so many numbers."""


def quantities(figure: Reproduced) -> list[str]:
    """The variables worth a plot: those that the file names, or else first what is predicted."""
    if figure.entry.interactive:
        return [name.partition("@")[0] for name in figure.entry.interactive]
    predicted = [str(said.attrs.get("of", "")) for said in figure.predicted.values()]
    observed = [item.name for item in figure.entry.experiment.observe]
    names = dict.fromkeys([*predicted, "loss", *observed])
    return [n for n in names if n in figure.measured and _numeric(figure.measured[n])][
        :MOST_QUANTITIES
    ]


def plot_data(figure: Reproduced) -> dict[str, Any]:
    """All that the page's script draws a figure's interactive plot from, as plain data."""
    names = quantities(figure)
    keep = _kept(figure.measured, names)
    measured = figure.measured.isel(keep)
    return {
        "axes": [_axis(measured, str(name)) for name in swept(figure)],
        "along": {n: _array(measured[n]) for n in ALONG if n in measured.coords},
        "inner": {
            str(d): [str(v) for v in measured[d].values]
            for d in measured.dims
            if d not in ALONG and d not in swept(figure)
        },
        "quantities": [_quantity(figure, measured, keep, name) for name in names],
    }


def swept(figure: Reproduced) -> list[str]:
    """The coordinates that vary, in the order of the measured dimensions."""
    return [
        str(name) for name in figure.measured.dims if name in figure.entry.experiment.parameters
    ]


def _kept(measured: xr.Dataset, names: list[str]) -> dict[str, Any]:
    """For each dimension the indices to keep, so that the largest variable fits the page.

    Records are thinned first, then the longest of the other dimensions; ends are always kept.
    """
    sizes = {str(d): min(n, MOST_POINTS) for d, n in measured.sizes.items()}
    for name in names:
        dims = [str(d) for d in measured[name].dims]
        along = [d for d in dims if d in ALONG]
        while dims and np.prod([sizes[d] for d in dims]) > MOST_VALUES:
            roomy = next((d for d in along if sizes[d] > 200), None)
            longest = roomy or max(dims, key=lambda d: sizes[d])
            sizes[longest] = int(0.8 * sizes[longest])
    return {
        d: np.unique(np.linspace(0, measured.sizes[d] - 1, n).round().astype(int))
        for d, n in sizes.items()
        if n < measured.sizes[d]
    }


def _quantity(
    figure: Reproduced, measured: xr.Dataset, keep: dict[str, Any], name: str
) -> dict[str, Any]:
    values = measured[name]
    theory = [str(n) for n, said in figure.predicted.items() if said.attrs.get("of") == name]
    finite = np.asarray(values)[np.isfinite(values)]
    return {
        "name": words(name),
        "label": str(math(values.attrs.get("symbol") or words(name))),
        "log": bool(finite.size and finite.min() > 0 and finite.max() > 1e4 * finite.min()),
        "at": _moment(figure, measured, name),
        **_array(values),
        "theory": [_theory(figure, keep, said) for said in theory],
    }


def _moment(figure: Reproduced, measured: xr.Dataset, name: str) -> int:
    """The record shown against a coordinate: that of step 3 for `name@3` in the file, or the last.

    A prediction of one number speaks of some step, and only the figure's file knows of which.
    """
    axis = next((d for d in ALONG if d in measured[name].dims), None)
    if axis is None:
        return 0
    chosen = [text.partition("@") for text in figure.entry.interactive]
    step = next((float(at) for found, _, at in chosen if found == name and at), np.inf)
    return int(np.searchsorted(measured[axis].values, step, side="right")) - 1


def _theory(figure: Reproduced, keep: dict[str, Any], name: str) -> dict[str, Any]:
    said, stretched = figure.predicted[name], figure.stretched[name]
    here = {d: indices for d, indices in keep.items() if d in said.dims}
    beyond = stretched.where(~np.isfinite(said)) if said.shape == stretched.shape else stretched
    here_too = {d: indices for d, indices in keep.items() if d in beyond.dims}
    return {
        "name": words(name),
        "label": str(math(said.attrs.get("symbol") or words(name))),
        **_array(said.isel(here)),
        "stretched": _array(beyond.isel(here_too)),
    }


def _axis(measured: xr.Dataset, name: str) -> dict[str, Any]:
    values = measured[name]
    numeric = values.dtype.kind in "fiu"
    shown = [f"{v:.6g}" if values.dtype.kind == "f" else str(v) for v in values.values]
    return {
        "name": name,
        "words": words(name),
        "label": str(math(values.attrs.get("symbol") or words(name))),
        "labels": shown,
        "values": _plain(values) if numeric else None,
        "start": len(shown) // 2,
    }


def _array(values: xr.DataArray) -> dict[str, Any]:
    return {
        "dims": [str(d) for d in values.dims],
        "shape": list(values.shape),
        "values": _plain(values),
    }


def _plain(values: xr.DataArray) -> list[float | int | None]:
    """Numbers with seven digits, row by row; None for what is not finite."""
    if values.dtype.kind in "iu":
        return [int(v) for v in np.ravel(values)]
    return [float(f"{v:.7g}") if np.isfinite(v) else None for v in np.ravel(values)]


def _numeric(values: xr.DataArray) -> bool:
    return values.dtype.kind in "fiu" and values.ndim > 0 and "flag_values" not in values.attrs
