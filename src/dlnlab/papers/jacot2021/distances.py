"""How far a wide network starts from a saddle and from a minimum, and how that grows with width.

Layers start with normal entries of variance w^{−γ}. Below γ = 1 the nearest minimum comes nearer as
the width w grows and the nearest saddle moves away; above, it is the other way round. Dots are the
nearest points that were found (upper bounds, from at least 20 starts), means over seeds; bands
reach down to lower bounds that are proven. The right panel has the slopes of ln d over ln w,
extrapolated in 1/w by a fit of a + b ln w + c/w to each seed, with standard errors.

The lower bound of a saddle lies far below, and its slope is not the exponent's. At these widths
slopes still differ from the exponents by more than the scatter over seeds, mostly so for the
minimum at γ = 1/2, so that three seeds do not settle what the exponents are.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from dlnlab.claims import Claim, Verdict
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
from dlnlab.theory.regimes import minimum_distance_exponent, saddle_distance_exponent
from dlnlab.typing import Any

STARTS = 20


def build(
    gamma: Annotated[float, Coordinate(symbol="γ", help="variance of entries is w^−γ")] = 1.0,
    width: Annotated[int, Coordinate(least=1, most=4000, symbol="w")] = 64,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    dimension: Annotated[int, Coordinate(least=1, most=50, symbol="d")] = 5,
    strength: Annotated[float, Coordinate(above=0, log=True, symbol="s_1/5")] = 1.0,
    seed: int = 0,
) -> Run:
    """A Gaussian start, entries of variance w^{−γ} in all layers, of a chain of hidden width w.

    The target is diagonal, `dimension` by itself, with singular values from 5 down to 1 times
    `strength`. Nothing moves.
    """
    network = chain((dimension, *[width] * (depth - 1), dimension))
    task = Whitened(strength * jnp.diag(jnp.linspace(5.0, 1.0, dimension)))
    params = gaussian(network, jax.random.key(seed), std=width ** (-jnp.asarray(gamma) / 2))
    return Run(Problem(network, task), GradientDescent(0.0), params)


def distances(run: Run) -> xr.Dataset:
    """Upper and lower bounds of the distances, and the linearised one, NaN where it is invalid."""
    with threadpool_limits(1, user_api="blas"):
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


EXPERIMENT = Experiment(
    build,
    title="Distances to the nearest saddle and minimum against the width",
    steps=0,
    observe=(loss, parameter_norm),
    predictions=(Bound(saddle_distance_exponent), Bound(minimum_distance_exponent)),
    examine=distances,
    coords={
        "gamma": (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
        "width": (32, 64, 128, 256),
        "seed": (0, 1, 2),
    },
    cites=("jacot2021",),
)

FULL = {"width": (32, 64, 128, 256, 512, 1000), "gamma": tuple(np.linspace(0.5, 2, 13).tolist())}
"""234 starts, the widest of a million parameters."""

SADDLE, MINIMUM = "saddle", "minimum"


def slopes(measured: xr.Dataset, name: str) -> xr.DataArray:
    """b of a fit of `a + b ln w + c/w` to the logarithm of a distance, for each seed.

    With fewer than three widths c is left out; with one there is no slope.
    """
    width = np.atleast_1d(measured.width.values).astype(float)
    columns = np.stack([np.log(width), np.ones_like(width), 1 / width], 1)[:, : max(2, len(width))]

    def fitted(logs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        flat = logs.reshape(-1, width.size).T
        found = np.linalg.lstsq(columns[:, :3], flat, rcond=None)[0][0]
        return np.where(width.size > 1, found, np.nan).reshape(logs.shape[:-1])

    logs = np.log(measured[name])
    found: xr.DataArray = xr.apply_ufunc(fitted, logs, input_core_dims=[["width"]])
    return found


# --- claims -------------------------------------------------------------------------------------

HALF_STEP = 1 / 16
"""Half of what exponents of γ and γ + 1/4 differ by: nearer to one than to the next."""


def _exponents(measured: xr.Dataset, said: xr.DataArray, name: str, where: Any) -> Verdict:
    """The departure of the slopes that is nearest to what is allowed, seen with its error."""
    found = slopes(measured, name)
    found = found.sel(gamma=where(measured.gamma.values))
    expected = said.sel(gamma=found.gamma.values).isel(width=0, seed=0)
    gap = abs(found.mean("seed") - expected).values
    error = (found.std("seed", ddof=1) / found.sizes["seed"] ** 0.5).values
    if not gap.size or not np.isfinite(gap + error).all():
        return Verdict.at_most(np.nan, HALF_STEP, sample_size=found.size)
    worst = int(np.argmax(gap + error))
    return Verdict.at_most(
        gap[worst], HALF_STEP, uncertainty=float(error[worst]), sample_size=found.size
    )


def check_saddle(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The slopes of the saddle's distance against (1 − γ)/2."""
    said = predicted.saddle_distance_exponent
    return _exponents(measured, said, "saddle_distance", lambda gamma: gamma > -np.inf)


def check_minimum(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The slopes of the minimum's distance below γ = 1 against the exponents."""
    said = predicted.minimum_distance_exponent
    return _exponents(measured, said, "minimum_distance", lambda gamma: gamma < 1)


def check_constant(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The slopes of the minimum's distance from γ = 1 on against 0."""
    said = predicted.minimum_distance_exponent
    return _exponents(measured, said, "minimum_distance", lambda gamma: gamma >= 1)


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
    "L = 3, maps of 5 by 5, widths from 32 to 256",
    "three fixed seeds, errors of one standard error",
)
CLAIMS = (
    Claim(
        "jacot2021.1",
        "The nearest saddle lies at a distance of order w^{(1−γ)/2}: extrapolated in 1/w, the "
        "slope of ln d over ln w is the exponent to within 1/16 for γ from 1/2 to 2.",
        check_saddle,
        (*SETTING, "the nearest of the saddles that were found"),
    ),
    Claim(
        "jacot2021.1a",
        "Below γ = 1 the nearest minimum lies at w^{−γ/2} up to γ = 1 − 1/L and at "
        "w^{−(1−γ)(L−1)/2} beyond, to within 1/16 in the exponent at γ = 1/2 and 3/4.",
        check_minimum,
        SETTING,
    ),
    Claim(
        "jacot2021.1b",
        "From γ = 1 on it lies at a distance of order 1: the slope is 0 to within 1/16.",
        check_constant,
        SETTING,
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
        "the largest width; beyond γ = 1 its own step does not fit the task, and it is refused.",
        check_linearised,
        (*SETTING, "refused where more than half of the misfit is left"),
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
    _against_gamma(third, measured)
    lines += [key("exponent of theory", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))]
    legend_above(figure, lines)
    return figure


def _against_width(
    ax: Axes, measured: xr.Dataset, predicted: xr.Dataset, name: str, shown: list[float]
) -> None:
    width = measured.width.values.astype(float)
    for gamma, color in zip(shown, COLORS, strict=False):
        one = measured.sel(gamma=gamma)
        near = np.exp(np.log(one[f"{name}_distance"].transpose("width", "seed").values).mean(1))
        low = one[f"{name}_distance_lower"].min("seed").values
        measured_line(ax, width, near, "", color).set_marker("o")
        ax.lines[-1].set_markersize(3)
        ax.fill_between(width, low, near, color=color, alpha=0.07, linewidth=0)
        ax.plot(width, low, color=color, lw=0.6)
        power = float(predicted[f"{name}_distance_exponent"].sel(gamma=gamma).isel(width=0, seed=0))
        predicted_line(ax, width, near[-1] * (width / width[-1]) ** power)
    ax.set(xscale="log", yscale="log", xlabel="width w", title=f"to the nearest {name}")
    ax.set_ylabel("distance d")
    ax.minorticks_off()
    bottom, top = ax.get_ylim()
    marks = [m * 10.0**k for k in range(-4, 4) for m in (1, 2, 5)]
    marks = [mark for mark in marks if bottom < mark < top]
    ax.set_yticks(marks, [f"{mark:g}" for mark in marks])
    ax.set_xticks(width, [f"{w:g}" for w in width])


def _against_gamma(ax: Axes, measured: xr.Dataset) -> None:
    gamma, depth = measured.gamma.values, int(measured.depth.max())
    fine = np.union1d(np.linspace(gamma.min(), gamma.max(), 61), gamma)
    of = {
        SADDLE: (COLORS[4], [saddle_distance_exponent(g) for g in fine]),
        MINIMUM: (COLORS[5], [minimum_distance_exponent(g, depth) for g in fine]),
    }
    for name, (color, said) in of.items():
        found = slopes(measured, f"{name}_distance")
        error = found.std("seed", ddof=1).values / found.sizes["seed"] ** 0.5
        bars = error if found.sizes["seed"] > 1 else None
        ax.errorbar(gamma, found.mean("seed").values, bars, fmt="o", color=color, ms=3.5, lw=1)
        predicted_line(ax, fine, said)
        ax.plot([], [], "o", color=color, ms=3.5, label=name)
    ax.legend(loc="lower left")
    ax.set(xlabel="γ", ylabel="slope of ln d over ln w", title="slopes, extrapolated")
