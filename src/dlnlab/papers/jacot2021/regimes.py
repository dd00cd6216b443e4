"""Training in three regimes: plateaus for γ > 1, none at γ = 1 or below.

Gradient flow of four layers on a diagonal target, from normal entries of variance w^{−γ}; a line
for each start. For γ = 3/2 the loss rests at ½Σ_{i>k} s_i², dashed, where the rank rises by one at
a time and the gradient norm has its valleys; at γ = 1 and 3/4 it falls without a rest. At a width
of 10 the three lie closer together, and the stairs at γ = 3/2 are worn.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientFlow
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, require_width
from dlnlab.observables import effective_rank, gradient_norm, loss
from dlnlab.plateaus import SEPARATED, plateaus
from dlnlab.plotting import COLORS, Figure, Line2D, legend_above, panels, predicted_level, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.reduction import narrow
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import plateau_loss

BUDGET = 20_000


def build(
    gamma: Annotated[float, Coordinate(symbol="γ", help="variance of entries is w^−γ")] = 1.5,
    width: Annotated[int, Coordinate(least=1, most=4000, symbol="w")] = 100,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = (50, 40, 30, 20, 10),
    budget: Annotated[int, Coordinate(least=1, most=10**8, help="steps to try")] = BUDGET,
    order: Annotated[
        int, Coordinate(least=1, most=1000, help="of narrowed hidden layers, L − 1 or more")
    ] = 9,
    seed: int = 0,
) -> Run:
    """Gradient flow on white inputs from layers of variance w^{−γ}, w the hidden width.

    The target is the diagonal of `targets`. Hidden layers are narrowed to what products of `order`
    layers reach (`dlnlab.narrow`): four layers of five modes to 155 at order 9, which for width
    1,000 has the loss right to 10⁻⁶ of its first value. The integrator tries `budget` steps, and
    what needs more ends as `exhausted`.
    """
    require_width(width, len(targets))
    modes, identity = len(targets), jnp.eye(len(targets))
    task = Whitened(jnp.diag(jnp.array(targets)), basis=(identity, identity))
    problem = Problem(chain((modes, *[width] * (depth - 1), modes)), task)
    std = width ** (-jnp.asarray(gamma) / 2)
    params = gaussian(problem.network, jax.random.key(seed), std=std)
    near = narrow(problem, params, max(order, depth - 1))
    flow = GradientFlow(rtol=1e-6, atol=1e-9, arrival=1e-7, most_steps=budget)
    return Run(near.problem, flow, near.params)


EXPERIMENT = Experiment(
    build,
    title="Training curves in three regimes",
    time=4.0,
    schedule=logarithmic(300),
    observe=(loss, gradient_norm, effective_rank),
    predictions=(Bound(plateau_loss),),
    coords={"gamma": (0.75, 1.0, 1.5), "width": (10, 100), "seed": (0, 1, 2)},
    cites=("jacot2021",),
)

FULL = {"width": (10, 100, 1000), "seed": tuple(range(10))}
"""90 runs."""


def rests(measured: xr.Dataset) -> xr.DataArray:
    """The losses at which a run rests, NaN elsewhere: separated plateaus between two escapes."""
    found = plateaus(measured)
    level: xr.DataArray = found.loss
    return level.where(found.separation < SEPARATED)


def _apart(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """The distance of each predicted plateau to the nearest rest, relatively."""
    said = predicted.plateau_loss.isel(learned=slice(1, -1))
    gap: xr.DataArray = abs(rests(measured) / said - 1).min("plateau")
    return gap.fillna(np.inf)


def check_rests(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance between a plateau of theory and the rest next to it, at γ = 3/2."""
    gap = _apart(measured, predicted).sel(gamma=1.5).isel(width=-1)
    return Verdict.at_most(float(gap.max()), 0.05, sample_size=gap.size)


def middle_rests(measured: xr.Dataset) -> xr.DataArray:
    """How many rests there are between nine tenths and a thousandth of the first loss."""
    share = rests(measured) / measured.loss.isel(time=0)
    count: xr.DataArray = ((share < 0.9) & (share > 1e-3)).sum("plateau")
    return count


def check_vanish(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The most rests at γ = 1 or below; NaN unless there are rests at γ = 3/2."""
    count = middle_rests(measured).isel(width=-1)
    few = count.sel(gamma=count.gamma <= 1)
    there = int(count.sel(gamma=1.5).min()) >= predicted.sizes["learned"] - 2
    worst = float(few.max()) if there and few.size else np.nan
    return Verdict.at_most(worst, 0, sample_size=count.size)


SETTING = (
    "L = 4, targets 50, 40, 30, 20, 10",
    "gradient flow",
    "the largest width: 100, in the long form 1,000, narrowed at order 9",
)
CLAIMS = (
    Claim(
        "jacot2021.3f",
        "At γ = 3/2 training rests at every ½Σ_{i>k} s_i², to within a twentieth.",
        check_rests,
        SETTING,
    ),
    Claim(
        "jacot2021.3c",
        "Plateaus vanish as γ → 1: from nine tenths to a thousandth of its first value the loss "
        "does not rest at γ = 1 and 3/4; at γ = 3/2 it rests once for each mode but the last.",
        check_vanish,
        (*SETTING, "rest: in ln t the loss falls at a tenth of an escape's rate or less"),
    ),
)

INTERACTIVE = ("loss", "gradient_norm", "effective_rank")


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Loss, gradient norm and rank against time of the widest networks, and the loss of others."""
    measured, predicted = with_axes(measured, predicted, ("gamma", "width", "seed"))
    widths = measured.width.values
    figure, grid = panels(2, 2, height=4.4, sharex=True)
    wide = measured.sel(width=widths[-1])
    rows = [
        (measured.sel(width=widths[0]), "loss", "loss ℓ", f"w = {widths[0]}"),
        (wide, "loss", "loss ℓ", f"w = {widths[-1]}"),
        (wide, "gradient_norm", "gradient norm ‖∇ℓ‖", f"w = {widths[-1]}"),
        (wide, "effective_rank", "effective rank of W", f"w = {widths[-1]}"),
    ]
    lines: list[Line2D] = []
    for ax, (part, name, label, title) in zip(grid, rows, strict=True):
        lines = []
        for gamma, color in zip(part.gamma.values, COLORS, strict=False):
            for seed in part.seed.values:
                one = part[name].sel(gamma=gamma, seed=seed)
                line = measured_line(ax, one.time[1:], one[1:], f"γ = {gamma:g}", color)
                line.set_linewidth(1.0)
            lines.append(line)
        ax.set(xscale="log", ylabel=label, title=title, xlim=(1e-5, None))
    for ax in grid[:2]:
        for level in predicted.plateau_loss.isel(gamma=-1, width=0, seed=0).values:
            dashed = predicted_level(ax, level, r"$\frac{1}{2}\Sigma_{i>k}s_i^2$")
    grid[2].set(yscale="log", ylim=(1e-2, None))
    for ax in grid[2:]:
        ax.set_xlabel("time t")
    legend_above(figure, [*lines, dashed])
    return figure
