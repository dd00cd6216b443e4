"""The same runs in the plane of the two pathways, over the sharpness of the minima.

Minima lie on the line σ_1 + σ_2 = s; along it the sharpness Σ_h L σ_h^{2−2/L} is least at equal
shares. Gradient flow follows its conserved z to the corner; large steps push the run along the
line until λ = 2/η.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.papers.kim2026 import fig1
from dlnlab.plotting import COLORS, INK, Axes, Figure, Line2D, legend_above, panels
from dlnlab.theory.modes import flow_constant
from dlnlab.typing import Any

EXPERIMENT = dataclasses.replace(
    fig1.EXPERIMENT,
    title="Two pathways in their plane, over the sharpness of the minima",
    observe=tuple(
        o for o in fig1.EXPERIMENT.observe if o.name in {"loss", "mode_values", "shares"}
    ),
    coords={"learning_rate": (0.05, 0.12, 0.15, fig1.FLATTEST_EDGE)},
)


def check_order(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """From one step size to the next larger the end is less one-sided; by how much at least."""
    top = measured.shares.isel(step=-1, mode=0).max("pathway").sortby("learning_rate")
    least = float(-top.diff("learning_rate").max()) if top.size > 1 else np.nan
    return Verdict.at_least(least, 0.01, sample_size=top.size)


CLAIMS = (
    Claim(
        "kim2026.5c",
        "The larger the step size, up to 2/λ^min, the more equal the shares that are left.",
        check_order,
        (fig1.ALIGNED,),
    ),
)


DEPTH, ALPHAS, TARGET = 20, (0.02, 0.01), 1.0


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The runs in the plane (σ_1, σ_2), a panel for each step size."""
    rates = np.atleast_1d(measured.learning_rate.values)
    figure, axes = panels(1, rates.size, height=2.4, sharey=True)
    shades = [_sharpness(ax) for ax in axes]
    for ax, rate in zip(axes, rates, strict=True):
        lines = _path(ax, measured.sel(learning_rate=rate), predicted.sel(learning_rate=rate))
        ax.set_title(f"η = {rate:.4g}")
        ax.set_xlabel(r"$\sigma_1$")
        ax.set_aspect("equal")
    axes[0].set_ylabel(r"$\sigma_2$")
    bar = figure.colorbar(shades[0], ax=axes, shrink=0.8, pad=0.01)
    bar.set_label(r"sharpness $\Sigma_h L\,\sigma_h^{2-2/L}$", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    legend_above(figure, lines)
    return figure


def _sharpness(ax: Axes) -> Any:
    grid = np.linspace(0, 1.25, 251)
    first, second = np.meshgrid(grid, grid)
    power = 2 - 2 / DEPTH
    sharpness = DEPTH * (first**power + second**power)
    shade = ax.contourf(
        first, second, sharpness, levels=np.arange(0, 61, 4), cmap="Greys", alpha=0.55
    )
    shade.set_rasterized(True)  # as paths it makes the picture a megabyte
    return shade


def _path(ax: Axes, lane: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    first, second = lane.mode_values.isel(mode=0).values.T
    ax.plot([0, TARGET], [TARGET, 0], color=INK, linewidth=0.7, zorder=1)
    (run,) = ax.plot(
        first,
        second,
        color=COLORS[0],
        linewidth=0.9,
        marker=".",
        markersize=2,
        label="descent (at the recorded steps)",
        zorder=2,
    )
    (flow,) = ax.plot(
        *_flow_path(),
        color=INK,
        linewidth=1,
        linestyle=(0, (4, 2.2)),
        label="gradient flow, from z",
        zorder=3,
    )
    end = np.asarray(theory.edge_split)
    (edge,) = ax.plot(
        *end,
        marker="o",
        markersize=6,
        markerfacecolor="none",
        linestyle="none",
        color=COLORS[1],
        label="predicted end, λ = 2/η",
        zorder=4,
    )
    (last,) = ax.plot(
        first[-1],
        second[-1],
        marker="x",
        markersize=5,
        linestyle="none",
        color=COLORS[0],
        label="end of the run",
        zorder=5,
    )
    ax.set(xlim=(0, 1.25), ylim=(0, 1.25))
    return [run, flow, edge, last]


def _flow_path() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """σ_2 as a function of σ_1 along the flow: F(w_1) − F(w_2) stays what it was."""
    first = np.geomspace(ALPHAS[0], 0.9774, 300)
    layers = [np.asarray(alpha) ** (1 / DEPTH) for alpha in ALPHAS]
    start = flow_constant(layers[0], DEPTH) - flow_constant(layers[1], DEPTH)
    charge = flow_constant(first ** (1 / DEPTH), DEPTH) - start
    second = ((2 - DEPTH) * charge) ** (DEPTH / (2 - DEPTH))
    return first, second
