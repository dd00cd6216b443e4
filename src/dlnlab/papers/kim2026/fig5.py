"""The worst-case return: beyond η_WCR a step can throw a chain across the saddle at zero.

On a balanced chain gradient descent is the map f_η(w) = w − η w^{L−1}(w^L − s) of one layer value.
Every start in (0, w*) is thrown at most to f_η(c), c the map's highest point, and from there back
to f_η(f_η(c)) at worst. Below η_WCR that is positive and every start returns to the well; above it
some starts cross zero. Here every start is tried.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import Modes
from dlnlab.observables import loss, observable
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, Line2D, legend_above, panels
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.stability import map_value, worst_case_return_constant
from dlnlab.typing import Any, Params, Scalar


@observable(symbol="w", formula="the value of the first layer of the first pathway, with its sign")
def layer_value(problem: Problem, params: Params) -> Scalar:
    """The layer value w of a balanced scalar chain."""
    return params[0][0][0]


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.5,
    start: Annotated[float, Coordinate(above=0, symbol="w/w*")] = 0.5,
    depth: Annotated[int, Coordinate(least=1, most=1000, symbol="L")] = 5,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """A balanced chain at η = edge_ratio · 2/S, started at w = start · w*, w* = s^{1/L}."""
    problem = Problem(Modes((depth,), 1), Whitened(jnp.full(1, target)))
    learning_rate = edge_ratio * 2 / (depth * target ** (2 - 2 / depth))
    value = start * jnp.full(1, target) ** (1 / depth)
    return Run(problem, GradientDescent(learning_rate), ((value,) * depth,))


def map_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The first step of one lane, in the theory's terms."""
    depth, target = coords["depth"], coords["target"]
    return {
        "value": coords["start"] * target ** (1 / depth),
        "learning_rate": coords["edge_ratio"] * 2 / (depth * target ** (2 - 2 / depth)),
        "target": target,
        "depth": depth,
    }


_RETURN = worst_case_return_constant(5) / 2
EXPERIMENT = Experiment(
    build,
    title="The loss of a chain of five layers, and two steps on it",
    steps=2,
    schedule=last(2),
    observe=(layer_value, loss),
    predictions=(Bound(map_value, map_arguments),),
    coords={
        "edge_ratio": (0.97 * _RETURN, 1.03 * _RETURN),
        "start": tuple(np.linspace(0.0025, 0.9975, 399).tolist()),
    },
    cites=("kim2026",),
)


def check_return(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The lowest point reached by any start that is thrown across the minimum and back: above zero
    below η_WCR, below zero beyond."""
    thrown = measured.layer_value.where(measured.layer_value.isel(step=1) > 1)
    lowest = thrown.isel(step=2).min("start").sortby("edge_ratio").values
    sides = lowest[0] > 0 > lowest[-1]
    margin = min(lowest[0], -lowest[-1]) if sides else np.nan
    return Verdict.at_least(margin, 0, sample_size=measured.layer_value.isel(step=2).size)


INTERACTIVE = ("layer_value@1", "loss")

CLAIMS = (
    Claim(
        "kim2026.7",
        "Below η_WCR = γ(L)/S every start in (0, w*) returns to the well in two steps, above it "
        "some cross zero (η at 0.97 and 1.03 of it).",
        check_return,
        ("one aligned, depth-balanced chain",),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The loss of the chain with the two steps from the worst start, below and above η_WCR."""
    ratios = np.atleast_1d(measured.edge_ratio.values)
    figure, axes = panels(1, ratios.size, height=2.5, sharey=True)
    for ax, ratio in zip(axes, ratios, strict=True):
        lines = _orbit(ax, measured.sel(edge_ratio=ratio), predicted.sel(edge_ratio=ratio))
        ax.set_title(rf"η = {ratio / _RETURN:.2f} $\eta_{{\rm WCR}}$  ({ratio:.3f} · 2/S)")
        ax.set_xlabel("layer value w")
    axes[0].set_ylabel("loss ½(w⁵ − s)², s = 1")
    legend_above(figure, lines)
    return figure


def _orbit(ax: Axes, lanes: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    worst = int(np.argmax(lanes.layer_value.isel(step=1).values))
    path, losses = lanes.layer_value.isel(start=worst).values, lanes.loss.isel(start=worst).values
    grid = np.linspace(-0.75, 1.28, 400)
    (well,) = ax.plot(grid, (grid**5 - 1) ** 2 / 2, color=FAINT, linewidth=1.2, label="loss")
    (steps,) = ax.plot(
        path,
        losses,
        color=COLORS[0],
        marker="o",
        markersize=3.5,
        label="two steps from the start that is thrown farthest",
    )
    for number, (w, height) in enumerate(zip(path, losses, strict=True)):
        ax.annotate(
            f"$w_{number}$",
            (w, height),
            (3, 5),
            textcoords="offset points",
            fontsize=7,
            color=COLORS[0],
        )
    said = float(theory.map_value[worst])
    (first,) = ax.plot(
        [said, said],
        [0, 1.1],
        color=INK,
        linewidth=1,
        linestyle=(0, (4, 2.2)),
        label=r"predicted $w_1 = f_\eta(w_0)$",
    )
    ax.axvline(0, color=FAINT, linewidth=0.7)
    ax.set_ylim(-0.03, 1.1)
    return [well, steps, first]
