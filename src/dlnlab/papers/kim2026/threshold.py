"""From which step size on a trajectory re-balances: its own edge, not that of a single path.

A single path that carries the whole mode becomes unstable at η = 2/S. Gradient flow from a finite
start leaves a little to the other pathways, and the minimum where it ends is flatter, λ < S. Up to
η = 2/λ gradient descent ends there too, beyond it at the minimum of sharpness 2/η: the sharpness
of the end is the smaller of the two.
"""

from typing import Annotated

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import loss, mode_values, sharpness
from dlnlab.papers.kim2026 import fig1
from dlnlab.plotting import COLORS, Figure, edge_line, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.statistics import FirstRise, Outcome
from dlnlab.theory.curvature import sharpness_at_minimum
from dlnlab.theory.modes import flow_endpoint
from dlnlab.theory.stability import edge_sharpness, stability_edge
from dlnlab.typing import Any


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.12,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 20,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        0.02,
        0.01,
    ),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """Gradient descent on one mode by pathways that start at α_h."""
    return fig1.build(learning_rate, depth, len(alphas), alphas, target, dimension=1)


def _flow_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    depths = (coords["depth"],) * len(coords["alphas"])
    return {"starts": coords["alphas"], "depths": depths, "target": coords["target"]}


def _end_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The minimum where gradient flow ends, as a point whose sharpness is asked."""
    flow = _flow_arguments(coords, measured)
    values = np.asarray(flow_endpoint(**flow))[:, None]
    return {"values": values, "depths": flow["depths"], "targets": values.sum(axis=0)}


EXPERIMENT = Experiment(
    build,
    title="Sharpness of the end against step size",
    steps=40_000,
    schedule=last(1),
    observe=(loss, mode_values, sharpness),
    statistics=(FirstRise(), Outcome()),
    predictions=(
        Bound(stability_edge),
        Bound(edge_sharpness),
        Bound(flow_endpoint, _flow_arguments),
        Bound(sharpness_at_minimum, _end_arguments, name="flow_end_sharpness"),
    ),
    coords={"learning_rate": tuple(np.linspace(0.09, 0.15, 61).tolist())},
    cites=("kim2026",),
)


def check_own_edge(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The sharpness of the end against the smaller of the flow end's own and 2/η."""
    settled = measured.outcome.isel(step=-1).isin(fig1.CONVERGED)
    found = measured.sharpness.isel(step=-1)
    expected = np.minimum(predicted.flow_end_sharpness, predicted.edge_sharpness)
    error = abs(found / expected - 1).values[settled.values]
    sides = np.sign(predicted.flow_end_sharpness - predicted.edge_sharpness).values[settled.values]
    both = {-1.0, 1.0} <= set(sides.tolist())
    return Verdict.at_most(error.max() if both else np.nan, 0.02, sample_size=error.size)


CLAIMS = (
    Claim(
        "kim2026.6",
        "A trajectory re-balances from η = 2/λ at its own flow end point on (not from 2/S): its "
        "end has the sharpness min(λ, 2/η), within 2 %.",
        check_own_edge,
        ("aligned, depth-balanced pathways", "η below 2/λ^min"),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Sharpness of the end against the step size, with the flow's and the edge."""
    figure, (ax,) = panels(1, 1, height=2.5)
    rates = measured.learning_rate.values
    lines = [
        measured_line(ax, rates, measured.sharpness.isel(step=-1), "end of descent", COLORS[0]),
        predicted_line(ax, rates, predicted.flow_end_sharpness, "flow's end"),
        predicted_line(ax, rates, predicted.edge_sharpness, "2/η", COLORS[1]),
    ]
    edge_line(ax, float(predicted.stability_edge[0]), "2/S", vertical=True)
    edge_line(ax, 2 / float(predicted.flow_end_sharpness[0]), "2/λ", vertical=True)
    ax.set(xlabel="step size η", ylabel=r"sharpness $\lambda_{\max}$", ylim=(12, 23))
    legend_above(figure, lines)
    return figure
