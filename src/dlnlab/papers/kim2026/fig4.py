"""Pathways of unequal depths: the shallow one wins under small steps, not at the flattest edge.

From equal starts gradient flow hands the mode to the shallowest pathway, which grows first. At
η* = 2/λ^min every division but the flattest is unstable, and descent ends there, at the uneven
shares of Lagrange's condition 2(L_h−1)σ_h^{1−2/L_h} = μ. It gets there slowly: the residual changes
sign at every step and its amplitude falls like 1/√t (the distance is 0.7 % of the target after
20,000 steps and 0.34 % after 80,000), so the sum is never quite the target. The target is 1
throughout: with unequal depths λ^min is no power of it, and η is given in units of η*.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values
from dlnlab.plotting import (
    COLORS,
    Axes,
    Figure,
    Line2D,
    at,
    legend_above,
    log_step_axis,
    panels,
    predicted_level,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import Outcome
from dlnlab.tasks import Whitened
from dlnlab.theory.base import Assumption, prediction
from dlnlab.theory.modes import flow_endpoint
from dlnlab.theory.stability import flattest_edge, flattest_split
from dlnlab.typing import Any

TARGET = 1.0


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, log=True, symbol="η/η*")] = 1.0,
    depths: Annotated[tuple[int, ...], Coordinate(least=1, most=1000, symbol="L_h")] = (3, 5),
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (1e-3,),
) -> Run:
    """One mode of strength 1 and pathways of these depths, at η = edge_ratio · 2/λ^min.

    `alphas` holds the end-to-end scale of each pathway, or one scale for all.
    """
    problem = Problem(Modes(depths, 1), Whitened(jnp.full(1, TARGET)))
    learning_rate = edge_ratio * float(flattest_edge(depths, TARGET))
    return Run(
        problem, GradientDescent(learning_rate), scaled_identity(problem, starts(alphas, depths))
    )


def starts(alphas: tuple[Any, ...], depths: tuple[int, ...]) -> tuple[Any, ...]:
    """The end-to-end scale of each pathway, where one may stand for all."""
    if len(alphas) not in (1, len(depths)):
        raise InputError(
            f"alphas has {len(alphas)} values and there are {len(depths)} depths; give one scale "
            "for all pathways or one for each, say --alphas "
            + ",".join(["0.001"] * len(depths))
            + "."
        )
    return tuple(alphas) * (len(depths) // len(alphas))


@prediction(
    "mode_values",
    dims=("pathway",),
    symbol="σ_h^flat",
    assumes=(
        Assumption(
            "unique",
            "the flattest division is unique",
            lambda depths: float(flattest_split(depths, TARGET).shares is None),
        ),
    ),
    source="kim2026.2",
)
def flattest_values(depths: tuple[int, ...], count: int) -> Any:
    """The flattest division of a target of 1, see `flattest_split`."""
    return _padded(flattest_split(depths, TARGET).shares or (), count)


@prediction("mode_values", dims=("pathway",), symbol="σ_h(∞)", source="kim2026.3")
def flow_values(starts: tuple[float, ...], depths: tuple[int, ...], count: int) -> Any:
    """Where gradient flow ends with a target of 1, see `flow_endpoint`."""
    return _padded(flow_endpoint(starts, depths, TARGET), count)


def _padded(values: Any, count: int) -> Any:
    """Sets of two and of three depths share an axis; where there is no pathway stands NaN."""
    filled = np.full(count, np.nan)
    filled[: len(values)] = values
    return filled


def _flow_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    alphas = starts(coords["alphas"], coords["depths"])
    return {"starts": alphas, **_flattest_arguments(coords, measured)}


def _flattest_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depths": coords["depths"], "count": measured.sizes["pathway"]}


def _edge_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depths": coords["depths"], "target": TARGET}


EXPERIMENT = Experiment(
    build,
    title="Pathways of unequal depths, under small steps and at the flattest edge",
    steps=40_000,
    schedule=linear(101) | logarithmic(160),
    observe=(loss, mode_values),
    statistics=(Outcome(),),
    predictions=(
        Bound(flow_values, _flow_arguments),
        Bound(flattest_values, _flattest_arguments),
        Bound(flattest_edge, _edge_arguments),
    ),
    coords={"edge_ratio": (0.3, 1.0), "depths": [(3, 5), (3, 7)]},
    cites=("kim2026",),
)

SMALL = 0.5
"""Steps below this ratio to η* count as small: each path alone is stable there."""


def _at_edge(measured: xr.Dataset) -> xr.DataArray:
    return abs(measured.edge_ratio - 1) < 1e-9


def check_lagrange(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far from Lagrange's division the runs at η* end; those at small steps end elsewhere."""
    end = measured.mode_values.isel(step=-1, mode=0)
    distance = abs(end - predicted.flattest_values).max("pathway")
    at = distance.where(_at_edge(measured), drop=True)
    small = distance.where(measured.edge_ratio < SMALL, drop=True)
    elsewhere = small.size > 0 and float(small.min()) > 0.05
    return Verdict.at_most(
        float(at.max()) / TARGET if at.size and elsewhere else np.nan,
        0.01,
        sample_size=at.size + small.size,
    )


def check_shallow(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least share that the first (shallowest) pathway takes under small steps, where all runs
    end within 1 % of gradient flow."""
    small = measured.edge_ratio < SMALL
    end = measured.mode_values.isel(step=-1, mode=0)
    error = abs(end - predicted.flow_values).where(small, drop=True)
    first = end.isel(pathway=0).where(small, drop=True)
    as_flow = error.size > 0 and float(error.max()) < 0.01
    return Verdict.at_least(
        float(first.min()) / TARGET if as_flow else np.nan, 0.95, sample_size=first.size
    )


ALIGNED = "aligned, depth-balanced pathways of unequal depths beyond 2"
CLAIMS = (
    Claim(
        "kim2026.2a",
        "At η* = 2/λ^min pathways of depths {3, 5} and {3, 7} end at the flattest division, that "
        "of Lagrange's condition, within 1 % of the target; under small steps they do not.",
        check_lagrange,
        (ALIGNED,),
    ),
    Claim(
        "kim2026.3a",
        "Under small steps and from equal starts the shallow pathway of {3, 5} and {3, 7} takes "
        "more than 95 %, as gradient flow says.",
        check_shallow,
        (ALIGNED, "equal starts of 0.001, the shallowest pathway first"),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """σ_h against the step: a row for each step size, a column for each set of depths."""
    ratios, sets = np.atleast_1d(measured.edge_ratio), np.atleast_1d(measured.depths)
    figure, axes = panels(
        ratios.size, sets.size, height=0.5 + 1.75 * ratios.size, sharex=True, sharey=True
    )
    lines: list[Line2D] = []
    for number, ax in enumerate(axes):
        ratio, depths = float(ratios[number // sets.size]), str(sets[number % sets.size])
        lane, theory = (at(data, edge_ratio=ratio, depths=depths) for data in (measured, predicted))
        lines = max(lines, _panel(ax, lane, theory), key=len)
        rate = "η*" if ratio == 1 else f"{ratio:g} η*"
        ax.set_title(f"depths {depths.replace(',', ', ')};  η = {rate}")
    for ax in axes[-sets.size :]:
        log_step_axis(ax)
    for ax in axes[:: sets.size]:
        ax.set_ylabel(r"end-to-end value $\sigma_h$")
    legend_above(figure, lines)
    return figure


def _panel(ax: Axes, lane: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    # A logarithmic axis has no place for step 0; the start is drawn at step 1/2.
    steps = np.maximum(lane.step.values, 0.5)
    values = lane.mode_values.isel(mode=0).dropna("pathway", how="all")
    lines = [
        measured_line(ax, steps, values.sel(pathway=h), rf"$\sigma_{h + 1}$", COLORS[h])
        for h in values.pathway.values
    ]
    small = float(lane.edge_ratio) < SMALL
    end = theory.flow_values if small else theory.flattest_values
    label = r"predicted end (the flow's; at η*, $\sigma_h$ of $\lambda^{\min}$)"
    levels = [predicted_level(ax, float(value), label) for value in end.dropna("pathway").values]
    ax.set_ylim(-0.06, 1.5)
    return [*lines, *levels[:1]]
