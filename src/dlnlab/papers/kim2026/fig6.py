"""The map of one layer value, for several step sizes and depths.

f_η(w) = w − η w^{L−1}(w^L − s) with its highest point (c, f(c)) and the next, (f(c), f(f(c))).
The step from which f(f(c)) = 0 is η_WCR = γ(L)/S; γ grows from 3√3 − 2 at L = 2 like twice
Lambert's W of 2L.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound
from dlnlab.papers.kim2026 import fig5
from dlnlab.plotting import COLORS, FAINT, Axes, Figure, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.theory.stability import map_value, return_path, worst_case_return_constant

DEPTHS = (2, 3, 5, 20)
EXPERIMENT = dataclasses.replace(
    fig5.EXPERIMENT,
    title="The map of a layer value",
    predictions=(Bound(map_value, fig5.map_arguments),),
    coords={
        "edge_ratio": (0.5, 1.0, 1.5, worst_case_return_constant(3) / 2, 2.0),
        "start": tuple(np.linspace(0.005, 1.3, 260).tolist()),
        "depth": DEPTHS,
    },
)


def check_map(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """One step of the simulated chain against the map, at every start, step size and depth."""
    error = abs(measured.layer_value.isel(step=1) - predicted.map_value)
    scale = 1 + abs(predicted.map_value)
    return Verdict.at_most(float((error / scale).max()), 1e-13, sample_size=error.size)


def check_top(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """At L = 3 and η = γ(3)/S the highest point of the map is sent to zero."""
    at_return = measured.sel(
        edge_ratio=worst_case_return_constant(3) / 2, depth=3, method="nearest"
    )
    inside = at_return.where(at_return.start < 1, drop=True).layer_value
    top = int(np.argmax(inside.isel(step=1).values))
    spacing = float(at_return.start.diff("start").max())
    # About its top the map is quadratic, so a start δ/2 away is sent lower by O(δ²) at most; the
    # second step multiplies that by the slope there, of order 2L.
    return Verdict.at_most(
        abs(float(inside.isel(step=2, start=top))),
        50 * spacing**2,
        sample_size=inside.sizes["start"],
    )


INTERACTIVE = ("layer_value@1", "loss")

CLAIMS = (
    Claim(
        "kim2026.7a",
        "A step of gradient descent on a balanced chain is f_η(w) = w − η w^{L−1}(w^L − s).",
        check_map,
        ("one aligned, depth-balanced chain",),
    ),
    Claim(
        "kim2026.7b",
        "At η = γ(3)/S the highest point of the map returns to exactly zero.",
        check_top,
        ("one aligned, depth-balanced chain",),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """f_η against w, a panel for each depth, a curve for each step size."""
    depths = np.atleast_1d(measured.depth.values)
    figure, axes = panels(1, depths.size, height=2.6, sharey=True)
    for ax, depth in zip(axes, depths, strict=True):
        _maps(ax, measured.sel(depth=depth), predicted.sel(depth=depth), int(depth))
        ax.set(title=f"L = {depth}", xlabel="layer value w", xlim=(0, 1.3), ylim=(-0.5, 1.65))
    axes[0].set_ylabel(r"after one step, $f_\eta(w)$")
    lines = [line for line in axes[0].get_lines() if not str(line.get_label()).startswith("_")]
    legend_above(figure, lines, columns=4)
    return figure


def _maps(ax: Axes, lanes: xr.Dataset, theory: xr.Dataset, depth: int) -> None:
    ax.plot([0, 1.3], [0, 1.3], color=FAINT, linewidth=0.7)
    ax.axhline(0, color=FAINT, linewidth=0.7)
    for k, ratio in enumerate(lanes.edge_ratio.values):
        color, x = COLORS[k % len(COLORS)], lanes.start.values
        curve = lanes.layer_value.isel(step=1).sel(edge_ratio=ratio)
        measured_line(ax, x, curve, f"ηS/2 = {ratio:.3g}", color)
        label = "theory" if k == 0 else ""
        predicted_line(ax, x, theory.map_value.sel(edge_ratio=ratio), label)
        if ratio > 0.5:
            top = return_path(ratio * 2 / depth, 1.0, depth)
            ax.plot(
                [top.argmax, top.highest],
                [top.highest, top.returned],
                "o",
                markersize=3,
                color=color,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=4,
                label="(c, f(c)) and (f(c), f(f(c)))" if k == 1 else "",
            )
