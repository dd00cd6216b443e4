"""Does noise change the order in which modes are learned, or when? SGD, descent, and a control.

Four modes, from the same small Gaussian starts: descent on all of the population (B = ∞), SGD on
batches of 1 and of 10, and the isotropic control, whose noise has at each state the trace of SGD's
on batches of 1 and no direction. In `switched` the batch
grows from 1 to 10 at step 500, in a run that is the same up to there.

SGD learns the modes in the order of descent, in nearly the same time, and its loss rests where
descent's does (dashed). The isotropic control hardly rests: noise in directions that no signal has
drives weights away from the saddles. SGD's own noise is far from isotropic all along. Distances are
of the weights (solid) and of the map (dotted) from those of descent from the same start, relative.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.dynamics import Map, StochasticGradientDescent, Switched
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.observables import end_to_end, loss, mode_values, noise_anisotropy, parameters
from dlnlab.papers.corlouer2026.modes import (
    LEARNED,
    clock,
    learning_times,
    matrix_dynamics,
    teacher,
)
from dlnlab.plotting import (
    COLORS,
    FAINT,
    INK,
    Axes,
    Figure,
    key,
    legend_above,
    panels,
    predicted_level,
    with_axes,
)
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.escape import plateau_loss
from dlnlab.typing import Any

Method = Literal["descent", "sgd", "sgd_10", "isotropic", "switched"]


def build(
    dynamics: Method = "sgd",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.005,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.3,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (
        5.0,
        4.0,
        3.0,
        2.0,
    ),
    hidden: Annotated[int, Coordinate(least=1, most=500)] = 5,
    scale: Annotated[float, Coordinate(above=0, log=True)] = 0.1,
    seed: int = 0,
) -> Run:
    """A square teacher of these singular values, from Gaussian entries of deviation `scale`/√width.

    `sgd` takes batches of 1, `sgd_10` of 10, `switched` of 1 and from step 500 on of 10;
    `isotropic` is Langevin dynamics with the trace of SGD's noise on batches of 1. The start is
    that of the seed, whatever the dynamics.
    """
    size = len(targets)
    problem = teacher(targets, (size, *(hidden,) * (depth - 1), size), label_noise)
    start, noise = jax.random.split(jax.random.key(seed))
    params = gaussian(problem.network, start, std=scale / jnp.sqrt(hidden))
    return Run(problem, _dynamics(dynamics, learning_rate), params, noise)


SWITCH = 500
"""The step at which the batch grows."""


def _dynamics(name: Method, rate: Any) -> Map:
    one, ten = (StochasticGradientDescent(rate, batch_size=batch) for batch in (1, 10))
    if name == "switched":
        return Switched((one, ten), (SWITCH,))
    return ten if name == "sgd_10" else matrix_dynamics(name, rate, 1)


def _targets(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"targets": coords["targets"]}


@prediction("loss", dims=("learned",), symbol="ℓ_k", source="corlouer2026.5")
def plateaus(targets: tuple[float, ...]) -> Floats:
    """The losses at which learning rests, with 0, 1, … modes learned: `½ Σ_{i>k} s_i²`."""
    return plateau_loss(targets)


EXPERIMENT = Experiment(
    build,
    title="Order and times of learning: SGD, descent, isotropic noise",
    steps=3000,
    schedule=linear(151),
    observe=(loss, mode_values, noise_anisotropy, parameters, end_to_end),
    predictions=(Bound(plateaus, _targets),),
    coords={
        "dynamics": ("descent", "sgd_10", "sgd", "isotropic", "switched"),
        "seed": tuple(range(36)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "targets": (5.0, 4.0, 3.0, 2.0, 1.0),
    "hidden": (5, 100),
    "scale": (0.1, 0.2),
    "seed": tuple(range(200)),
    "steps": 12_000,
}
"""The paper's five modes: 4,000 runs of 12,000 steps."""

INTERACTIVE = ("loss", "mode_values", "noise_anisotropy")


# --- what is measured ---------------------------------------------------------------------------


def ratios(measured: xr.Dataset, dynamics: str) -> Floats:
    """Times of learning over descent's from the same start, [seed, mode]: natural logarithms."""
    times = learning_times(measured)
    free = times.sel(dynamics="descent").transpose("seed", "mode").values
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.log(times.sel(dynamics=dynamics).transpose("seed", "mode").values / free)
        )


def pairs(measured: xr.Dataset, dynamics: str) -> Floats:
    """Of pairs of modes that descent learns at times 10 % apart or more: whether this dynamics
    learns them in the same order. A mode that is not learned in time comes last."""
    half = learning_times(measured, 0.5)
    free, found = (
        half.sel(dynamics=name).transpose("seed", "mode").fillna(np.inf).values
        for name in ("descent", dynamics)
    )
    one, other = np.triu_indices(free.shape[1], 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.abs(np.log(free[:, one] / free[:, other])) > 0.1
    same = (free[:, one] < free[:, other]) == (found[:, one] < found[:, other])
    return np.asarray(same[apart])


def check_order(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of pairs that SGD learns in the order of descent, on batches of 1 and of 10."""
    same = [pairs(measured, name) for name in ("sgd", "sgd_10")]
    return Verdict.all_at_least([int(s.sum()) for s in same], [s.size for s in same], 0.85)


def check_times(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How much later than descent SGD learns in the mean over modes and seeds, as a logarithm."""
    import scipy.stats

    with np.errstate(invalid="ignore"):
        means = np.nanmean(ratios(measured, "sgd"), axis=1)
    means = means[np.isfinite(means)]
    quantile = scipy.stats.t.isf(FALSE_ALARM / STATISTICAL_CLAIMS / 2, means.size - 1)
    error = float(quantile * means.std(ddof=1) / means.size**0.5)
    away = abs(float(means.mean()))
    return Verdict.at_most(away, 0.15, uncertainty=error, sample_size=means.size)


def check_control(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much earlier than SGD the isotropic control learns, the modes after the first, in
    the mean of logarithms over modes; against 5 %."""
    gain = ratios(measured, "sgd")[:, 1:] - ratios(measured, "isotropic")[:, 1:]
    means = np.array([row[np.isfinite(row)].mean() for row in gain if np.isfinite(row).any()])
    return Verdict.mean_at_least(means, 0.05)


def rests(measured: xr.Dataset, dynamics: str) -> Floats:
    """Losses between modes [seed, plateau]: half-way in time from 95 % of one to half the next.

    Modes in the order of their targets; NaN where they are learned in another, or not in time.
    """
    lanes = measured.sel(dynamics=dynamics)
    done, half = (
        learning_times(measured, share).sel(dynamics=dynamics).transpose("seed", "mode").values
        for share in (LEARNED, 0.5)
    )
    moments, found = (done[:, :-1] + half[:, 1:]) / 2, []
    moments = np.where(done[:, :-1] < half[:, 1:], moments, np.nan)
    time = clock(lanes)
    for row, run in zip(moments, lanes.loss.transpose("seed", "step").values, strict=True):
        found.append(np.interp(row, time, run))
    return np.array(found)


def check_plateaus(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error, over plateaus between modes, of the median loss of SGD there."""
    said = predicted.plateaus.sel(dynamics="sgd").isel(seed=0).values[1:-1]
    found, said = rests(measured, "sgd")[:, said > 1], said[said > 1]
    counts = np.isfinite(found).sum(axis=0)
    enough = (counts >= len(found) / 4).all()
    error = np.abs(np.nanmedian(found, axis=0) / said - 1) if enough else np.full(1, np.nan)
    return Verdict.at_most(float(error.max()), 0.1, sample_size=int(counts.sum()))


def check_anisotropy(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least anisotropy P Tr Σ²/(Tr Σ)² at any recorded moment of any run of SGD."""
    found = measured.noise_anisotropy.sel(dynamics="sgd")
    return Verdict.at_least(float(found.min(skipna=False)), 3.0, sample_size=found.size)


def check_switch(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The logarithm (base 10) of the ratio of the mean losses over the last tenth of the steps, of
    `switched` over SGD on batches of 1, median over seeds, against −1; NaN, which fails, unless
    both are the same to the last bit up to the switch."""
    one, both = (measured.sel(dynamics=name) for name in ("sgd", "switched"))
    early = measured.step.values <= SWITCH
    first, second = (run.parameters.isel(step=early).values for run in (one, both))
    same = np.array_equal(first, second, equal_nan=True)  # fewer than the most end in NaN
    late = measured.step.values > 0.9 * measured.step.values[-1]
    ratio = both.loss.isel(step=late).mean("step") / one.loss.isel(step=late).mean("step")
    away = abs(np.log10(float(ratio.median("seed"))) + 1)
    return Verdict.at_most(away if same else np.nan, 0.3, sample_size=ratio.size)


SETTING = (
    "L = 3, teacher diag(5, 4, 3, 2), hidden 5",
    "Gaussian start of scale 0.1",
    "η = 0.005, ς = 0.3",
)
CLAIMS = (
    Claim(
        "corlouer2026.5",
        "SGD learns modes in the order of descent from the same start, on batches of 1 and of 10: "
        "85 % and more of the pairs that descent learns at times 10 % apart.",
        check_order,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.5a",
        "It takes the time of descent: within 15 % in the mean, on batches of 1.",
        check_times,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.5b",
        "Between modes its loss rests at the plateaus ½ Σ_{i>k} s_i² of descent, within 10 %.",
        check_plateaus,
        (*SETTING, "plateaus above 1: what noise adds to the loss, 0.07, is below a tenth of them"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.5c",
        "Its noise is at all times far from isotropic: 3 and more in P Tr Σ²/(Tr Σ)².",
        check_anisotropy,
        SETTING,
    ),
    Claim(
        "corlouer2026.5d",
        "Isotropic noise of the same trace does change the times: it learns all modes after the "
        "first earlier, by 5 % and more.",
        check_control,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.5e",
        "Where the batch grows from 1 to 10 in mid-run the loss falls to a tenth of what it "
        "would be, within a factor of 2, and nothing is lost by the small batches before.",
        check_switch,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

LABELS = {
    "descent": "descent",
    "sgd_10": "SGD, B = 10",
    "sgd": "SGD, B = 1",
    "isotropic": "isotropic",
    "switched": "B: 1 → 10",
}
SHADES = dict(zip(LABELS, (INK, *COLORS), strict=False))


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Losses of one start with the plateaus, times of learning against descent's, distances of the
    weights and the map from descent's, anisotropy."""
    figure, axes = panels(2, 2, height=4.6)
    measured, predicted = with_axes(measured, predicted, ("dynamics", "seed"))
    names = [name for name in LABELS if name in measured.dynamics.values]
    time = clock(measured)
    for name in names:
        lanes, color = measured.sel(dynamics=name), SHADES[name]
        axes[0].plot(time, lanes.loss.isel(seed=0), color=color, lw=1.1)
        if name != "descent":
            found = lanes.noise_anisotropy.transpose("seed", "step")
            axes[3].plot(time, found.median("seed"), color=color, lw=1.1)
        if name != "descent" and "descent" in names:
            _against(axes[1], measured, name)
            _distance(axes[2], measured, name, time)
    for level in predicted.plateaus.isel(dynamics=0, seed=0).values[:-1]:
        predicted_level(axes[0], float(level))
    axes[0].set(
        ylim=(1e-3, 60),
        yscale="log",
        title="loss of one start, and plateaus",
        xlabel="time η · step",
    )
    axes[1].set(title="time of w = 0.95 s", xlabel="descent", ylabel="from the same start")
    axes[2].set(title="distance from descent, medians", xlabel="time η · step", yscale="log")
    axes[3].set(title=r"anisotropy there, $P\,{\rm Tr}\Sigma^2/({\rm Tr}\Sigma)^2$, medians")
    axes[3].set(yscale="log", xlabel="time η · step", ylim=(0.8, None))
    axes[3].axhline(1, color=FAINT, lw=0.8)
    low, high = axes[1].get_xlim()
    axes[1].plot([low, high], [low, high], color=INK, lw=1, ls=(0, (4, 2.2)), zorder=1)
    legend_above(figure, [key(LABELS[name], SHADES[name]) for name in names])
    return figure


def _against(ax: Axes, measured: xr.Dataset, name: str) -> None:
    times = learning_times(measured)
    x, y = (times.sel(dynamics=n).transpose("seed", "mode").values for n in ("descent", name))
    ax.plot(x.ravel(), y.ravel(), ".", ms=2.5, color=SHADES[name], alpha=0.7)


def _distance(ax: Axes, measured: xr.Dataset, name: str, time: Floats) -> None:
    """Of the weights (solid) and of the map (dotted), over their norms under descent."""
    one, free = (measured.sel(dynamics=n) for n in (name, "descent"))
    for variable, dims, look in (
        ("parameters", ["parameter"], "-"),
        ("end_to_end", ["output", "input"], ":"),
    ):
        gap = np.sqrt(((one[variable] - free[variable]) ** 2).sum(dims))
        size = np.sqrt((free[variable] ** 2).sum(dims))
        values = xr.DataArray(gap / size).transpose("seed", "step").median("seed").values
        ax.plot(time[1:], values[1:], look, color=SHADES[name], lw=1.1)
