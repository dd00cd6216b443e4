"""The step size at which the edge is met, against the depth: it falls for strong targets only.

Each mark is the largest step size of a fine sweep at which a run from the paper's start comes to
rest. That is 2/S, S = L s^{2−2/L}, and not 2/λ at the end of the flow, for descent balances the
layers first. As a function of L, S is least at L = −2 ln s: deeper is sharper for s > e^{−L/2},
exactly so for a continuous L, and from L layers to L + 1 for s > (1 + 1/L)^{−L(L+1)/2}, which lies
between e^{−(L+1)/2} and e^{−L/2}. For a weaker target the deeper network is the flatter one, and
the shallow one meets the edge first.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound
from dlnlab.observables import loss
from dlnlab.papers.ghosh2025 import depth
from dlnlab.plotting import COLORS, Figure, at, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.schedule import last
from dlnlab.theory.stability import stability_edge

RATIO = 1.025
"""From one step size of the sweep to the next."""

RATES = tuple((0.2 * RATIO ** np.arange(264)).tolist())


EXPERIMENT = dataclasses.replace(
    depth.EXPERIMENT,
    title="The step size at which the edge is met, against depth",
    steps=2500,
    schedule=last(1),
    observe=(loss,),
    predictions=(Bound(stability_edge),),
    coords={
        "learning_rate": RATES,
        "depth": (2, 3, 4, 6, 8),
        "target": (1.0, 0.33, 0.27, 0.03),
    },
)

INTERACTIVE = ("loss",)


def edges(measured: xr.Dataset) -> xr.DataArray:
    """The largest step size at which a run comes to rest [depth, target]; NaN if the last does."""
    rates = measured.learning_rate
    largest = rates.where(depth.settled(measured)).max("learning_rate")
    return largest.where(largest < rates.max())


def _theory(predicted: xr.Dataset) -> xr.DataArray:
    """2/S [depth, target]."""
    return predicted.stability_edge.isel(learning_rate=0)


def equally_sharp_target(layers: float) -> float:
    """The target at which `layers` and one more have equally sharp minima.

    `L s^{2−2/L} = (L+1) s^{2−2/(L+1)}`: `s = (1 + 1/L)^{−L(L+1)/2}`.
    """
    return float((1 + 1 / layers) ** (-layers * (layers + 1) / 2))


def check_edges(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error of the edge that runs meet."""
    error = abs(edges(measured) / _theory(predicted) - 1)
    return Verdict.at_most(float(error.max(skipna=False)), 2 * (RATIO - 1), sample_size=error.size)


def check_deeper(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least fall of the edge, relative, from a depth to the next where s > e^{−L/2}, L the
    smaller of the two."""
    found = edges(measured).sortby("depth")
    change = xr.ufuncs.log(found).diff("depth", label="lower")
    strong = change.target > np.exp(-change.depth / 2)
    falls = -change.where(strong)
    counted = int(strong.sum())
    least = float(falls.min()) if counted and not (strong & change.isnull()).any() else np.nan
    return Verdict.at_least(least, np.log(RATIO) / 2, sample_size=counted)


def check_flatter(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least rise of the edge, relative, from a depth to the next where the last of the layers
    that are added still makes the minimum flatter."""
    found = edges(measured).sortby("depth")
    change = xr.ufuncs.log(found).diff("depth", label="upper")
    limits = [equally_sharp_target(float(upper) - 1) for upper in change.depth]
    weak = change.target < xr.DataArray(limits, coords={"depth": change.depth}, dims="depth")
    counted = int(weak.sum())
    least = float(change.where(weak).min()) if counted else np.nan
    return Verdict.at_least(least, np.log(RATIO) / 2, sample_size=counted)


START = ("one mode", "from W_L = 0 and W_l = αI, α half the minimum's layer value")
CLAIMS = (
    Claim(
        "ghosh2025.5d",
        "A run comes to rest up to η = 2/S, S = L s^{2−2/L}, at every depth and target (within two "
        "steps of the sweep, 5 %).",
        check_edges,
        START,
    ),
    Claim(
        "ghosh2025.5e",
        "Where s > e^{−L/2} a network deeper than L meets the edge at a smaller step size.",
        check_deeper,
        START,
    ),
    Claim(
        "ghosh2025.5f",
        "Where s < (1 + 1/L)^{−L(L+1)/2} the network of L + 1 layers, not that of L, is the "
        "flatter, and meets the edge at a larger step size.",
        check_flatter,
        START,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The edge over that of two layers against the depth, with 2/S for a continuous depth."""
    figure, (ax,) = panels(1, 1, height=2.8)
    depths, lines = np.atleast_1d(measured.depth), []
    between = np.linspace(depths.min(), depths.max(), 200)
    for k, target in enumerate(np.atleast_1d(measured.target)):
        found = np.atleast_1d(at(edges(measured), target=target)) * target  # 2/S = 1/s for two
        line = measured_line(ax, depths, found, f"s = {target:g}", COLORS[k % len(COLORS)])
        line.set(marker="o", markersize=3.5, linestyle="none")
        theory = predicted_line(ax, between, 2 / between * target ** (2 / between - 1), "2/S")
        lines.append(line)
    ax.set(yscale="log", xlabel="depth L", ylabel="step size at the edge, over L = 2")
    ax.set_xticks(depths, [str(d) for d in depths])
    ax.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
    ax.set_yticks([], minor=True)
    legend_above(figure, [*lines, theory], columns=3)
    return figure
