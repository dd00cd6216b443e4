"""A staircase: the loss rests where k modes are learned, and the rank rises by one at each escape.

Gradient flow from small random layers, seen in the run alone: a plateau is where the gradient norm
is least between two escapes, and its loss there is ½Σ_{i>k} s_i², the loss of the critical point
that has learned the k strongest modes. What is missing to that falls with the size of the start,
in scalar chains and in whole matrices. For two layers the start enters in logarithms alone. For
three a whole matrix needs a number of steps that grows as one over its scale.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientFlow
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, chain
from dlnlab.observables import gradient_norm, loss
from dlnlab.plotting import (
    COLORS,
    FAINT,
    Axes,
    Figure,
    Line2D,
    key,
    legend_above,
    panels,
    predicted_level,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import Staircase
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import plateau_loss
from dlnlab.typing import Params

TARGETS, HIDDEN = (9.0, 3.0, 1.0), 6


def build(
    representation: Literal["modes", "matrices"] = "matrices",
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 1e-3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = TARGETS,
    seed: int = 0,
) -> Run:
    """Gradient flow on white inputs from layers of size α.

    Modes start with all layer values at α; matrices with normal entries of standard deviation α,
    through hidden layers of 6 units (or as many as modes, if they are more).
    """
    modes, strengths = len(targets), jnp.array(targets)
    if representation == "modes":
        problem = Problem(Modes((depth,), modes), Whitened(strengths))
        params: Params = ((jnp.full(modes, layer_scale),) * depth,)
    else:
        hidden = (max(HIDDEN, modes),) * (depth - 1)
        identity = jnp.eye(modes)
        task = Whitened(jnp.diag(strengths), basis=(identity, identity))
        problem = Problem(chain((modes, *hidden, modes)), task)
        params = gaussian(problem.network, jax.random.key(seed), std=layer_scale)
    return Run(problem, GradientFlow(arrival=1e-10, most_steps=200_000), params)


EXPERIMENT = Experiment(
    build,
    title="Plateaus of the loss, and the ranks on them",
    time=4000.0,
    schedule=logarithmic(400),
    observe=(loss, gradient_norm),
    statistics=(Staircase(),),
    predictions=(Bound(plateau_loss),),
    coords={
        "representation": ("modes", "matrices"),
        "depth": (2, 3),
        "layer_scale": (0.1, 0.01, 0.001),
        "seed": (0, 1, 2),
    },
    cites=("jacot2021",),
)

EXACT = 0.01


def deviations(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """How far plateau k is from ½Σ_{i>k} s_i², relatively, the minimum left out.

    NaN where there are fewer plateaus.
    """
    said = predicted.plateau_loss.isel(learned=slice(0, -1)).rename(learned="level")
    found = measured.plateau.isel(time=-1, level=slice(said.sizes["level"]))
    gap: xr.DataArray = abs(found / said - 1)
    return gap


def check_losses(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative deviation of any plateau of runs from 1e-3 (1e-2 in matrices, L = 3)."""
    gap = deviations(measured, predicted)
    deep = gap.sel(representation="matrices", depth=3, layer_scale=1e-2)
    worst = max(float(gap.sel(layer_scale=1e-3).max(skipna=False)), float(deep.max(skipna=False)))
    return Verdict.at_most(worst if np.isfinite(worst) else np.nan, EXACT, sample_size=gap.size)


def check_falls(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest ratio of a deviation at 1e-3 to that at 1e-2, the worst plateau of each run."""
    gap = deviations(measured, predicted).max("level", skipna=False)
    ratio = gap.sel(layer_scale=1e-3) / gap.sel(layer_scale=1e-2)
    return Verdict.at_most(float(ratio.max(skipna=False)), 0.5, sample_size=ratio.size)


def check_ranks(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How many plateaus have another rank than their number, counted from 0."""
    count = predicted.sizes["learned"]
    ranks = measured.plateau_rank.isel(time=-1).sel(layer_scale=1e-3)
    wrong = ranks.isel(level=slice(count)) != xr.DataArray(np.arange(count), dims="level")
    more = (ranks.isel(level=slice(count, None)) >= 0).sum()
    return Verdict.at_most(float(wrong.sum() + more), 0, sample_size=int(wrong.size))


def check_norms(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest gradient norm on a plateau over that of the slower escape beside it."""
    last = measured.isel(time=-1).sel(layer_scale=1e-3)
    count = predicted.sizes["learned"]
    level = last.plateau_gradient_norm.isel(level=slice(count - 1))
    after = last.plateau_escape_gradient_norm.isel(level=slice(count - 1))
    beside = np.fmin(after, after.shift(level=1))
    return Verdict.at_most(
        float((level / beside).max(skipna=False)), 0.5, sample_size=int(level.size)
    )


SETTING = ("white inputs, targets 9, 3, 1", "gradient flow from layers of size α, two and three")
CLAIMS = (
    Claim(
        "jacot2021.3",
        "The loss on plateau k is that of the critical point with the k strongest modes learned, "
        "½Σ_{i>k} s_i², to within 1 % from α = 1e-3 (1e-2 in three layers of matrices), for "
        "singular values a factor 3 apart.",
        check_losses,
        SETTING,
    ),
    Claim(
        "jacot2021.3g",
        "What is missing to it falls with the start: from α = 1e-2 to 1e-3 to less than a half.",
        check_falls,
        SETTING,
    ),
    Claim(
        "jacot2021.3a",
        "The rank on plateau k is k: it rises by one at each escape.",
        check_ranks,
        (*SETTING, "α = 1e-3"),
    ),
    Claim(
        "jacot2021.3b",
        "The gradient norm has its minima on the plateaus: less than half of that at the escapes "
        "on either side.",
        check_norms,
        (*SETTING, "α = 1e-3"),
    ),
)

INTERACTIVE = ("loss", "gradient_norm")


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Loss and gradient norm of whole matrices against time; deviations of plateaus against α."""
    axes = ("representation", "depth", "layer_scale", "seed")
    measured, predicted = with_axes(measured, predicted, axes)
    depths = measured.depth.values[:2]
    figure, grid = panels(1, len(depths) + 1, height=2.7)
    one = measured.isel(representation=-1, seed=0)
    lines: list[Line2D] = []
    for ax, depth in zip(grid, depths, strict=False):
        lines = []
        for scale, color in zip(measured.layer_scale.values, COLORS, strict=False):
            run = one.sel(depth=depth, layer_scale=scale).loss
            lines.append(measured_line(ax, run.time[1:], run[1:], f"α = {scale:g}", color))
        for level in predicted.plateau_loss.isel(representation=0, depth=0, layer_scale=0, seed=0):
            if float(level) > 0:
                dashed = predicted_level(ax, float(level), r"$\frac{1}{2}\Sigma_{i>k}s_i^2$")
        ax.set(xscale="log", yscale="log", xlabel="time t", title=f"matrices, L = {depth}")
        _fit(ax, one.sel(depth=depth).loss)
    grid[0].set_ylabel("loss ℓ")
    _deviations(grid[-1], deviations(measured, predicted))
    within = key(f"{100 * EXACT:.0f} % (right)", FAINT, linewidth=0.8)
    legend_above(figure, [*lines, dashed, within])
    return figure


SHOWN = 2e-4
"""The loss is drawn down to this share of its first value."""


def _fit(ax: Axes, loss: xr.DataArray) -> None:
    """Axes from the start to where the last of the runs has left what is shown."""
    first = float(loss.isel(time=1).max())
    shown = loss.where(loss > SHOWN * first, drop=True).time
    ax.set(xlim=(0.02, 2 * float(shown.max())), ylim=(SHOWN * first, 2 * first))


def _deviations(ax: Axes, gap: xr.DataArray) -> None:
    worst = gap.max("level", skipna=False).max("seed", skipna=False)
    for name, dashes in zip(worst.representation.values, ("o-", "s:"), strict=False):
        for depth, color in zip(worst.depth.values, COLORS[4:], strict=False):
            line = worst.sel(representation=name, depth=depth)
            ax.plot(
                line.layer_scale,
                line,
                dashes,
                color=color,
                ms=3.5,
                lw=1.2,
                label=f"{name}, L = {depth}",
            )
    ax.axhline(EXACT, color=FAINT, lw=0.8, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="scale α", title="deviation of the plateaus")
    ax.set_ylabel("largest relative deviation")
    ax.margins(x=0.08)
    ax.legend(fontsize=6.5, loc="lower right")
