"""The diffusion of a mode peaks before the mode is learned. So does its speed, by as much.

Descent on batches of 1 and of 10, on full matrices from starts between aligned, balanced ones
(disorder p = 0) and Gaussian ones (p = 1); p sets misalignment and imbalance together. A mode is
learned at t95, where it passes 95 % of its target; t_peak is the moment of its largest diffusion in
the whole run. The null: on the aligned set, without label noise, D is proportional to the speed
squared, and the peak of the speed precedes t95 as well.

Left, the lag (t95 − t_peak)/t95 from aligned starts, mode by mode, with the null's and with theory.
Middle, t95 against the time that theory tells from the mode's own start. Right, the share of peaks
before t95 against the misalignment of the start. No misalignment brings it below 95 %; label noise
does, for a mode that is weak against it. Bars are 95 % intervals of the bootstrap over seeds.
"""

import functools
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict, bootstrap_interval
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import disordered
from dlnlab.networks import chain
from dlnlab.observables import (
    alignment_error,
    balance_error,
    mode_diffusion,
    mode_drift,
    mode_values,
)
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    few_ticks,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.modes import flow_time, flow_value
from dlnlab.theory.noise import label_noise_peak_limit, peak_lag
from dlnlab.theory.noise import mode_diffusion as balanced_diffusion
from dlnlab.theory.noise.peak import LEARNED
from dlnlab.typing import Any


def build(
    disorder: Annotated[float, Coordinate(least=0, most=1, symbol="p")] = 0.0,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 10,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.0,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.004,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=1, most=500)] = 10,
    dimension: Annotated[int, Coordinate(least=1, most=50, symbol="d")] = 5,
    scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    seed: int = 0,
) -> Run:
    """A chain on the teacher diag(d, …, 1), on fresh samples; the seed draws them and the start."""
    strengths, basis = jnp.arange(dimension, 0.0, -1.0), jnp.eye(dimension)
    task = Whitened(jnp.diag(strengths), label_noise, basis=(basis, basis))
    widths = (dimension, *(width,) * (depth - 1), dimension)
    problem = Problem(chain(widths), task)
    start, samples = jax.random.split(jax.random.key(seed))
    params = disordered(problem, start, scale, disorder)
    return Run(problem, StochasticGradientDescent(learning_rate, batch_size), params, key=samples)


Numbers = tuple[float, ...]


@prediction("mode_values", dims=("mode",), symbol="t_95", source="corlouer2026.3")
def learned_time(start: Numbers, target: Numbers, depth: int) -> np.ndarray[Any, Any]:
    """When balanced flow has each mode at 95 % of its target; NaN where it starts below zero."""
    begin, goal = np.asarray(start), np.asarray(target)
    usable = (begin > 0) & (begin < LEARNED * goal)
    safe = np.where(usable, begin, LEARNED * goal / 2)
    return np.where(usable, flow_time(LEARNED * goal, safe, goal, depth), np.nan)


@prediction("mode_diffusion", dims=("step", "mode"), symbol="D_a·B/η", source="corlouer2026.2")
def diffusion_along(
    times: Numbers, start: Numbers, target: Numbers, depth: int, label_noise: float
) -> np.ndarray[Any, Any]:
    """D per unit of η/B along balanced flow from each mode's start; NaN where it is below zero."""
    values = _flow(times, start, target, depth)
    made = balanced_diffusion(values, target, depth, label_noise, 1.0, 1)
    return np.where(np.asarray(start) > 0, made, np.nan)


@functools.lru_cache(4096)
def _flow(times: Numbers, start: Numbers, target: Numbers, depth: int) -> np.ndarray[Any, Any]:
    """The way from one start, which runs with other batches and label noise share."""
    begin = np.where(np.asarray(start) > 0, start, 1.0)
    return flow_value(np.asarray(times)[:, None], begin, np.asarray(target), depth)


@prediction("lag", dims=("mode",), symbol="(t_95 − t_peak)/t_95", source="corlouer2026.3")
def lags(start: Numbers, target: Numbers, depth: int, label_noise: float) -> np.ndarray[Any, Any]:
    """The lag of each mode along balanced flow; NaN where there is no peak, or no way to it."""
    limit, made = label_noise_peak_limit(depth), []
    for begin, goal in zip(start, target, strict=True):
        peaked = label_noise < limit * goal and 0 < begin < goal / 2
        made.append(float(peak_lag(begin, goal, depth, label_noise)) if peaked else np.nan)
    return np.asarray(made)


def _start(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    target = tuple(np.arange(coords["dimension"], 0.0, -1.0).tolist())
    first = measured.mode_values.isel(step=0, pathway=0).values[: len(target)]
    return {"start": tuple(first.tolist()), "target": target, "depth": coords["depth"]}


def _noisy(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {**_start(coords, measured), "label_noise": float(coords["label_noise"])}


def _way(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {**_noisy(coords, measured), "times": tuple(measured.time.values.tolist())}


EXPERIMENT = Experiment(
    build,
    title="The peak of a mode's diffusion against the moment it is learned",
    steps=2500,
    schedule=linear(251),
    observe=(mode_values, mode_diffusion, mode_drift, alignment_error, balance_error),
    predictions=(Bound(learned_time, _start), Bound(diffusion_along, _way), Bound(lags, _noisy)),
    coords={
        "disorder": (0.0, 0.2, 0.5, 1.0),
        "batch_size": (1, 10),
        "label_noise": (0.0, 0.5),
        "seed": tuple(range(64)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "disorder": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    "batch_size": (1, 10),
    "label_noise": (0.0, 0.25, 0.5),
    "width": (10, 30, 100),
    "seed": tuple(range(100)),
}
"""19,800 runs."""

INTERACTIVE = ("mode_diffusion", "mode_values", "mode_drift", "alignment_error")

AXES = ("disorder", "batch_size", "label_noise", "seed")
RECORDED = ("step", "pathway", "mode")
SMALL, LARGE, NOISE = 1, 10, 0.5


def moments(measured: xr.Dataset) -> xr.Dataset:
    """t95 (NaN where a mode is not learned), and the lags behind the peaks of D and of speed."""
    goals = np.arange(int(measured.dimension), 0.0, -1.0)
    share = measured.mode_values.sum("pathway") / xr.DataArray(goals, dims="mode")
    time = xr.DataArray(measured.time.values, dims=measured.time.dims)
    learned = _first(share.reset_coords(drop=True), time)
    found = {"learned": learned}
    for name, of in (("lag", measured.mode_diffusion), ("null", measured.mode_drift)):
        peak = time.isel(step=of.fillna(-np.inf).argmax("step").reset_coords(drop=True))
        found[name] = (learned - peak) / learned
    return xr.Dataset(found)


def _first(share: xr.DataArray, time: xr.DataArray) -> xr.DataArray:
    """When a share first passes 95 %, on the straight line between two records."""
    passed = share >= LEARNED
    after = np.maximum(passed.argmax("step"), 1)
    low, high = (share.isel(step=k) for k in (after - 1, after))
    since, until = (time.isel(step=k) for k in (after - 1, after))
    part = ((LEARNED - low) / (high - low)).clip(0, 1)
    return (since + part * (until - since)).where(passed.any("step"))


def _aligned(measured: xr.Dataset, batch: int = LARGE) -> xr.Dataset:
    """The runs without label noise from aligned starts."""
    return moments(measured).sel(disorder=0.0, label_noise=0.0, batch_size=batch)


def correlation(one: Any, other: Any) -> float:
    """Pearson's, over all pairs of which both are finite."""
    one, other = np.ravel(one), np.ravel(other)
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(one[both], other[both])[0, 1]) if both.sum() > 2 else np.nan


def within(one: Any, other: Any) -> float:
    """The same once each mode's mean over seeds [seed, mode] is taken off."""
    both = np.isfinite(one) & np.isfinite(other)
    pair = [np.where(both, values, np.nan) for values in (one, other)]
    return correlation(*(values - _mean(values) for values in pair))


def _mean(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The mean over seeds of what is finite, NaN where nothing is."""
    some = np.isfinite(values)
    total = np.where(some, values, 0).sum(axis=0)
    return np.where(some.any(axis=0), total / np.maximum(1, some.sum(axis=0)), np.nan)


def check_lag(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The lag of each seed, its mean over modes and both batch sizes."""
    found = [_aligned(measured, batch).lag.mean("mode", skipna=False) for batch in (SMALL, LARGE)]
    return Verdict.mean_at_least(sum(found) / 2, 0.1)


def check_null(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """−|lag − null|, its mean over modes."""
    found = _aligned(measured)
    return Verdict.mean_at_least(-abs(found.lag - found.null).mean("mode", skipna=False), -0.01)


def _times(measured: xr.Dataset, predicted: xr.Dataset, disorder: float) -> tuple[Any, Any]:
    place = {"disorder": disorder, "label_noise": 0.0, "batch_size": LARGE}
    found = moments(measured).learned.sel(place).transpose("seed", "mode").values
    return found, predicted.learned_time.sel(place).transpose("seed", "mode").values


def check_times(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The correlation of predicted and measured t95 over modes and seeds."""
    return Verdict.bootstrap_at_least(correlation, _times(measured, predicted, 0.0), 0.99)


def check_within(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same within modes."""
    return Verdict.bootstrap_at_least(within, _times(measured, predicted, 0.0), 0.95)


def check_disordered_times(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """1 − the correlation within modes from Gaussian starts."""
    columns = _times(measured, predicted, 1.0)
    return Verdict.bootstrap_at_least(lambda *pair: 1 - within(*pair), columns, 0.4)


def diffusion_correlations(
    measured: xr.Dataset, predicted: xr.Dataset, **place: Any
) -> np.ndarray[Any, Any]:
    """For each seed the correlation of predicted and measured D over modes and moments."""
    pair = [
        data.sel(label_noise=0.0, **place).transpose("seed", ...).values
        for data in (measured.mode_diffusion, predicted.diffusion_along)
    ]
    return np.array([correlation(*seed) for seed in zip(*pair, strict=True)])


def check_diffusion(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """These correlations at batches of ten from aligned starts."""
    found = diffusion_correlations(measured, predicted, disorder=0.0, batch_size=LARGE)
    return Verdict.mean_at_least(found, 0.85)


def check_small_batches(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much they are lower at batches of one."""
    large, small = (
        diffusion_correlations(measured, predicted, disorder=0.0, batch_size=batch)
        for batch in (LARGE, SMALL)
    )
    return Verdict.mean_at_least(large - small, 0.1)


def _before(measured: xr.Dataset, name: str) -> Verdict:
    found = moments(measured)[name].sel(label_noise=0.0, batch_size=LARGE)
    learned, first = found.notnull(), found > 0
    over = ("seed", "mode")
    return Verdict.all_at_least(first.sum(over).values, learned.sum(over).values, LEARNED)


def check_threshold(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of peaks of D before t95, of modes that were learned, at each disorder."""
    return _before(measured, "lag")


def check_threshold_null(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of the peaks of speed."""
    return _before(measured, "null")


def check_label_noise(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of peaks that do not come before t95, of modes above the limit of label noise."""
    goals = np.arange(int(measured.dimension), 0.0, -1.0)
    weak = NOISE / goals >= label_noise_peak_limit(int(measured.depth))
    found = moments(measured).lag.sel(disorder=0.0, label_noise=NOISE, batch_size=LARGE)
    found = found.isel(mode=weak)
    return Verdict.all_at_least([int((found <= 0).sum())], [int(np.isfinite(found).sum())], 0.8)


SETTING = ("L = 3, d = 5, width 10, teacher diag(5, …, 1), α = 0.01, η = 0.004",)
ALIGNED, TENS = "aligned, balanced starts", "batches of 10"
CLAIMS = (
    Claim(
        "corlouer2026.3g",
        "The diffusion of a mode peaks before the mode is learned: the lag (t95 − t_peak)/t95 is "
        "above a tenth in the mean over modes.",
        check_lag,
        (*SETTING, ALIGNED, "no label noise", "batches of 1 and 10"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3h",
        "The null: the peak of the speed has the same lag, within 0.01 in the mean of absolute "
        "differences, so that the peak of the diffusion says nothing beyond it.",
        check_null,
        (*SETTING, ALIGNED, "no label noise", TENS),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3i",
        "The time t95 that balanced flow tells from a mode's start correlates with the measured "
        "one over modes and seeds by more than 0.99.",
        check_times,
        (*SETTING, ALIGNED, "no label noise", TENS),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3j",
        "It does so within modes too, from start to start, by more than 0.95.",
        check_within,
        (*SETTING, ALIGNED, "starts of a mode differ by e^{0.5 N(0, 1)}", TENS),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3k",
        "From Gaussian starts it does not: the correlation within modes is below 0.6, with each "
        "mode's own projection for its start.",
        check_disordered_times,
        (*SETTING, "modes that start above zero", TENS),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3l",
        "The diffusion D(t) told from the start correlates with that of the run's weights over "
        "modes and moments by more than 0.85 in the mean over seeds.",
        check_diffusion,
        (*SETTING, ALIGNED, "no label noise", TENS),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3m",
        "With batches of one it is lower by more than 0.1: noise moves the peak, which the flow "
        "does not know.",
        check_small_batches,
        (*SETTING, ALIGNED, "no label noise"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3n",
        "There is no misalignment or imbalance at which the peak comes before t95 in less than "
        "95 % of cases: it does at every level from aligned to Gaussian starts.",
        check_threshold,
        (*SETTING, "no label noise", TENS, "modes learned in the run, counted as independent"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3o",
        "The same holds of the peak of the speed: the order of the two moments tests no theory "
        "of noise.",
        check_threshold_null,
        (*SETTING, "no label noise", TENS, "modes learned in the run, counted as independent"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.3p",
        "Label noise does break the order: a mode with ς/s above L/(2√((L−1)(3L−2))) has the "
        "largest diffusion after t95 in more than 80 % of cases.",
        check_label_noise,
        (*SETTING, ALIGNED, "ς = 0.5", TENS),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Lags by mode, t95 against theory, and the share of peaks before t95 against misalignment."""
    measured, predicted = with_axes(measured, predicted, AXES)
    first = {dim: 0 for dim in measured.mode_values.dims if dim not in (*AXES, *RECORDED)}
    measured, predicted = measured.isel(first), predicted.isel(first)
    figure, (left, middle, right) = panels(1, 3, height=2.6)
    place = {"disorder": float(measured.disorder[0]), "label_noise": float(measured.label_noise[0])}
    found, batch = moments(measured), int(measured.batch_size[-1])
    one = found.sel({**place, "batch_size": batch})
    said = predicted.lags.sel({**place, "batch_size": batch})
    _lags(left, one, said)
    _learned(middle, found, predicted, batch)
    _shares(right, measured, found)
    handles = [
        key("peak of D", COLORS[0], marker="o", markersize=4),
        key("peak of speed", COLORS[1], marker="s", markersize=4),
        key("theory", INK, linestyle="--", linewidth=1.0),
    ]
    legend_above(figure, handles)
    return figure


def _interval(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """How far the 95 % interval of the mean reaches below and above it."""
    values = values[np.isfinite(values)]
    if values.size < 2 or np.ptp(values) == 0:
        return 0.0, 0.0
    low, high = bootstrap_interval(np.mean, (values,))
    return values.mean() - low, high - values.mean()


def _lags(ax: Axes, found: xr.Dataset, said: xr.DataArray) -> None:
    modes = np.arange(found.sizes["mode"])
    for name, mark, shift, color in (("lag", "o", -0.12, 0), ("null", "s", 0.12, 1)):
        values = found[name].transpose("seed", "mode").values
        reach = np.array([_interval(values[:, k]) for k in modes]).T
        mean = _mean(values)
        ax.errorbar(modes + 1 + shift, mean, reach, fmt=mark, ms=4, color=COLORS[color], lw=1)
    ax.plot(modes + 1, said.mean("seed"), "--", color=INK, lw=1)
    ax.set(xlabel="mode", ylabel=r"lag $(t_{95} - t_{peak})/t_{95}$", ylim=(0, None))
    ax.set_title("a. aligned starts")
    ax.set_xticks(modes + 1)


def _learned(ax: Axes, found: xr.Dataset, predicted: xr.Dataset, batch: int) -> None:
    noise = float(found.label_noise[0])
    ends = (float(found.disorder[-1]), float(found.disorder[0]))
    for disorder, color in zip(ends, (COLORS[4], COLORS[2]), strict=True):
        place = {"disorder": disorder, "label_noise": noise, "batch_size": batch}
        told, seen = predicted.learned_time.sel(place), found.learned.sel(place)
        r = correlation(told, seen.transpose(*told.dims))
        label = f"p = {disorder:g}: r = {r:.4f}"
        ax.plot(told, seen.transpose(*told.dims), "o", color=color, ms=2, alpha=0.6)
        ax.plot([], [], "o", color=color, ms=4, label=label)
    span = [float(found.learned.min()), float(found.learned.max())]
    ax.plot(span, span, "--", color=INK, lw=1)
    ax.set(xlabel="$t_{95}$, theory", ylabel="$t_{95}$, measured", xscale="log", yscale="log")
    ax.set_title("b. when a mode is learned")
    ax.legend(loc="lower right", handlelength=0.8)


def _shares(ax: Axes, measured: xr.Dataset, found: xr.Dataset) -> None:
    place: dict[str, Any] = {"batch_size": int(measured.batch_size[-1])}
    levels = measured.sel(place).isel(step=0, label_noise=0).mean("seed")
    for name, mark, size, color in (("null", "s", 7, 1), ("lag", "o", 4, 0)):
        for noise in measured.label_noise.values:
            values = found[name].sel({**place, "label_noise": noise})
            first = (values > 0).where(np.isfinite(values)).mean("mode")
            reach = np.array([_interval(one.values) for one in first.transpose("disorder", "seed")])
            look: dict[str, Any] = {"fmt": f"{mark}-", "color": COLORS[color], "mfc": "none"}
            mean = first.mean("seed")
            ax.errorbar(levels.alignment_error, mean, reach.T, ms=size, lw=1, **look)
            if name == "lag":
                where = (float(levels.alignment_error[0]), float(mean[0]))
                ax.annotate(f"ς = {noise:g}", where, (2, -6), textcoords="offset points", va="top")
    ax.axhline(LEARNED, color=INK, lw=0.6, ls=":")
    ax.set(xlabel="start: misalignment, imbalance", ylabel=r"share with $t_{peak} < t_{95}$")
    ax.set(ylim=(0.7, 1.03), title="c. from aligned to Gaussian")
    pairs = zip(levels.alignment_error.values, levels.balance_error.isel(pathway=0).values)  # noqa: B905
    ticks = {float(one): f"{one:.2g}\n{other:.2g}" for one, other in pairs}
    ax.set_xticks(list(ticks), list(ticks.values()))
    few_ticks(ax)
