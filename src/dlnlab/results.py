"""Results as ordinary Datasets: their labels, their provenance, their files."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import xarray as xr

from dlnlab.errors import InputError
from dlnlab.observables.base import Observable
from dlnlab.schema import Grid
from dlnlab.statistics.base import Statistic
from dlnlab.typing import Any

STATUS_MEANINGS = ("ran_to_end", "arrived", "diverged", "failed", "exhausted", "interrupted")
"""The meanings of the codes of `status`; all but the last are those of `dlnlab.state.Status`."""

_PLAIN = ("float", "int", "bool", "literal", "text")
"""Kinds of coordinates that are numbers or words; others stand in a Dataset as text."""

_VERSIONED = ("dlnlab", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy", "scipy", "xarray")


def label(
    points: Grid,
    works: Sequence[Any],
    indices: Sequence[np.ndarray[Any, Any]],
    beside: Mapping[str, Any],
    observe: Sequence[Observable],
    statistics: Sequence[Statistic],
    *,
    interrupted: bool,
) -> xr.Dataset:
    """One Dataset from the arrays of all groups, padded with NaN to a common shape.

    **Arguments:** `beside` are coordinates along the recorded steps: their time, say.
    """
    moments, is_map = works[0].moments, works[0].shape.is_map
    axis = "step" if is_map else "time"
    variables = {}
    named: list[Observable | Statistic] = [*observe, *statistics]
    owners = {item.name: item for item in named}
    for name in works[0].arrays:
        whole = _gather([work.arrays[name] for work in works], indices, points.size)
        if name == "status":
            last = _last_status(works, indices, points.size)
            variables[name] = (tuple(points.axes), last.reshape(points.shape), _status_attrs())
            continue
        dims, attrs = _described(name, owners, whole.ndim - 2)
        shape = (*points.shape, *whole.shape[1:])
        variables[name] = ((*points.axes, axis, *dims), whole.reshape(shape), attrs)
    measured = xr.Dataset(variables, coords=_coords(points, moments, axis, beside))
    for dim in set(measured.dims) - set(measured.coords):
        measured.coords[dim] = np.arange(measured.sizes[dim])
    measured.attrs["provenance"] = json.dumps(_provenance(points, works), ensure_ascii=False)
    if interrupted:
        measured.attrs["interrupted"] = 1
        finished = max(int(work.finished.max()) for work in works)
        return measured.isel({axis: slice(0, max(1, finished))})
    return measured


def _gather(
    parts: Sequence[np.ndarray[Any, Any]], indices: Sequence[np.ndarray[Any, Any]], size: int
) -> np.ndarray[Any, Any]:
    """The lanes of all groups in the grid's order, in the smallest shape that holds each."""
    inner = tuple(max(sizes) for sizes in zip(*(p.shape[1:] for p in parts), strict=True))
    if len(parts) == 1 and np.array_equal(indices[0], np.arange(size)):
        return parts[0]
    dtype = parts[0].dtype
    missing = np.nan if np.issubdtype(dtype, np.floating) else -1
    whole = np.full((size, *inner), missing, dtype)
    for part, lanes in zip(parts, indices, strict=True):
        region: Any = (lanes, *(slice(n) for n in part.shape[1:]))
        whole[region] = part
    return whole


def _last_status(
    works: Sequence[Any], indices: Sequence[np.ndarray[Any, Any]], size: int
) -> np.ndarray[Any, Any]:
    last = np.full(size, STATUS_MEANINGS.index("interrupted"), np.int8)
    for work, lanes in zip(works, indices, strict=True):
        complete = work.finished == len(work.moments)
        last[lanes[complete]] = work.arrays["status"][complete, -1]
    return last


def _status_attrs() -> dict[str, Any]:
    return {
        "flag_values": np.arange(len(STATUS_MEANINGS), dtype=np.int8),
        "flag_meanings": " ".join(STATUS_MEANINGS),
    }


def _described(
    name: str, owners: dict[str, Observable | Statistic], rank: int
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The dimensions and attributes of a variable, from the longest name that it begins with."""
    owner = owners[max((n for n in owners if name == n or name.startswith(n + "_")), key=len)]
    part = name.removeprefix(owner.name).removeprefix("_")
    attrs = _of_observable(owner, part) if isinstance(owner, Observable) else _of(owner, part)
    return (owner.dims if rank == len(owner.dims) else ()), attrs


def _of_observable(owner: Observable, part: str) -> dict[str, Any]:
    if part:
        return {"long_name": f"{part} of {owner.name}"}
    return {"symbol": owner.symbol, "formula": owner.formula}


def _of(owner: Statistic, part: str) -> dict[str, Any]:
    first_line = (type(owner).__doc__ or "").strip().partition("\n")[0]
    attrs: dict[str, Any] = {"description": f"{part} of: {first_line}" if part else first_line}
    if owner.flags:
        attrs["flag_values"] = np.arange(len(owner.flags), dtype=np.int8)
        attrs["flag_meanings"] = " ".join(owner.flags)
    return attrs


def _coords(
    points: Grid, moments: np.ndarray[Any, Any], axis: str, beside: Mapping[str, Any]
) -> dict[str, Any]:
    coords: dict[str, Any] = {}
    for name, value in points.fixed.items():
        parameter = points.parameters[name]
        plain = parameter.kind in _PLAIN
        shown = value if plain else points.label(name, value)
        coords[name] = ((), shown, {"symbol": parameter.coordinate.symbol})
    for name, values in points.axes.items():
        parameter = points.parameters[name]
        plain = parameter.kind in _PLAIN
        shown = list(values) if plain else [points.label(name, value) for value in values]
        coords[name] = (name, np.asarray(shown), {"symbol": parameter.coordinate.symbol})
    coords[axis] = (axis, moments)
    return coords | dict(beside)


def _provenance(points: Grid, works: Sequence[Any]) -> dict[str, Any]:
    coords = {n: points.parameters[n].text(v) for n, v in points.fixed.items()}
    for name, values in points.axes.items():
        shown = [points.label(name, value) for value in values[:9]]
        coords[name] = f"{len(values)} values: {' '.join(shown)}{' …' if len(values) > 9 else ''}"
    arrays = works[0].arrays.values()
    return {
        "coords": coords,
        "versions": versions(),
        "python": platform.python_version(),
        "device": f"{jax.devices()[0].platform}: {jax.devices()[0].device_kind}",
        "dtype": next((str(a.dtype) for a in arrays if a.dtype.kind == "f"), "float64"),
        "tile": [work.shape.tile for work in works],
        "loss": "half the squared Frobenius distance to the target",
        "time": "sum of the learning rates",
    }


def versions() -> dict[str, str]:
    """The versions of the packages that numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


def check_writable(path: Path, force: bool) -> None:
    """Refuse, before computing, an output that exists or cannot be written."""
    if path.suffix not in (".nc", ".zarr"):
        raise InputError(
            f"an output is a file ending in .nc or a directory ending in .zarr, and {path} was "
            "given; change its ending."
        )
    check_place(path, force)


def check_place(path: Path, force: bool) -> None:
    """Refuse a file, or directory, that exists or cannot be written."""
    try:
        _check_place(path, force)
        probe = path.with_name(f".{path.name}.probe")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another place."
        ) from None


def _check_place(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise InputError(
            f"{path} exists already; choose another name, or add --force to replace it."
        )
    if path.suffix != ".zarr" and path.is_dir():
        raise InputError(f"{path} is a directory and a file is to be written; choose another name.")
    if path.suffix == ".zarr" and path.is_file():
        raise InputError(f"{path} is a file and a directory is to be written; choose another name.")
    if not path.parent.is_dir():
        raise InputError(
            f"the directory {path.parent} of the output does not exist; make it first."
        )


def write(measured: xr.Dataset, path: Path) -> None:
    """Write a Dataset whole or not at all: beside its place first, then moved there."""
    import shutil

    draft = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".nc":
            measured.to_netcdf(draft, engine="h5netcdf")
            draft.replace(path)
            return
        shutil.rmtree(draft, ignore_errors=True)
        # Format 2, whose consolidated metadata every reader knows.
        measured.to_zarr(draft, mode="w", zarr_format=2, consolidated=True)
        if path.exists():
            shutil.rmtree(path)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        draft.unlink(missing_ok=True)
