"""What an earlier report holds already, for a new one that recomputes only some figures."""

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import xarray as xr

from dlnlab.papers import Entry
from dlnlab.report.figures import Reproduced, interpreted
from dlnlab.report.place import read_manifest


def earlier(place: Path, entries: Iterable[Entry], full: bool) -> dict[str, Reproduced]:
    """Those figures whose data stand in `place`, from the same version, source and length of runs.

    Predicted and judged they are afresh; only what was measured is taken over.
    """
    manifest = read_manifest(place) or {}
    same = (importlib.metadata.version("dlnlab"), full)
    if (manifest.get("dlnlab"), manifest.get("full")) != same:
        return {}
    found = {}
    for entry in entries:
        measured = _measured(place / "data" / f"{entry.id.rpartition('/')[2]}.nc")
        if measured is not None and measured.attrs.get("source") == entry.experiment.source():
            found[entry.id] = interpreted(entry, measured, full, kept=True)
    return found


def _measured(path: Path) -> xr.Dataset | None:
    """None where there is no such file, or where it has been damaged."""
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError):
        return None
