"""Pathways with ReLU and GELU on handwritten digits: the edge holds for them too.

The setting of figure 7 with other non-linearities. At large steps the sharpness rises to 2/η and
stays there, as with tanh; how evenly the modes are divided hardly depends on the step size.
"""

import dataclasses
from typing import Any

import numpy as np
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.papers.kim2026 import fig3, fig7
from dlnlab.plotting import (
    COLORS,
    Figure,
    Line2D,
    at,
    legend_above,
    log_step_axis,
    panels,
    predicted_level,
)
from dlnlab.plotting import measured as measured_line

ACTIVATIONS = ("relu", "gelu")

EXPERIMENT = dataclasses.replace(
    fig7.EXPERIMENT,
    title="Two ReLU and GELU pathways on handwritten digits",
    time=600.0,
    coords={"activation": ACTIVATIONS, "learning_rate": (0.2, 1.5), "seed": tuple(range(4))},
)

CLAIMS = (
    Claim(
        "kim2026.9h",
        "With ReLU and GELU pathways on digits the sharpness at large steps ends at 2/η within "
        "15 % (the median over starts), while under small steps it stays below.",
        fig3.check_edge,
        ("L = 3, width 10, 200 digits, equal time 600",),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Sharpness in units of 2/η and the mean top share against time, a column for each φ."""
    names = np.atleast_1d(measured.activation.values)
    figure, axes = panels(2, names.size, height=3.7, sharey="row")
    lines: list[Line2D] = []
    for column, name in enumerate(names):
        one = at(measured, activation=name)
        lines = _column(axes[column], axes[names.size + column], one)
        axes[column].set_title({"relu": "ReLU", "gelu": "GELU"}.get(str(name), str(name)))
    axes[0].set_ylabel(r"sharpness $\lambda_{\max}\eta/2$")
    axes[names.size].set_ylabel("mean top share")
    legend_above(figure, lines)
    return figure


def _column(above: Any, below: Any, one: xr.Dataset) -> list[Line2D]:
    lines = []
    horizon = float(one.learning_rate.min()) * float(one.step[-1])
    top = one.shares.isel(mode=slice(0, fig7.LEARNED)).max("pathway").mean("mode")
    for color, rate in zip(COLORS, np.atleast_1d(one.learning_rate.values), strict=False):
        going = one.step.values * rate <= 1.001 * horizon
        for ax, values in ((above, one.sharpness * float(rate) / 2), (below, top)):
            lane = at(values, learning_rate=rate).isel(step=going)
            over = [dim for dim in lane.dims if dim != "step"]
            # A logarithmic axis has no place for time 0; the start is drawn at half a step.
            moments = np.maximum(lane.step.values, 0.5) * float(rate)
            line = measured_line(ax, moments, lane.mean(over), f"η = {rate:g}", color)
            ax.fill_between(
                moments, lane.min(over), lane.max(over), color=color, alpha=0.15, linewidth=0
            )
        lines.append(line)
    lines.append(predicted_level(above, 1.0, "2/η"))
    log_step_axis(above, "")
    log_step_axis(below, "time  η × step")
    return lines
