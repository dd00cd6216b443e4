"""What gradient flow conserves between two pathways, descent shrinks: seen at every single step.

Along the flow z = w_1^{2−L} − w_2^{2−L} stays what it was. A step of descent multiplies each
difference of w^{2−L} by less than one, so |z| falls whenever there is a residual, and keeps its
sign while ηr(L−1)max(w)^{L−2} < 1. Here the first 2,000 steps of the runs of figure 1 are recorded
one by one.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.observables import conserved_z, loss, mode_values
from dlnlab.papers.kim2026 import fig1
from dlnlab.plotting import COLORS, INK, Figure, legend_above, log_step_axis, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.schedule import last

STEPS = 2000
EXPERIMENT = dataclasses.replace(
    fig1.EXPERIMENT,
    title="What descent does to the charge that flow conserves",
    steps=STEPS,
    schedule=last(STEPS),
    observe=(loss, mode_values, conserved_z),
    statistics=(),
    predictions=(),
)

INTERACTIVE = ("conserved_z", "mode_values", "loss")


def check_charge(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least share of |z| lost; NaN, which fails, where it grows or turns at any one step."""
    if not bool((measured.step.diff("step") == 1).all()):
        return Verdict.at_least(np.nan, 1e-3, sample_size=0)
    z = measured.conserved_z.isel(mode=0, pathway=slice(1, None))
    first = abs(z.isel(step=0))
    # A power w^{2−L} of numbers of order one rounds by some tens of ε of itself.
    grows = (abs(z).diff("step") > 1e-12 * first).any() | (z * z.isel(step=0) < 0).any()
    shrunk = float((1 - abs(z.isel(step=-1)) / first).min()) if z.size and not grows else np.nan
    return Verdict.at_least(shrunk, 1e-3, sample_size=z.size)


CLAIMS = (
    Claim(
        "kim2026.4",
        "Gradient descent re-balances: |z| = |w_1^{2−L} − w_h^{2−L}| grows at none of the first "
        "2,000 steps, keeps its sign, and is smaller in the end.",
        check_charge,
        (fig1.ALIGNED,),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """z over its first value against the step, a line for each step size; the flow's is level."""
    figure, (ax,) = panels(1, 1, height=2.7)
    z = measured.conserved_z.isel(mode=0, pathway=1)
    lines = [
        measured_line(
            ax,
            np.maximum(measured.step, 0.5),
            z.sel(learning_rate=rate) / z.sel(learning_rate=rate).isel(step=0),
            f"η = {rate:.4g}",
            COLORS[k % len(COLORS)],
        )
        for k, rate in enumerate(np.atleast_1d(measured.learning_rate.values))
    ]
    flow = ax.axhline(1, color=INK, linewidth=1, linestyle=(0, (4, 2.2)), label="gradient flow")
    log_step_axis(ax)
    ax.set_ylabel("z / z at the start")
    legend_above(figure, [*lines, flow], columns=3)
    return figure
