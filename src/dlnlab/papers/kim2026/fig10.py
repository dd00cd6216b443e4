"""Three pathways on the triangle of their shares, over the sharpness of the minima.

Each division of a mode between three pathways is a point of a triangle: corners are single paths,
the centre is equal shares, where the minimum is flattest. Below 2/S descent goes the way of the
flow towards a corner. Where the flow's end is sharper than 2/η it oscillates there, turns back
and stops on the contour λ = 2/η; at η = 2/λ^min that contour has shrunk to the centre. What is
drawn are the shares σ_h/Σσ (the sum oscillates, and starts near zero), in the coordinates
u = (σ_2−σ_1)/√2, v = (2σ_3−σ_1−σ_2)/√6. The centre is approached like 1/√t: 1.4 % of a third off
after 20,000 steps, 0.7 % after 80,000.
"""

from typing import Annotated

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import loss, mode_values, shares
from dlnlab.papers.kim2026 import fig1
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, Line2D, at, legend_above, panels
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import Outcome
from dlnlab.theory.modes import flow_endpoint
from dlnlab.theory.stability import edge_sharpness, flattest_edge, stability_edge
from dlnlab.typing import Any, Array

PATHWAYS = 3


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.5,
    depth: Annotated[int, Coordinate(least=3, most=1000, symbol="L")] = 5,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        0.03,
        0.02,
        0.01,
    ),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """One mode and three pathways that start at α_h, at η = edge_ratio · 2/S."""
    if len(alphas) != PATHWAYS:
        raise InputError(
            f"alphas has {len(alphas)} values and a triangle has 3 corners; give three, say "
            "--alphas 0.03,0.02,0.01."
        )
    return fig1.build(_rate(edge_ratio, depth, target), depth, PATHWAYS, alphas, target, 1)


def _rate(edge_ratio: Any, depth: int, target: Any) -> Any:
    return edge_ratio * 2 / (depth * target ** (2 - 2 / depth))


def _edge_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"learning_rate": _rate(coords["edge_ratio"], coords["depth"], coords["target"])}


def _pathway_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depths": (coords["depth"],) * PATHWAYS, "target": coords["target"]}


def _flow_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"starts": coords["alphas"], **_pathway_arguments(coords, measured)}


FLATTEST = PATHWAYS ** (1 - 2 / 5)
"""2/λ^min in units of 2/S at depth 5: λ^min = H^{2/L−1} S."""

EXPERIMENT = Experiment(
    build,
    title="Three pathways on the triangle of their shares",
    steps=80_000,
    schedule=linear(101) | logarithmic(240),
    observe=(loss, mode_values, shares),
    statistics=(Outcome(),),
    predictions=(
        Bound(edge_sharpness, _edge_arguments),
        Bound(stability_edge),
        Bound(flattest_edge, _pathway_arguments),
        Bound(flow_endpoint, _flow_arguments),
    ),
    coords={"edge_ratio": (0.8, 1.5, FLATTEST)},
    cites=("kim2026",),
)


def check_thirds(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the shares are from thirds at η = 2/λ^min, in units of a third; below it they are
    at least a tenth of a third away."""
    apart = abs(PATHWAYS * measured.shares.isel(step=-1, mode=0) - 1).max("pathway")
    reached = 2 / predicted.edge_sharpness >= predicted.flattest_edge * (1 - 1e-9)
    at, below = apart.where(reached, drop=True), apart.where(~reached, drop=True)
    only_there = below.size > 0 and float(below.min()) > 0.1
    return Verdict.at_most(
        float(at.max()) if at.size and only_there else np.nan, 0.01, sample_size=apart.size
    )


CLAIMS = (
    Claim(
        "kim2026.5d",
        "With three pathways at η = 2/λ^min the shares end within 1 % of thirds, and at no "
        "smaller step.",
        check_thirds,
        (fig1.ALIGNED, "80,000 steps"),
    ),
)


def plane(shares_of: Any) -> tuple[Any, Any]:
    """The coordinates (u, v) of shares, the pathways on the last axis."""
    first, second, third = np.moveaxis(np.asarray(shares_of), -1, 0)
    return (second - first) / np.sqrt(2), (2 * third - first - second) / np.sqrt(6)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The runs on the triangle of shares, a panel for each step size."""
    ratios = np.atleast_1d(measured.edge_ratio.values)
    figure, axes = panels(1, ratios.size, height=2.7, sharey=True)
    lines: list[Line2D] = []
    for ax, ratio in zip(axes, ratios, strict=True):
        lane, theory = at(measured, edge_ratio=ratio), at(predicted, edge_ratio=ratio)
        shade = _minima(ax, theory)
        lines = max(lines, _path(ax, lane, theory), key=len)
        ax.set_title(f"η = {ratio:.3g} · 2/S")
        ax.set_xlabel(r"$u = (\sigma_2-\sigma_1)/\sqrt{2}$")
    axes[0].set_ylabel(r"$v = (2\sigma_3-\sigma_1-\sigma_2)/\sqrt{6}$")
    bar = figure.colorbar(shade, ax=axes, shrink=0.8, pad=0.01, format="%.1f")
    bar.set_label(r"sharpness $\lambda$ of the minimum", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    legend_above(figure, lines)
    return figure


def _minima(ax: Axes, theory: xr.Dataset) -> Any:
    """The triangle: sharpness S Σ_h x_h^p of the shares x in grey, the contour λ = 2/η dashed."""
    top, least = 2 / float(theory.stability_edge), 2 / float(theory.flattest_edge)
    power = 1 + np.log(top / least) / np.log(PATHWAYS)  # of λ^min = H^{1−p} S, p = 2 − 2/L
    across, up = np.meshgrid(np.linspace(-0.75, 0.75, 301), np.linspace(-0.45, 0.85, 261))
    third = (1 + np.sqrt(6) * up) / 3
    second = (1 - third + np.sqrt(2) * across) / 2
    every = np.stack([1 - third - second, second, third])
    sharp = top * (np.clip(every, 0, None) ** power).sum(axis=0)
    inside = np.where((every < -1e-9).any(axis=0), np.nan, sharp)
    levels, edge = np.linspace(least, top, 9), float(theory.edge_sharpness)
    shade = ax.contourf(across, up, inside, levels=levels, cmap="Greys", alpha=0.55)
    shade.set_rasterized(True)  # as paths it makes the picture a megabyte
    if least * (1 + 1e-9) < edge < top:
        ax.contour(across, up, inside, levels=[edge], colors=INK, linewidths=1, linestyles="--")
    corners = plane(np.eye(PATHWAYS)[[0, 1, 2, 0]])
    ax.plot(*corners, color=FAINT, linewidth=0.8)
    ax.set(xlim=(-0.85, 0.85), ylim=(-0.56, 0.95), aspect="equal")
    for number, (x, y) in enumerate(zip(*plane(np.eye(PATHWAYS)), strict=True)):
        ax.annotate(
            rf"$\sigma_{number + 1}$",
            (x, y),
            (0, 3 if number == 2 else -9),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    return shade


def _path(ax: Axes, lane: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    u, v = plane(lane.shares.isel(mode=0).transpose("step", "pathway").values)
    (run,) = ax.plot(u, v, color=COLORS[0], linewidth=1.2, label="descent", zorder=3)
    (start,) = ax.plot(*_point(u, v, 0), "o", markersize=3.5, color=COLORS[0], label="start")
    (end,) = ax.plot(*_point(u, v, -1), "x", color=COLORS[1], markersize=6, label="end", zorder=5)
    flow = theory.flow_endpoint.values
    (goal,) = ax.plot(
        *(np.atleast_1d(x) for x in plane(flow / flow.sum())),
        "o",
        markersize=6,
        markerfacecolor="none",
        color=INK,
        label="predicted end of the flow",
        zorder=4,
    )
    (edge,) = ax.plot(
        [], [], color=INK, linewidth=1, linestyle="--", label=r"predicted $\lambda = 2/\eta$"
    )
    return [run, start, end, goal, edge]


def _point(u: Array, v: Array, place: int) -> tuple[list[float], list[float]]:
    return [float(u[place])], [float(v[place])]
