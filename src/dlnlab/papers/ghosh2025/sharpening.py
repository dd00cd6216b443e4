"""Few samples and simple targets sharpen little: such a network does not come to its edge.

Perceptrons on digits under small steps. How sharp the loss is where they end depends on what they
have to learn: a single output (is it a nought?) leaves it flatter than all ten from the same
images, and with few images it rises by a smaller factor than with many. A step size that is at the
edge for the harder task is far below it for the simpler one.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.observables import loss, sharpness
from dlnlab.papers.ghosh2025 import perceptrons
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
from dlnlab.schedule import Schedule

FEW, MANY = 10, 200

EXPERIMENT = dataclasses.replace(
    perceptrons.EXPERIMENT,
    title="How sharp the loss becomes for few samples and simple targets",
    steps=2500,
    schedule=Schedule(),
    observe=(loss, sharpness),
    statistics=(),
    predictions=(),
    coords={
        "activation": ("tanh", "relu"),
        "samples": (FEW, MANY),
        "classes": (1, perceptrons.CLASSES),
        "learning_rate": (0.15,),
        "scale": (0.4,),
        "seed": tuple(range(20)),
    },
)

FULL = {"samples": (FEW, 30, 100, MANY, 1000), "classes": (1, 2, 5, 10), "steps": 10_000}
"""480 runs of 10,000 steps."""


def _logs(measured: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """The logarithms of the last sharpness, and of the factor by which it has risen."""
    value = np.log(measured.sharpness.isel(learning_rate=0, scale=0))
    return value.isel(step=-1), value.isel(step=-1) - value.isel(step=0)


def check_simple(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean logarithm of how much sharper ten outputs leave it than one, start by start."""
    end, _ = _logs(measured)
    gap = end.sel(classes=perceptrons.CLASSES) - end.sel(classes=1)
    return Verdict.mean_at_least(gap.mean(["samples", "activation"]), np.log(2))


def check_few(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean logarithm of how much more it rises with many samples than with few."""
    _, rise = _logs(measured)
    gap = rise.sel(samples=MANY) - rise.sel(samples=FEW)
    return Verdict.mean_at_least(gap.mean(["classes", "activation"]), np.log(1.5))


SETTING = ("tanh and ReLU, L = 3, width 6, η = 0.15, 2,500 steps",)
CLAIMS = (
    Claim(
        "ghosh2025.7g",
        "A simple target sharpens less: with one output instead of ten the sharpness ends lower by "
        "a factor of more than 2, the geometric mean over starts.",
        check_simple,
        SETTING,
        statistical=True,
    ),
    Claim(
        "ghosh2025.7h",
        "So do few samples: from 10 digits to 200 the factor by which the sharpness rises grows by "
        "more than 1.5, the geometric mean over starts.",
        check_few,
        SETTING,
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """First and last sharpness of each run against the number of samples, for each activation."""
    axes = ("activation", "samples", "classes", "learning_rate", "scale", "seed")
    measured, _ = with_axes(measured, predicted, axes)
    names = measured.activation.values
    figure, grid = panels(1, names.size, height=2.5, sharey=True)
    lines: list[Line2D] = []
    for ax, name in zip(grid, names, strict=True):
        one = measured.sharpness.sel(activation=name).isel(learning_rate=0, scale=0)
        lines = _columns(ax, one)
        ax.set(yscale="log", xlabel="samples n")
        ax.set_title({"relu": "ReLU", "gelu": "GELU"}.get(str(name), str(name)))
        places = range(one.sizes["samples"])
        ax.set_xticks(places, [str(n) for n in one.samples.values])
        ax.set_xlim(places[0] - 0.5, places[-1] + 0.5)
    grid[0].set_ylabel(r"sharpness $\lambda_{\max}$")
    legend_above(figure, lines)
    return figure


def _columns(ax: Axes, sharp: xr.DataArray) -> list[Line2D]:
    """A line for each run, from its first sharpness, open, to its last."""
    lines = []
    count, places = sharp.sizes["classes"], np.arange(sharp.sizes["samples"])
    for index, classes in enumerate(sharp.classes.values):
        color, beside = COLORS[index % len(COLORS)], (index - (count - 1) / 2) * 0.8 / count
        one = sharp.sel(classes=classes).transpose("step", "seed", "samples").values
        # Runs stand beside each other, so that each can be seen.
        spread = np.linspace(-0.25, 0.25, one.shape[1]) / count if one.shape[1] > 1 else [0.0]
        for shift, start, end in zip(spread, one[0], one[-1], strict=True):
            where = places + beside + shift
            ax.plot([where, where], [start, end], color=color, lw=0.6, alpha=0.5, zorder=1)
            ax.plot(where, start, "o", color=color, mfc="white", ms=2.5, mew=0.6, zorder=2)
            ax.plot(where, end, "o", color=color, ms=3, zorder=3)
        name = "1 output" if classes == 1 else f"{classes} outputs"
        lines.append(key(name, color, marker="o", markersize=4))
    kinds = {"at the start": "white", "at the end": FAINT}
    lines += [
        key(name, FAINT, marker="o", markerfacecolor=fill, markersize=4)
        for name, fill in kinds.items()
    ]
    return lines
