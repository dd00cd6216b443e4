"""The same from Gaussian starts: does the noise of a mode peak before the mode is learned?

Nothing is aligned or balanced now: entries of variance width^{−γ}, four layers, SGD on batches of
one, labels without noise. The larger γ, the smaller the start. At γ = 1 the start is as large as
the target, and the noise of every mode is largest at the start: there is no peak to speak of. From
small starts each mode's diffusion has its peak before 95 % of the target, at about the value where
that of a balanced mode has (dashed). Weights are aligned in the end, but never balanced: the nearer
to it, the smaller the start.
"""

from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.observables import (
    alignment_error,
    balance_error,
    loss,
    mode_diffusion,
    mode_values,
)
from dlnlab.papers.corlouer2026.modes import (
    clock,
    learning_times,
    matrix_dynamics,
    mode_shares,
    strengths,
    teacher,
)
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    key,
    legend_above,
    panels,
    predicted_level,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.noise import peak_share


def build(
    dynamics: Literal["descent", "langevin", "sgd"] = "sgd",
    gamma: Annotated[float, Coordinate(least=0, symbol="γ")] = 2.0,
    hidden: Annotated[int, Coordinate(least=1, most=1000)] = 10,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.0,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (1.0, 0.9, 0.8, 0.7),
    seed: int = 0,
) -> Run:
    """A square teacher of these singular values, from Gaussian entries of variance width^{−γ}."""
    size = len(targets)
    problem = teacher(targets, (size, *(hidden,) * (depth - 1), size), label_noise)
    start, noise = jax.random.split(jax.random.key(seed))
    params = gaussian(problem.network, start, gamma=gamma)
    return Run(problem, matrix_dynamics(dynamics, learning_rate, batch_size), params, noise)


EXPERIMENT = Experiment(
    build,
    title="Noise of the modes from Gaussian starts",
    steps=4000,
    schedule=linear(201),
    observe=(loss, mode_values, mode_diffusion, alignment_error, balance_error),
    coords={"gamma": (1.0, 1.5, 2.0, 2.5), "seed": tuple(range(32))},
    cites=("corlouer2026",),
)

FULL = {"hidden": (10, 32, 100), "seed": tuple(range(64)), "steps": 40_000}
"""768 runs of 40,000 steps; the smallest starts at width 100 leave the origin only then."""

INTERACTIVE = ("mode_values", "mode_diffusion", "alignment_error", "balance_error")


# --- what is measured ---------------------------------------------------------------------------


class Peaks(NamedTuple):
    """Of each seed and mode: when its diffusion is largest, at which w/s; when it is learned."""

    times: Floats
    shares: Floats
    learned: Floats

    @property
    def kept(self) -> Floats:
        """Which are learned within the run."""
        return np.isfinite(self.learned)


def peaks(lanes: xr.Dataset) -> Peaks:
    """The peaks of all runs of one γ, at the recorded steps; [seed, mode]."""
    modes = len(strengths(lanes))
    heat = lanes.mode_diffusion.isel(mode=slice(0, modes)).transpose("seed", "mode", "step").values
    places = np.argmax(np.where(np.isfinite(heat), heat, -1), axis=2)
    shares = mode_shares(lanes).transpose("seed", "mode", "step").values
    return Peaks(
        clock(lanes)[places],
        np.take_along_axis(shares, places[..., None], 2)[..., 0],
        learning_times(lanes).transpose("seed", "mode").values,
    )


def _small(measured: xr.Dataset, least: float) -> list[float]:
    return [float(g) for g in measured.gamma.values if g >= least]


def check_before(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of learned modes whose diffusion peaks after the start and before 95 % of the
    target, at each γ from 2 on."""
    found = [peaks(measured.sel(gamma=g)) for g in _small(measured, 2.0)]
    hits = [int(((p.times > 0) & (p.times < p.learned))[p.kept].sum()) for p in found]
    return Verdict.all_at_least(hits, [int(p.kept.sum()) for p in found], 0.75)


def check_lazy(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of modes whose diffusion is largest at the very start, at γ = 1."""
    found = peaks(measured.sel(gamma=1.0))
    return Verdict.all_at_least([int((found.times == 0).sum())], [found.times.size], 0.75)


def check_place(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance, over γ from 2 on, of the median w/s at the peak from theory's."""
    said = peak_share(int(measured.depth), 0.0) or np.nan
    found = [peaks(measured.sel(gamma=g)) for g in _small(measured, 2.0)]
    medians = [np.median(p.shares[p.kept]) if p.kept.any() else np.nan for p in found]
    away = np.abs(np.array(medians) - said)
    return Verdict.at_most(
        float(np.max(away)), 0.1, sample_size=sum(int(p.kept.sum()) for p in found)
    )


def check_balance(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least median imbalance at the end, over γ; NaN, which fails, unless it falls with γ, and
    the median misalignment there is below 0.01."""
    last = measured.isel(step=-1).sortby("gamma")
    gaps = last.balance_error.isel(pathway=0).median("seed").values
    turned = float(last.alignment_error.median("seed").max())
    told = (np.diff(gaps) < 0).all() and turned < 0.01
    return Verdict.at_least(float(gaps.min()) if told else np.nan, 0.1, sample_size=gaps.size)


SETTING = ("Gaussian start, hidden 10", "L = 4, d = 4, teacher (1, 0.9, 0.8, 0.7)", "ς = 0, B = 1")
CLAIMS = (
    Claim(
        "corlouer2026.3f",
        "From small Gaussian starts, γ from 2 on, too, the diffusion of a mode peaks after the "
        "start and before the mode is learned, in more than three of four modes.",
        check_before,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.3g",
        "From starts of γ = 1 it does not: the diffusion is largest at the start, in more than "
        "three of four modes.",
        check_lazy,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.3h",
        "From γ = 2 on the median peak is at the value of a balanced mode's, within 0.1 s.",
        check_place,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2k",
        "Gaussian starts end aligned but not balanced, the nearer to it the smaller the start.",
        check_balance,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

SHADES = (*COLORS[4:], COLORS[3])


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """One run from a small start; values at the peaks; errors along the runs."""
    figure, axes = panels(2, 2, height=4.6)
    measured, _ = with_axes(measured, predicted, ("gamma", "seed"))
    gammas, time = measured.gamma.values, clock(measured)
    shown = min(gammas, key=lambda gamma: abs(gamma - 2))
    _one(axes[0], measured.sel(gamma=shown).isel(seed=0), time)
    axes[0].set_title(f"one run, γ = {shown:g}")
    for gamma, color in zip(gammas, SHADES, strict=False):
        lanes = measured.sel(gamma=gamma)
        _place(axes[1], lanes, color)
        _errors(axes[2], lanes.alignment_error, time, color)
        _errors(axes[3], lanes.balance_error.isel(pathway=0), time, color)
    said = peak_share(int(measured.depth), 0.0)
    if said is not None:
        predicted_level(axes[1], said)
    axes[1].set(
        title="at the largest D", xlabel=r"lag $(t_{95}-t_{\rm peak})/t_{95}$", ylabel="w/s"
    )
    axes[1].set(xlim=(-0.5, 1.05), ylim=(-1.1, 1.5))
    axes[2].set(title="off the diagonal, relative", yscale="log", xlabel="time η · step")
    axes[2].set_ylim(1e-4, 1.5)
    axes[3].set(title="imbalance, relative", ylim=(0, 1), xlabel="time η · step")
    lines = [key(f"γ = {g:g}", c) for g, c in zip(gammas, SHADES, strict=False)]
    legend_above(figure, [*lines, key("balanced mode", INK, ls="--", linewidth=1.0)])
    return figure


def _one(ax: Axes, lane: xr.Dataset, time: Floats) -> None:
    """Values (thin) and diffusions, each over its largest, of the modes of one run."""
    for mode in range(len(strengths(lane))):
        color = COLORS[mode % len(COLORS)]
        heat = lane.mode_diffusion.isel(mode=mode).values
        ax.plot(time, mode_shares(lane).isel(mode=mode), color=color, lw=0.8, alpha=0.6)
        ax.plot(time, heat / np.nanmax(heat), color=color, lw=1.3)
    ax.set(xlabel="time η · step", ylabel="w/s (thin), D / its largest")


def _errors(ax: Axes, found: xr.DataArray, time: Floats, color: str) -> None:
    """Median and quartiles over seeds."""
    parts = found.transpose("seed", "step").quantile([0.25, 0.5, 0.75], "seed").values
    parts = np.maximum(parts, 1e-9)
    ax.fill_between(time, parts[0], parts[2], color=color, alpha=0.2, lw=0)
    measured_line(ax, time, parts[1], "", color).set_linewidth(1.2)


def _place(ax: Axes, lanes: xr.Dataset, color: str) -> None:
    """w/s at the peak against the lag, of every mode that was learned."""
    found = peaks(lanes)
    with np.errstate(invalid="ignore", divide="ignore"):
        lag = ((found.learned - found.times) / found.learned)[found.kept]
    ax.plot(lag, found.shares[found.kept], ".", ms=3, color=color, alpha=0.8)
