"""The same oscillation in every layer: singular values of each layer, along the run.

Three layers learn diag(10, 8, 6, 0, 0). A mode beyond its own edge 2/S_i oscillates in all layers,
and its layers become equal on the way, though the last one started at zero; a mode below its edge
comes to rest in all layers and keeps part of the gap between them. At η = 0.04 the first mode has
period 4, at 0.045 and 0.05 it is past the cascade. A layer is shown mode by mode: in descending
order its singular values change places wherever two modes pass each other.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import layer_singular_values, loss, mode_values, observable
from dlnlab.papers.ghosh2025 import oscillation_range
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, key, legend_above, panels
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.orbits import two_cycle
from dlnlab.theory.stability import mode_edges
from dlnlab.typing import Array, Float, Params


@observable(dims=("layer", "mode"), symbol="w_{l,i}", formula="the values of the layers of a chain")
def layer_values(problem: Problem, params: Params) -> Float[Array, "layer mode"]:
    """What each layer of a chain of modes multiplies mode i by, with its sign."""
    return jnp.stack(params[0])


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.035,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(least=0, symbol="s_i")] = (
        10.0,
        8.0,
        6.0,
        0.0,
        0.0,
    ),
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.03,
) -> Run:
    """Gradient descent on a chain with the singular values `targets`, from W_L = 0, W_l = αI."""
    return oscillation_range.build(learning_rate, depth, targets, layer_scale)


STEPS = 2500
EXPERIMENT = Experiment(
    build,
    title="The singular values of each layer along the run",
    steps=STEPS,
    schedule=linear(STEPS + 1),
    observe=(loss, mode_values, layer_singular_values, layer_values),
    predictions=(Bound(mode_edges),),
    coords={"learning_rate": (0.01, 0.03, 0.035, 0.04, 0.045, 0.05)},
    cites=("ghosh2025",),
)

INTERACTIVE = ("layer_values", "mode_values", "loss")

WINDOW = 64
"""The last steps, in which a mode is seen to oscillate or to rest."""


def _oscillates(predicted: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """By theory: which modes are past their edge, and which have one at all."""
    signal = np.isfinite(predicted.mode_edges)
    return (predicted.mode_edges < predicted.learning_rate) & signal, signal


def check_layers(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How many pairs of a mode and a layer move without being due to, or the other way round."""
    late = measured.layer_values.isel(step=slice(-WINDOW, None))
    swing = late.max("step", skipna=False) - late.min("step", skipna=False)
    moving = swing > oscillation_range.MOVING * abs(late).max("step", skipna=False)
    due, signal = _oscillates(predicted)
    both = bool(due.any()) and bool((signal & ~due).any()) and bool(swing.notnull().all())
    wrong = float(((moving != due) & signal).sum()) if both else np.nan
    return Verdict.at_most(wrong, 0, sample_size=int(signal.sum()) * measured.sizes["layer"])


def check_equal(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest gap w_i² − w_j² of an oscillating mode over the smallest one of a resting one."""
    squares = measured.layer_values.isel(step=-1) ** 2
    gap = squares.max("layer", skipna=False) - squares.min("layer", skipna=False)
    due, signal = _oscillates(predicted)
    moving, resting = gap.where(due).values, gap.where(signal & ~due).values
    both = np.isfinite(moving).any() and np.isfinite(resting).any()
    ratio = np.nanmax(moving) / np.nanmin(resting) if both else np.nan
    return Verdict.at_most(float(ratio), 1e-6, sample_size=int(signal.sum()))


SETTING = ("aligned chain, started from W_L = 0, W_l = αI", "the step sizes of the figure")
CLAIMS = (
    Claim(
        "ghosh2025.1d",
        "A mode oscillates in all layers where η > 2/S_i, and in none below.",
        check_layers,
        (*SETTING, "oscillating: moves by more than 1 % of its value in the last 64 steps"),
    ),
    Claim(
        "ghosh2025.1e",
        "After 2,500 steps the layers of an oscillating mode are equal, while those of a resting "
        "one stand apart: their gaps w_i² − w_j² differ by a factor of 1e6 at the least.",
        check_equal,
        SETTING,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The layer's value for each mode against the step: a row for each layer, a column for η."""
    rates, layers = np.atleast_1d(measured.learning_rate.values), measured.sizes["layer"]
    figure, axes = panels(layers, rates.size, height=0.5 + 1.15 * layers, sharex=True, sharey=True)
    edges = predicted.mode_edges.isel(learning_rate=0).values
    modes = np.flatnonzero(np.isfinite(edges)).tolist()
    for place, ax in enumerate(axes):
        layer, column = divmod(place, rates.size)
        lane = measured.layer_values.isel(learning_rate=column, layer=layer)
        lines = [_dots(ax, lane, mode) for mode in modes]
        levels = [_levels(ax, measured, mode, float(rates[column])) for mode in modes]
        if layer == 0:
            passed = int((edges < rates[column]).sum())
            ax.set_title(f"η = {rates[column]:g}\n{_words(passed)}")
        if layer == layers - 1:
            ax.set_xlabel("step")
            ax.set_xticks([0, 1000, 2000], ["0", "1,000", "2,000"])
        if column == 0:
            ax.set_ylabel(f"layer {layer + 1}")
    legend_above(figure, [*lines, levels[0]])
    return figure


def _words(passed: int) -> str:
    return f"{passed or 'none'} past 2/S"


def _dots(ax: Axes, lane: xr.DataArray, mode: int) -> Line2D:
    """Every step a dot: a cycle becomes as many lines as it has values."""
    color = COLORS[mode % len(COLORS)]
    (dots,) = ax.plot(lane.step, lane.isel(mode=mode), ".", color=color, markersize=0.9)
    dots.set_rasterized(True)  # thousands in each panel
    return key(f"mode {mode + 1}", color)


def _levels(ax: Axes, measured: xr.Dataset, mode: int, rate: float) -> Line2D:
    """The layer values of the mode's cycle, of its minimum below its edge, over the later half;
    dotted where the cycle has given way to one of twice the period."""
    targets = [float(text) for text in str(measured.targets.item()).split(",")]
    asked = {"depth": int(measured.depth), "target": targets[mode], "learning_rate": rate}
    doubled = any(broken.name == "not_doubled" for broken in two_cycle.broken(**asked))
    late = measured.step.values[-1] * np.array([0.55, 1.0])
    for value in np.unique(two_cycle(**asked, stretch=True) ** (1 / asked["depth"])):
        predicted_line(ax, late, [value, value], stretched=doubled)
    label = "minimum or 2-cycle of theory (dotted: unstable)"
    return predicted_line(ax, [], [], label)
