"""Two deep pathways learn one mode; large steps divide it between them again.

Gradient flow hands the whole mode to the pathway that starts ahead. At a step size η above 2/S,
the stability edge of a single path, the trajectory first does the same, then oscillates, and the
mode is handed back step by step until the minimum it sits in has become stable, λ = 2/η. Only at
η = 2/λ^min do the pathways end equal.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, square
from dlnlab.observables import (
    alignment_error,
    balance_gap,
    conserved_z,
    gradient_norm,
    loss,
    mode_values,
    pathway_norms,
    shares,
    sharpness,
    svs_error,
)
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    Line2D,
    legend_above,
    log_step_axis,
    panels,
    predicted_level,
)
from dlnlab.plotting import (
    measured as measured_line,
)
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import OUTCOMES, FirstRise, Maximum, Outcome, Period
from dlnlab.tasks import Whitened
from dlnlab.theory.curvature import sharpness_at_minimum
from dlnlab.theory.modes import flow_endpoint
from dlnlab.theory.stability import edge_sharpness, edge_split, flattest_edge, stability_edge
from dlnlab.typing import Any, Array


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.12,
    depth: Annotated[int, Coordinate(least=1, most=1000, symbol="L")] = 20,
    pathways: Annotated[int, Coordinate(least=1, most=64, symbol="H")] = 2,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        0.02,
        0.01,
    ),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    dimension: Annotated[int, Coordinate(least=1, most=2000, symbol="d")] = 3,
    representation: Literal["modes", "full"] = "modes",
    rotated: bool = False,
    seed: int = 0,
) -> Run:
    """Gradient descent on diag(s, 0, …, 0) by H pathways of depth L that start at α_h I.

    `representation="full"` trains the matrices themselves; `rotated` turns the target into a
    random basis drawn from `seed` (which changes nothing on modes).
    """
    if len(alphas) != pathways:
        raise InputError(
            f"alphas has {len(alphas)} values and there are {pathways} pathways; give one "
            "end-to-end scale for each pathway, say --alphas " + ",".join(["0.01"] * pathways) + "."
        )
    strengths = jnp.zeros(dimension).at[0].set(target)
    if representation == "modes":
        problem = Problem(Modes((depth,) * pathways, dimension), Whitened(strengths))
    else:
        left, right = _bases(dimension, rotated, seed)
        task = Whitened(left * strengths @ right.T, basis=(left, right))
        problem = Problem(square(dimension, (depth,) * pathways), task)
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, alphas))


def _bases(dimension: int, rotated: bool, seed: int) -> tuple[Array, Array]:
    if not rotated:
        return jnp.eye(dimension), jnp.eye(dimension)
    left, right = jax.random.normal(jax.random.key(seed), (2, dimension, dimension))
    return jnp.linalg.qr(left)[0], jnp.linalg.qr(right)[0]


def _flow_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    depths = (coords["depth"],) * coords["pathways"]
    return {"starts": coords["alphas"], "depths": depths, "target": coords["target"]}


def _pathway_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depths": (coords["depth"],) * coords["pathways"], "target": coords["target"]}


def _minimum_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The learned mode as the run left it: what its sharpness ought to be if that is a minimum."""
    values = np.nan_to_num(measured.mode_values.isel(step=-1, mode=slice(0, 1)).values)
    depths = (coords["depth"],) * coords["pathways"]
    return {"values": np.abs(values), "depths": depths, "targets": np.array([coords["target"]])}


FLATTEST_EDGE = 2 / (20 * 2 ** (2 / 20 - 1))
"""2/λ^min at the defaults: λ^min = H^{2/L−1} S, S = L s^{2−2/L}."""

EXPERIMENT = Experiment(
    build,
    title="Two pathways under growing step size",
    steps=40_000,
    schedule=linear(101) | logarithmic(120),
    observe=(
        loss,
        gradient_norm,
        mode_values,
        shares,
        pathway_norms,
        conserved_z,
        balance_gap,
        alignment_error,
        svs_error,
        sharpness,
    ),
    statistics=(FirstRise(), Period(), Outcome(), Maximum(alignment_error)),
    predictions=(
        Bound(stability_edge),
        Bound(edge_sharpness),
        Bound(edge_split),
        Bound(flattest_edge, _pathway_arguments),
        Bound(flow_endpoint, _flow_arguments),
        Bound(sharpness_at_minimum, _minimum_arguments),
    ),
    coords={"learning_rate": (0.05, 0.105, 0.12, 0.15, FLATTEST_EDGE)},
    cites=("kim2026",),
)

CONVERGED = tuple(OUTCOMES.index(name) for name in ("never_oscillated", "rebalanced", "stuck"))


def _learned(measured: xr.Dataset, name: str) -> xr.DataArray:
    """A variable of the learned mode at the end of the run."""
    return measured[name].isel(step=-1, mode=0)


def _lanes(condition: xr.DataArray, values: xr.DataArray) -> np.ndarray[Any, Any]:
    return values.values[condition.values]


def check_sharpness(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The Hessian's own largest eigenvalue against the formula, on the runs that converged."""
    found, formula = measured.sharpness.isel(step=-1), predicted.sharpness_at_minimum
    sample = measured.outcome.isel(step=-1).isin(CONVERGED) & formula.notnull()
    error = _lanes(sample, abs(formula / found - 1))
    bound = _lanes(sample, measured.sharpness_residual.isel(step=-1) / found)
    # The formula was asked at a misfit of 10⁻⁸ at most, which moves λ by (L−1)·10⁻⁸ of itself.
    return Verdict.at_most(_worst(error), 1e-6, uncertainty=_worst(bound), sample_size=error.size)


def check_flow_regime(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Below the edge the end is the flow's own: the pathway ahead takes what the flow gives it."""
    below = measured.learning_rate < predicted.stability_edge
    gap = abs(_learned(measured, "mode_values") - predicted.flow_endpoint).max("pathway")
    error = _lanes(below, gap / measured.mode_values.isel(step=-1, mode=0).sum("pathway"))
    return Verdict.at_most(_worst(error), 0.01, sample_size=error.size)


def check_stops_at_edge(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Where descent oscillated and settled, ηλ/2 is just below 1."""
    edge = measured.sharpness.isel(step=-1) / predicted.edge_sharpness
    settled = measured.outcome.isel(step=-1).isin(CONVERGED)
    found = _lanes(settled & (measured.first_rise_step.isel(step=-1) >= 0), edge)
    lowest = found.min() if found.size and found.max() <= 1 else np.nan
    return Verdict.at_least(lowest, 0.95, sample_size=found.size)


def check_split(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The division that is left is the one at the edge, approached from its stable side."""
    top = _learned(measured, "mode_values").max("pathway")
    limit = predicted.edge_split.max("pathway")
    settled = measured.outcome.isel(step=-1).isin(CONVERGED) & limit.notnull()
    error = _lanes(settled, (limit - top) / predicted.edge_split.sum("pathway"))
    farthest = error.max() if error.size and error.min() >= 0 else np.nan
    return Verdict.at_most(farthest, 0.02, sample_size=error.size)


def check_equal_at_flattest(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Equal shares at η = 2/λ^min, and at no smaller step."""
    excess = _learned(measured, "shares").max("pathway") * measured.sizes["pathway"] - 1
    reached = measured.learning_rate >= predicted.flattest_edge * (1 - 1e-9)
    at, before = _lanes(reached, excess), _lanes(~reached, excess)
    unequal_before = before.size > 0 and before.min() > 0.05
    return Verdict.at_most(
        _worst(at) if unequal_before else np.nan, 0.02, sample_size=at.size + before.size
    )


def _worst(values: np.ndarray[Any, Any]) -> float:
    return float(values.max()) if values.size else float("nan")


INTERACTIVE = ("mode_values", "sharpness", "loss", "shares", "conserved_z")

ALIGNED = "aligned, depth-balanced pathways of equal depth beyond 2"
CLAIMS = (
    Claim(
        "kim2026.1",
        "Where a run converges, the sharpness is Σ_h L σ_h^{2−2/L}.",
        check_sharpness,
        (ALIGNED, "zero loss"),
    ),
    Claim(
        "kim2026.3",
        "Below the edge 2/S descent ends where gradient flow ends: the pathway that starts ahead "
        "takes nearly everything.",
        check_flow_regime,
        (ALIGNED,),
    ),
    Claim(
        "kim2026.5",
        "Re-balancing stops when the minimum has become stable: ηλ/2 ends between 0.95 and 1.",
        check_stops_at_edge,
        (ALIGNED, "2/S < η < 2/λ^min"),
    ),
    Claim(
        "kim2026.5a",
        "The shares then are those of the edge λ = 2/η, reached from the stable side within 2 % of "
        "the target.",
        check_split,
        (ALIGNED, "two pathways"),
    ),
    Claim(
        "kim2026.5b",
        "Equal shares are reached at η = 2/λ^min (within 2 %), and at no smaller step.",
        check_equal_at_flattest,
        (ALIGNED,),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """σ_1, σ_2 and their sum against the step, a panel for each step size."""
    rates = np.atleast_1d(measured.learning_rate.values)
    figure, axes = panels(1, rates.size, height=2.3, sharey=True)
    lines: list[Line2D] = []
    for ax, rate in zip(axes, rates, strict=True):
        lane, theory = measured.sel(learning_rate=rate), predicted.sel(learning_rate=rate)
        lines = _panel(ax, lane, theory)
        ratio = float(rate / theory.stability_edge)
        ax.set_title(f"η = {rate:.4g}\n({ratio:.2f} · 2/S)")
    axes[0].set_ylabel("end-to-end value σ (target s = 1)")
    legend_above(figure, lines)
    return figure


def _panel(ax: Axes, lane: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    # A logarithmic axis has no place for step 0; the start is drawn at step 1/2.
    steps = np.maximum(lane.step.values, 0.5)
    values = lane.mode_values.isel(mode=0)
    lines = [measured_line(ax, steps, values.sum("pathway"), r"$\Sigma_h\,\sigma_h$", COLORS[2])]
    for pathway in lane.pathway.values:
        curve = values.sel(pathway=pathway)
        lines.append(measured_line(ax, steps, curve, rf"$\sigma_{pathway + 1}$", COLORS[pathway]))
    beyond = float(theory.stability_edge) < float(lane.learning_rate)
    end = theory.edge_split if beyond else theory.flow_endpoint
    for value in end.values:
        label = "predicted end (λ = 2/η; below 2/S the flow's)"
        lines.append(predicted_level(ax, float(value), label, INK))
    log_step_axis(ax)
    ax.set_ylim(-0.04, 1.65)
    return lines[: len(lane.pathway) + 2]
