"""Which Gaussian starts redistribute, and which oscillate for ever, collapse or diverge?

Full matrices from random Gaussian starts, so that nothing is aligned or balanced. Step sizes are
given in units of a single path's edge 2/S. What decides is the trajectory's own: 2/λ, with λ the
sharpness of the minimum where gradient flow ends from the same start.
Below it nothing happens. In the window from there to 2/λ^min, beyond which no division of the top
mode is stable, runs hand the mode back between the pathways (or are already so near that less than
0.05 of it moves: "stuck"). Beyond, none comes to rest. With two layers there is no window: all
divisions are equally sharp.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent, Map, Optax, StochasticGradientDescent
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import square
from dlnlab.observables import flow_end_sharpness, loss, shares
from dlnlab.plotting import INK, Axes, Figure, at, panels, patches_above, swatch
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.statistics import OUTCOMES, Outcome
from dlnlab.tasks import Whitened
from dlnlab.theory.stability import flattest_edge, stability_edge
from dlnlab.typing import Any

Method = Literal["descent", "momentum", "batches"]

MOMENTUM, BATCH = 0.9, 64
DECAY = 0.5
"""Each mode of the target is half as strong as the one before: no direction is without signal,
where the flow would come to rest only like a power of time."""


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.2,
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 3,
    pathways: Annotated[int, Coordinate(least=1, most=64, symbol="H")] = 2,
    scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.05,
    dimension: Annotated[int, Coordinate(least=1, most=200, symbol="d")] = 3,
    dynamics: Method = "descent",
    seed: int = 0,
) -> Run:
    """Pathways of Gaussian matrices on diag(1, ½, ¼, …), at edge_ratio times a single path's edge.

    That edge is 2/S with S = L (s_1 = 1), under momentum β it is 2(1+β)/S. Entries have the
    standard deviation `scale^{1/L}/√d`, so that `scale` is the size of a pathway's product.
    `batches` draws 64 fresh samples at each step, without label noise.
    """
    strengths = DECAY ** jnp.arange(dimension)
    basis = (jnp.eye(dimension), jnp.eye(dimension))
    task = Whitened(jnp.diag(strengths), basis=basis)
    problem = Problem(square(dimension, (depth,) * pathways), task)
    start, noise = jax.random.split(jax.random.key(seed))
    std = scale ** (1 / depth) / dimension**0.5
    params = gaussian(problem.network, start, std=std)
    return Run(problem, _dynamics(dynamics, edge_ratio * 2 / depth), params, noise)


def _dynamics(name: Method, rate: Any) -> Map:
    if name == "momentum":
        return Optax(
            factory=optax.sgd,
            learning_rate=rate * (1 + MOMENTUM),
            options=(("momentum", MOMENTUM),),
        )
    if name == "batches":
        return StochasticGradientDescent(rate, batch_size=BATCH)
    return GradientDescent(rate)


EXPERIMENT = Experiment(
    build,
    title="Outcomes over random Gaussian starts",
    steps=3000,
    schedule=Schedule(),
    # The sharpness to some 1e-4 of itself, which is nothing against the width of a stratum.
    observe=(loss, shares, flow_end_sharpness.bind(rtol=1e-6, rest=1e-5)),
    statistics=(Outcome(),),
    coords={
        "depth": (2, 3, 5),
        "pathways": (2, 3),
        "edge_ratio": (0.8, 1.15, 1.3, 2.1),
        "seed": tuple(range(400)),
    },
    cites=("kim2026",),
)

FULL = {
    "depth": (2, 3, 4, 5, 8),
    "pathways": (2, 3, 4),
    "scale": (0.01, 0.05, 0.2),
    "edge_ratio": (0.8, 1.05, 1.15, 1.3, 1.6, 2.1),
    "seed": tuple(range(500)),
    "steps": 10_000,
}
"""135,000 runs of 10,000 steps."""

STRATA = ("below", "window", "beyond")
"""Step sizes below the own edge 2/λ, from there to 2/λ^min, and beyond."""


def strata(measured: xr.Dataset) -> xr.DataArray:
    """The stratum of each run, as an index into `STRATA`; −1 where the flow did not end."""
    ratio, edge = measured.edge_ratio, measured.flow_end_sharpness.isel(step=0) / measured.depth
    flattest = xr.zeros_like(measured.depth * measured.pathways, dtype=float)
    for depth in np.atleast_1d(measured.depth):
        for pathways in np.atleast_1d(measured.pathways):
            widest = flattest_edge((int(depth),) * int(pathways), 1.0)
            place = (measured.depth == depth) & (measured.pathways == pathways)
            flattest = flattest.where(~place, widest / stability_edge(1.0, int(depth)))
    found = xr.where(ratio * edge < 1, 0, xr.where(ratio < flattest, 1, 2))
    return found.where(edge.notnull(), -1).astype(int)


def fractions(measured: xr.Dataset, confidence: float = 0.95) -> xr.Dataset:
    """The fraction of each outcome in each cell, with Wilson's confidence interval.

    Cells are (depth, pathways, stratum); `count` is the number of runs of a cell.
    """
    kept = [name for name in ("depth", "pathways") if name in measured.dims]
    outcome, stratum = xr.broadcast(measured.outcome.isel(step=-1), strata(measured))
    over = [dim for dim in outcome.dims if dim not in kept]
    inside = xr.concat([stratum == k for k in range(len(STRATA))], "stratum")
    is_one = xr.concat([outcome == k for k in range(len(OUTCOMES))], "outcome")
    count, hits = inside.sum(over), (inside & is_one).sum(over)
    low, high = xr.apply_ufunc(
        lambda k, n: _interval(k, n, confidence),
        *xr.broadcast(hits, count),
        vectorize=True,
        output_core_dims=[[], []],
    )
    cells = {"fraction": hits / count, "low": low, "high": high, "count": count}
    return xr.Dataset(cells).assign_coords(stratum=list(STRATA), outcome=list(OUTCOMES))


def _interval(hits: int, count: int, confidence: float) -> tuple[float, float]:
    if count == 0:
        return np.nan, np.nan
    import scipy.stats

    found = scipy.stats.binomtest(int(hits), int(count)).proportion_ci(confidence, "wilson")
    return float(found.low), float(found.high)


ENOUGH = 30
"""Cells of fewer runs are not judged: chance puts a few strays into a stratum."""


def _judged(measured: xr.Dataset, stratum: str, names: tuple[str, ...]) -> tuple[Any, Any]:
    """Hits and counts of some outcomes in the cells of a stratum that hold enough runs."""
    found = fractions(measured).sel(stratum=stratum)
    count = found["count"]
    hits = (found.fraction * count).sel(outcome=list(names)).sum("outcome").round().astype(int)
    enough = (count >= ENOUGH).values
    return np.atleast_1d(hits.values[enough]), np.atleast_1d(count.values[enough])


def check_below(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least fraction, over cells, of runs below their own edge that never oscillated."""
    hits, counts = _judged(measured, "below", ("never_oscillated",))
    return Verdict.all_at_least(hits, counts, 0.9)


def check_window(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least fraction, over cells, of runs in the window that re-balanced, among L ≥ 3."""
    hits, counts = _judged(measured, "window", ("rebalanced",))
    return Verdict.all_at_least(hits, counts, 0.5)


def check_beyond(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least fraction, over cells, of runs beyond 2/λ^min that did not come to rest."""
    restless = ("oscillating", "collapsed", "diverged", "undecided")
    hits, counts = _judged(measured, "beyond", restless)
    return Verdict.all_at_least(hits, counts, 0.9)


def check_flatter(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of runs in the window whose flow's end is flatter at the end than at first."""
    ends = measured.flow_end_sharpness
    inside = (strata(measured) == STRATA.index("window")) & ends.isel(step=-1).notnull()
    flatter = inside & (ends.isel(step=-1) < ends.isel(step=0))
    return Verdict.all_at_least([int(flatter.sum())], [int(inside.sum())], 0.95)


GAUSSIAN = "Gaussian matrices, end-to-end scale 0.05, target diag(1, ½, ¼)"
CLAIMS = (
    Claim(
        "kim2026.9",
        "From random Gaussian starts, in the window between 2/λ of the own flow end and 2/λ^min, "
        "most runs re-balance, in every cell of depth and number of pathways.",
        check_window,
        (GAUSSIAN, "L ≥ 3", "cells of 30 runs or more"),
        statistical=True,
    ),
    Claim(
        "kim2026.9a",
        "Below the edge of their own flow end at least nine in ten runs never oscillate.",
        check_below,
        (GAUSSIAN, "cells of 30 runs or more"),
        statistical=True,
    ),
    Claim(
        "kim2026.9b",
        "Beyond 2/λ^min at least nine in ten runs do not come to rest: they oscillate, collapse or "
        "diverge.",
        check_beyond,
        (GAUSSIAN, "cells of 30 runs or more"),
        statistical=True,
    ),
    Claim(
        "kim2026.9c",
        "In the window at least 95 % of runs move to flatter minima: the flow's end point from the "
        "last iterate is less sharp than that from the first.",
        check_flatter,
        (GAUSSIAN,),
        statistical=True,
    ),
)

OUTCOME_COLORS = {
    "rebalanced": "#009e73",
    "stuck": "#56b4e9",
    "never_oscillated": "#e4e7eb",
    "undecided": "#b6bcc4",
    "oscillating": "#d55e00",
    "collapsed": "#7a5195",
    "diverged": "#1f2328",
}
"""From the ground up: re-balanced stands on the axis, where its fraction can be read."""

TITLES = (
    r"below: $\eta < 2/\lambda$",
    r"window: $2/\lambda < \eta < 2/\lambda^{\min}$",
    r"beyond: $\eta > 2/\lambda^{\min}$",
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Stacked fractions of outcomes: a panel for each stratum, a bar for each depth and number of
    pathways with its number of runs; whiskers are 95 % intervals of the re-balanced."""
    found = fractions(measured)
    cells = [(d, h) for d in np.atleast_1d(found.depth) for h in np.atleast_1d(found.pathways)]
    figure, axes = panels(1, len(STRATA), height=2.5, sharey=True)
    for ax, stratum in zip(axes, STRATA, strict=True):
        _bars(ax, found.sel(stratum=stratum), cells)
    for ax, title in zip(axes, TITLES, strict=True):
        ax.set_title(title)
    axes[0].set_ylabel("fraction of runs")
    handles = [swatch(name.replace("_", " "), color) for name, color in OUTCOME_COLORS.items()]
    patches_above(figure, handles)
    return figure


def _bars(ax: Axes, found: xr.Dataset, cells: list[tuple[int, int]]) -> None:
    for place, (depth, pathways) in enumerate(cells):
        cell = at(found, depth=depth, pathways=pathways)
        if cell["count"] == 0:
            ax.text(place, 0.5, "none", ha="center", va="center", fontsize=6.5, rotation=90)
            continue
        bottom = 0.0
        for name, color in OUTCOME_COLORS.items():
            one = cell.sel(outcome=name)
            height = float(one.fraction)
            ax.bar(place, height, bottom=bottom, color=color, width=0.8, zorder=2)
            if name == "rebalanced" and height > 0.02:
                spread = [[height - float(one.low)], [float(one.high) - height]]
                ax.errorbar(place, bottom + height, spread, color=INK, capsize=2, lw=0.8, zorder=3)
            bottom += height
        ax.text(place, 1.01, str(int(cell["count"])), ha="center", va="bottom", fontsize=6)
    ax.set_xticks(range(len(cells)), [f"{d}·{h}" for d, h in cells])
    ax.set_xlabel("depth L · pathways H")
    ax.set(xlim=(-0.6, len(cells) - 0.4), ylim=(0, 1.08))
