"""Networks with a non-linearity oscillate in few directions too: those of greatest curvature.

Perceptrons on handwritten digits, with small steps and with large ones. Once the sharpness has come
to 2/η the parameters oscillate; drawn is the share of that oscillation in the span of the k leading
eigenvectors of the Hessian (out of 132), against k. Small steps do not oscillate: what little their
path bends has hardly a part there.

On CIFAR-10 instead, from its binary files in a folder of yours:
`dln run ghosh2025/perceptrons --cifar10 FOLDER`. Other data: call `on` from a file of your own.
"""

from typing import Annotated, Any

import jax
import numpy as np
import xarray as xr

from dlnlab import data
from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Activation, Perceptrons
from dlnlab.observables import loss, sharpness
from dlnlab.plotting import COLORS, Figure, Line2D, legend_above, panels, predicted_level, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import HessianShares
from dlnlab.tasks import Samples
from dlnlab.theory.stability import edge_sharpness

CLASSES = 10


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 1.0,
    depth: Annotated[int, Coordinate(least=2, most=50, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=1, most=500)] = 6,
    activation: Activation = "tanh",
    scale: Annotated[float, Coordinate(above=0, log=True)] = 0.6,
    components: Annotated[int, Coordinate(least=1, most=61)] = 6,
    samples: Annotated[int, Coordinate(least=1, most=1796, symbol="n")] = 200,
    classes: Annotated[int, Coordinate(least=1, most=CLASSES)] = CLASSES,
    cifar10: Annotated[str, Coordinate(help="folder of its binary files, in place of digits")] = "",
    seed: int = 0,
) -> Run:
    """A perceptron on n images, of which it learns to tell the first `classes` from the others.

    Inputs are white principal components. Entries start with the standard deviation
    `scale/√width`; the seed draws them.
    """
    images = (
        data.cifar10(cifar10, samples, components) if cifar10 else data.digits(samples, components)
    )
    return on(images, learning_rate, depth, width, activation, scale, classes, seed)


def on(
    task: Samples,
    learning_rate: Any,
    depth: int = 3,
    width: int = 6,
    activation: Activation = "tanh",
    scale: Any = 0.6,
    classes: int = CLASSES,
    seed: Any = 0,
) -> Run:
    """The same on any samples, of whose outputs the first `classes` are learned.

    **Raises:** `InputError` where there are fewer outputs.
    """
    if not 1 <= classes <= task.outputs.shape[1]:
        raise InputError(
            f"classes is {classes} and the samples have {task.outputs.shape[1]} outputs; ask for 1 "
            f"to {task.outputs.shape[1]}."
        )
    held_out = task.held_out and (task.held_out[0], task.held_out[1][:, :classes])
    chosen = Samples(task.inputs, task.outputs[:, :classes], held_out)
    widths = (task.inputs.shape[1], *(width,) * (depth - 1), classes)
    problem = Problem(Perceptrons((widths,), activation), chosen)
    params = gaussian(problem.network, jax.random.key(seed), std=scale / width**0.5)
    return Run(problem, GradientDescent(learning_rate), params)


SMALL, LARGE = 0.1, (1.0, 2.0)
LEADING, WINDOW = 10, 30

EXPERIMENT = Experiment(
    build,
    title="In which directions perceptrons oscillate",
    steps=2500,
    schedule=linear(26),
    observe=(loss, sharpness),
    statistics=(HessianShares(k=12, window=WINDOW),),
    predictions=(Bound(edge_sharpness),),
    coords={
        "activation": ("tanh", "relu"),
        "learning_rate": (SMALL, *LARGE),
        "seed": tuple(range(6)),
    },
    cites=("ghosh2025",),
)

FULL = {"learning_rate": (SMALL, 0.5, *LARGE), "seed": tuple(range(20)), "steps": 10_000}
"""160 runs of 10,000 steps."""

INTERACTIVE = ("sharpness", "hessian_shares", "loss")


def _share(measured: xr.Dataset, rates: tuple[float, ...]) -> xr.DataArray:
    """The share in the span of the leading eigenvectors of all runs at these step sizes."""
    return measured.hessian_shares.isel(step=-1, eigenvalue=LEADING - 1).sel(
        learning_rate=list(rates)
    )


def _by_start(values: xr.DataArray) -> np.ndarray[Any, Any]:
    """One number for each start: the mean over all that was done from it."""
    over = [dim for dim in values.dims if dim != "seed"]
    return np.asarray(values.mean(over, skipna=False))


def check_leading(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean share at large steps; NaN, which fails, unless the sharpness there has come to 2/η
    or beyond within 10 %, the median over runs, and below it under small steps."""
    ratio = (measured.sharpness / predicted.edge_sharpness).isel(step=slice(-5, None)).mean("step")
    there = float(ratio.sel(learning_rate=list(LARGE)).median()) > 0.9
    below = float(ratio.sel(learning_rate=SMALL).max()) < 0.9
    sample = _by_start(_share(measured, LARGE))
    return Verdict.mean_at_least(sample if there and below else np.full(sample.size, np.nan), 0.9)


def check_small(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean part outside of them at small steps."""
    return Verdict.mean_at_least(1 - _by_start(_share(measured, (SMALL,))), 0.5)


SETTING = ("tanh and ReLU, L = 3, width 6, 132 parameters, 200 digits",)
CLAIMS = (
    Claim(
        "ghosh2025.7e",
        "At 2/η perceptrons oscillate in the directions of greatest curvature: the ten leading "
        "Hessian eigenvectors hold more than nine tenths of it in the mean.",
        check_leading,
        (*SETTING, "η = 1 and 2"),
        statistical=True,
    ),
    Claim(
        "ghosh2025.7f",
        "Under small steps these hold less than half of what the path bends from step to step.",
        check_small,
        (*SETTING, "η = 0.1"),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Above, the sharpness in units of 2/η against the step; below, the share of the oscillation
    in the k leading eigenvectors against k: a column for each activation, means and ranges."""
    axes = ("activation", "learning_rate", "seed")
    measured, predicted = with_axes(measured, predicted, axes)
    names = measured.activation.values
    figure, grid = panels(2, names.size, height=3.7, sharey="row")
    lines: list[Line2D] = []
    for above, below, name in zip(grid, grid[names.size :], names, strict=False):
        one = measured.sel(activation=name)
        ratio = one.sharpness / predicted.edge_sharpness.sel(activation=name)
        shares = one.hessian_shares.isel(step=-1)
        leading = np.arange(1, one.sizes["eigenvalue"] + 1)
        lines = _curves(above, one.step.values, ratio)
        lines.append(predicted_level(above, 1.0, "2/η"))
        _curves(below, leading, shares)
        above.set(xlabel="step", title={"relu": "ReLU", "gelu": "GELU"}.get(str(name), str(name)))
        below.set(xlabel="leading eigenvectors k", ylim=(-0.03, 1.05))
    grid[0].set_ylabel(r"sharpness $\lambda_{\max}\eta/2$")
    grid[names.size].set_ylabel("share of the oscillation")
    legend_above(figure, lines)
    return figure


def _curves(ax: Any, x: Any, values: xr.DataArray) -> list[Line2D]:
    lines = []
    for color, rate in zip(COLORS, values.learning_rate.values, strict=False):
        one = values.sel(learning_rate=rate)
        lines.append(measured_line(ax, x, one.mean("seed"), f"η = {rate:g}", color))
        low, high = one.min("seed"), one.max("seed")
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    return lines
