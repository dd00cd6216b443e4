"""Does one equation for each mode tell what SGD does? From aligned, balanced weights, and back.

Four layers, modes of nearly equal strength, samples with noisy labels one at a time. Solid: means
over seeds, with their 95 % bands; dashed: what theory makes of the values w that were measured.
At the start the three formulas of a balanced mode (drift, diffusion D, Itô drift) are exact. Along
the run D stays near its formula while the weights are still near balance.

The independent equations leave out what modes add to each other in the mean; the coupled ones have
it. Hidden layers of any width behave from such a start as those of the width of the target: what is
zero outside stays so, and this is the size that runs.
"""

from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent, Langevin, Map, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, chain
from dlnlab.observables import (
    loss,
    mode_diffusion,
    mode_drift,
    mode_ito_drift,
    mode_values,
)
from dlnlab.plotting import (
    COLORS,
    FAINT,
    INK,
    Axes,
    Figure,
    direct_label,
    few_ticks,
    key,
    legend_above,
    panels,
    predicted_level,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import aligned
from dlnlab.typing import Any, Array, jax

Method = Literal["descent", "independent", "coupled", "langevin", "sgd"]


def build(
    dynamics: Method = "langevin",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.1,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (1.0, 0.9, 0.8, 0.7),
    dimension: Annotated[int, Coordinate(least=1, most=200, symbol="d")] = 4,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.01,
    seed: int = 0,
) -> Run:
    """A teacher of these singular values (zeros fill up to d), all modes beginning at `start`.

    `descent`: no noise. `independent` and `coupled`: one number for each layer and mode, moved by
    its own stochastic equation, without and with the drift that modes add to each other.
    `langevin`: the equation of the matrices. `sgd`: fresh batches of `batch_size`.
    """
    rng = jax.random.key(seed)
    if dynamics in ("independent", "coupled"):
        strengths = padded(targets, dimension)
        problem = Problem(Modes((depth,), dimension), Whitened(strengths, label_noise))
        walk = Langevin(learning_rate, batch_size, cross_modes=dynamics == "coupled")
        return Run(problem, walk, scaled_identity(problem, (start,)), rng)
    problem = teacher(targets, (dimension,) * (depth + 1), label_noise)
    moves = matrix_dynamics(dynamics, learning_rate, batch_size)
    return Run(problem, moves, scaled_identity(problem, (start,)), rng)


def padded(targets: tuple[float, ...], dimension: int) -> Array:
    """The singular values with zeros up to the dimension."""
    if len(targets) > dimension:
        raise InputError(
            f"{len(targets)} targets do not fit into {dimension} dimensions; raise dimension to "
            f"{len(targets)} or more."
        )
    none = [jnp.zeros(())] * (dimension - len(targets))
    return jnp.stack([*(jnp.asarray(target, float) for target in targets), *none])


def teacher(targets: tuple[float, ...], widths: tuple[int, ...], label_noise: Any) -> Problem:
    """A chain of these widths before a diagonal teacher; modes are counted in the given order."""
    dimension = widths[0]
    basis = (jnp.eye(dimension), jnp.eye(dimension))
    target = jnp.diag(padded(targets, dimension))
    return Problem(chain(widths), Whitened(target, label_noise, basis=basis))


def matrix_dynamics(name: str, learning_rate: Any, batch_size: int) -> Map:
    """Descent, its batches, or their stochastic equation, with the noise of gradients or not."""
    match name:
        case "descent":
            return GradientDescent(learning_rate)
        case "sgd":
            return StochasticGradientDescent(learning_rate, batch_size=batch_size)
        case "isotropic":
            return Langevin(learning_rate, batch_size, noise="isotropic")
    return Langevin(learning_rate, batch_size)


# --- what is predicted, from the values that were measured ---------------------------------------


@prediction("mode_drift", dims=("step", "mode"), symbol="ẇ_a", source="corlouer2026.2")
def aligned_drift(values: Floats, targets: Floats, depth: int) -> Floats:
    """`L w^{2−2/L}(s − w)` of values [step, mode] below zero taken as zero."""
    return aligned.mode_drift.function(np.maximum(values, 0), targets, depth)


@prediction("mode_diffusion", dims=("step", "mode"), symbol="D_a·B/η", source="corlouer2026.2")
def aligned_diffusion(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """`L²w^{4−4/L}[2(s − w)² + ς²]`, per unit of η/B, of values [step, mode]."""
    return aligned.mode_diffusion.function(
        np.maximum(values, 0), targets, depth, label_noise, 1.0, 1
    )


@prediction("mode_ito_drift", dims=("step", "mode"), symbol="I_a·B/η", source="corlouer2026.2")
def aligned_ito_drift(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """Both parts of the Itô drift, per unit of η/B, of values [step, mode]."""
    return aligned.ito_drift.function(np.maximum(values, 0), targets, depth, label_noise, 1.0, 1)


@prediction("mode_ito_drift", dims=("step", "mode"), symbol="I_a·B/η", source="corlouer2026.2")
def own_ito_drift(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """Each mode's own part of it, `½L(L−1)w^{3−4/L}[2(s − w)² + ς²]`."""
    made = aligned.ito_parts(np.maximum(values, 0), targets, depth, label_noise, 1.0, 1)
    return made.own


def from_values(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """Arguments of the formulas of balanced modes: the values of one run, and its targets."""
    values = measured.mode_values.isel(pathway=0).transpose("step", "mode").values
    targets = np.zeros(values.shape[1])
    targets[: len(coords["targets"])] = coords["targets"]
    return {
        "values": values,
        "targets": targets,
        **{name: coords[name] for name in ("depth", "label_noise")},
    }


def _for_drift(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    found = from_values(coords, measured)
    return {name: found[name] for name in ("values", "targets", "depth")}


STEPS = 1400

EXPERIMENT = Experiment(
    build,
    title="Modes under SGD, its equation, and one equation for each mode",
    steps=STEPS,
    schedule=linear(141),
    observe=(loss, mode_values, mode_drift, mode_diffusion, mode_ito_drift),
    predictions=(
        Bound(aligned_drift, _for_drift),
        Bound(aligned_diffusion, from_values),
        Bound(aligned_ito_drift, from_values),
        Bound(own_ito_drift, from_values),
    ),
    coords={
        "dynamics": ("descent", "independent", "coupled", "langevin", "sgd"),
        "seed": tuple(range(120)),
    },
    cites=("corlouer2026",),
)

FULL = {"dimension": 10, "seed": tuple(range(200))}
"""Ten dimensions, 1,000 runs; the paper's teacher is this one times 100, at a step 1/100^{3/2}."""

INTERACTIVE = ("mode_values", "mode_diffusion", "mode_drift", "loss")

MATRICES = ("descent", "langevin", "sgd")
EQUATIONS = ("independent", "coupled")


LEARNED = 0.95
"""The share of its target at which a mode counts as learned."""


# --- claims -------------------------------------------------------------------------------------


def learning_times(measured: xr.Dataset, share: float = LEARNED) -> xr.DataArray:
    """When each mode first reaches a share of its target, between recorded moments; NaN if never.

    [.., mode], of the modes of a target above zero, in time step × learning rate.
    """
    values = mode_shares(measured).transpose(..., "mode", "step")
    time = xr.broadcast(measured.time, values)[0].transpose(*values.dims).values
    over = values.values >= share
    last = np.maximum(over.argmax(axis=-1), 1)[..., None]
    ends = [np.take_along_axis(values.values, last - k, -1)[..., 0] for k in (1, 0)]
    times = [np.take_along_axis(time, last - k, -1)[..., 0] for k in (1, 0)]
    rise = np.where(ends[1] > ends[0], ends[1] - ends[0], 1)
    found = times[0] + (times[1] - times[0]) * np.clip((share - ends[0]) / rise, 0, 1)
    return values.isel(step=0, drop=True).copy(data=np.where(over.any(axis=-1), found, np.nan))


def mode_shares(measured: xr.Dataset) -> xr.DataArray:
    """w/s of the modes of a target above zero."""
    targets = strengths(measured)
    values = measured.mode_values.isel(pathway=0, mode=slice(0, len(targets)))
    return values / xr.DataArray(targets, dims="mode")


def strengths(measured: xr.Dataset) -> Floats:
    """The targets of a sweep that does not sweep them."""
    return np.array([float(part) for part in str(measured.targets.item()).split(",")])


def check_start(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error of the three formulas at the start, of matrices."""
    pairs = (
        (measured.mode_drift, predicted.aligned_drift),
        (measured.mode_diffusion, predicted.aligned_diffusion),
        (measured.mode_ito_drift, predicted.aligned_ito_drift),
    )
    names = [name for name in np.atleast_1d(measured.dynamics) if name in MATRICES]
    errors = [abs(found / said - 1).sel(dynamics=names).isel(step=0) for found, said in pairs]
    worst = max(float(error.max(skipna=False)) for error in errors)
    return Verdict.at_most(worst, 1e-9, sample_size=sum(error.size for error in errors))


def ratios(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """D at the weights of each run over its formula at the values of that run."""
    found = measured.mode_diffusion / predicted.aligned_diffusion
    return found.isel(mode=slice(0, len(strengths(measured))))


def check_along(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The median departure of D from its formula over runs, modes and moments of SGD."""
    away = abs(ratios(measured, predicted).sel(dynamics="sgd") - 1)
    return Verdict.at_most(float(away.median(skipna=False)), 0.1, sample_size=away.size)


def check_delay(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much later SGD has learned its modes than the later of the equations of modes: the
    mean over modes and seeds, in time step × learning rate."""
    times = learning_times(measured).mean("mode", skipna=False)
    later = times.sel(dynamics="sgd") - times.sel(dynamics=list(EQUATIONS)).max("dynamics")
    return Verdict.mean_at_least(later.values, 0.0)


def check_coupling(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much earlier the coupled equation learns its modes than the independent one,
    driven by the same noise; the mean over modes and seeds."""
    times = learning_times(measured).mean("mode", skipna=False)
    gain = times.sel(dynamics="independent") - times.sel(dynamics="coupled")
    return Verdict.mean_at_least(gain.values, 0.0)


def check_equation(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest difference of the mean learning times of SGD and of its equation, over modes, in
    units of descent's; 99.9 % errors."""
    times = learning_times(measured)
    pair, count = times.sel(dynamics=["sgd", "langevin"]), times.sizes["seed"]
    unit = times.sel(dynamics="descent").isel(seed=0)
    apart = abs(pair.mean("seed", skipna=False).diff("dynamics")[{"dynamics": 0}]) / unit
    error = np.sqrt((pair.var("seed", ddof=1) / count).sum("dynamics")) / unit
    worst = int(np.argmax((apart + 3.3 * error).values))
    return Verdict.at_most(
        float(apart[worst]), 0.05, uncertainty=float(3.3 * error[worst]), sample_size=pair.size
    )


SETTING = ("white Gaussian inputs and label noise", "L = 4, d = 4, η/B = 0.01, ς = 0.1")
CLAIMS = (
    Claim(
        "corlouer2026.2",
        "At aligned, balanced weights a mode has the drift Lw^{2−2/L}(s−w), the diffusion "
        "(η/B)L²w^{4−4/L}[2(s−w)²+ς²], and the Itô drift of its own and the cross-mode part.",
        check_start,
        SETTING,
    ),
    Claim(
        "corlouer2026.2a",
        "Along SGD from there D stays near this formula, evaluated at the values measured: half of "
        "all modes and moments are within 10 %.",
        check_along,
        SETTING,
    ),
    Claim(
        "corlouer2026.2b",
        "The cross-mode drift that independent equations leave out makes modes learn earlier.",
        check_coupling,
        (*SETTING, "modes of nearly equal strength", "in the equations of modes"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.2c",
        "Over a whole run both equations of modes err to the other side: SGD of matrices learns "
        "later than either of them, for it leaves the balanced set.",
        check_delay,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.1",
        "The stochastic equation of the matrices learns when SGD does: the mean times at which a "
        "mode has 95 % of its target differ by 5 % at most.",
        check_equation,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

SHADES = dict(zip(("sgd", "langevin", "coupled", "independent"), (*COLORS[4:], FAINT), strict=True))


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Values, drifts and diffusions of the modes under one dynamics; below it the differences of
    the mean values from those of the independent equations, D over its formula, and delays."""
    figure, axes = panels(2, 3, height=4.6)
    measured, predicted = with_axes(measured, predicted, ("dynamics", "seed"))
    names = list(measured.dynamics.values)
    shown = next((name for name in ("sgd", "langevin") if name in names), names[0])
    one, said = (data.sel(dynamics=shown) for data in (measured, predicted))
    _modes(axes[:3], one, said)
    axes[0].set_title(f"values of the modes ({shown})")
    _differences(axes[3], measured)
    _ratios(axes[4], measured, predicted)
    _delays(axes[5], measured)
    present = [key(name, color) for name, color in SHADES.items() if name in names]
    legend_above(figure, [*present, key("formula, at measured w", INK, ls="--", linewidth=1.0)])
    return figure


def band(ax: Axes, data: xr.DataArray, time: Any, color: str) -> None:
    """The mean over seeds, with its 95 % band."""
    middle, spread = mean_and_spread(data)
    ax.fill_between(time, middle - spread, middle + spread, color=color, alpha=0.25, lw=0)
    measured_line(ax, time, middle, "", color).set_linewidth(1.2)


def mean_and_spread(data: xr.DataArray) -> tuple[Floats, Floats]:
    """The mean over seeds and the half-width of its 95 % interval (0 for one seed)."""
    import scipy.stats

    count = data.sizes["seed"]
    middle = data.mean("seed").values
    if count < 2:
        return middle, np.zeros_like(middle)
    error = data.std("seed", ddof=1).values / count**0.5
    return middle, float(scipy.stats.t.ppf(0.975, count - 1)) * error


def clock(measured: xr.Dataset) -> Floats:
    """The times of the recorded steps of a sweep in which all lanes take the same."""
    time = measured.time
    return np.asarray(time.isel({dim: 0 for dim in time.dims if dim != "step"}).values)


def _modes(axes: list[Axes], one: xr.Dataset, said: xr.Dataset) -> None:
    time, scale = clock(one), float(one.learning_rate) / float(one.batch_size)
    goals = strengths(one)
    for mode, color in zip(range(len(goals)), COLORS, strict=False):
        band(axes[0], one.mode_values.isel(pathway=0, mode=mode), time, color)
        band(axes[1], one.mode_drift.isel(mode=mode), time, color)
        band(axes[2], scale * one.mode_diffusion.isel(mode=mode), time, color)
        direct_label(axes[0], time[-1], goals[mode], f"s = {goals[mode]:g}", color)
        predicted_line(axes[1], time, said.aligned_drift.isel(mode=mode).mean("seed"))
        predicted_line(axes[2], time, scale * said.aligned_diffusion.isel(mode=mode).mean("seed"))
    axes[0].set(ylabel="$w_a$")
    axes[1].set(ylabel=r"$dw_a/dt$", title="drift")
    axes[2].set(ylabel="$D_a$", title="diffusion")
    for ax in axes:
        ax.set_xlabel("time η · step")


def _differences(ax: Axes, measured: xr.Dataset) -> None:
    """Mean w/s over all modes, less that of descent."""
    ax.set(title="mean of w/s, less descent's", xlabel="time η · step")
    names = list(measured.dynamics.values)
    if "descent" not in names:
        _missing(ax)
        return
    shares, time = mode_shares(measured).mean("mode"), clock(measured)
    for name in [name for name in SHADES if name in names]:
        band(ax, shares.sel(dynamics=name) - shares.sel(dynamics="descent"), time, SHADES[name])


def _ratios(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> None:
    """D over its formula, quartiles over runs and modes."""
    found, time = ratios(measured, predicted), clock(measured)
    for name in [name for name in MATRICES if name in found.dynamics.values]:
        parts = found.sel(dynamics=name).quantile([0.25, 0.5, 0.75], ("seed", "mode"))
        color = SHADES.get(name, INK)
        ax.fill_between(time, parts[0], parts[2], color=color, alpha=0.2, lw=0)
        measured_line(ax, time, parts[1], "", color).set_linewidth(1.2)
    predicted_level(ax, 1.0)
    ax.set(title="D / formula: quartiles", xlabel="time η · step")


def _delays(ax: Axes, measured: xr.Dataset) -> None:
    """Mean times to half of each mode, less descent's, with 95 % intervals."""
    ax.set(title="time behind descent at 0.95 s", xlabel="mode, by its target s")
    if "descent" not in measured.dynamics.values:
        _missing(ax)
        return
    times, goals = learning_times(measured), strengths(measured)
    present = [name for name in SHADES if name in times.dynamics.values]
    free = times.sel(dynamics="descent")
    for index, name in enumerate(present):
        middle, spread = mean_and_spread((times.sel(dynamics=name) - free).transpose("seed", ...))
        where = np.arange(len(goals)) + 0.14 * (index - 1.5)
        ax.errorbar(where, middle, spread, color=SHADES[name], fmt="o", ms=3, lw=1, capsize=2)
    ax.axhline(0, color=INK, linewidth=0.6)
    ax.set_xticks(range(len(goals)), [f"{goal:g}" for goal in goals])
    few_ticks(ax)


def _missing(ax: Axes) -> None:
    """The words in place of a comparison with what was not run."""
    ax.text(0.5, 0.5, "descent was not run", transform=ax.transAxes, ha="center", color=INK)
    ax.set(xticks=[], yticks=[])
