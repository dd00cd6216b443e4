"""Two tanh pathways trained on samples of a linear teacher, at small and at large steps.

What the theory says of linear pathways is seen in perceptrons too. Under small steps the pathway
that gets ahead keeps most of the mode; at large ones the sharpness rises to 2/η, the network
oscillates there, and the mode is handed back. Unlike a linear network it does not stop at the edge
λ = 2/η: the samples cannot be fitted exactly, the residual never vanishes, and the shares go on
towards equality. What a pathway maps in the mean is K_h = E[f_h(x) xᵀ], its part of the
teacher's mode `u_1ᵀK_hv_1`. For the linear network 2/λ^min would be 0.84.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent, Map, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Activation, Perceptrons
from dlnlab.observables import loss, mode_values, shares, sharpness
from dlnlab.plotting import (
    COLORS,
    Axes,
    Figure,
    Line2D,
    at,
    legend_above,
    log_step_axis,
    panels,
    predicted_level,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Samples, teacher_samples
from dlnlab.theory.stability import edge_sharpness
from dlnlab.typing import Any, Params


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.81,
    depth: Annotated[int, Coordinate(least=2, most=50, symbol="L")] = 3,
    pathways: Annotated[int, Coordinate(least=1, most=16, symbol="H")] = 2,
    width: Annotated[int, Coordinate(least=1, most=500)] = 6,
    activation: Activation = "tanh",
    ahead: Annotated[float, Coordinate(above=0, symbol="scale of path 1")] = 0.8,
    behind: Annotated[float, Coordinate(above=0, symbol="scale of the others")] = 0.25,
    target: Annotated[float, Coordinate(above=0, symbol="s")] = 1.0,
    dimension: Annotated[int, Coordinate(least=1, most=500, symbol="d")] = 4,
    samples: Annotated[int, Coordinate(least=1, most=100_000, symbol="n")] = 200,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.0,
    batch_size: Annotated[int, Coordinate(least=0, symbol="B")] = 0,
    seed: int = 0,
) -> Run:
    """Perceptrons in parallel on n samples of the teacher diag(s, 0, …, 0).

    Hidden layers have `width` neurons; entries start with the standard deviation
    `ahead/√width` in the first pathway and `behind/√width` in the others. `batch_size` 0 takes
    all samples at each step. The sample is the same for every seed, which draws the start and
    the batches.
    """
    teacher = jnp.zeros((dimension, dimension)).at[0, 0].set(target)
    task = teacher_samples(jax.random.key(2026), teacher, samples, label_noise)
    widths = (dimension, *(width,) * (depth - 1), dimension)
    problem = Problem(Perceptrons((widths,) * pathways, activation), task)
    return perceptron_run(problem, learning_rate, batch_size, (ahead, behind), seed)


def perceptron_run(
    problem: Problem, rate: Any, batch_size: int, scales: tuple[Any, Any], seed: Any
) -> Run:
    """The run from Gaussian layers of which those of the first pathway are larger."""
    task = problem.task
    if isinstance(task, Samples) and batch_size > len(task.inputs):
        raise InputError(
            f"a batch of {batch_size} does not fit into a sample of {len(task.inputs)}; lower "
            "--batch-size (0 takes all samples at each step)."
        )
    start, noise = jax.random.split(jax.random.key(seed))
    hidden = problem.network.shapes[0][0][0]
    drawn = gaussian(problem.network, start, std=1 / hidden**0.5)
    ahead, behind = scales
    params: Params = tuple(
        jax.tree.map(lambda w, s=(behind if h else ahead): s * w, pathway)
        for h, pathway in enumerate(drawn)
    )
    dynamics: Map = GradientDescent(rate)
    if batch_size:
        dynamics = StochasticGradientDescent(rate, batch_size=batch_size)
    return Run(problem, dynamics, params, noise)


SMALL, LARGE = 0.13, 0.81

EXPERIMENT = Experiment(
    build,
    title="Two pathways with a non-linearity on Gaussian inputs",
    steps=4000,
    schedule=logarithmic(40),
    observe=(loss, mode_values, shares, sharpness),
    predictions=(Bound(edge_sharpness),),
    coords={"learning_rate": (SMALL, LARGE), "seed": tuple(range(12))},
    cites=("kim2026",),
)

INTERACTIVE = ("mode_values", "sharpness", "shares", "loss")


def final_top_share(measured: xr.Dataset, modes: int = 1) -> xr.DataArray:
    """The share of the largest pathway at the end, meaned over the leading modes."""
    end = measured.shares.isel(step=-1, mode=slice(0, modes))
    return end.max("pathway").mean("mode")


def paired_fall(measured: xr.Dataset, modes: int = 1) -> Any:
    """How much lower the top share ends under the largest step than under the smallest."""
    top = final_top_share(measured, modes)
    return (top.isel(learning_rate=0) - top.isel(learning_rate=-1)).values


def check_fall(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean fall of the top share from small to large steps, each start paired with itself."""
    return Verdict.mean_at_least(paired_fall(measured), 0.0)


def check_edge(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the sharpness at large steps is from 2/η: the mean over the last quarter of the
    recorded moments, the median over starts. Under small steps it stays below 0.9 of 2/η."""
    quarter = measured.sizes["step"] // 4
    ratio = measured.sharpness.isel(step=slice(-quarter, None)).mean("step")
    ratio = (ratio / predicted.edge_sharpness).median("seed")
    large, small = ratio.isel(learning_rate=-1), ratio.isel(learning_rate=0)
    farthest = float(abs(large - 1).max()) if float(small.max()) < 0.9 else np.nan
    return Verdict.at_most(farthest, 0.15, sample_size=measured.sizes["seed"])


GAUSSIAN = "tanh, L = 3, width 6, 200 Gaussian samples, noiseless labels"
CLAIMS = (
    Claim(
        "kim2026.9d",
        "Two tanh pathways on Gaussian inputs divide the mode more evenly at large steps: the top "
        "share ends lower in the mean than under small steps from the same start.",
        check_fall,
        (GAUSSIAN,),
        statistical=True,
    ),
    Claim(
        "kim2026.9e",
        "At large steps the sharpness of the tanh network ends at 2/η within 15 % (the median over "
        "starts), while under small steps it stays below.",
        check_edge,
        (GAUSSIAN,),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset, *, clock: bool = False) -> Figure:
    """Pathway maps above, sharpness below, a column for each step size; the first seed.

    `clock` draws them against the time η × step, up to where the run was over.
    """
    one = measured.isel(seed=0) if "seed" in measured.dims else measured
    said = predicted.isel(seed=0) if "seed" in predicted.dims else predicted
    rates = np.atleast_1d(one.learning_rate.values)
    horizon = rates.min() * float(one.step[-1])
    figure, axes = panels(2, rates.size, height=3.7)
    lines: list[Line2D] = []
    for column, rate in enumerate(rates):
        lane, theory = at(one, learning_rate=rate), at(said, learning_rate=rate)
        top, bottom = axes[column], axes[rates.size + column]
        if clock:
            lane = lane.isel(step=lane.step * rate <= 1.001 * horizon)
        # A logarithmic axis has no place for step 0; the start is drawn at step 1/2.
        moments = np.maximum(lane.step.values, 0.5) * (float(rate) if clock else 1.0)
        lines = [*_maps(top, lane, moments), *_sharpness(bottom, lane, theory, moments)]
        top.set_title(f"η = {rate:.3g}")
        for ax in (top, bottom):
            log_step_axis(ax, "time  η × step" if clock else "step")
        top.set_xlabel("")
    axes[0].set_ylabel(r"$u_1^\top K_h v_1$")
    axes[rates.size].set_ylabel(r"sharpness $\lambda_{\max}$")
    legend_above(figure, lines)
    return figure


def _maps(ax: Axes, lane: xr.Dataset, moments: Any) -> list[Line2D]:
    values = lane.mode_values.isel(mode=0)
    whole = measured_line(ax, moments, values.sum("pathway"), r"$\Sigma_h$", COLORS[2])
    ax.set_ylim(bottom=min(0.0, float(values.min())))
    return [
        whole,
        *(
            measured_line(ax, moments, values.sel(pathway=h), f"path {h + 1}", COLORS[h])
            for h in values.pathway.values
        ),
    ]


def _sharpness(ax: Axes, lane: xr.Dataset, theory: xr.Dataset, moments: Any) -> list[Line2D]:
    found = measured_line(ax, moments, lane.sharpness, r"$\lambda_{\max}$", COLORS[3])
    edge = float(theory.edge_sharpness)
    ax.set_ylim(0, 1.3 * max(edge, float(lane.sharpness.max())))
    return [found, predicted_level(ax, edge, "2/η")]
