"""Where periods double, against the depth: in units of 1/S hardly anything depends on it.

One balanced mode at ηS from 1.96 to 2.66, for depths from 2 to 1,000. The minimum becomes unstable
at ηS = 2; the 2-cycle gives way to a 4-cycle at 2(√5−1) = 2.472 for two layers, at 2.489 for three
and towards 2.503 for many; the gaps of the further doublings shrink by Feigenbaum's 4.669 at every
depth.
"""

from typing import Annotated

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.ghosh2025 import orbit_diagram
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, edge_line, legend_above, panels
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.theory.orbits import doubling_edges
from dlnlab.typing import Any


def build(
    scaled_rate: Annotated[float, Coordinate(above=0, symbol="ηS")] = 2.2,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    start: Annotated[float, Coordinate(above=0, below=1, symbol="α/s")] = 0.5,
) -> Run:
    """One balanced mode of strength 1 at η = scaled_rate/S, S = L, from the end-to-end value α."""
    return orbit_diagram.build(scaled_rate / depth, depth, (1.0,), start)


def _unit(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """A target with S = 1: its step sizes are ηS."""
    depth = coords["depth"]
    return {"depth": depth, "target": float(depth ** (-depth / (2 * depth - 2)))}


EXPERIMENT = Experiment(
    build,
    title="The doublings of the period against the depth",
    steps=20_000,
    schedule=last(orbit_diagram.KEPT - 1),
    observe=(mode_values,),
    predictions=(Bound(doubling_edges, _unit),),
    coords={
        "scaled_rate": tuple(np.linspace(1.96, 2.66, 701).tolist()),
        "depth": (2, 3, 4, 6, 10, 1000),
    },
    cites=("ghosh2025",),
)

INTERACTIVE = ("mode_values",)
COUNT = 4
"""Doublings that these step sizes resolve."""


def found_doublings(measured: xr.Dataset) -> np.ndarray[Any, Any]:
    """ηS at each doubling, from the orbits alone [depth, doubling]."""
    lanes = measured.sortby(["scaled_rate", "depth"]).mode_values.isel(
        pathway=0, mode=0, step=slice(-orbit_diagram.KEPT, None)
    )
    orbits = lanes.transpose("depth", "scaled_rate", "step").values
    rates = lanes.scaled_rate.values
    return np.array([orbit_diagram.found_doublings(rates, orbit, COUNT) for orbit in orbits])


def _theory(predicted: xr.Dataset) -> np.ndarray[Any, Any]:
    said = predicted.sortby("depth").doubling_edges.isel(scaled_rate=0)
    return np.asarray(said.transpose("depth", "doubling"))[:, :COUNT]


def check_doublings(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative distance of the doublings found from theory's."""
    error = np.abs(found_doublings(measured) / _theory(predicted) - 1)
    return Verdict.at_most(error.max(), 1e-5, sample_size=error.size)


def check_two_layers(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the end of the 2-cycle at two layers is from 2(√5−1)."""
    two = np.sort(measured.depth.values) == 2
    found = found_doublings(measured)[two, 1]
    error = np.abs(found / (2 * np.sqrt(5) - 2) - 1)
    worst = error.max() if error.size else np.nan
    return Verdict.at_most(worst, 1e-5, sample_size=found.size)


def check_depth(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least rise of the end of the 2-cycle from one depth to the next; NaN beyond 2.5033."""
    ends = found_doublings(measured)[:, 1]
    rise = np.diff(ends)
    within = bool(rise.size and ends.max() < 2.50335)
    return Verdict.at_least(rise.min() if within else np.nan, 0.0, sample_size=ends.size)


def check_ratios(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The ratio of the last gaps that is farthest from Feigenbaum's, relative to it."""
    gaps = np.diff(found_doublings(measured), axis=1)
    error = np.abs(gaps[:, -2] / gaps[:, -1] / orbit_diagram.FEIGENBAUM - 1)
    return Verdict.at_most(error.max(), 0.02, sample_size=len(error))


SETTING = ("one aligned, depth-balanced chain", "L from 2 to 1,000")
CLAIMS = (
    Claim(
        "ghosh2025.3f",
        "At every depth the period doubles where theory's cycle has multiplier −1: four doublings "
        "found from the orbits alone within 1e-5.",
        check_doublings,
        SETTING,
    ),
    Claim(
        "ghosh2025.3g",
        "The 2-cycle gives way to a 4-cycle at ηS = 2(√5−1) for two layers, within 1e-5.",
        check_two_layers,
        ("one aligned, depth-balanced chain",),
    ),
    Claim(
        "ghosh2025.3h",
        "For deeper chains that is later, the later the deeper, and before ηS = 2.5034.",
        check_depth,
        SETTING,
    ),
    Claim(
        "ghosh2025.3i",
        "The ratio of the second gap between doublings to the third is Feigenbaum's 4.669 within "
        "2 % at every depth.",
        check_ratios,
        SETTING,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """ηS at the doublings against the depth, and the ratios of the gaps between them."""
    figure, (left, right) = panels(1, 2, height=2.6)
    depth = np.sort(np.atleast_1d(measured.depth.values))
    found, theory = found_doublings(measured), _theory(predicted)
    lines = [
        _dots(left, depth, found[:, n], theory[:, n], f"{2**n} to {2 ** (n + 1)}", COLORS[n])
        for n in range(COUNT)
    ]
    gaps, expected = np.diff(found, axis=1), np.diff(theory, axis=1)
    for n in range(COUNT - 2):
        made, said = (g[:, n] / g[:, n + 1] for g in (gaps, expected))
        _dots(right, depth, made, said, "", COLORS[n + 1])
    edge_line(right, orbit_diagram.FEIGENBAUM, "Feigenbaum's constant")
    left.set(ylabel="ηS where the period doubles", ylim=(1.95, 2.72))
    right.set(ylabel="ratio of successive gaps", ylim=(4.2, 4.75))
    for ax in (left, right):
        ax.set(xlabel="depth L", xscale="log")
        ax.set_xticks(depth, [f"{d:,}" for d in depth])
        ax.set_xticks([], minor=True)
    legend_above(figure, [*lines, predicted_line(left, [], [], "theory: multiplier −1")])
    return figure


def _dots(ax: Axes, depth: Any, found: Any, theory: Any, label: str, color: str) -> Line2D:
    (dots,) = ax.plot(depth, found, "o", markersize=3.5, color=color, label=label)
    predicted_line(ax, depth, theory)
    return dots
