"""Mini-batches and momentum beside descent, each against its own edge.

The ensemble of full matrices from Gaussian starts at L = 3, with three dynamics. Descent and
mini-batches of 64 fresh samples have the edge 2/S, momentum β = 0.9 has 2(1+β)/S. Batches do as
descent does. Momentum does not wait for its edge: its inertia carries it past the minimum at a
tenth of it, where it is underdamped, so that it divides the mode more evenly there; and long
before the edge, from half of it on, most runs overshoot into divergence.
"""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.observables import loss, shares
from dlnlab.papers.kim2026 import ensemble
from dlnlab.plotting import COLORS, Figure, at, edge_line, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.statistics import OUTCOMES

DYNAMICS = ("descent", "batches", "momentum")

EXPERIMENT = dataclasses.replace(
    ensemble.EXPERIMENT,
    title="Mini-batches and momentum beside descent",
    observe=(loss, shares),
    coords={
        "dynamics": DYNAMICS,
        "edge_ratio": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.95, 1.05, 1.15, 1.2),
        "seed": tuple(range(80)),
    },
)

FULL = {
    "dynamics": DYNAMICS,
    "depth": (2, 3, 5),
    "edge_ratio": tuple(np.linspace(0.05, 2.0, 40).round(3).tolist()),
    "seed": tuple(range(400)),
}
"""144,000 runs of 3,000 steps."""


def top_share(measured: xr.Dataset) -> xr.DataArray:
    """The largest share in the leading mode at the end; NaN where the run diverged."""
    return measured.shares.isel(step=-1, mode=0).max("pathway")


def _fall(measured: xr.Dataset, one: dict[str, Any], other: dict[str, Any]) -> Any:
    """How much lower the top share of `other` is, start by start, where both are finite."""
    top = top_share(measured)
    fall = top.sel(one) - top.sel(other)
    return fall.values.ravel()[np.isfinite(fall.values.ravel())]


def check_batches(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean fall of the top share under batches, from below the edge to the window."""
    below = {"dynamics": "batches", "edge_ratio": 0.8}
    return Verdict.mean_at_least(_fall(measured, below, {**below, "edge_ratio": 1.15}), 0.02)


def check_descent(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same under descent on the whole loss."""
    below = {"dynamics": "descent", "edge_ratio": 0.8}
    return Verdict.mean_at_least(_fall(measured, below, {**below, "edge_ratio": 1.15}), 0.02)


def check_momentum(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How much lower momentum leaves the top share than descent, both at 0.3 of their edge."""
    descent = {"dynamics": "descent", "edge_ratio": 0.3}
    return Verdict.mean_at_least(_fall(measured, descent, {**descent, "dynamics": "momentum"}), 0.0)


def check_divergence(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of runs with momentum that diverge at 0.8 of its edge."""
    lost = measured.outcome.isel(step=-1).sel(dynamics="momentum", edge_ratio=0.8)
    hits = int((lost == OUTCOMES.index("diverged")).sum())
    return Verdict.all_at_least([hits], [lost.size], 0.5)


SETTING = (ensemble.GAUSSIAN, "L = 3, two pathways")
CLAIMS = (
    Claim(
        "kim2026.9i",
        "Descent leaves the top share of the same start lower at 1.15 · 2/S than at 0.8 · 2/S, by "
        "more than 0.02 in the mean.",
        check_descent,
        SETTING,
        statistical=True,
    ),
    Claim(
        "kim2026.9j",
        "So do mini-batches of 64 fresh samples without label noise.",
        check_batches,
        SETTING,
        statistical=True,
    ),
    Claim(
        "kim2026.9k",
        "Momentum 0.9 divides the mode more evenly than descent already at 0.3 of its edge "
        "2(1+β)/S.",
        check_momentum,
        SETTING,
        statistical=True,
    ),
    Claim(
        "kim2026.9l",
        "At 0.8 of that edge most runs with momentum 0.9 diverge.",
        check_divergence,
        SETTING,
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Final top share, and fraction of runs lost, against the step size over the own edge."""
    figure, (left, right) = panels(1, 2, height=2.4)
    ratio = np.atleast_1d(measured.edge_ratio)
    lines = []
    for color, name in zip(COLORS, np.atleast_1d(measured.dynamics.values), strict=False):
        one = at(measured, dynamics=name)
        over = [dim for dim in one.dims if dim in ("seed", "depth", "pathways", "scale")]
        top = top_share(one)
        count = np.maximum(top.notnull().sum(over), 1)
        spread = 1.96 * top.std(over) / np.sqrt(count)
        mean = np.atleast_1d(top.mean(over))
        lines.append(measured_line(left, ratio, mean, str(name), color))
        low, high = (np.atleast_1d(top.mean(over) + sign * spread) for sign in (-1, 1))
        left.fill_between(ratio, low, high, color=color, alpha=0.2, linewidth=0)
        lost = one.outcome.isel(step=-1) == OUTCOMES.index("diverged")
        measured_line(right, ratio, np.atleast_1d(lost.mean(over)), "", color)
    left.set(ylabel="final top share (mean, 95 %)", ylim=(0.5, 1.0))
    right.set(ylabel="fraction diverged", ylim=(-0.03, 1.13))
    for ax in (left, right):
        ax.set_xlabel("step size over the own edge")
        edge_line(ax, 1.0, "edge", vertical=True)
    legend_above(figure, lines)
    return figure
