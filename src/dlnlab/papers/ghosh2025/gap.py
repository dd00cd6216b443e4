"""Two layers that start apart, and what becomes of the gap between their squares.

Gradient flow keeps b = w_2² − w_1² and ends where its hyperbola meets that of the minima. A step of
descent multiplies b by 1 − η²r². While the minimum at the flow's end is stable, the residual r dies
out and a part of the gap is left; where only flatter minima are stable, the run slides towards
them until one holds it; beyond 2/S, S = 2s, none does, r oscillates for ever and b decays to zero.
Dashed over the gap is the same recursion in arbitrary precision, for as long as float64 follows it.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import Modes
from dlnlab.observables import balance_gap, loss, observable, sharpness
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    Line2D,
    few_ticks,
    legend_above,
    log_step_axis,
    panels,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.balance import (
    balance_regime,
    chain_flow_end_sharpness,
    lasting_balance_factor,
    trusted_gap,
)
from dlnlab.theory.modes import balance_factor
from dlnlab.theory.stability import stability_edge
from dlnlab.typing import Any, Array, Float, Params

EPSILON = float(np.finfo(np.float64).eps)
STEPS = 600


@observable(dims=("layer",), symbol="w_l", formula="layer values of the first pathway's first mode")
def layer_values(problem: Problem, params: Params) -> Float[Array, " layer"]:
    """The values w_l of a scalar chain, with their signs."""
    return jnp.stack([layer[0] for layer in params[0]])


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.18,
    start: Annotated[
        tuple[float, ...], Coordinate(symbol="w_l(0)", help="a value for each layer")
    ] = (1.5, 2.25),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 5.0,
) -> Run:
    """One mode of strength s, and a chain with a layer for each value of `start`."""
    if len(start) < 2:
        raise InputError(
            f"start has {len(start)} values and a gap lies between two layers; give two or more, "
            "say --start 1.5,2.25."
        )
    problem = Problem(Modes((len(start),), 1), Whitened(jnp.full(1, target)))
    layers = tuple(jnp.full(1, value) for value in start)
    return Run(problem, GradientDescent(learning_rate), (layers,))


def _chain(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"layer_values": coords["start"], "target": coords["target"]}


def _edge(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"target": coords["target"], "depth": len(coords["start"])}


def precise(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The arguments of `trusted_gap` for one lane."""
    return {
        **_chain(coords, measured),
        "learning_rate": coords["learning_rate"],
        "at": tuple(int(step) for step in measured.step.values),
    }


EXPERIMENT = Experiment(
    build,
    title="The gap of two layers, below the edge and beyond it",
    steps=STEPS,
    schedule=last(STEPS),
    observe=(loss, layer_values, balance_gap, sharpness),
    predictions=(
        Bound(trusted_gap, precise),
        Bound(chain_flow_end_sharpness, _chain),
        Bound(stability_edge, _edge),
    ),
    coords={"learning_rate": (0.1, 0.18, 0.1997, 0.21)},
    cites=("ghosh2025",),
)

INTERACTIVE = ("balance_gap", "layer_values", "sharpness", "loss")


def gaps(measured: xr.Dataset) -> xr.DataArray:
    """|b| of the one pathway."""
    return measured.balance_gap.isel(pathway=0)


def regimes(measured: xr.Dataset) -> list[str]:
    """What theory calls the regime of each lane at its start, in the order of the step sizes."""
    start, target = measured.layer_values.isel(step=0), float(measured.target)
    return [
        balance_regime(at(start, rate).values, target, float(rate)).regime
        for rate in np.atleast_1d(measured.learning_rate)
    ]


def at(values: Any, rate: float) -> Any:
    """The part of a sweep at one step size; all of it where none was swept."""
    return values.sel(learning_rate=rate) if "learning_rate" in values.dims else values


def _steps(measured: xr.Dataset) -> tuple[Any, Any, Any, Any]:
    """For every step of every lane the signed gap before and after, ηr, and the size of w²."""
    layers = measured.layer_values.transpose("learning_rate", "step", "layer").values
    if not (measured.step.diff("step") == 1).all() or layers.shape[-1] != 2:
        return (np.full((1, 1), np.nan),) * 4
    residual = layers.prod(axis=-1) - float(measured.target)
    gap = (layers[..., 1] - layers[..., 0]) * layers.sum(axis=-1)
    kick = measured.learning_rate.values[:, None] * residual
    size = (layers**2).max(axis=-1)
    return gap[:, :-1], gap[:, 1:], kick[:, :-1], np.maximum(size[:, 1:], size[:, :-1])


def check_law(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the gap is from b(1 − η²r²) after any step, in roundings of the squares."""
    before, after, kick, size = _steps(measured)
    factor = balance_factor(kick, np.ones((1, 1, 1)), 1.0) if np.isfinite(kick).all() else np.nan
    error = abs(after - factor * before) / (size * EPSILON)
    return Verdict.at_most(float(error.max()), 64, sample_size=error.size)


def check_monotone(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest share by which a gap grew in any step with η²r² < 2, beyond its rounding."""
    before, after, kick, size = _steps(measured)
    grown = (abs(after) - abs(before) - 64 * EPSILON * size) / size
    inside = kick**2 < 2
    some = inside.all() and (abs(after[:, -1]) < abs(before[:, 0])).all()
    return Verdict.at_most(
        float(grown.max()) if some else np.nan, 0.0, sample_size=int(inside.sum())
    )


def check_precision(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error of the gap against arbitrary precision, while it is trusted."""
    exact = predicted.trusted_gap.transpose("learning_rate", "step").values
    if not np.isfinite(exact).any():  # mpmath is an extra of the installation
        expected = "at most 1e-10; needs mpmath: install dlnlab[precision]"
        return Verdict("inconclusive", np.nan, expected, 0.0, 0)
    found = gaps(measured).transpose("learning_rate", "step").values
    trusted = np.isfinite(exact)
    error = abs(found[trusted] / exact[trusted] - 1)
    enough = trusted.sum(axis=1).min() > 5 and np.isfinite(error).all()
    return Verdict.at_most(
        float(error.max()) if enough else np.nan, 1e-10, sample_size=int(trusted.sum())
    )


TWO_LAYERS = "one mode of two layers"
TRUSTED = (TWO_LAYERS, "up to where another plain float64 run is off by 1e-12")
CLAIMS = (
    Claim(
        "ghosh2025.4",
        "Each step multiplies the gap between two layers by 1 − η²r², to rounding.",
        check_law,
        (TWO_LAYERS,),
    ),
    Claim(
        "ghosh2025.4a",
        "While η²r² < 2 the gap never grows, below the edge or beyond it, and in the end it is "
        "smaller.",
        check_monotone,
        (TWO_LAYERS,),
    ),
    Claim(
        "ghosh2025.4b",
        "In float64 the gap is right to 1e-10 of itself for as long as rounding is not amplified "
        "beyond that, as the same recursion in arbitrary precision judges.",
        check_precision,
        TRUSTED,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Above the runs in the plane of the layers, below the gap: linear, and logarithmic."""
    rates = np.atleast_1d(measured.learning_rate.values)
    columns = max(2, rates.size)
    figure, axes = panels(2, columns, height=4.5)
    grid, middle = axes[0].get_subplotspec(), -(-columns // 2)
    assert grid is not None
    for ax in (*axes[rates.size : columns], *axes[columns:]):
        ax.remove()
    lines: list[Line2D] = []
    box = _box(measured)
    for k, (ax, rate, regime) in enumerate(zip(axes, rates, regimes(measured), strict=False)):
        ratio = float(rate / np.max(at(predicted.stability_edge, rate)))
        lines = _plane(ax, at(measured, rate), COLORS[k % len(COLORS)], box)
        ax.set_title(f"η = {rate:.4g} ({ratio:.4g} · 2/S)\n{regime}")
        ax.set_xlabel(r"$w_1$")
    axes[0].set_ylabel(r"$w_2$")
    below = figure.add_subplot(grid.get_gridspec()[1, :middle])
    beyond = figure.add_subplot(grid.get_gridspec()[1, middle:])
    exact = _gaps(below, measured, predicted)
    _gaps(beyond, measured, predicted)
    log_step_axis(below)
    below.set(ylabel=r"gap $|w_1^2 - w_2^2|$", ylim=(0, None))
    beyond.set(yscale="log", xlabel="step", ylim=(1e-8, 10), xlim=(0, 400))
    legend_above(figure, [*lines, exact, *_decays(beyond, measured)])
    return figure


def _box(measured: xr.Dataset) -> tuple[tuple[float, float], ...]:
    """What the planes show: all that the runs visit, (from, to) of either layer."""
    over = [dim for dim in measured.layer_values.dims if dim != "layer"]
    low, high = (getattr(measured.layer_values, name)(over).values for name in ("min", "max"))
    return tuple(zip(low - 0.1 * (high - low), high + 0.1 * (high - low), strict=True))


def _plane(
    ax: Axes, lane: xr.Dataset, color: str, box: tuple[tuple[float, float], ...]
) -> list[Line2D]:
    """The run over contours of the loss, with the hyperbolas of the minima and of the flow."""
    target, path = float(lane.target), lane.layer_values.transpose("layer", "step").values
    across = np.linspace(*box[0], 200)
    first, second = np.meshgrid(across, np.linspace(*box[1], 200))
    misfit = abs(first * second - target)
    most = 2 * misfit.max()  # light greys only
    shade = ax.contourf(first, second, misfit, levels=10, cmap="Greys", vmin=0, vmax=most)
    shade.set_rasterized(True)  # as paths it makes the picture a megabyte
    (minima,) = ax.plot(across, target / across, color=INK, linewidth=0.8, label="minima")
    run = measured_line(ax, path[0], path[1], "descent", color)
    run.set(linewidth=0.4, marker=".", markersize=2)
    conserved = path[0, 0] ** 2 - path[1, 0] ** 2
    with np.errstate(invalid="ignore"):
        flow = predicted_line(ax, across, np.sqrt(across**2 - conserved), "gradient flow")
    ax.set(xlim=box[0], ylim=box[1])
    few_ticks(ax, 4)
    return [minima, run, flow]


def _gaps(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> Line2D:
    """The gap of each run, and in arbitrary precision; returns the last line of these."""
    steps = measured.step.values
    for k, rate in enumerate(np.atleast_1d(measured.learning_rate.values)):
        found, exact = at(gaps(measured), rate), at(predicted.trusted_gap, rate)
        measured_line(ax, np.maximum(steps, 0.5), found, f"η = {rate:.4g}", COLORS[k % len(COLORS)])
        line = predicted_line(ax, np.maximum(steps, 0.5), exact, "arbitrary precision")
    return line


def _decays(ax: Axes, measured: xr.Dataset) -> list[Line2D]:
    """The slope of theory beside each gap that decays to zero; returns one line of these."""
    rates, lines = np.atleast_1d(measured.learning_rate.values), []
    steps = measured.step.values
    for rate, regime in zip(rates, regimes(measured), strict=True):
        lasting = lasting_balance_factor(2, float(measured.target), float(rate))
        if regime == "decays" and lasting:
            from_middle = steps - steps[steps.size // 4]
            height = 4 * float(at(gaps(measured), rate)[steps.size // 4])
            label = r"decay by $\sqrt{3 - \eta S}$ per step"
            slope = height * np.exp(from_middle * np.log(lasting))
            lines.append(predicted_line(ax, steps, slope, label, "#57606a"))
    return lines[:1]
