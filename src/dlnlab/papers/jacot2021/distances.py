"""How far a wide network starts from a saddle and from a minimum, and how that grows with width.

Layers start with normal entries of variance w^{−γ}. Below γ = 1 the nearest minimum comes nearer as
the width w grows and the nearest saddle moves away; above, it is the other way round. Dots are the
nearest points that were found (upper bounds, from at least 20 starts), root mean squares over
seeds; bands reach down to lower bounds that are proven. Dashed is theory's leading order, with the
number before the power. The right panel has local slopes of ln d over ln w between the two largest
widths (open) and slopes extrapolated to w = ∞ (filled, with 95 % intervals).

Local slopes need not approach the exponents steadily, and 1/w is the wrong variable for a saddle:
the nearest of several at equal mean distance is nearer by a share of order w^{−1/2}. At γ = 1/2
this cancels against 1/w up to w = 64. At γ = 5/4 what a minimum lacks of its limit goes as
w^{−1/8}. Extrapolation takes these powers, and the leading order's number, from theory.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict, Word
from dlnlab.critical import linearised_distance, nearest_minimum, nearest_saddle
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import loss, parameter_norm
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.regimes import (
    minimum_distance,
    minimum_distance_corrections,
    minimum_distance_exponent,
    saddle_distance,
    saddle_distance_corrections,
    saddle_distance_exponent,
)
from dlnlab.typing import Any

STARTS = 20


def build(
    gamma: Annotated[float, Coordinate(symbol="γ", help="variance of entries is w^−γ")] = 1.0,
    width: Annotated[int, Coordinate(least=1, most=4000, symbol="w")] = 64,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    dimension: Annotated[int, Coordinate(least=1, most=50, symbol="d")] = 5,
    strength: Annotated[float, Coordinate(above=0, log=True, symbol="s_1/5")] = 1.0,
    faint: Annotated[
        float, Coordinate(above=0, log=True, help="factor of the target where γ < 1 − 1/L")
    ] = 0.1,
    seed: int = 0,
) -> Run:
    """A Gaussian start, entries of variance w^{−γ} in all layers, of a chain of hidden width w.

    The target is diagonal, `dimension` by itself, with singular values from 5 down to 1 times
    `strength`, and times `faint` where the start's own product is to outweigh it. Nothing moves.
    """
    network = chain((dimension, *[width] * (depth - 1), dimension))
    size = strength * jnp.where(gamma < 1 - 1 / depth, faint, 1.0)
    task = Whitened(size * jnp.diag(jnp.linspace(5.0, 1.0, dimension)))
    params = gaussian(network, jax.random.key(seed), std=width ** (-jnp.asarray(gamma) / 2))
    return Run(Problem(network, task), GradientDescent(0.0), params)


def distances(run: Run) -> xr.Dataset:
    """Upper and lower bounds of the distances, and the linearised one, NaN where it is invalid."""
    saddle = nearest_saddle(run.problem, run.params, STARTS)
    least = nearest_minimum(run.problem, run.params, STARTS)
    try:
        linear = linearised_distance(run.problem, run.params)
    except InputError:
        linear = np.nan
    found = {
        "saddle_distance": (saddle.upper, "d_s"),
        "saddle_distance_lower": (saddle.lower, "d_s"),
        "minimum_distance": (least.upper, "d_m"),
        "minimum_distance_lower": (least.lower, "d_m"),
        "linearised_distance": (linear, "√(RᵀK⁻¹R)"),
    }
    return xr.Dataset({n: ((), value, {"symbol": symbol}) for n, (value, symbol) in found.items()})


def of_target(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The arguments of a distance: γ, w, L and the singular values of the target of `build`."""
    size = coords["strength"] * (
        coords["faint"] if coords["gamma"] < 1 - 1 / coords["depth"] else 1
    )
    values = tuple((size * np.linspace(5.0, 1.0, coords["dimension"])).tolist())
    return {name: coords[name] for name in ("gamma", "width", "depth")} | {"strengths": values}


EXPERIMENT = Experiment(
    build,
    title="Distances to the nearest saddle and minimum against the width",
    steps=0,
    observe=(loss, parameter_norm),
    predictions=(
        Bound(saddle_distance_exponent),
        Bound(minimum_distance_exponent),
        Bound(saddle_distance, of_target),
        Bound(minimum_distance, of_target),
    ),
    examine=distances,
    coords={
        "gamma": (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
        "width": (16, 32, 64, 128),
        "seed": tuple(range(24)),
    },
    cites=("jacot2021",),
)

FULL = {
    "width": (16, 32, 64, 128, 256, 512, 1000),
    "gamma": tuple(np.linspace(0.5, 2, 13).tolist()),
}
"""2,184 starts, the widest of a million parameters."""

SADDLE, MINIMUM = "saddle", "minimum"
CORRECTIONS = {SADDLE: saddle_distance_corrections, MINIMUM: minimum_distance_corrections}

HALF_STEP = 1 / 16
"""Half of what exponents of γ and γ + 1/4 differ by: nearer to one than to the next."""


# --- slopes and their extrapolation -------------------------------------------------------------


def local_slopes(measured: xr.Dataset, name: str) -> np.ndarray[Any, Any]:
    """Slopes of ln d over ln w between neighbouring widths [gamma, seed, pair]."""
    logs = np.log(measured[f"{name}_distance"].transpose("gamma", "seed", "width").values)
    return np.asarray(np.diff(logs) / np.diff(np.log(measured.width.values.astype(float))))


def departures(measured: xr.Dataset, predicted: xr.Dataset, name: str) -> np.ndarray[Any, Any]:
    """Half of `d²/d_theory² − 1`, so that a factor w^b gives b ln w, [gamma, seed, width]; ln d at
    γ = 1. Squares, because their mean is what theory's mean residual is of.
    """
    order = ("gamma", "seed", "width")
    found = measured[f"{name}_distance"].transpose(*order).values
    said = predicted[f"{name}_distance"].transpose(*order).values
    return np.where(np.isnan(said), np.log(found), ((found / said) ** 2 - 1) / 2)


def left_over(
    measured: xr.Dataset, predicted: xr.Dataset, name: str, skip: int = 0
) -> np.ndarray[Any, Any]:
    """b of a fit of `b ln w + Σ_k c_k w^{−p_k}` to departures, [gamma, seed]; powers p_k of theory.

    It is what the slope differs from the exponent by as w → ∞, 0 in theory. At γ = 1, where the
    number before the power is not known, a constant is fitted in place of all p_k but the first.
    Widths weigh as √w, since scatter falls as w^{−1/2}; the first `skip` are left out.
    """
    width = measured.width.values.astype(float)[skip:]
    logs, depth = departures(measured, predicted, name)[..., skip:], int(measured.depth.max())
    found = []
    for gamma, rows in zip(measured.gamma.values, logs, strict=True):
        powers = CORRECTIONS[name](gamma, depth)
        powers = (powers[0], 0.0) if gamma == 1 else powers
        columns = np.stack([np.log(width), *(width**-p for p in powers)], 1)
        if len(width) < columns.shape[1]:
            found.append(np.full(len(rows), np.nan))
            continue
        weight = np.sqrt(width)
        found.append(np.linalg.lstsq(columns * weight[:, None], (rows * weight).T, None)[0][0])
    return np.array(found)


def intervals(
    measured: xr.Dataset, predicted: xr.Dataset, name: str, chance: float
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """What is left over of each γ's slope in the mean over seeds, and half of its interval.

    By Student's t, of this chance in all to miss any γ's, plus what leaving out the narrowest width
    moves the mean by, for what follows the powers that were fitted.
    """
    import scipy.stats

    found = left_over(measured, predicted, name)
    moved = left_over(measured, predicted, name, skip=1).mean(1) - found.mean(1)
    count = found.shape[1]
    quantile = scipy.stats.t.isf(chance / 2 / len(found), count - 1)
    error = found.std(1, ddof=1) / count**0.5 if count > 1 else np.full(len(found), np.nan)
    return found.mean(1), quantile * error + abs(moved)


# --- claims -------------------------------------------------------------------------------------


def _agreement(measured: xr.Dataset, predicted: xr.Dataset, name: str, where: Any) -> Verdict:
    """Holds where for all these γ the 95 % interval has the exponent, and half of it is at most
    `HALF_STEP`; fails where one lies out of the interval of the declared false-alarm rate."""
    some = where(measured.gamma.values)
    measured, predicted = (data.sel(gamma=some) for data in (measured, predicted))
    size = measured.saddle_distance.size
    expected = f"0 in its 95 % interval, half of it at most {HALF_STEP:g}"
    if not some.any() or measured.sizes["seed"] < 2:
        return Verdict("fails", np.nan, expected, 0.0, size)
    away, half = intervals(measured, predicted, name, 0.05)
    widest = intervals(measured, predicted, name, FALSE_ALARM / STATISTICAL_CLAIMS)[1]
    worst = int(np.argmax(np.abs(away) / half))
    word: Word = "inconclusive"
    if not np.isfinite(away + half).all() or (np.abs(away) > widest).any():
        word = "fails"
    elif (np.abs(away) <= half).all() and (half <= HALF_STEP).all():
        word = "holds"
    return Verdict(word, float(away[worst]), expected, float(half[worst]), size)


def check_saddle(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """What is left over of the slopes of the saddle's distance, but for γ = 1."""
    return _agreement(measured, predicted, SADDLE, lambda gamma: gamma != 1)


def check_minimum(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of the minimum's at γ = 1/2 and 3/4, on either side of 1 − 1/L."""
    return _agreement(measured, predicted, MINIMUM, lambda gamma: np.isin(gamma, (0.5, 0.75)))


def check_constant(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of the minimum's from γ = 1 on."""
    return _agreement(measured, predicted, MINIMUM, lambda gamma: gamma >= 1)


def check_approach(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much less the saddle's distance departs from its leading order at the largest width
    than at the smallest, in the mean over γ other than 1."""
    some = measured.gamma.values != 1
    measured, predicted = (data.sel(gamma=some) for data in (measured, predicted))
    return Verdict.mean_at_least(_drop(departures(measured, predicted, SADDLE)), 0.0)


def check_fall(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much less the minimum's slope departs from the exponent between the two largest widths
    than between the two smallest, in the mean over γ from 3/2 on."""
    some = measured.gamma.values >= 1.5
    measured, predicted = (data.sel(gamma=some) for data in (measured, predicted))
    said = predicted.minimum_distance_exponent.transpose("gamma", "seed", "width").values
    return Verdict.mean_at_least(_drop(local_slopes(measured, MINIMUM) - said[..., :1]), 0.0)


def _drop(found: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The first in the last axis less the last, [seed], each in the direction of its mean over
    seeds and in the mean over γ."""
    first, last = found[..., 0], found[..., -1]
    signs = [np.sign(part.mean(1, keepdims=True)) for part in (first, last)]
    return np.asarray((signs[0] * first - signs[1] * last).mean(0))


def check_critical(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The slope of the saddle's distance over all widths at γ = 1, against 0."""
    import scipy.stats

    logs = np.log(measured.saddle_distance.sel(gamma=1.0).transpose("seed", "width").values)
    width = np.log(measured.width.values.astype(float))
    found = (logs[:, -1] - logs[:, 0]) / (width[-1] - width[0])
    said = float(predicted.saddle_distance_exponent.sel(gamma=1.0).mean())
    count = found.size
    error = float(found.std(ddof=1)) / count**0.5 if count > 1 else np.nan
    quantile = float(scipy.stats.t.isf(FALSE_ALARM / STATISTICAL_CLAIMS / 2, count - 1))
    away = abs(float(found.mean()) - said)
    return Verdict.at_most(away, HALF_STEP, uncertainty=quantile * error, sample_size=count)


def check_bounds(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest ratio of a lower bound to what was found; NaN unless all lower bounds are > 0."""
    ratios = [
        measured[f"{n}_distance_lower"] / measured[f"{n}_distance"] for n in ("saddle", "minimum")
    ]
    positive = all(bool((ratio > 0).all()) for ratio in ratios)
    worst = max(float(ratio.max()) for ratio in ratios) if positive else np.nan
    return Verdict.at_most(worst, 1.0, sample_size=2 * ratios[0].size)


def check_linearised(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest share by which the linearised distance misses the minimum's in the widest nets at
    the smallest γ; NaN where it is refused there, or is not refused beyond γ = 1."""
    linear, lowest = measured.linearised_distance, float(measured.gamma.min())
    refused = linear.sel(gamma=measured.gamma.values > 1).isnull()
    lazy = linear.sel(gamma=lowest).isel(width=-1)
    near = measured.minimum_distance.sel(gamma=lowest).isel(width=-1)
    all_refused = refused.size > 0 and bool(refused.all())
    worst = float(abs(lazy / near - 1).max(skipna=False)) if all_refused else np.nan
    return Verdict.at_most(worst, 0.1, sample_size=int(lazy.size + refused.size))


SETTING = (
    "entries of variance w^−γ",
    "L = 3, maps of 5 by 5, widths from 16 to 128, 24 fixed seeds",
)
EXTRAPOLATED = (
    *SETTING,
    "leading order with its number, and the powers that follow it, from theory",
    "Student's t over seeds, and what leaving out the narrowest width changes",
)
CLAIMS = (
    Claim(
        "jacot2021.1",
        "The nearest saddle lies at a distance of order w^{(1−γ)/2}: the slope of ln d over ln w, "
        "extrapolated with corrections of w^{−1/2} and 1/w (w^{−L(1−γ)} for γ from 1 − 1/L to 1), "
        "is the exponent in its 95 % interval of at most ±1/16 for γ from 1/2 to 2 but 1.",
        check_saddle,
        (*EXTRAPOLATED, "the nearest of the saddles that were found"),
        statistical=True,
    ),
    Claim(
        "jacot2021.1a",
        "Below γ = 1 the nearest minimum lies at w^{−γ/2} up to γ = 1 − 1/L, where ‖M‖ ≪ ‖W(θ_0)‖, "
        "and at w^{−(1−γ)(L−1)/2} beyond: at γ = 1/2 and 3/4 the extrapolated slope is the "
        "exponent in its 95 % interval of at most ±1/16.",
        check_minimum,
        (*EXTRAPOLATED, "singular values of M from 0.5 to 0.1 at γ = 1/2, from 5 to 1 at 3/4"),
        statistical=True,
    ),
    Claim(
        "jacot2021.1b",
        "From γ = 1 on the nearest minimum lies at a distance of order 1: the extrapolated slope "
        "is 0 in its 95 % interval of at most ±1/16.",
        check_constant,
        EXTRAPOLATED,
        statistical=True,
    ),
    Claim(
        "jacot2021.1e",
        "What the saddle's distance departs from its leading order by, √(c k) w^{(1−γ)/2}, shrinks "
        "with the width, in the mean over γ from 1/2 to 2 but 1.",
        check_approach,
        (*SETTING, "c = 3/2; k = 1 below γ = 1, 5 above"),
        statistical=True,
    ),
    Claim(
        "jacot2021.1f",
        "At γ = 1 the nearest saddle neither comes nearer nor moves away: the slope is 0 to within "
        "1/16.",
        check_critical,
        SETTING,
        statistical=True,
    ),
    Claim(
        "jacot2021.1g",
        "The minimum's local slopes fall towards 0 from γ = 3/2 on, in the mean over γ.",
        check_fall,
        (*SETTING, "between the two smallest widths and the two largest"),
        statistical=True,
    ),
    Claim(
        "jacot2021.1c",
        "No proven lower bound of a distance lies above what was found.",
        check_bounds,
        SETTING,
    ),
    Claim(
        "jacot2021.1d",
        "The linearised distance is that of the nearest minimum to within a tenth for γ = 1/2 at "
        "the largest width; beyond γ = 1 minima may be nearer than half of it, and it is refused.",
        check_linearised,
        (*SETTING, "refused by the proven lower bound of the minimum's distance"),
    ),
)

INTERACTIVE = ("saddle_distance", "minimum_distance")


# --- the figure ---------------------------------------------------------------------------------


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Distances against width, and their slopes against γ with the exponents dashed."""
    measured, predicted = with_axes(measured, predicted, ("gamma", "width", "seed"))
    figure, (first, second, third) = panels(1, 3, height=2.7)
    shown = [g for g in (0.5, 1.0, 1.5, 2.0) if g in measured.gamma.values]
    shown = shown or measured.gamma.values[:4].tolist()
    _against_width(first, measured, predicted, SADDLE, shown)
    _against_width(second, measured, predicted, MINIMUM, shown)
    lines = [key(f"γ = {gamma:g}", color) for gamma, color in zip(shown, COLORS, strict=False)]
    _against_gamma(third, measured, predicted)
    lines += [key("theory", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))]
    legend_above(figure, lines)
    return figure


def _against_width(
    ax: Axes, measured: xr.Dataset, predicted: xr.Dataset, name: str, shown: list[float]
) -> None:
    width = measured.width.values.astype(float)
    for gamma, color in zip(shown, COLORS, strict=False):
        one = measured.sel(gamma=gamma)
        near = np.sqrt((one[f"{name}_distance"].transpose("width", "seed").values ** 2).mean(1))
        low = one[f"{name}_distance_lower"].min("seed").values
        measured_line(ax, width, near, "", color).set_marker("o")
        ax.lines[-1].set_markersize(3)
        ax.fill_between(width, low, near, color=color, alpha=0.07, linewidth=0)
        ax.plot(width, low, color=color, lw=0.6)
        said = predicted[f"{name}_distance"].sel(gamma=gamma).isel(seed=0).values
        predicted_line(ax, width, said)
    ax.set(xscale="log", yscale="log", xlabel="width w", title=f"to the nearest {name}")
    ax.set_ylabel("distance d")
    ax.minorticks_off()
    bottom, top = ax.get_ylim()
    marks = [m * 10.0**k for k in range(-4, 4) for m in (1, 2, 5)]
    marks = [mark for mark in marks if bottom < mark < top]
    ax.set_yticks(marks, [f"{mark:g}" for mark in marks])
    ax.set_xticks(width, [f"{w:g}" for w in width])


def _against_gamma(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> None:
    gamma, depth = measured.gamma.values, int(measured.depth.max())
    fine = np.union1d(np.linspace(gamma.min(), gamma.max(), 61), gamma)
    of = {
        SADDLE: (COLORS[4], lambda g: saddle_distance_exponent(g)),
        MINIMUM: (COLORS[5], lambda g: minimum_distance_exponent(g, depth)),
    }
    for name, (color, exponent) in of.items():
        away, half = intervals(measured, predicted, name, 0.05)
        at = away + [float(exponent(g)) for g in gamma]
        bars = half if np.isfinite(half).all() else None
        ax.errorbar(gamma, at, bars, fmt="o", color=color, ms=3.5, lw=1, label=name)
        local = local_slopes(measured, name)[..., -1:].mean(1)
        if local.size:
            ax.plot(gamma, local[:, 0], "o", color=color, ms=5, mfc="none", mew=0.7)
        predicted_line(ax, fine, [float(exponent(g)) for g in fine])
    ax.legend(loc="lower left")
    ax.set(xlabel="γ", ylabel="slope of ln d over ln w", title="local (open), extrapolated")
