"""Where the diffusion of a mode peaks, and where it has no peak before the mode is learned.

One mode under SGD, one sample at a time, at several depths L and label noises ς. D is measured from
the steps that SGD takes: the mean square of a step less its drift, among all steps from about the
same value w. Left: some of these profiles, with the formula. Middle: where they peak. Up to
ς/s = L/(2√((L−1)(3L−2))) D has a maximum before the mode is learned; beyond that (grey) it has
none, and D is largest at the end: "noise peaks before learning" is false there.
Right: D at the peak over D of the learned mode, which falls to 1 still earlier.

The null: without label noise D is proportional to the squared speed, so that its peak is that of
the speed, and nothing that noise announces.
"""

from typing import Annotated, NamedTuple

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.modes import LEARNED, teacher
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.statistics import StepProfile
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.noise import (
    label_noise_global_limit,
    label_noise_peak_limit,
    noise_peak,
    peak_share,
    speed_peak,
)
from dlnlab.theory.noise import mode_diffusion as theory_diffusion
from dlnlab.typing import Any


def build(
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    limit_ratio: Annotated[float, Coordinate(least=0, symbol="ς/ς*")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.002,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.05,
    seed: int = 0,
) -> Run:
    """SGD on batches of one before a target of 1, at limit_ratio times the label noise from which
    on there is no peak before learning; balanced layers, `start` their product."""
    problem = teacher((1.0,), (1,) * (depth + 1), limit_ratio * label_noise_peak_limit(depth))
    moves = StochasticGradientDescent(learning_rate)
    return Run(problem, moves, scaled_identity(problem, (start,)), jax.random.key(seed))


EDGES = np.arange(0.0, 1.1001, 0.025)
"""Between which values w/s steps are counted together."""


def _target(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    noise = coords["limit_ratio"] * label_noise_peak_limit(coords["depth"])
    return {"depth": coords["depth"], "target": 1.0, "label_noise": noise}


EXPERIMENT = Experiment(
    build,
    title="The peak of a mode's diffusion, and where there is none",
    steps=2500,
    schedule=Schedule(),
    observe=(mode_values,),
    statistics=(StepProfile(tuple(EDGES.tolist())),),
    predictions=(Bound(noise_peak, _target),),
    coords={
        "depth": (2, 3, 4, 6),
        "limit_ratio": (0.0, 0.5, 0.75, 0.95, 1.1, 1.5),
        "seed": tuple(range(128)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "limit_ratio": (0.0, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0),
    "seed": tuple(range(2000)),
}
"""112,000 runs."""

SHARES = (EDGES[1:] + EDGES[:-1]) / 2
BEFORE = (SHARES > 0.15) & (SHARES < LEARNED)


# --- what is measured ---------------------------------------------------------------------------


class Profile(NamedTuple):
    """By w/s: D per unit of η/B from the steps and at the weights, the mean speed, the counts."""

    steps: Floats
    weights: Floats
    speed: Floats
    counts: Floats


def profile(lanes: xr.Dataset) -> Profile:
    """The profile of some seeds at one depth and label noise; NaN where few steps began."""
    rate = float(lanes.learning_rate)
    sums = lanes.step_profile.isel(step=-1).transpose("seed", "bin", "moment").values.sum(axis=0)
    counts = np.where(sums[:, 0] >= 100, sums[:, 0], np.nan)
    mean = sums[:, 1] / counts
    spread = (sums[:, 2] / counts - mean**2) / rate**2
    return Profile(spread, sums[:, 3] / counts, mean / rate, counts)


def lane_of(measured: xr.Dataset, depth: int, ratio: float) -> xr.Dataset:
    """The seeds at one depth and label noise."""
    return measured.sel(depth=depth, limit_ratio=ratio)


def vertex(values: Floats, counts: Floats) -> float:
    """Where a profile is largest before learning: of a quartic through it, weighted by counts."""
    keep = BEFORE & np.isfinite(values)
    weight = np.sqrt(counts[keep]) / np.maximum(values[keep], values[keep].max() / 20)
    curve = np.polyfit(SHARES[keep], values[keep], 4, w=weight)
    fine = np.linspace(SHARES[keep][0], SHARES[keep][-1], 2001)
    return float(fine[np.argmax(np.polyval(curve, fine))])


def vertices(lanes: xr.Dataset, of: str) -> tuple[float, float]:
    """The vertex and its standard error, from eight parts of the seeds left out in turn."""
    seeds = np.arange(lanes.sizes["seed"])

    def found(kept: np.ndarray[Any, Any]) -> float:
        made = profile(lanes.isel(seed=kept))
        return vertex(getattr(made, of), made.counts)

    parts = [found(np.setdiff1d(seeds, fold)) for fold in np.array_split(seeds, 8)]
    return found(seeds), float(np.sqrt((len(parts) - 1) * np.var(parts)))


def bump(values: Floats) -> tuple[float, float]:
    """Where a profile has a maximum before learning from which it falls, and its value; or NaN."""
    keep = BEFORE & np.isfinite(values)
    shares, heat = SHARES[keep], values[keep]
    inner = np.flatnonzero((heat[1:-1] > heat[:-2]) & (heat[1:-1] >= heat[2:])) + 1
    if not inner.size:
        return np.nan, np.nan
    best = inner[np.argmax(heat[inner])]
    return float(shares[best]), float(heat[best])


def at_end(values: Floats) -> float:
    """A profile at the learned mode."""
    return float(np.nanmean(values[np.abs(SHARES - 1) < 0.04]))


def cells(measured: xr.Dataset) -> list[tuple[int, float]]:
    """All depths with all label noises, in units of the limit."""
    return [(int(d), float(r)) for d in measured.depth.values for r in measured.limit_ratio.values]


# --- claims -------------------------------------------------------------------------------------


def _said(predicted: xr.Dataset, depth: int, ratio: float) -> float:
    return float(predicted.noise_peak.sel(depth=depth, limit_ratio=ratio).isel(seed=0))


def check_position(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance of the peak of D, at the weights of SGD, from the one predicted."""
    below = [(d, r) for d, r in cells(measured) if r < 1]
    found = [
        abs(bump(profile(lane_of(measured, *cell)).weights)[0] - _said(predicted, *cell))
        for cell in below
    ]
    return Verdict.at_most(float(np.max(found)), 0.025, sample_size=len(found))


def check_steps(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance of the peak of the steps' variance from the one predicted, up to half
    the limit."""
    found = []
    for cell in [(d, r) for d, r in cells(measured) if r <= 0.5]:
        place, error = vertices(lane_of(measured, *cell), "steps")
        found.append((abs(place - _said(predicted, *cell)), QUANTILE * error))
    return _worst(found, 0.05)


QUANTILE = 5.4
"""Student's t for seven degrees of freedom at the share of false alarms of one claim."""


def _worst(found: list[tuple[float, float]], limit: float) -> Verdict:
    away, error = max(found)
    return Verdict.at_most(away, limit, uncertainty=error, sample_size=len(found))


def check_limit(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of cells with a peak beyond the limit, or without one below it; NaN, which fails,
    unless there are cells within 10 % of it on both sides."""
    ratios = measured.limit_ratio.values
    near = ((ratios > 0.9) & (ratios < 1)).any() and ((ratios > 1) & (ratios < 1.11)).any()
    peaks = [np.isfinite(bump(profile(lane_of(measured, *c)).weights)[0]) for c in cells(measured)]
    wrong = sum(
        peak != (ratio < 1) for peak, (_, ratio) in zip(peaks, cells(measured), strict=True)
    )
    return Verdict.at_most(float(wrong) if near else np.nan, 0, sample_size=len(peaks))


def heights(measured: xr.Dataset, depth: int, ratio: float) -> float:
    """D at its peak before learning over D of the learned mode."""
    values = profile(lane_of(measured, depth, ratio)).weights
    return bump(values)[1] / at_end(values)


def global_ratio(depth: int) -> float:
    """Where D at the peak is that of the learned mode, in units of the limit."""
    return label_noise_global_limit(depth) / label_noise_peak_limit(depth)


def check_global(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of cells with a peak that is on the wrong side of D of the learned mode; NaN,
    which fails, unless there are cells on both sides of the smaller limit."""
    below = [(d, r) for d, r in cells(measured) if r < 1]
    higher = np.array([heights(measured, *cell) > 1 for cell in below])
    said = np.array([r < global_ratio(d) for d, r in below])
    told = said.any() and not said.all()
    wrong = float((higher != said).sum()) if told else np.nan
    return Verdict.at_most(wrong, 0, sample_size=len(below))


def rise(lanes: xr.Dataset, depth: int) -> float:
    """D of steps just before the mode is learned over D where the mode is fastest."""
    found = profile(lanes)
    late = (SHARES > 0.85) & (SHARES < LEARNED)
    fast = np.abs(SHARES - speed_peak(depth, 1.0)) < 0.06
    parts = [
        np.nansum((found.steps * found.counts)[k]) / np.nansum(found.counts[k])
        for k in (late, fast)
    ]
    return float(parts[0] / parts[1])


FAR = 1.5
"""In units of the limit: from here on the steps of 100 runs or so tell that D only grows."""


def check_falsified(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least ratio of D just before learning to D where the mode is fastest, far beyond the
    limit, measured from the steps."""
    found = []
    for depth, ratio in [cell for cell in cells(measured) if cell[1] >= FAR]:
        lanes = lane_of(measured, depth, ratio)
        folds = np.array_split(np.arange(lanes.sizes["seed"]), 8)
        parts = [rise(lanes.isel(seed=fold), depth) for fold in folds]
        found.append((np.mean(parts), QUANTILE * np.std(parts, ddof=1) / len(parts) ** 0.5))
    least, error = min(found) if found else (np.nan, 0.0)
    return Verdict.at_least(float(least), 1.0, uncertainty=float(error), sample_size=len(found))


def check_null(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance between the peaks of D and of the speed, without label noise, both
    from the steps."""
    found = []
    for depth in measured.depth.values:
        lanes = lane_of(measured, int(depth), 0.0)
        (heat, one), (speed, other) = (vertices(lanes, of) for of in ("steps", "speed"))
        found.append((abs(heat - speed), QUANTILE * np.hypot(one, other)))
    return _worst(found, 0.1)


SETTING = ("one mode", "balanced start", "B = 1, small η", "white Gaussian inputs")
CLAIMS = (
    Claim(
        "corlouer2026.3",
        "Below ς/s = L/(2√((L−1)(3L−2))) the diffusion of a mode peaks before the mode is learned, "
        "where theory says, (2L−2)/(3L−2) without label noise; within 0.025 s.",
        check_position,
        SETTING,
    ),
    Claim(
        "corlouer2026.3a",
        "So does the variance of SGD's own steps, within 0.05 s.",
        check_steps,
        (*SETTING, "ς/s up to half the limit"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3b",
        "There is such a peak below that label noise and none above it.",
        check_limit,
        SETTING,
    ),
    Claim(
        "corlouer2026.3c",
        "The peak is higher than the diffusion of the learned mode only below a smaller label "
        "noise, that of `label_noise_global_limit`.",
        check_global,
        SETTING,
    ),
    Claim(
        "corlouer2026.3d",
        "At 1.5 times that label noise D does not peak before learning: SGD's steps vary more "
        "just before the mode is learned than where the mode is fastest.",
        check_falsified,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.3e",
        "Without label noise the diffusion peaks where the speed does, within 0.1 s: its peak "
        "tells no more than that of the speed.",
        check_null,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

TICKS = {"ls": (0, (4, 2.2)), "linewidth": 1.0}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Profiles of D at one depth, the places of the peaks, and their heights."""
    figure, (left, middle, right) = panels(1, 3, height=2.8)
    measured, _ = with_axes(measured, predicted, ("depth", "limit_ratio", "seed"))
    depths = [int(depth) for depth in measured.depth.values]
    _profiles(left, measured, 4 if 4 in depths else depths[0])
    for depth, color in zip(depths, COLORS, strict=False):
        _places(middle, measured, depth, color)
        _heights(right, measured, depth, color)
    most = 1.1 * max(1.4, float(measured.limit_ratio.max()))
    for ax in (middle, right):
        ax.axvspan(1, most, color="#e4e7eb", zorder=0)
        ax.set(xlim=(-0.05, most), xlabel="label noise ς, over its limit")
    middle.set(title="where D peaks, w/s", ylim=(0.4, 1.0))
    right.set(title="D at the peak / D learned", yscale="log", ylim=(0.3, 300))
    right.axhline(1, color=FAINT, lw=0.8)
    for ax, height in ((middle, 0.47), (right, 60)):
        ax.text((1 + most) / 2, height, "no peak\nbefore\nlearning", ha="center", fontsize=7)
    lines = [key(f"L = {depth}", c) for depth, c in zip(depths, COLORS, strict=False)]
    marks = [
        key("at the weights", INK, marker="o", ms=4),
        key("from the steps", INK, marker="_", ms=7),
        key("theory", INK, **TICKS),
        key("D grows until learned", INK, marker="x", ms=4),
    ]
    legend_above(figure, [*lines, *marks], columns=4)
    return figure


def _diffusion(share: Floats, depth: int, noise: float) -> Floats:
    return np.asarray(theory_diffusion(share, np.ones(1), depth, noise, 1.0, 1))


def _profiles(ax: Axes, measured: xr.Dataset, depth: int) -> None:
    """D from the steps, with the formula, at a few label noises; D of the learned mode is 1."""
    ratios = measured.limit_ratio.values
    chosen = [r for r in ratios if r in (0.5, 0.95, 1.5)] or list(ratios[:3])
    keep = (SHARES > 0.1) & (SHARES < 1.05)
    for ratio, color in zip(chosen, COLORS[4:], strict=False):
        found = profile(lane_of(measured, depth, ratio))
        noise = ratio * label_noise_peak_limit(depth)
        unit = float(_diffusion(np.ones((1, 1)), depth, noise)[0, 0]) or 1.0
        ax.plot(SHARES[keep], found.steps[keep] / unit, ".", ms=3.5, color=color)
        said = _diffusion(SHARES[:, None], depth, noise)[:, 0] / unit
        predicted_line(ax, SHARES[keep], said[keep], "", color)
        ax.plot([], [], ".", color=color, label=f"ς = {ratio:g} × limit")
    ax.axvline(LEARNED, color=FAINT, lw=0.8)
    ax.set(title=f"D from the steps, L = {depth}", xlabel="w/s", ylabel="D / D learned")
    ax.set_ylim(-0.1, 4.6)
    ax.legend(loc="upper left", handletextpad=0.2)


def _places(ax: Axes, measured: xr.Dataset, depth: int, color: str) -> None:
    limit, fine = label_noise_peak_limit(depth), np.linspace(0, 0.9999, 200)
    predicted_line(ax, fine, [peak_share(depth, ratio * limit) for ratio in fine], "", color)
    for ratio in measured.limit_ratio.values:
        lanes = lane_of(measured, depth, ratio)
        place = bump(profile(lanes).weights)[0]
        if np.isfinite(place):
            ax.plot(ratio, place, "o", ms=3.5, color=color)
        else:
            ax.plot(ratio, LEARNED, "x", ms=4, color=color)
        if ratio <= 0.5 and lanes.sizes["seed"] >= 16:
            value, error = vertices(lanes, "steps")
            ax.errorbar(ratio + 0.03, value, 1.96 * error, fmt="_", ms=6, lw=1, color=color)


def _heights(ax: Axes, measured: xr.Dataset, depth: int, color: str) -> None:
    limit, fine = label_noise_peak_limit(depth), np.linspace(0.05, 0.9999, 200)
    shares = np.array([peak_share(depth, ratio * limit) for ratio in fine])
    said = [
        float(_diffusion(np.array([x]), depth, n * limit)[0]) / (depth * n * limit) ** 2
        for x, n in zip(shares, fine, strict=True)
    ]
    predicted_line(ax, fine, said, "", color)
    ratios = [ratio for ratio in measured.limit_ratio.values if ratio > 0]
    ax.plot(ratios, [heights(measured, depth, r) for r in ratios], "o", ms=3.5, color=color)
