"""For how long do aligned, balanced weights stay so under the noise of batches?

Descent never leaves them. SGD and its equation leave at once: what is off the diagonal grows like
the square root of η/B, and the layers' imbalance like η/B itself, at the rate of theory (the mean
of what noise adds, dashed, along the path of descent). The diffusion of a mode is then no
longer that of its value: the time after which the formula of balanced modes is off by 5 % falls
with η/B. At the minimum noisy labels drive on, and the imbalance settles at a level of its own:
SGD goes where the trace of the Hessian is least, which is not the balanced set.
"""

from typing import Annotated, Literal

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.observables import (
    alignment_error,
    balance_error,
    balance_gap,
    loss,
    mode_diffusion,
    mode_values,
)
from dlnlab.papers.corlouer2026.modes import (
    LEARNED,
    aligned_diffusion,
    from_values,
    matrix_dynamics,
    mode_shares,
    strengths,
    teacher,
)
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.noise import balance_drift
from dlnlab.typing import Any


def build(
    dynamics: Literal["descent", "langevin", "sgd"] = "sgd",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.1,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (1.0, 0.9, 0.8, 0.7),
    dimension: Annotated[int, Coordinate(least=1, most=200, symbol="d")] = 4,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.01,
    seed: int = 0,
) -> Run:
    """A teacher of these singular values, from aligned, balanced layers whose modes are `start`."""
    problem = teacher(targets, (dimension,) * (depth + 1), label_noise)
    moves = matrix_dynamics(dynamics, learning_rate, batch_size)
    return Run(problem, moves, scaled_identity(problem, (start,)), jax.random.key(seed))


EXPERIMENT = Experiment(
    build,
    title="How noise carries weights off the aligned, balanced set",
    steps=2500,
    schedule=logarithmic(160),
    observe=(loss, mode_values, mode_diffusion, alignment_error, balance_error, balance_gap),
    predictions=(Bound(aligned_diffusion, from_values),),
    coords={
        "dynamics": ("descent", "langevin", "sgd"),
        "learning_rate": (0.0025, 0.005, 0.01, 0.02),
        "seed": tuple(range(48)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "learning_rate": (0.00125, 0.0025, 0.005, 0.01, 0.02),
    "dimension": 10,
    "seed": tuple(range(100)),
    "steps": 24_000,
}
"""1,500 runs of 24,000 steps in ten dimensions."""

INTERACTIVE = ("balance_error", "alignment_error", "mode_diffusion", "mode_values")

NOISY = ("langevin", "sgd")
OFF = 0.05


# --- what theory says of the imbalance ----------------------------------------------------------


def predicted_gap(lane: xr.Dataset, noise_scale: float) -> Floats:
    """The imbalance [step] that noise adds in the mean along a run of descent, `max_l ‖∫Ġ_l dt‖`.

    To leading order in η/B: the values of descent, and layers still balanced.
    """
    values = np.maximum(lane.mode_values.isel(pathway=0).transpose("step", "mode").values, 0)
    goals, depth = np.zeros(values.shape[1]), int(lane.depth)
    goals[: len(strengths(lane))] = strengths(lane)
    rates = np.array(
        [
            balance_drift(
                [np.diag(now ** (1 / depth))] * depth,
                np.diag(goals),
                float(lane.label_noise),
                noise_scale,
                1,
            )
            for now in values
        ]
    )
    time = lane.time.values
    parts = (rates[1:] + rates[:-1]) / 2 * np.diff(time)[:, None, None, None]
    total = np.concatenate([np.zeros_like(rates[:1]), np.cumsum(parts, axis=0)])
    return np.asarray(np.linalg.norm(total, axis=(2, 3)).max(axis=1))


def scale_of(measured: xr.Dataset, rate: float) -> float:
    """η/B at this η."""
    return rate / float(measured.batch_size)


# --- what is measured ---------------------------------------------------------------------------


def trusted_times(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """When D of any mode first departs by 5 % from the formula of balanced modes; [..., seed].

    In time step × learning rate; the end of the run where it never does.
    """
    modes = slice(0, len(strengths(measured)))
    away = abs(measured.mode_diffusion / predicted.aligned_diffusion - 1).isel(mode=modes)
    off = away.max("mode") > OFF
    time, off = xr.broadcast(measured.time, off)
    return time.where(off).min("step").fillna(time.max("step"))


def learned_time(measured: xr.Dataset) -> float:
    """When descent has 95 % of its first mode, in time step × learning rate."""
    lane = measured.sel(dynamics="descent").isel(seed=0, learning_rate=0)
    over = (mode_shares(lane).isel(mode=0) >= LEARNED).values
    return float(lane.time.values[np.argmax(over)])


def exponents(measured: xr.Dataset, name: str, dynamics: str) -> Floats:
    """The power of η/B in an error before learning, for each seed.

    The slope of its mean logarithm over times from 0.1 to 0.4 of that in which descent learns its
    first mode, against the logarithm of the learning rate.
    """
    moments = np.geomspace(0.1, 0.4, 9) * learned_time(measured)
    rates, found = measured.learning_rate.values, []
    for rate in rates:
        lane = measured[name].sel(dynamics=dynamics, learning_rate=rate).squeeze(drop=True)
        time = _clock(measured.sel(dynamics=dynamics, learning_rate=rate))
        logs = np.log(lane.transpose("seed", "step").values[:, 1:])
        found.append([np.interp(moments, time[1:], row).mean() for row in logs])
    return np.asarray(np.polyfit(np.log(rates), np.array(found), 1)[0])


def _clock(lane: xr.Dataset) -> Floats:
    """The times of the recorded steps, which all lanes share."""
    time = lane.time
    return np.asarray(time.isel({dim: 0 for dim in time.dims if dim != "step"}).values)


def _power(measured: xr.Dataset, name: str, said: float) -> Verdict:
    """How far the mean power over seeds is from what is said of it, SGD or its equation."""
    import scipy.stats

    found = [exponents(measured, name, dynamics) for dynamics in NOISY]
    worst = max(found, key=lambda powers: abs(powers.mean() - said))
    away, count = abs(float(worst.mean()) - said), worst.size
    quantile = scipy.stats.t.isf(FALSE_ALARM / STATISTICAL_CLAIMS / 2, count - 1)
    error = float(quantile * worst.std(ddof=1) / count**0.5)
    return Verdict.at_most(away, 0.2, uncertainty=error, sample_size=2 * count)


def check_misalignment(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the power is from ½."""
    return _power(measured, "alignment_error", 0.5)


def check_imbalance(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the power is from 1."""
    return _power(measured, "balance_gap", 1.0)


def check_rate(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The relative error of theory for the median imbalance at the smallest step size, at 0.6 of
    the time at which descent learns its first mode, of SGD or its equation."""
    rate = float(measured.learning_rate.min())
    lanes = measured.sel(learning_rate=rate)
    free = lanes.sel(dynamics="descent").isel(seed=0)
    said, time = predicted_gap(free, scale_of(measured, rate)), free.time.values
    place = int(np.searchsorted(time, 0.6 * learned_time(measured)))
    gaps = lanes.balance_gap.isel(pathway=0, step=place).sel(dynamics=list(NOISY))
    error = abs(gaps.median("seed", skipna=False) / said[place] - 1)
    return Verdict.at_most(float(error.max(skipna=False)), 0.2, sample_size=gaps.size)


def check_stays(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest misalignment or imbalance of descent, at any time."""
    free = measured.sel(dynamics="descent")
    worst = np.maximum(free.alignment_error, free.balance_error.isel(pathway=0))
    return Verdict.at_most(float(worst.max(skipna=False)), 1e-10, sample_size=worst.size)


def check_times(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The power of B/η in this time, its mean over seeds of SGD; NaN, which fails, unless the
    median time comes before descent has learned at every step size."""
    times = trusted_times(measured, predicted).sel(dynamics="sgd").transpose("learning_rate", ...)
    early = float(times.median("seed").max()) < learned_time(measured)
    powers = -np.polyfit(np.log(measured.learning_rate.values), np.log(times.values), 1)[0]
    return Verdict.mean_at_least(powers if early else powers * np.nan, 0.0)


SETTING = ("L = 4, d = 4, ς = 0.1, B = 1", "aligned, balanced start of modes 0.01")
CLAIMS = (
    Claim(
        "corlouer2026.2f",
        "Descent stays aligned and balanced.",
        check_stays,
        SETTING,
    ),
    Claim(
        "corlouer2026.2g",
        "SGD and its equation leave alignment like the square root of η/B: that is the power of "
        "the share off the diagonal before learning, within 0.2.",
        check_misalignment,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2h",
        "They leave balance like η/B itself: its power is 1 within 0.2.",
        check_imbalance,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2i",
        "The imbalance before learning is what noise adds in the mean along the path of descent, "
        "within 20 % at η/B = 0.0025.",
        check_rate,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2j",
        "The formula of balanced modes may be trusted for a shorter time the larger η/B: the "
        "median time at which the diffusion of some mode is off by 5 % falls with η/B, and comes "
        "before descent has learned its first mode.",
        check_times,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Misalignment and imbalance along SGD, medians and quartiles, and the times for which the
    formula of balanced modes may be trusted."""
    figure, axes = panels(1, 3, height=2.7)
    measured, predicted = with_axes(measured, predicted, ("dynamics", "learning_rate", "seed"))
    names = list(measured.dynamics.values)
    shown = "sgd" if "sgd" in names else names[0]
    rates = measured.learning_rate.values
    for rate, color in zip(rates, COLORS, strict=False):
        lane = measured.sel(dynamics=shown, learning_rate=rate)
        _quartiles(axes[0], lane.alignment_error, lane, color)
        _quartiles(axes[1], lane.balance_gap.isel(pathway=0), lane, color)
        if "descent" in names:
            free = measured.sel(dynamics="descent", learning_rate=rate).isel(seed=0)
            said = predicted_gap(free, scale_of(measured, float(rate)))
            keep = free.time.values > 0.05
            predicted_line(axes[1], free.time[keep], said[keep])
    axes[0].set(title=f"off the diagonal ({shown})", ylabel=r"$\|U^\top WV-{\rm diag}\|/\|W\|$")
    axes[1].set(title="imbalance", ylabel=r"$\max_l\|G_l\|_F$")
    for ax in axes[:2]:
        ax.set(xscale="log", yscale="log", xlabel="time η · step", xlim=(0.05, None))
    _times(axes[2], measured, predicted)
    lines = [
        key(f"η/B = {scale_of(measured, float(r)):g}", c)
        for r, c in zip(rates, COLORS, strict=False)
    ]
    legend_above(figure, [*lines, key("mean of what noise adds", INK, ls="--", linewidth=1.0)])
    return figure


def _quartiles(ax: Axes, data: xr.DataArray, lane: xr.Dataset, color: str) -> None:
    time = _clock(lane)
    keep = time > 0.05
    parts = data.transpose("seed", "step").quantile([0.25, 0.5, 0.75], "seed").values
    time, (low, middle, high) = time[keep], parts[:, keep]
    ax.fill_between(time, low, high, color=color, alpha=0.2, lw=0)
    measured_line(ax, time, np.where(middle > 0, middle, np.nan), "", color).set_linewidth(1.2)


MARKS = {"sgd": ("o", "SGD"), "langevin": ("D", "its equation")}


def _times(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> None:
    """Medians and quartiles of the trusted times, with the time at which descent has learned."""
    names = [name for name in MARKS if name in measured.dynamics.values]
    times = trusted_times(measured, predicted)
    for shift, name in zip((0.97, 1.03), names, strict=False):
        low, middle, high = times.sel(dynamics=name).quantile([0.25, 0.5, 0.75], "seed").values
        where = measured.learning_rate.values / float(measured.batch_size) * shift
        mark, label = MARKS[name]
        color = INK if name == "sgd" else FAINT
        spread: Any = [middle - low, high - middle]
        ax.errorbar(where, middle, spread, fmt=mark, ms=3.5, color=color, lw=1, label=label)
    if "descent" in measured.dynamics.values:
        ax.axhline(learned_time(measured), color=FAINT, lw=0.8)
        ax.annotate(
            "descent has learned $s_1$",
            (0.02, learned_time(measured)),
            (0, -9),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            fontsize=7,
        )
    scales = measured.learning_rate.values / float(measured.batch_size)
    ax.set(xscale="log", title="D leaves its formula by 5 %", xlabel="η/B")
    ax.set_xticks(scales, [f"{scale:g}" for scale in scales])
    ax.minorticks_off()
    ax.set(ylabel="time η · step", ylim=(0, None))
    ax.legend(loc="lower left")
