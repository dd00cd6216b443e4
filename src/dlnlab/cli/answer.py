"""What a run found, as one object of plain data: the JSON of `dln run`."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from dlnlab.cli.console import plain
from dlnlab.papers import Entry
from dlnlab.schema import Grid
from dlnlab.statistics import Outcome

STATUS = "status"


_MOST_ASKED = 200  # points of a sweep, since theory may take its time


def asked(entry: Entry, points: Grid, measured: xr.Dataset) -> xr.Dataset:
    """What theory says of each point; nothing of sweeps of more than 200."""
    if points.size > _MOST_ASKED or not entry.experiment.predictions:
        return xr.Dataset()
    # A list is a sweep, where a tuple may be one value.
    swept = {name: list(values) for name, values in points.axes.items()}
    coords: dict[str, Any] = {**points.fixed, **swept}
    return entry.experiment.predict(measured, **coords)


def answer(entry: Entry, points: Grid, measured: xr.Dataset, said: xr.Dataset) -> dict[str, Any]:
    """`coords`, `final`, `statistics`, `theory`, `outcome`, `status` and `provenance` of a run or
    sweep.

    Values are those last recorded, as nested lists: swept axes first, in the order of the
    signature, then the quantity's own. `final` has what was examined of the start, too. None stands
    for what is not finite, for the observables of a diverged lane, and for a count of −1: what has
    not happened.
    """
    observed = [item.name for item in entry.experiment.observe]
    judges = [s.name for s in entry.experiment.statistics if isinstance(s, Outcome)]
    counted = [s.name for s in entry.experiment.statistics if s.name not in judges]
    named = [*observed, *counted, *judges]
    owned = _owned([str(name) for name in measured.data_vars], named)
    known = {STATUS, *(name for names in owned.values() for name in names)}
    examined = [str(name) for name in measured.data_vars if name not in known]
    ended = _words(measured[STATUS])
    lost = np.asarray(ended) == "diverged"
    return {
        "coords": {name: _coordinate(points, name) for name in points.parameters},
        "final": {
            n: _final(measured[n], lost)
            for n in [*(n for owner in observed for n in owned[owner]), *examined]
        },
        "statistics": {n: _statistic(measured[n]) for owner in counted for n in owned[owner]},
        "theory": {str(name): plain(last(value).values) for name, value in said.items()},
        "outcome": _words(last(measured[judges[0]])) if judges else None,
        STATUS: ended,
        "provenance": _provenance(entry, measured),
    }


def _owned(variables: Iterable[str], owners: list[str]) -> dict[str, list[str]]:
    """The variables of each quantity: to `sharpness` belongs `sharpness_residual`, too.

    >>> _owned(["loss", "loss_gap", "loss_gap_size"], ["loss", "loss_gap"])
    {'loss': ['loss'], 'loss_gap': ['loss_gap', 'loss_gap_size']}
    """
    owned: dict[str, list[str]] = {owner: [] for owner in owners}
    for name in variables:
        fitting = [o for o in owners if name == o or name.startswith(f"{o}_")]
        if fitting:
            owned[max(fitting, key=len)].append(name)
    return owned


def _coordinate(points: Grid, name: str) -> Any:
    return plain(points.axes[name] if name in points.axes else points.fixed[name])


def last(variable: xr.DataArray) -> xr.DataArray:
    """What holds at the last recorded moment."""
    moment = next((dim for dim in ("step", "time") if dim in variable.dims), None)
    return variable if moment is None else variable.isel({moment: -1})


def _final(variable: xr.DataArray, lost: np.ndarray[Any, Any]) -> Any:
    values = last(variable).values
    if not lost.any():
        return plain(values)
    hidden = lost.reshape(lost.shape + (1,) * (values.ndim - lost.ndim))
    return plain(np.where(hidden, np.nan, values))


def _statistic(variable: xr.DataArray) -> Any:
    if "flag_meanings" in variable.attrs:
        return _words(last(variable))
    values = last(variable).values
    if np.issubdtype(values.dtype, np.integer):
        values = values.astype(object)
        values[values == -1] = None
    return plain(values)


def _words(codes: xr.DataArray) -> Any:
    """Codes as the words that the variable's flags give them; None for a code without one."""
    meanings = np.asarray([*codes.attrs["flag_meanings"].split(), None], object)
    inside = (codes.values >= 0) & (codes.values < len(meanings) - 1)
    return np.asarray(meanings[np.where(inside, codes.values, -1)], object).tolist()


def _provenance(entry: Entry, measured: xr.Dataset) -> dict[str, Any]:
    source = measured.attrs.get("source", "")
    return {
        "experiment": entry.id,
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        **json.loads(measured.attrs["provenance"]),
    }
