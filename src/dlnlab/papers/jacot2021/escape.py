"""The first escape: at which speed, in which time and along which direction the origin is left.

Near zero a cost is linear in the product, and the network leaves along the top singular pair of
−∇C(0), all layers of rank one and of one size, at ṙ = s* r^{L−1} with s* = L^{−(L−2)/2} s_1. On
this ray the time is known. Other starts of the same norm are later, since none is ever faster, and
come to the same speed, with singular values as far apart as here; beyond two layers a start may
also leave along another pair, and more slowly (see `first_escape`).

Time is in units of that of the ray, t* (to the norm 1 at L = 2, to its blow-up beyond). A run ends
at the first saddle: on the ray, which the flow never leaves, for good. Departures that are rounding
(below 1e-15) are not drawn.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Flow
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, require_width
from dlnlab.observables import escape_alignment, escape_rate, loss, parameter_norm
from dlnlab.plotting import (
    COLORS,
    FAINT,
    Axes,
    Figure,
    Line2D,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import EscapeRate, Maximum
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import escape_speed, escape_time, norm_on_ray
from dlnlab.typing import Any, Array, Key, Params, Scalar

Start = Literal["ray", "gaussian"]


class ScaledFlow(Flow):
    """Gradient flow with a unit of time of its own, `θ̇ = −τ∇ℓ`, which stops at the first saddle.

    It has arrived where ‖∇ℓ‖ has fallen to `arrival` of its largest value.
    """

    unit: Scalar | float = 1.0
    rtol: float = 1e-10
    atol: float = 1e-13
    arrival: float = 0.01

    def velocity(self, problem: Problem, params: Params) -> Params:
        return jax.tree.map(lambda g: -self.unit * g, problem.gradient(params))


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α")] = 1e-3,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    start: Start = "gaussian",
    width: Annotated[int, Coordinate(least=1, most=200, symbol="w")] = 6,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (3.0, 1.0, 0.5),
    seed: int = 0,
) -> Run:
    """A whitened target in random bases, learned from parameters of norm α by gradient flow.

    They lie on the optimal `ray` (with random hidden directions) or are `gaussian`, scaled to the
    same norm. The seed draws bases and start. A unit of time is t*.
    """
    if not targets:
        raise InputError("a target has one singular value or more, and none was given; name them.")
    require_width(width, len(targets))
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, len(targets), (2,))
    values = jnp.asarray(targets)
    network = chain((len(targets), *(width,) * (depth - 1), len(targets)))
    problem = Problem(network, Whitened(left * values @ right.T, basis=(left, right)))
    top = jnp.argmax(values)
    if start == "ray":
        params = on_ray(problem, drawn, left[:, top], right[:, top])
    else:
        params = gaussian(network, drawn, std=1.0)
    return Run(problem, ScaledFlow(unit=_unit(scale, depth, values[top])), of_norm(params, scale))


def on_ray(problem: Problem, drawn: Key[Array, ""], left: Array, right: Array) -> Params:
    """Layers `q_l q_{l−1}ᵀ` from v to u, with random unit vectors in between."""
    (shapes,) = problem.network.shapes
    keys = jax.random.split(drawn, len(shapes))
    inner = [jax.random.normal(k, (s[0],)) for k, s in zip(keys, shapes[:-1], strict=False)]
    ends = [right, *(q / jnp.linalg.norm(q) for q in inner), left]
    return (tuple(jnp.outer(b, a) for a, b in zip(ends, ends[1:], strict=False)),)


def of_norm(params: Params, norm: Scalar | float) -> Params:
    """The parameters times a number, so that the root of the sum of their squares is `norm`."""
    size = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)))
    return jax.tree.map(lambda leaf: norm / size * leaf, params)


def _unit(scale: Scalar | float, depth: int, strength: Scalar) -> Scalar:
    """The time t* of the ray."""
    if depth == 2:
        return -jnp.log(scale) / strength
    return depth ** (depth / 2 - 1) / ((depth - 2) * strength * scale ** (depth - 2))


# --- what is predicted --------------------------------------------------------------------------

LEVEL = 10.0
"""Times are taken at this many times the norm of the start."""


def _ray(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    start = float(coords["scale"])
    strength = max(coords["targets"])
    return {
        "strength": strength,
        "depth": coords["depth"],
        "start": start,
        "level": LEVEL * start,
    }


def _speed(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"strength": max(coords["targets"]), "depth": coords["depth"]}


EXPERIMENT = Experiment(
    build,
    title="The first escape, from the origin to the first saddle",
    time=20.0,
    schedule=logarithmic(150) | linear(401),
    observe=(loss, parameter_norm, escape_rate, escape_alignment),
    statistics=(EscapeRate(), Maximum(escape_alignment)),
    predictions=(Bound(escape_speed, _speed), Bound(escape_time, _ray)),
    coords={
        "depth": (2, 3),
        "start": ("ray", "gaussian"),
        "scale": (1e-1, 1e-2, 1e-4, 1e-6),
        "seed": tuple(range(12)),
    },
    cites=("jacot2021",),
)

FULL = {"depth": (2, 3, 4, 5), "seed": tuple(range(50))}
INTERACTIVE = ("parameter_norm", "escape_rate", "escape_alignment")


# --- claims -------------------------------------------------------------------------------------

SMALL = 1e-6
"""The start from which speeds are within a per cent of s*, at two layers and at three."""


def shortfall(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """1 − max ṙ/r^{L−1}/s*, by which a run's escape is slower than the fastest."""
    rate = measured.first_escape_rate.isel(time=-1)
    return 1 - rate / predicted.escape_speed


def passage(measured: xr.Dataset, level: float = LEVEL) -> xr.DataArray:
    """The time, in units of t*, at which r is `level` times its first value.

    Between recorded moments r^{2−L} (ln r for two layers) is a straight line in time, as it is
    exactly on the ray.
    """
    radius = measured.parameter_norm / measured.parameter_norm.isel(time=0)
    power = 2 - measured.depth
    straight = xr.where(power == 0, -np.log(radius), radius ** power.astype(float))
    goal = xr.where(power == 0, -np.log(level), level ** power.astype(float))
    return xr.apply_ufunc(
        _crossing,
        straight,
        goal,
        measured.time,
        input_core_dims=[["time"], [], ["time"]],
        vectorize=True,
    )


def _crossing(line: Any, goal: float, times: Any) -> float:
    """When a line first falls to a goal; NaN if it never does."""
    below = np.flatnonzero(line <= goal)
    if not below.size or below[0] == 0:
        return np.nan
    k = below[0]
    share = (line[k - 1] - goal) / (line[k - 1] - line[k])
    return float(times[k - 1] + share * (times[k] - times[k - 1]))


def ray_unit(measured: xr.Dataset) -> xr.DataArray:
    """t*, a unit of the recorded time, as theory has it."""
    strength = max(map(float, str(measured.targets.values).split(",")))
    return xr.apply_ufunc(
        lambda depth, scale: float(escape_time(strength, int(depth), float(scale), stretch=True)),
        measured.depth,
        measured.scale,
        vectorize=True,
    )


def _speed_at(depth: int, measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure from s* at the smallest start, over the seeds."""
    place = {"depth": depth, "start": "gaussian", "scale": SMALL}
    worst = abs(shortfall(measured, predicted).sel(place))
    return Verdict.at_most(float(worst.max(skipna=False)), 0.01, sample_size=worst.size)


def check_three(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Within 1 % of s* at three layers."""
    return _speed_at(3, measured, predicted)


def check_two(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Within 1 % of s* at two layers."""
    return _speed_at(2, measured, predicted)


def check_converging(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest ratio of the shortfall of a start to that of the next larger one."""
    found = shortfall(measured, predicted).sel(start="gaussian").sortby("scale", ascending=False)
    # Two layers come to rank one in time only from the two smallest starts.
    two = found.sel(depth=2).isel(scale=slice(-2, None))
    ratios = [group.values[1:] / group.values[:-1] for group in _by_scale(found.sel(depth=3), two)]
    worst = max(float(ratio.max()) for ratio in ratios)
    return Verdict.at_most(worst, 0.5, sample_size=sum(ratio.size for ratio in ratios))


def _by_scale(*found: xr.DataArray) -> list[xr.DataArray]:
    return [one.transpose("scale", "seed") for one in found]


def check_time(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error of the time to ten times the norm, on the ray."""
    on_it = measured.sel(start="ray", scale=measured.scale < 0.05)
    found = passage(on_it) * ray_unit(on_it)
    said = predicted.escape_time.sel(start="ray", scale=on_it.scale)
    error = abs(found / said - 1)
    return Verdict.at_most(float(error.max(skipna=False)), 5e-4, sample_size=error.size)


def lead(measured: xr.Dataset) -> xr.DataArray:
    """r(t) over the norm of the fastest ray at the same time, over all moments before its end."""
    strength = max(map(float, str(measured.targets.values).split(",")))
    units = ray_unit(measured)

    def ratio(radius: Any, depth: Any, scale: Any, unit: Any, times: Any) -> float:
        ray = norm_on_ray(times * unit, float(scale), strength, int(depth))
        return float(np.max(radius / ray))

    return xr.apply_ufunc(
        ratio,
        measured.parameter_norm,
        measured.depth,
        measured.scale,
        units,
        measured.time,
        input_core_dims=[["time"], [], [], [], ["time"]],
        vectorize=True,
    )


def check_bound(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The most by which any start is ahead of the ray, at any moment."""
    ahead = lead(measured.sel(start="gaussian"))
    return Verdict.at_most(float(ahead.max(skipna=False)) - 1, 1e-6, sample_size=ahead.size)


def check_alignment(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least largest alignment of an escape, over depths and seeds, at the smallest start."""
    found = measured.maximum_escape_alignment.isel(time=-1).sel(start="gaussian", scale=SMALL)
    return Verdict.at_least(float(found.min(skipna=False)), 0.999, sample_size=found.size)


SETTING = "white inputs, targets 3, 1, 0.5 in random bases"
RANDOM = "Gaussian start, scaled to the norm α"
CLAIMS = (
    Claim(
        "jacot2021.2",
        "A network of three layers leaves the origin at ṙ = s* r^{L−1}, s* = L^{−(L−2)/2} s_1: "
        "from α = 1e-6 the largest ṙ/r^{L−1} is within 1 % of s*.",
        check_three,
        (SETTING, RANDOM),
    ),
    Claim(
        "jacot2021.2a",
        "So does one of two layers, once their other singular values are below 1 % of the first: "
        "ṙ/r is within 1 % of s_1.",
        check_two,
        (SETTING, RANDOM, "the map is still below 1 % of the target"),
    ),
    Claim(
        "jacot2021.2b",
        "The departure from s* at least halves from each scale to the next smaller one.",
        check_converging,
        (SETTING, RANDOM, "α = 1e-1, 1e-2, 1e-4, 1e-6; of two layers the last two"),
    ),
    Claim(
        "jacot2021.2c",
        "On the optimal ray the norm has grown tenfold after ln(10)/s_1 at two layers and "
        "(1 − 10^{2−L})/((L−2) s* α^{L−2}) beyond, to three digits.",
        check_time,
        (SETTING, "α up to 1e-2"),
    ),
    Claim(
        "jacot2021.2d",
        "No other start of the same norm is ever ahead of the ray.",
        check_bound,
        (SETTING, RANDOM),
    ),
    Claim(
        "jacot2021.2f",
        "The escape is along the top singular pair of −∇C: at its height all but a thousandth of "
        "the map's velocity.",
        check_alignment,
        (SETTING, RANDOM, "α = 1e-6"),
    ),
)


# --- the figure ---------------------------------------------------------------------------------


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The norm against time, a panel for each depth; then the departure from s* against α."""
    measured, predicted = with_axes(measured, predicted, ("scale", "depth", "start", "seed"))
    depths = measured.depth.values
    figure, axes = panels(1, len(depths) + 1, height=2.6)
    lines: list[Line2D] = []
    for ax, depth in zip(axes, depths, strict=False):
        lines = _norms(ax, measured.sel(depth=depth), int(depth))
    _departures(axes[-1], measured, predicted)
    legend_above(figure, lines)
    return figure


def _norms(ax: Axes, one: xr.Dataset, depth: int) -> list[Line2D]:
    scale = float(one.scale.min())
    near, lines = one.sel(scale=scale), []
    for start, color in zip(near.start.values, COLORS, strict=False):
        for seed in near.seed.values:
            radius = near.parameter_norm.sel(start=start, seed=seed)
            lines.append(measured_line(ax, near.time, radius, NAMES[str(start)], color))
            if start == "ray":
                break
    strength = max(map(float, str(one.targets.values).split(",")))
    unit = float(escape_time(strength, depth, scale, stretch=True))
    times = np.linspace(0, 1 if depth == 2 else 1 - 1e-9, 4000)
    ray = norm_on_ray(times * unit, scale, strength, depth)
    lines.append(predicted_line(ax, times, ray, r"$\dot r = s^* r^{L-1}$"))
    ax.set(yscale="log", ylim=(scale / 2, 5), xlim=(0, 2 if depth == 2 else 8))
    ax.set(title=f"L = {depth}, α = {scale:.0e}".replace("e-0", "e-"), xlabel="time / t*")
    ax.set_ylabel("norm of all parameters")
    kept = {str(line.get_label()): line for line in lines}
    return list(kept.values())


NAMES = {"ray": "optimal ray", "gaussian": "Gaussian starts"}


MARKERS = "os^D"
ROUNDING = 4 * float(np.finfo(np.float64).eps)
"""A departure below this is how far 1 itself rounds."""


def _departures(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> None:
    found = shortfall(measured, predicted)
    for depth, marker in zip(measured.depth.values, MARKERS, strict=False):
        for start, color in zip(measured.start.values, COLORS, strict=False):
            some = found.sel(depth=depth, start=start)
            middle = some.median("seed", skipna=False)
            ax.plot(some.scale, middle.where(middle > ROUNDING), color=color, marker=marker, ms=4)
    ax.set(xscale="log", yscale="log", xlabel="norm of the start α", title="departure from s*")
    ax.set_ylabel(r"$1 - \max\,(\dot r/r^{L-1})/s^*$")
    ax.set_xticks(found.scale.values)
    ax.margins(x=0.08)
    marks = [
        key(f"L = {depth}", FAINT, marker=marker, markersize=4)
        for depth, marker in zip(measured.depth.values, MARKERS, strict=False)
    ]
    ax.legend(handles=marks, loc="lower right")
