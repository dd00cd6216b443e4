"""Plateaus and escapes of runs, from what was recorded of them."""

import numpy as np
import xarray as xr
from scipy.signal import argrelmax, peak_prominences

from dlnlab.errors import InputError
from dlnlab.typing import Any

SEPARATED = 0.1
"""A plateau separates from the escapes around it where the loss falls, in ln t, at no more than
this share of the rate of the slower of the two."""

Line = np.ndarray[Any, np.dtype[np.float64]]


def plateaus(
    measured: xr.Dataset, *, prominence: float = 2.0, least_fall: float = 0.01
) -> xr.Dataset:
    """The plateaus of recorded runs in turn, with the escapes that end them.

    An escape is a local maximum of `p = −dℓ/d ln t` that rises above both neighbouring valleys by
    the factor `prominence` and takes more than the share `least_fall` of the loss; between two of
    them (before the first, after the last) the plateau is where the gradient norm is least. For a
    flow with `gradient_norm` recorded p is `t‖∇ℓ‖²`
    exactly; else it and the norm are differences of the recorded loss. The times of escapes are
    those of the parabola through ln p at three moments. `dlnlab.statistics.Staircase` locates them
    without a grid.

    `measured` holds `loss` over `step` (with `time` beside it) or `time` and any axes before it.
    Ranks are those of `learned_rank` where that is recorded (`dlnlab.observables`), which asks the
    cost what is learned: of singular values alone those that will grow later, or never, do not
    tell themselves from those learned. Moments at time 0 are left out, where ln t has no value.

    **Returns:** a Dataset over those axes and `plateau`, NaN where a run has fewer: `loss`, `time`
    (of the least gradient norm), `begin` and `end` (the escapes around it; the first and last
    recorded moment at the ends), `rank` (NaN where `learned_rank` is not recorded), and
    `separation`, p on the plateau as a share of that of the slower neighbouring escape. Where that
    is above `SEPARATED` the attribute `unseparated` says so in words.

    **Raises:** `InputError` where there is no loss, or fewer than five moments.

    >>> t = np.geomspace(1e-2, 1e6, 500)
    >>> stairs = 0.5 + 2 / (1 + t**2) + 0.5 / (1 + (t / 1e4) ** 2)
    >>> plateaus(xr.Dataset({"loss": ("time", stairs)}, {"time": t})).loss.round(2).values.tolist()
    [3.0, 1.0, 0.5]
    """
    axis = _axis(measured)
    lanes = [name for name in measured.loss.dims if name != axis]
    stacked = measured.stack(_lane=lanes) if lanes else measured.expand_dims("_lane")
    found = [
        _of_lane(stacked.isel(_lane=k), axis, prominence, least_fall)
        for k in range(stacked.sizes["_lane"])
    ]
    most = max(len(lane["loss"]) for lane in found)
    made = {name: np.stack([_padded(f[name], most) for f in found]) for name in found[0]}
    shape = [measured.sizes[name] for name in lanes]
    answer = xr.Dataset(
        {n: ((*lanes, "plateau"), v.reshape(*shape, most)) for n, v in made.items()},
        coords={n: measured.coords[n] for n in lanes if n in measured.coords},
    )
    return _told(answer)


def _axis(measured: xr.Dataset) -> str:
    axis = "step" if "step" in measured.dims else "time"
    if "loss" not in measured or axis not in measured.loss.dims:
        raise InputError(
            "plateaus are found in the loss over step or time, and the Dataset has "
            f"{', '.join(map(str, measured.data_vars)) or 'no variables'}; record "
            "dlnlab.observables.loss."
        )
    if measured.sizes[axis] < 6:
        raise InputError(
            f"plateaus need 5 moments after the start or more, and {measured.sizes[axis]} moments "
            "were recorded; take a denser schedule, logarithmic(400) say."
        )
    return axis


def _of_lane(lane: xr.Dataset, axis: str, prominence: float, least_fall: float) -> dict[str, Line]:
    times = np.asarray(lane["time"].values, dtype=float)
    loss = np.asarray(lane.loss.values, dtype=float)
    use = (times > 0) & np.isfinite(loss)
    # A lane that has arrived stands still, and the last of its moments says as much as all.
    changing = np.append(np.diff(loss) != 0, True)
    use &= changing | np.roll(changing, 1)
    times, loss = times[use], loss[use]
    logs = np.log(times)
    if "gradient_norm" in lane and axis == "time":
        norm = np.asarray(lane.gradient_norm.values, dtype=float)[use]
    else:
        norm = np.sqrt(np.maximum(-np.gradient(loss, logs) / times, 0))
    fall = times * norm**2
    peaks = _escapes(fall, loss, prominence)
    least = _levels(norm, peaks)
    while (little := -np.diff(loss[least]) <= least_fall * loss[least][:-1]).any():
        weakest = np.argmin(np.where(little, fall[peaks], np.inf))
        peaks = np.delete(peaks, weakest)
        least = _levels(norm, peaks)
    ends = _vertices(logs, fall, peaks)
    around = np.minimum(np.append(np.inf, fall[peaks]), np.append(fall[peaks], np.inf))
    return {
        "loss": loss[least],
        "time": times[least],
        "begin": np.append(times[0], ends),
        "end": np.append(ends, times[-1]),
        "rank": _ranks(lane, use)[least],
        "separation": fall[least] / around,
    }


def _levels(norm: Line, peaks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Indices of the least gradient norm before, between and after the peaks."""
    edges = np.concatenate([[0], peaks, [len(norm) - 1]])
    pairs = zip(edges, edges[1:], strict=False)
    return np.array([first + np.argmin(norm[first : last + 1]) for first, last in pairs])


def _escapes(fall: Line, loss: Line, prominence: float) -> np.ndarray[Any, Any]:
    """Indices of the maxima that stand out by a factor, above what the loss itself rounds to."""
    floor = 4096 * np.finfo(np.float64).eps * loss[0]
    height = np.log(np.maximum(fall, floor))
    peaks = argrelmax(np.concatenate([[-np.inf], height, [-np.inf]]))[0] - 1
    peaks = peaks[(peaks > 0) & (peaks < len(height) - 1) & (fall[peaks] > floor)]
    stands_out = peak_prominences(height, peaks)[0] >= np.log(prominence)
    return np.asarray(peaks[stands_out])


def _vertices(logs: Line, fall: Line, peaks: np.ndarray[Any, Any]) -> Line:
    """Times of the maxima of the parabolas through ln p at three neighbouring moments."""
    made = []
    for k in peaks:
        x, y = logs[k - 1 : k + 2] - logs[k], np.log(np.maximum(fall[k - 1 : k + 2], 1e-300))
        square, slope, _ = np.polyfit(x, y, 2)
        shift = -slope / (2 * square) if square < 0 else 0.0
        made.append(np.exp(logs[k] + np.clip(shift, x[0], x[2])))
    return np.array(made)


def _ranks(lane: xr.Dataset, use: np.ndarray[Any, Any]) -> Line:
    if "learned_rank" not in lane:
        return np.full(int(use.sum()), np.nan)
    return np.asarray(lane.learned_rank.values, dtype=float)[use]


def _padded(values: Line, most: int) -> Line:
    return np.concatenate([values, np.full(most - len(values), np.nan)])


def _told(answer: xr.Dataset) -> xr.Dataset:
    worst = float(answer.separation.max()) if answer.sizes["plateau"] else 0.0
    count = int((answer.separation > SEPARATED).sum())
    if count:
        answer.attrs["unseparated"] = (
            f"{count} plateau{'s do' if count > 1 else ' does'} not separate from a neighbouring "
            f"escape: in ln t the loss falls there at up to {worst:.2g} of the rate of the escape, "
            f"and {SEPARATED:g} is the most; "
            "take a smaller start, or targets further apart."
        )
    return answer


__all__ = ["SEPARATED", "plateaus"]
