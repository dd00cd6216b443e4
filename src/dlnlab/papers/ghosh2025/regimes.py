"""How much of a gap descent leaves, against the step size; and for how long float64 knows it.

Up to 2/λ, λ the sharpness at the flow's end, a part of the gap is lost and the rest stays; to
leading order in η it is the flow's own integral that says how much, and less is left near the edge,
where the residual dies out slowly. Between 2/λ and 2/S the gap falls to where a minimum is stable;
beyond 2/S, in chaos too, it decays to zero. Rounding then hides it: the gap is right to 1e-10 of
itself for some hundred steps on the 2-cycle, and for a dozen where orbits are chaotic. From this
start runs escape well before the balanced map lets go of them, at ηS = 4.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound
from dlnlab.papers.ghosh2025 import gap
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, edge_line, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.schedule import last
from dlnlab.theory.balance import (
    largest_stable_gap,
    lasting_balance_factor,
    partial_balance_gap,
    trusted_gap,
)
from dlnlab.theory.orbits import cascade_period
from dlnlab.typing import Any

STEPS = 400
RATES = {
    "partial": (0.003, 0.006, 0.01, 0.02, 0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.17, 0.18, 0.185),
    "until stable": (0.194, 0.196, 0.198, 0.199, 0.1997),
    "decays": (0.205, 0.21, 0.215, 0.22, 0.23, 0.24, 0.25, 0.27, 0.29, 0.31, 0.33, 0.35, 0.37),
}
"""Step sizes by the regime of target 5 from (1.5, 2.25)."""

LARGEST = 0.3835
"""The largest multiple of 0.0005 that stays bounded; 0.384 escapes within 25 steps."""


def _partial(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    rate = coords["learning_rate"]
    return {"layer_values": coords["start"], "target": coords["target"], "learning_rate": rate}


def _loose(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {**gap.precise(coords, measured), "tolerance": 1e-7}


EXPERIMENT = dataclasses.replace(
    gap.EXPERIMENT,
    title="What is left of a gap, against the step size",
    steps=STEPS,
    schedule=last(STEPS),
    predictions=(
        *gap.EXPERIMENT.predictions,
        Bound(trusted_gap, _loose, name="exact_gap"),
        Bound(partial_balance_gap, _partial),
    ),
    coords={"learning_rate": (*sum(RATES.values(), ()), LARGEST)},
)

INTERACTIVE = ("balance_gap", "loss", "layer_values")


def _regime(measured: xr.Dataset, name: str) -> xr.DataArray:
    """|b| of the lanes in one regime [learning_rate, step]."""
    return gap.gaps(measured).isel(learning_rate=np.array(gap.regimes(measured)) == name)


def check_partial(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least share of the gap that is left where the flow's end is stable, and where, once some
    is lost, no more is in the second half of the run."""
    below = _regime(measured, "partial")
    start, halfway, end = (below.isel(step=k) for k in (0, below.sizes["step"] // 2, -1))
    settled = end.size > 0 and (abs(end / halfway - 1) < 1e-3).all() and (end < start).all()
    left = float((end / start).min()) if settled else np.nan
    return Verdict.at_least(left, 0.5, sample_size=end.size)


def check_leading_order(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The relative error of the leading order's logarithm of what is left, over ηλ, for ηλ ≤ 1."""
    below = gap.gaps(measured)
    scaled = below.learning_rate * predicted.chain_flow_end_sharpness
    found = np.log(below.isel(step=-1) / below.isel(step=0))
    said = np.log(predicted.partial_balance_gap / below.isel(step=0))
    error = (abs(said / found - 1) / scaled).values[scaled.values <= 1]
    return Verdict.at_most(
        float(error.max()) if error.size > 2 else np.nan, 1.0, sample_size=error.size
    )


def _stable(target: float, rate: float) -> float:
    return largest_stable_gap(target, rate) or 0.0


def check_until_stable(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The gap left between 2/λ and 2/S over the largest at which a minimum is stable; it was
    larger at the start, and it is not gone."""
    between, target = _regime(measured, "until stable"), float(measured.target)
    limits = np.array([_stable(target, float(rate)) for rate in between.learning_rate])
    first, end = between.isel(step=0) / limits, between.isel(step=-1) / limits
    shown = end.size > 0 and first.min() > 1 and end.min() > 0.1
    return Verdict.at_most(float(end.max()) if shown else np.nan, 1.0, sample_size=end.size)


def check_decay(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The relative error of the logarithm of the decay per step, between 10⁻² and 10⁻⁸ of the first
    gap, on 2-cycles; all other gaps beyond 2/S are gone (below 10⁻⁶) in the end."""
    beyond, errors, target = _regime(measured, "decays"), [], float(measured.target)
    for rate in beyond.learning_rate.values:
        share = (beyond / beyond.isel(step=0)).sel(learning_rate=rate).values
        if cascade_period(2, target, rate, stretch=True) == 2:
            errors.append(_slope_error(share, lasting_balance_factor(2, target, rate)))
        elif not share[-1] < 1e-6:
            errors.append(np.nan)
    worst = float(np.max(errors)) if errors else np.nan
    return Verdict.at_most(worst, 0.01, sample_size=len(errors))


def _slope_error(share: np.ndarray[Any, Any], lasting: float | None) -> float:
    inside = np.flatnonzero((share < 1e-2) & (share > 1e-8))
    if inside.size < 10 or lasting is None:
        return np.nan
    first, final = inside[0], inside[-1] - (inside[-1] - inside[0]) % 2
    found = np.log(share[final] / share[first]) / (final - first)
    return float(abs(found / np.log(lasting) - 1))


SETTING = ("one mode of two layers", "target 5 from (1.5, 2.25)")
CLAIMS = (
    Claim(
        "ghosh2025.4c",
        "Below 2/λ at the flow's end the residual dies out: some of the gap is lost, most stays.",
        check_partial,
        SETTING,
    ),
    Claim(
        "ghosh2025.4d",
        "To leading order in η it is the integral of r² along the flow that is lost: the logarithm "
        "of what is left is off by less than ηλ of itself, up to ηλ = 1.",
        check_leading_order,
        SETTING,
    ),
    Claim(
        "ghosh2025.4e",
        "Between 2/λ and 2/S the gap falls below 2√(1/η² − s²), where the minimum under the run is "
        "stable, and not to zero.",
        check_until_stable,
        SETTING,
    ),
    Claim(
        "ghosh2025.4f",
        "Beyond 2/S the gap decays to zero, in chaos too; on the 2-cycle by √(3 − ηS) at each "
        "step in the long run (its logarithm within 1 %).",
        check_decay,
        SETTING,
    ),
    Claim(
        "ghosh2025.4g",
        "At every bounded step size the gap in float64 is right to 1e-10 of itself for as long as "
        "rounding is not amplified beyond that, as arbitrary precision judges.",
        gap.check_precision,
        gap.TRUSTED,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The share of the gap that is left, and the steps for which float64 has it right."""
    figure, (left, right) = panels(1, 2, height=2.6)
    rates, share = measured.learning_rate, gap.gaps(measured)
    end = (share / share.isel(step=0)).isel(step=-1)
    found = measured_line(left, rates, end, "descent", COLORS[0])
    found.set(marker="o", markersize=2.5, linewidth=0.8)
    lines = [found, *_left_in_theory(left, measured, predicted), *_trusted(right, share, predicted)]
    left.set(ylabel=f"share of gap after {STEPS} steps", ylim=(-0.04, 1.04))
    right.set(ylabel="steps right to 1e-10", yscale="log", ylim=(6, 1500))
    for ax in (left, right):
        ax.set_xlabel("step size η")
        edge_line(ax, float(predicted.stability_edge.max()), "2/S", vertical=True)
    legend_above(figure, lines, columns=3)
    return figure


def _left_in_theory(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> list[Line2D]:
    """The leading order up to 2/λ, and from there the largest gap of a stable minimum."""
    first, target = gap.gaps(measured).isel(step=0).values, float(measured.target)
    own = measured.learning_rate * predicted.chain_flow_end_sharpness  # it has no say beyond 2/λ
    said = (predicted.partial_balance_gap / first).where(own < 2)
    flow = predicted_line(ax, measured.learning_rate, said, "leading order in η")
    between = np.linspace(2 / float(predicted.chain_flow_end_sharpness.max()), 1 / target, 60)
    limits = np.array([_stable(target, float(rate)) for rate in between]) / first.max()
    return [flow, predicted_line(ax, between, limits, "largest stable gap", COLORS[1])]


def _trusted(ax: Axes, share: xr.DataArray, predicted: xr.Dataset) -> list[Line2D]:
    """How many steps are right, measured and as judged in advance; none is drawn for all."""
    exact, trusted = predicted.exact_gap.values, np.isfinite(predicted.trusted_gap.values)
    with np.errstate(invalid="ignore"):
        wrong = ~(abs(share.transpose(..., "step").values - exact) <= 1e-10 * exact)
    counts = [np.where(w.any(1), w.argmax(1), np.nan) for w in (wrong, ~trusted)]
    return [
        measured_line(ax, share.learning_rate, counts[0], "right to 1e-10", COLORS[2]),
        predicted_line(ax, share.learning_rate, counts[1], "plain float64 right to 1e-12"),
    ]
