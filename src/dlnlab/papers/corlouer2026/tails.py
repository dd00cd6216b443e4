"""The heavy tail of a mode's stationary law: p falls like w^{−5+3/L}.

Where the noise of the inputs is strong, the law of one mode has a tail of a power that depends on
depth alone. The share of the equation's chains beyond w (solid, with 95 % of the chains' means)
against that of the law (dashed), and the slope of the density: of the law, of the solver of the
Fokker–Planck equation at rest, which knows nothing of the closed form, and the limit −5 + 3/L.
The slope nears its limit like 1/w and from below, so that a finite sample has a steeper tail. The
chains are of two layers: deeper ones leave the tail by steps that are too long for them. The
estimate of Hill, of the chains' values beyond twice the target, is held against that of the law
there.
"""

from typing import Annotated

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.approach import log_mode
from dlnlab.papers.corlouer2026.stationary import moved, normal_limit, one_mode
from dlnlab.plotting import COLORS, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import StationaryLaw, generator, stationary_law, stationary_masses
from dlnlab.typing import Any

TARGET, TIME_STEP, BEYOND = 1.0, 5e-4, 2.0
AXES = ("depth", "seed")


def build(
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    label_noise: Annotated[float, Coordinate(above=0, symbol="ς/s")] = 0.5,
    scaled_rate: Annotated[float, Coordinate(above=0, log=True, symbol="ηS")] = 0.8,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    seed: int = 0,
) -> Run:
    """One balanced mode of target 1 under the equation of SGD, in steps of 0.0005/(L − 1)."""
    problem, params = one_mode("equation", depth, TARGET, label_noise, TARGET)
    rule = moved("equation", scaled_rate / depth, batch_size, TIME_STEP / (depth - 1))
    return Run(problem, rule, params, jax.random.key(seed))


DEPTHS, FAR = (2, 3, 4, 6), 1e5
"""Of the solver's slopes, and w/s where they are taken."""


@prediction("tail_slope", dims=("tail_depth",), symbol="−5 + 3/L", source="corlouer2026.4")
def tail_slopes() -> Any:
    """The slope of ln p against ln w far out, at each of `DEPTHS`."""
    return -5 + 3 / np.array(DEPTHS)


@prediction("tail_slope", dims=("tail_depth",), symbol="d ln p/d ln w", source="corlouer2026.2")
def solver_slopes(label_noise: float, scaled_rate: float, batch_size: int) -> Any:
    """The same of the Fokker–Planck equation at rest on cells in ln w, at w = `FAR` s."""
    edges = np.linspace(np.log(0.02), np.log(4 * FAR), 4001)
    found = []
    for depth in DEPTHS:
        mode = log_mode(depth, label_noise, scaled_rate / depth, batch_size)
        masses = stationary_masses(generator(mode.drift, mode.diffusion, edges))
        k = int(np.searchsorted(edges, np.log(FAR)))
        gain = np.log(masses[k + 20] / masses[k - 20])
        found.append(gain / (edges[k + 20] - edges[k - 20]) - 1)
    return np.array(found)


def _asked(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {name: coords[name] for name in ("label_noise", "scaled_rate", "batch_size")}


EXPERIMENT = Experiment(
    build,
    title="The heavy tail of the stationary law",
    steps=20_000,
    schedule=linear(401),
    observe=(mode_values,),
    predictions=(Bound(tail_slopes), Bound(solver_slopes, _asked)),
    coords={"depth": 2, "seed": tuple(range(500))},
    cites=("corlouer2026",),
)

FULL = {"seed": tuple(range(2000)), "steps": 60_000}


def law_at(measured: xr.Dataset, depth: int) -> StationaryLaw:
    """The law at these coordinates."""
    rate, batch = float(measured.scaled_rate) / depth, int(measured.batch_size)
    return stationary_law(int(depth), TARGET, float(measured.label_noise), rate, batch)


def rested(measured: xr.Dataset, depth: int) -> Any:
    """Values after a fifth of the run, [seed, record]; of a chain that diverged, NaN from there on.

    What a chain did before an excursion on which its steps were too long is kept: to leave the
    whole chain out would take away those that go far.
    """
    found = measured.mode_values.sel(depth=depth).isel(pathway=0, mode=0)
    found = found.isel(step=slice(found.sizes["step"] // 5, None))
    return np.asarray(found.transpose("seed", "step").values)


def quotient(sums: Any, counts: Any) -> tuple[float, float]:
    """Σ sums / Σ counts over independent chains, and its standard error."""
    mean = sums.sum() / counts.sum()
    error = (sums - mean * counts).std(ddof=1) * len(sums) ** 0.5 / counts.sum()
    return float(mean), float(error)


def beyond(values: Any, places: Any) -> tuple[Any, Any]:
    """The share of values beyond w, and its standard error, [place]."""
    counts = np.isfinite(values).sum(axis=1)
    found = [quotient((values > w).sum(axis=1), counts) for w in places]
    return np.array([mean for mean, _ in found]), np.array([error for _, error in found])


def hill(values: Any) -> tuple[float, float]:
    """The mean of ln(w/u) over values beyond u, and its error."""
    far = values > BEYOND
    logs = np.where(far, np.log(np.where(far, values, BEYOND) / BEYOND), 0.0)
    return quotient(logs.sum(axis=1), far.sum(axis=1))


def hill_of(law: StationaryLaw) -> float:
    """The same of the law: `∫_u^∞ P(w' > w) d ln w / P(w' > u)`."""
    logs = np.linspace(0, 12, 4001)
    over = 1 - law.cdf(BEYOND * np.exp(logs))
    return float(np.trapezoid(over, logs) / over[0])


def check_hill(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Hill's estimate beyond twice the target from that of the law, in standard errors, over
    depths; the slope of the solver is to be within a thousandth of −5 + 3/L besides."""
    measured, predicted = with_axes(measured, predicted, AXES)
    found, size = [], 0
    for depth in measured.depth.values:
        values = rested(measured, depth)
        mean, error = hill(values)
        found.append(abs(mean - hill_of(law_at(measured, depth))) / error)
        size += len(values)
    limits = abs(predicted.solver_slopes / predicted.tail_slopes - 1).max() < 1e-3
    worst = max(found) if bool(limits) else np.nan
    return Verdict.at_most(worst, normal_limit(len(found)), sample_size=size)


CLAIMS = (
    Claim(
        "corlouer2026.4f",
        "The stationary law of one mode has a heavy tail, w^{−5+3/L}: the equation's chains have "
        "the law's tail beyond twice the target, and far out its slope is −5 + 3/L.",
        check_hill,
        ("d = 1", "chains of two layers, until they diverge, if they do", "ηS = 0.8, ς = s/2"),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The share beyond w, and the slope of the density with its limit."""
    measured, predicted = with_axes(measured, predicted, AXES)
    figure, (left, right) = panels(1, 2)
    places = np.geomspace(0.5, 8, 31)
    lines = []
    for depth, color in zip(measured.depth.values, COLORS, strict=False):
        law, values = law_at(measured, depth), rested(measured, depth)
        mean, error = beyond(values, places)
        left.plot(places, np.where(mean > 0, mean, np.nan), color=color)
        low = np.maximum(mean - 1.96 * error, 1e-6)
        left.fill_between(places, low, mean + 1.96 * error, color=color, alpha=0.25)
        predicted_line(left, places, 1 - law.cdf(places))
        lost = int(np.isnan(values[:, -1]).sum())
        lines.append(key(f"L = {depth}" + (f", {lost} diverged" if lost else ""), color))
    _slopes(right, measured)
    left.set(xscale="log", yscale="log", ylim=(1e-5, 1.5), xlabel="w/s", ylabel="share beyond w")
    left.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    left.set_xticks([], minor=True)
    law_key = key("stationary law", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*lines, law_key])
    return figure


def _slopes(ax: Axes, measured: xr.Dataset) -> None:
    """The slope of the law's density at several depths, and their limits."""
    far = np.geomspace(1.5, 3000, 80)
    for depth, limit, color in zip(DEPTHS, tail_slopes(), COLORS, strict=False):
        slope = np.gradient(law_at(measured, depth).logpdf(far), np.log(far))
        ax.axhline(limit, color=color, linewidth=1.2)
        predicted_line(ax, far, slope)
        ax.annotate(
            f"L = {depth}",
            (1.01, limit),
            xycoords=ax.get_yaxis_transform(),
            va="center",
            fontsize=6.5,
            color=color,
        )
    ax.set(xscale="log", ylim=(-6.5, -3.2), xlabel="w/s", ylabel="d ln p/d ln w")
    ax.set_title("solid: the limit −5 + 3/L")
