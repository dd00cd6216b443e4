"""At one step size deep networks meet the edge of stability, shallow ones and simple targets never.

From the paper's start, at the same η and target, the sharpness rises to that of the minimum,
S = L s^{2−2/L}, which grows with the depth L. Where it is below 2/η the run comes to rest there
(overshooting first, where it is close below: for some steps it may be sharper than 2/η all the
same); where it is above, the run oscillates, and its sharpness crosses 2/η again and again. A
weaker target has a flatter minimum, and at this η no depth up to six meets the edge.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import zero_last_layer
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values, sharpness
from dlnlab.plotting import COLORS, Figure, at, legend_above, log_step_axis, panels, predicted_level
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.balance import chain_flow_end_sharpness
from dlnlab.theory.stability import edge_sharpness, stability_edge
from dlnlab.typing import Any

STEPS = 300
SETTLED = 1e-10
"""A run has come to rest where its loss is below this times s²."""


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.45,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    start_ratio: Annotated[
        float, Coordinate(above=0, log=True, symbol="α/w*", help="first layers over the minimum's")
    ] = 0.5,
) -> Run:
    """One mode of strength s, from layers α = start_ratio · s^{1/L} and a last one of zero."""
    problem = Problem(Modes((depth,), 1), Whitened(jnp.full(1, target)))
    start = zero_last_layer(problem, start_ratio * jnp.asarray(target) ** (1 / depth))
    return Run(problem, GradientDescent(learning_rate), start)


def _start(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    depth, target = coords["depth"], coords["target"]
    first = coords["start_ratio"] * target ** (1 / depth)
    return {"layer_values": [first] * (depth - 1) + [0.0], "target": target}


EXPERIMENT = Experiment(
    build,
    title="Sharpness along the run against 2/η, for several depths",
    steps=STEPS,
    schedule=last(STEPS),
    observe=(loss, mode_values, sharpness),
    predictions=(
        Bound(edge_sharpness),
        Bound(stability_edge),
        Bound(chain_flow_end_sharpness, _start),
    ),
    coords={"depth": (2, 3, 4, 5, 6), "target": (1.0, 0.4)},
    cites=("ghosh2025",),
)

INTERACTIVE = ("sharpness", "loss", "mode_values")


def settled(measured: xr.Dataset) -> xr.DataArray:
    """Whether a run has come to rest at a minimum."""
    return measured.loss.isel(step=-1) < SETTLED * measured.target**2


def _late(measured: xr.Dataset) -> xr.DataArray:
    return measured.sharpness.isel(step=slice(measured.sizes["step"] // 2, None))


def check_meets(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of runs for which S < 2/η does not say whether they come to rest, below 2/η, or
    cross it for ever, up and down in the second half of the run."""
    edge, late = predicted.edge_sharpness, _late(measured)
    below = predicted.stability_edge > measured.learning_rate
    rests = settled(measured) & (late.max("step") < edge)
    crosses = ~settled(measured) & (late.max("step") > edge) & (late.min("step") < edge)
    both = bool(below.any()) and not bool(below.all())
    wrong = float((~xr.where(below, rests, crosses)).sum())
    return Verdict.at_most(wrong if both else np.nan, 0, sample_size=below.size)


def check_level(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The farthest that a run at rest is outside of S ≤ λ ≤ λ(θ_∞) of the start, relative to S."""
    own = 2 / predicted.stability_edge
    found, rests = measured.sharpness.isel(step=-1), settled(measured)
    outside = np.maximum(own - found, found - predicted.chain_flow_end_sharpness) / own
    return Verdict.at_most(float(outside.where(rests).max()), 1e-5, sample_size=int(rests.sum()))


def check_deeper(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least rise from one depth to the next of the largest sharpness in the second half."""
    rise = _late(measured).max("step").sortby("depth").diff("depth")
    return Verdict.at_least(float(rise.min()) if rise.size else np.nan, 0.01, sample_size=rise.size)


def check_never(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """ηλ/2 at its largest, over all steps, of the simplest target at any depth and of the two
    shallowest networks; the deepest networks exceed 1."""
    largest = (measured.sharpness / predicted.edge_sharpness).max("step")
    simple = largest.sel(target=measured.target.min()).max()
    shallow = largest.sortby("depth").isel(depth=slice(0, 2)).max()
    met = largest.sel(depth=measured.depth.max()).max() > 1
    worst = float(np.maximum(simple, shallow)) if met else np.nan
    return Verdict.at_most(worst, 0.95, sample_size=largest.size)


START = ("one mode", "from W_L = 0 and W_l = αI, α half the minimum's layer value", "η = 0.45")
CLAIMS = (
    Claim(
        "ghosh2025.5",
        "At one step size the networks with S = L s^{2−2/L} < 2/η come to rest below 2/η, and the "
        "sharpness of those with S > 2/η crosses it for ever.",
        check_meets,
        START,
    ),
    Claim(
        "ghosh2025.5a",
        "At rest the sharpness lies between S and that where the flow from the start ends.",
        check_level,
        START,
    ),
    Claim(
        "ghosh2025.5b",
        "The deeper the network, the larger the sharpness that it comes to.",
        check_deeper,
        (*START, "s > e^{−L/2}"),
    ),
    Claim(
        "ghosh2025.5c",
        "Two and three layers on the strong target, and up to six on a weaker one, never meet the "
        "edge: at all steps λ < 0.95 · 2/η.",
        check_never,
        (*START, "targets 1 and 0.4"),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """ηλ/2 along the run: a row for each target, a panel for each depth."""
    depths, targets = np.atleast_1d(measured.depth), np.atleast_1d(measured.target)
    figure, axes = panels(
        targets.size, depths.size, height=0.5 + 1.7 * targets.size, sharex=True, sharey=True
    )
    places = [{"target": target, "depth": depth} for target in targets for depth in depths]
    steps = np.maximum(measured.step, 0.5)
    for ax, place in zip(axes, places, strict=True):
        found = at(measured.sharpness / predicted.edge_sharpness, **place)
        own = at(measured.learning_rate / predicted.stability_edge, **place)
        run = measured_line(ax, steps, found, "descent", COLORS[0])
        run.set_linewidth(0.8)
        edge = predicted_level(ax, 1, "edge, λ = 2/η", COLORS[1])
        level = predicted_level(ax, float(own), "minimum, λ = S")
        ax.set_title(f"L = {place['depth']}, s = {place['target']:g}")
        ax.set_ylim(-0.05, 2.6)
        log_step_axis(ax, "" if place["target"] != targets[-1] else "step")
    for ax in axes[:: depths.size]:
        ax.set_ylabel("ηλ/2")
    legend_above(figure, [run, edge, level])
    return figure
