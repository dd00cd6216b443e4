"""Does depth amplify re-balancing? At 1.2 times the edge of a single path, no: less is handed back.

The flattest minimum lies deeper below a single path's sharpness the deeper the network is,
λ^min/S = H^{2/L−1}. But descent stops as soon as its minimum is stable, and a deep network needs
to give away little for that: the top share that is left *rises* with L, from .73 at L = 3 to .90
at L = 20. With two layers all divisions are equally sharp: there is no force, the ratio of the
pathways' values is conserved to rounding at any step size, and no minimum is stable beyond 2/S.
"""

from typing import Annotated

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import conserved_z, loss, mode_values, shares
from dlnlab.papers.kim2026 import fig1
from dlnlab.plotting import COLORS, Figure, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import Outcome
from dlnlab.theory.stability import edge_split, flattest_edge, stability_edge
from dlnlab.typing import Any


def build(
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.2,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        0.02,
        0.01,
    ),
) -> Run:
    """One mode of strength 1 and pathways that start at α_h, at η = edge_ratio · 2/S, S = L."""
    return fig1.build(edge_ratio * 2 / depth, depth, len(alphas), alphas, 1.0, dimension=1)


def _split(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    rate, count = coords["edge_ratio"] * 2 / coords["depth"], len(coords["alphas"])
    return {"learning_rate": rate, "depth": coords["depth"], "target": 1.0, "pathways": count}


def _edge(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"target": 1.0, "depth": coords["depth"]}


def _flattest(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depths": (coords["depth"],) * len(coords["alphas"]), "target": 1.0}


EXPERIMENT = Experiment(
    build,
    title="The top share that is left, against the depth",
    steps=40_000,
    schedule=linear(101),
    observe=(loss, mode_values, shares, conserved_z),
    statistics=(Outcome(),),
    predictions=(
        Bound(edge_split, _split),
        Bound(stability_edge, _edge),
        Bound(flattest_edge, _flattest),
    ),
    coords={"depth": (2, 3, 4, 5, 7, 10, 14, 20)},
    cites=("kim2026",),
)

INTERACTIVE = ("shares", "conserved_z")


def _tops(measured: xr.Dataset) -> xr.DataArray:
    return measured.shares.isel(step=-1, mode=0).max("pathway")


def check_rises(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The smallest rise of the final top share from one depth to the next, for L ≥ 3, while the
    flattest minimum gets flatter against S."""
    deep = (measured.depth >= 3).values
    rise = np.diff(_tops(measured).values[deep])
    flatter = np.diff((predicted.stability_edge / predicted.flattest_edge).values[deep])
    as_said = rise.size > 0 and flatter.max() < 0
    return Verdict.at_least(rise.min() if as_said else np.nan, 0.0, sample_size=int(deep.sum()))


def check_shares(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the final top share is from that of the edge λ = 2/η, for L ≥ 3."""
    error = abs(_tops(measured) - predicted.edge_split.max("pathway")).dropna("depth")
    return Verdict.at_most(
        float(error.max()) if error.size else np.nan, 0.02, sample_size=error.size
    )


def check_control(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How much the ratio of the pathways' layer values changes with two layers; others' do."""
    z = measured.conserved_z.isel(pathway=1, mode=0)
    change = abs(z - z.isel(step=0)).max("step")
    two, deeper = change.where(measured.depth == 2, drop=True), change.where(measured.depth > 2)
    as_said = two.size == 1 and float(deeper.min()) > 0.1
    return Verdict.at_most(
        float(two.item()) if as_said else np.nan, 1e-9, sample_size=measured.sizes["step"]
    )


CLAIMS = (
    Claim(
        "kim2026.8",
        "At η = 1.2 · 2/S and two pathways the final top share rises with the depth from L = 3 on, "
        "though the flattest minimum gets flatter against a single path.",
        check_rises,
        (fig1.ALIGNED,),
    ),
    Claim(
        "kim2026.8a",
        "The final top share is that of the edge λ = 2/η, within 0.02, at every depth from 3 on.",
        check_shares,
        (fig1.ALIGNED,),
    ),
    Claim(
        "kim2026.1c",
        "With two layers descent conserves the ratio of the pathways' layer values, at any step "
        "size: its logarithm moves by less than 1e-9 in 40,000 steps of oscillation.",
        check_control,
        ("aligned, depth-balanced pathways",),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The final top share against the depth, with that of the edge, and λ^min/S."""
    figure, (left, right) = panels(1, 2, height=2.4)
    depth = np.atleast_1d(measured.depth)
    ratio = predicted.stability_edge / predicted.flattest_edge
    found = measured_line(left, depth, np.atleast_1d(_tops(measured)), "end of descent", COLORS[0])
    found.set_marker("o")
    found.set_markersize(3.5)
    edge = np.atleast_1d(predicted.edge_split.max("pathway"))
    lines = [found, predicted_line(left, depth, edge, "division with λ = 2/η")]
    lines.append(
        predicted_line(right, depth, np.atleast_1d(ratio), r"$\lambda^{\min}/S$", COLORS[1])
    )
    left.set(ylabel="top share that is left", ylim=(0.5, 1.0))
    right.set(ylabel=r"flattest minimum  $\lambda^{\min}/S$", ylim=(0.4, 1.05))
    for ax in (left, right):
        ax.set_xscale("log")
        ax.set_xticks(depth, [str(d) for d in depth], minor=False)
        ax.set_xticks([], minor=True)
        ax.set_xlabel("depth L")
    legend_above(figure, lines)
    return figure
