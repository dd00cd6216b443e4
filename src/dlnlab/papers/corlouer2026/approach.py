"""How one mode comes to its stationary law, and when it is learned.

An ensemble of the equation of SGD from one small start: its law at several times against the
solution of the Fokker–Planck equation (dashed), and the share of modes that have not yet passed
half their target against the solver's survival curve. A chain that is looked at in steps of dt
passes a little late; the solver's barrier is raised by what that amounts to to first order,
0.5826 √(D dt) (Broadie, Glasserman and Kou 1997). Two and three layers, target 1.
"""

import functools
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.stationary import alarm, moved, one_mode
from dlnlab.plotting import COLORS, INK, Axes, Figure, at, key, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import FirstTime
from dlnlab.theory.noise import (
    Generator,
    evolve,
    generator,
    ito_parts,
    mode_diffusion,
    mode_drift,
)
from dlnlab.typing import Any

TARGET, TIME_STEP = 1.0, 0.002
HALF = TARGET / 2
LATE = 0.5826
"""−ζ(½)/√(2π): by so many standard deviations of a step a walk overshoots."""

AXES = ("depth", "seed")


def build(
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    label_noise: Annotated[float, Coordinate(above=0, symbol="ς/s")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.1,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    start: Annotated[float, Coordinate(above=1e-4, below=0.4, log=True, symbol="w(0)/s")] = 0.05,
    seed: int = 0,
) -> Run:
    """One balanced mode of target 1 under the equation of SGD, in steps of 0.002."""
    problem, params = one_mode("equation", depth, TARGET, label_noise, start)
    rule = moved("equation", learning_rate, batch_size, TIME_STEP)
    return Run(problem, rule, params, jax.random.key(seed))


PASSAGE = FirstTime(mode_values, above=HALF)

EXPERIMENT = Experiment(
    build,
    title="The approach to the stationary law",
    steps=3000,
    schedule=linear(7),
    observe=(mode_values,),
    statistics=(PASSAGE,),
    coords={"depth": (2, 3), "seed": tuple(range(2000))},
    cites=("corlouer2026",),
)

FULL = {"depth": (2, 3, 4, 6), "seed": tuple(range(10_000))}


class LogMode(NamedTuple):
    """The drift and the diffusion of ln w, functions of ln w."""

    drift: Callable[[Any], Any]
    diffusion: Callable[[Any], Any]


def log_mode(depth: int, label_noise: float, learning_rate: float, batch_size: int) -> LogMode:
    """Those of one balanced mode of target 1 under the equation of SGD."""
    noise = (label_noise, learning_rate, batch_size)

    def diffusion(logs: Any) -> Any:
        values = np.exp(logs)[..., None]
        return (mode_diffusion(values, [TARGET], depth, *noise) / values**2)[..., 0]

    def drift(logs: Any) -> Any:
        values = np.exp(logs)[..., None]
        pull = mode_drift(values, [TARGET], depth)
        pull = pull + ito_parts(values, [TARGET], depth, *noise).own
        return (pull / values)[..., 0] - diffusion(logs) / 2

    return LogMode(drift, diffusion)


CELLS = 1200


def cells(start: float, top: float) -> Any:
    """Edges in ln w, even, with the start in the middle of a cell and `top` at an edge."""
    low, first, last = np.log(1e-7 * start), np.log(start), np.log(top)
    width = (last - first) / (np.round(CELLS * (last - first) / (last - low)) + 0.5)
    below = int((first - low) / width)
    return last + width * np.arange(-round((last - first) / width + 0.5) - below, 1)


@functools.lru_cache(maxsize=16)
def equation(question: tuple[Any, ...], start: float, barrier: bool) -> tuple[Generator, Any]:
    """The Fokker–Planck equation in ln w, with a barrier at half the target or without, and the
    masses of its cells at the start."""
    mode, top = log_mode(*question), 20 * TARGET
    if barrier:
        late = LATE * np.sqrt(float(mode.diffusion(np.log(HALF))) * TIME_STEP)
        top = HALF * float(np.exp(late))
    edges = cells(start, top)
    made = generator(mode.drift, mode.diffusion, edges, absorbing=(False, barrier))
    masses = np.zeros(len(edges) - 1)
    masses[np.searchsorted(edges, np.log(start)) - 1] = 1.0
    return made, masses


def question(measured: xr.Dataset, depth: int) -> tuple[tuple[Any, ...], float]:
    """What the equation of a depth is asked with."""
    names = ("label_noise", "learning_rate", "batch_size")
    return (int(depth), *(measured[name].item() for name in names)), measured.start.item()


def law_in_time(measured: xr.Dataset, depth: int) -> tuple[Any, Any]:
    """Edges in w, and the distribution at them, [moment, edge], at the moments recorded."""
    asked, start = question(measured, depth)
    made, masses = equation(asked, start, False)
    times = measured.step.values[1:] * TIME_STEP
    found = evolve(made, masses, times, steps=150)
    shares = np.concatenate([np.zeros((len(times), 1)), np.cumsum(found, axis=1)], axis=1)
    return np.exp(made.edges), shares


def passed(measured: xr.Dataset, depth: int) -> tuple[Any, Any]:
    """Times, and the solver's share of modes that have passed half the target by then."""
    asked, start = question(measured, depth)
    made, masses = equation(asked, start, True)
    times = np.linspace(0, float(measured.step[-1]) * TIME_STEP, 301)
    return times, 1 - evolve(made, masses, times, steps=8).sum(axis=1)


def _values(measured: xr.Dataset, depth: int, moment: int) -> Any:
    found = at(measured.mode_values, depth=depth).isel(pathway=0, mode=0, step=moment)
    return found.values


def _kolmogorov(sample: Any, places: Any, shares: Any) -> float:
    """The p-value of a sample against a distribution function known at `places`."""
    import scipy.stats

    found = scipy.stats.kstest(sample, lambda w: np.interp(w, places, shares), method="asymp")
    return float(found.pvalue)


def check_law(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least p-value of Kolmogorov and Smirnov over depths and moments."""
    measured, _ = with_axes(measured, predicted, AXES)
    found = []
    for depth in measured.depth.values:
        places, shares = law_in_time(measured, depth)
        for moment, share in enumerate(shares, start=1):
            found.append(_kolmogorov(_values(measured, depth, moment), places, share))
    return Verdict.at_least(min(found), alarm(len(found)), sample_size=measured.sizes["seed"])


def check_passages(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least p-value, over depths, of the times of passage; who never passed passed late."""
    measured, _ = with_axes(measured, predicted, AXES)
    found = []
    for depth in measured.depth.values:
        times, shares = passed(measured, depth)
        sample = at(measured[PASSAGE.name], depth=depth).isel(step=-1).fillna(2 * times[-1])
        beyond = np.append(times, [times[-1] * (1 + 1e-9), 2 * times[-1]])
        found.append(_kolmogorov(sample.values, beyond, np.append(shares, [shares[-1], 1.0])))
    return Verdict.at_least(min(found), alarm(len(found)), sample_size=measured.sizes["seed"])


ONE = ("one balanced mode", "d = 1", "η = 0.1, ς = s/2, from 0.05 s")
CLAIMS = (
    Claim(
        "corlouer2026.4g",
        "From one start the law of a mode under the equation of SGD follows the Fokker–Planck "
        "equation with the drift and the diffusion of corlouer2026.2 at every moment.",
        check_law,
        ONE,
        statistical=True,
    ),
    Claim(
        "corlouer2026.4h",
        "The times at which a mode first passes half its target have the law of that equation with "
        "an absorbing barrier.",
        check_passages,
        ONE,
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The distribution at each moment, a panel for each depth, and the survival of both."""
    measured, _ = with_axes(measured, predicted, AXES)
    depths = measured.depth.values
    count = min(len(depths), 2)
    figure, axes = panels(1, count + 1)
    for ax, depth in zip(axes, depths, strict=False):
        _laws(ax, measured, int(depth))
    _survivals(axes[count], measured)
    lines = [key(f"t = {t:g}", c) for t, c in zip(_moments(measured)[1], COLORS, strict=False)]
    theory = key("Fokker–Planck", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*lines, theory])
    return figure


def _moments(measured: xr.Dataset) -> tuple[Any, Any]:
    """Every other moment recorded, and its time."""
    chosen = np.arange(1, measured.sizes["step"])[:: max(1, measured.sizes["step"] // 5)][:5]
    return chosen, np.round(measured.step.values[chosen] * TIME_STEP, 6)


def _laws(ax: Axes, measured: xr.Dataset, depth: int) -> None:
    places, shares = law_in_time(measured, depth)
    bins = np.linspace(0, 2.0 * TARGET, 51)
    for moment, color in zip(_moments(measured)[0], COLORS, strict=False):
        values = _values(measured, depth, int(moment))
        found = np.histogram(values, bins)[0] / len(values) / np.diff(bins)
        ax.stairs(found, bins, color=color, linewidth=1.2, zorder=2)
        said = np.diff(np.interp(bins, places, shares[moment - 1])) / np.diff(bins)
        predicted_line(ax, (bins[1:] + bins[:-1]) / 2, said)
    ax.set(xlabel="w/s", ylabel="density", title=f"L = {depth}")


def _survivals(ax: Axes, measured: xr.Dataset) -> None:
    for depth, color in zip(measured.depth.values, ("#57606a", "#9a6700", *COLORS), strict=False):
        times, shares = passed(measured, int(depth))
        sample = at(measured[PASSAGE.name], depth=depth).isel(step=-1).values
        left = 1 - np.searchsorted(np.sort(sample[np.isfinite(sample)]), times) / sample.size
        measured_line(ax, times, left, color=color)
        predicted_line(ax, times, 1 - shares)
        k = int(np.argmin(abs(left - 0.5)))
        side, place = ("right", (-4, 0)) if depth == measured.depth.values[0] else ("left", (4, 0))
        here = (times[k], left[k])
        ax.annotate(f"L = {depth}", here, place, textcoords="offset points", ha=side, va="center")
    ax.set(xlabel="time t", title="not yet past s/2", ylabel="share of runs", ylim=(0, 1.03))
