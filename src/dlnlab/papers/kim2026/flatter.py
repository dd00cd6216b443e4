"""The time average at the edge moves to flatter minima: the flow's end point from each iterate.

While descent oscillates, its own sharpness jumps about. From each recorded iterate gradient flow
takes over and runs to the minimum it finds; the sharpness there is drawn. With three layers and
more it falls until it has reached 2/η, and there descent comes to rest. With two layers every
division is as sharp as any other, and it stays above 2/η: the run oscillates for ever.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.observables import flow_end_sharpness, loss, shares, sharpness
from dlnlab.papers.kim2026 import ensemble
from dlnlab.plotting import COLORS, Figure, at, legend_above, panels, predicted_level
from dlnlab.plotting import measured as measured_line
from dlnlab.schedule import logarithmic

RATIO = 1.15

EXPERIMENT = dataclasses.replace(
    ensemble.EXPERIMENT,
    title="The minima under the iterates, along runs at the edge",
    schedule=logarithmic(24),
    observe=(loss, shares, sharpness, flow_end_sharpness),
    coords={"depth": (2, 3, 5), "edge_ratio": RATIO, "seed": tuple(range(12))},
)

INTERACTIVE = ("flow_end_sharpness", "sharpness", "shares")


def _below_edge(measured: xr.Dataset) -> xr.DataArray:
    """ηλ/2 at the flow's end point from each iterate."""
    return measured.flow_end_sharpness * measured.edge_ratio / measured.depth


def check_ends_at_edge(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest ηλ/2 at the last iterate among runs in the window, all of which fell."""
    ratio = _below_edge(measured)
    window = ensemble.strata(measured) == ensemble.STRATA.index("window")
    first, final = ratio.isel(step=0).values[window.values], ratio.isel(step=-1).values
    final = final[window.values]
    fell = final.size > 0 and (final < first).all()
    return Verdict.at_most(float(final.max()) if fell else np.nan, 1.01, sample_size=final.size)


def check_two_layers(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least ηλ/2 at the last iterate with two layers."""
    final = _below_edge(measured).isel(step=-1).where(measured.depth == 2, drop=True)
    least = float(final.min()) if final.size and final.notnull().all() else np.nan
    return Verdict.at_least(least, 1.0, sample_size=final.size)


CLAIMS = (
    Claim(
        "kim2026.9m",
        "In the window the minimum that the flow finds from the iterate ends less sharp than it "
        "began and no sharper than 2/η (within 1 %), with three and with five layers.",
        check_ends_at_edge,
        (ensemble.GAUSSIAN, "3,000 steps"),
    ),
    Claim(
        "kim2026.9n",
        "With two layers it stays sharper than 2/η: there is nothing flatter to move to.",
        check_two_layers,
        (ensemble.GAUSSIAN, "η = 1.15 · 2/S"),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """ηλ/2 of the iterate (thin) and of the flow's end from it, a panel for each depth."""
    depths = np.atleast_1d(measured.depth)
    figure, axes = panels(1, depths.size, height=2.4, sharey=True)
    ratio = _below_edge(measured)
    iterate = measured.sharpness * measured.edge_ratio / measured.depth
    steps = np.maximum(measured.step.values, 0.5)
    for ax, depth in zip(axes, depths, strict=True):
        own, end = at(iterate, depth=depth), at(ratio, depth=depth)
        for seed in np.atleast_1d(measured.seed):
            thin = measured_line(ax, steps, at(own, seed=seed), "at the iterate", COLORS[5])
            thin.set(linewidth=0.5, alpha=0.6)
        for seed in np.atleast_1d(measured.seed):
            bold = measured_line(
                ax, steps, at(end, seed=seed), "at the flow's end from it", COLORS[1]
            )
            bold.set(linewidth=0.9)
        edge = predicted_level(ax, 1.0, "λ = 2/η")
        ax.set(title=f"L = {depth}", ylim=(0, 1.6), xscale="log", xlabel="step")
    axes[0].set_ylabel("ηλ/2")
    legend_above(figure, [thin, bold, edge])
    return figure
