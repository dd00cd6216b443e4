"""Matrix completion: a small start finds the rank, and with it the entries that are not seen.

A 10×10 matrix of rank 3 of which a part is observed, learned by a deep linear network whose layers
begin with variance w^{−γ}. In the NTK regime (γ < 1) it fits what is observed and hardly moves
elsewhere; from saddle to saddle (γ = 2) it learns one singular pair after another, as the greedy
algorithm does, and the test cost falls with the training cost. Curves are of the first seed.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GreedyGrowth
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, require_width
from dlnlab.observables import loss, singular_values, test_loss
from dlnlab.papers.jacot2021.greedy import neurons
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks.completion import low_rank, observed
from dlnlab.typing import Any

Algorithm = Literal["descent", "greedy"]

SIZE, RANK = 10, 3


def build(
    gamma: Annotated[float, Coordinate(least=0, most=4, symbol="γ")] = 2.0,
    algorithm: Algorithm = "descent",
    fraction: Annotated[float, Coordinate(least=0.1, most=1.0)] = 0.7,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=1, most=400, symbol="w")] = 30,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    weight: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="ε")] = 0.1,
    seed: int = 0,
) -> Run:
    """A random 10×10 matrix of rank 3 and unit variance, divided by 4, partly observed.

    `descent` starts from Gaussian layers of variance width^{−γ} in every layer, `greedy` growth
    from zero with neurons of the given weight, whatever γ. The seed draws matrix, mask and start.
    """
    require_width(width, RANK)
    matrix, mask, drawn = jax.random.split(jax.random.key(seed), 3)
    whole = low_rank(matrix, (SIZE, SIZE), RANK, float) / 4
    task = observed(mask, whole, fraction)
    problem = Problem(chain((SIZE, *(width,) * (depth - 1), SIZE)), task)
    std = width ** (-jnp.asarray(gamma) / 2)
    params = gaussian(problem.network, drawn, std=std)
    if algorithm == "greedy":
        params = jax.tree.map(jnp.zeros_like, params)
    # A full start leaves growth nothing to add: it is plain descent.
    return Run(problem, GreedyGrowth(learning_rate, weight, 1e-3), params)


EXPERIMENT = Experiment(
    build,
    title="Matrix completion in two regimes",
    steps=20_000,
    schedule=linear(401),
    observe=(loss, test_loss, singular_values, neurons),
    coords={
        "gamma": (0.75, 2.0),
        "algorithm": ("descent", "greedy"),
        "seed": tuple(range(10)),
    },
    cites=("jacot2021",),
)

FULL = {"depth": 4, "width": 100, "steps": 60_000, "seed": tuple(range(40))}
INTERACTIVE = ("loss", "test_loss", "singular_values")


# --- claims -------------------------------------------------------------------------------------

LAZY, SADDLES = 0.75, 2.0
FITTED = 1e-2
"""A training cost below this share of its first value counts as fitted."""


def gains(measured: xr.Dataset) -> Any:
    """For each seed by how much, in ln, the test cost is lower from saddle to saddle; NaN unless
    both runs fit what is observed."""
    runs = measured.sel(algorithm="descent", gamma=[LAZY, SADDLES])
    fitted = (runs.loss.isel(step=-1) < FITTED * runs.loss.isel(step=0)).all("gamma")
    end = np.log(runs.test_loss.isel(step=-1))
    return (end.sel(gamma=LAZY) - end.sel(gamma=SADDLES)).where(fitted).values


def check_test(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean over seeds of the logarithm of the ratio of test costs."""
    return Verdict.mean_at_least(gains(measured), 0.0)


def check_greedy(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean over seeds of the fall of the test cost, greedy growth against the NTK regime.

    Not of logarithms: growth that has found the rank falls to rounding, and the scatter with it.
    """
    end = measured.test_loss.isel(step=-1)
    lazy, greedy = (end.sel(gamma=LAZY, algorithm=name) for name in ("descent", "greedy"))
    return Verdict.mean_at_least((lazy - greedy).values, 0.0)


SETTING = "10×10 matrices of rank 3, 70 of 100 entries observed, three layers of width 30"
CLAIMS = (
    Claim(
        "jacot2021.4b",
        "In matrix completion the test cost from saddle to saddle (γ = 2) is below that of the NTK "
        "regime (γ = 0.75), where both fit what is observed.",
        check_test,
        (SETTING, "the mean of ln over pairs of runs with one matrix and mask"),
        statistical=True,
    ),
    Claim(
        "jacot2021.4d",
        "So is that of greedy low-rank growth.",
        check_greedy,
        (SETTING, "ε = 0.1", "20,000 steps of descent, whether or not all saddles are passed"),
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

AXES = ("gamma", "algorithm", "seed")


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Train and test cost of the first seed along each kind of run, and test costs of all seeds."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    figure, axes = panels(1, 3, height=2.6, sharey="row")
    kinds = [(f"γ = {g:g}", {"gamma": g, "algorithm": "descent"}) for g in measured.gamma.values]
    kinds.append(("greedy", {"gamma": measured.gamma.values[-1], "algorithm": "greedy"}))
    found = [(name, measured.sel(place)) for name, place in kinds if _has(measured, place)]
    lines: list[Line2D] = []
    for ax, name in zip(axes, ("loss", "test_loss"), strict=False):
        lines = [
            measured_line(ax, run.time, run[name].isel(seed=0).clip(min=FLOOR), label, color)
            for (label, run), color in zip(found, COLORS, strict=False)
        ]
        ax.set(yscale="log", ylim=(FLOOR, None), xlabel="time", title=TITLES[name])
    axes[0].set_ylabel("cost")
    _ends(axes[2], found)
    legend_above(figure, lines)
    return figure


FLOOR = 1e-5
"""Smaller costs are drawn here."""

TITLES = {"loss": "entries observed", "test_loss": "entries not observed"}


def _has(measured: xr.Dataset, place: dict[str, Any]) -> bool:
    return all(value in measured[name].values for name, value in place.items())


def _ends(ax: Axes, found: list[tuple[str, xr.Dataset]]) -> None:
    """The test costs at the end, runs of one seed joined."""
    ends = np.array([run.test_loss.isel(step=-1).values for _, run in found]).clip(FLOOR)
    ax.plot(ends, color="#c9ced4", lw=0.7, zorder=1)
    for place, (values, color) in enumerate(zip(ends, COLORS, strict=False)):
        ax.plot(np.full(values.size, place), values, "o", color=color, ms=3.5)
    ax.set_xticks(range(len(found)), [name for name, _ in found])
    ax.set(title="not observed, at the end", xlim=(-0.4, len(found) - 0.6))
