"""SGD balances the layers of a chain, step by step, in the mean and exactly.

A chain of scalar layers under SGD with fresh samples: the gap b = w_i² − w_j² of two layers has,
given the state, the mean b(1 − η²(r² + (2r² + ς²)/B) Π w_m²) after a step, m over the other layers,
r the residual. Lines are means over the ensemble with their 95 % intervals, dashed what the formula
makes of each state one step before. Noise balances faster than descent, and with label noise it
goes on where descent, at the minimum, has stopped. Steps count while all layers are below 5.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Experiment
from dlnlab.networks import square
from dlnlab.observables import observable
from dlnlab.papers.corlouer2026.stationary import normal_limit
from dlnlab.plotting import COLORS, INK, Axes, Figure, Line2D, key, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last, linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.noise import expected_balance_gap
from dlnlab.typing import Any, Array, Float, Params

AXES = ("label_noise", "batch_size", "seed")
STEPS = 60


@observable(dims=("layer",), symbol="w_l", formula="the value of each layer of a scalar chain")
def chain_values(problem: Problem, params: Params) -> Float[Array, " layer"]:
    """The layers of a chain of 1×1 matrices."""
    return jnp.stack([jnp.reshape(layer, ()) for layer in params[0]])


def build(
    layers: Annotated[tuple[float, ...], Coordinate(above=0, symbol="w_l")] = (1.3, 0.9, 0.5),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.1,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 2,
    seed: int = 0,
) -> Run:
    """One mode whose layers start at these values."""
    one = jnp.ones((1, 1))
    task = Whitened(target * one, label_noise, basis=(one, one))
    problem = Problem(square(1, (len(layers),)), task)
    params = (tuple(value * one for value in layers),)
    rule = StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Run(problem, rule, params, jax.random.key(seed))


EXPERIMENT = Experiment(
    build,
    title="SGD balances a scalar chain",
    steps=STEPS,
    schedule=linear(STEPS + 1) | last(20),
    observe=(chain_values,),
    coords={"label_noise": (0.0, 0.5), "batch_size": (2, 8), "seed": tuple(range(1000))},
    cites=("corlouer2026",),
)

FULL = {"label_noise": (0.0, 0.2, 0.5, 1.0), "batch_size": (1, 2, 4, 8, 32)}


def pairs(measured: xr.Dataset) -> list[tuple[int, int, list[int]]]:
    """Two layers and the others, for each pair."""
    count = measured.sizes["layer"]
    every = range(count)
    return [
        (i, j, [m for m in every if m not in (i, j)]) for i in every for j in range(i + 1, count)
    ]


BOUND = 5.0
"""Steps count from states whose layers are all smaller, because with batches of one some runs
diverge. The state before a step alone decides, which leaves its departure from the mean at zero."""


def states(cell: xr.Dataset) -> tuple[Any, Any]:
    """The layers of a cell, [layer, step, seed], as they are, and with NaN where nothing counts."""
    found = cell.chain_values.transpose("layer", "step", "seed").values
    return found, np.where((abs(found) < BOUND).all(axis=0), found, np.nan)


def gaps(cell: xr.Dataset, pair: tuple[int, int, list[int]]) -> tuple[Any, Any, Any]:
    """Of a cell: the gap before and after each step, and its mean given the state before it,
    [step, seed], at steps that were recorded one after the other; NaN where one does not count."""
    found, counted = states(cell)
    first, second, others = pair
    with np.errstate(over="ignore", invalid="ignore"):  # of runs that diverge
        gap = found[first] ** 2 - found[second] ** 2
    calm = np.nan_to_num(counted)
    said = expected_balance_gap(
        calm[first] ** 2 - calm[second] ** 2,
        calm.prod(axis=0) - float(cell.target),
        calm[others],
        float(cell.label_noise),
        float(cell.learning_rate),
        int(cell.batch_size),
    )
    following = np.flatnonzero(np.diff(cell.step.values) == 1)
    steps = (gap[following], gap[following + 1], said[following])
    before, after, wanted = (np.where(np.isnan(counted[0, following]), np.nan, s) for s in steps)
    return before, after, wanted


def each_cell(measured: xr.Dataset) -> list[xr.Dataset]:
    """The cells of label noise and batch."""
    return [
        measured.sel(label_noise=noise, batch_size=batch)
        for noise in measured.label_noise.values
        for batch in measured.batch_size.values
    ]


def check_mean(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure of the gap from its mean given the state, over cells, pairs of layers
    and tenths of the run, in standard errors over seeds.

    Departures are those of independent runs, and of mean zero at each step given all before it;
    steps are added before seeds are compared, since one step's is skewed (a square of squares).
    """
    measured, _ = with_axes(measured, predicted, AXES)
    errors = []
    for cell in each_cell(measured):
        for pair in pairs(measured):
            _, after, said = gaps(cell, pair)
            for part in np.array_split(after - said, min(10, len(after)), axis=0):
                sums = np.nansum(part, axis=0)
                errors.append(abs(sums.mean()) / (sums.std(ddof=1) / np.sqrt(sums.size)))
    limit = normal_limit(len(errors))
    return Verdict.at_most(max(errors), limit, sample_size=measured.sizes["seed"])


def check_noise_balances(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least mean, over cells, of how much smaller than descent would leave it the gap of the
    outermost layers is after a run: the mean of noise's own share, in its one-sided bound."""
    measured, _ = with_axes(measured, predicted, AXES)
    bounds, means = [], []
    for cell in each_cell(measured):
        pair = (0, measured.sizes["layer"] - 1, list(range(1, measured.sizes["layer"] - 1)))
        before, after, _ = gaps(cell, pair)
        following = np.flatnonzero(np.diff(cell.step.values) == 1)
        counted = states(cell)[1][:, following]
        residual = counted.prod(axis=0) - float(cell.target)
        others = counted[pair[2]].prod(axis=0)
        descent = before * (1 - float(cell.learning_rate) ** 2 * residual**2 * others**2)
        sample = np.nansum((descent - after) * np.sign(before), axis=0)
        verdict = Verdict.mean_at_least(sample, 0.0)
        bounds.append(verdict.uncertainty)
        means.append(verdict.statistic)
    worst = int(np.argmin(np.array(means) - np.array(bounds)))
    size = measured.sizes["seed"]
    return Verdict.at_least(means[worst], 0.0, uncertainty=bounds[worst], sample_size=size)


CLAIMS = (
    Claim(
        "corlouer2026.6",
        "Under SGD the gap of two layers of a scalar chain has, given the state, exactly the mean "
        "b(1 − η²(r² + (2r² + ς²)/B) Π w_m²) after a step.",
        check_mean,
        ("one aligned mode", "x ~ N(0, 1), fresh at each step"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.6c",
        "Noise balances: the mean gap falls faster than that of descent from the same states.",
        check_noise_balances,
        ("one aligned mode", "from unbalanced layers"),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The mean gap of each pair of layers along the run, a panel for each label noise."""
    measured, _ = with_axes(measured, predicted, AXES)
    noises, batch = measured.label_noise.values, measured.batch_size.values[0]
    figure, axes = panels(1, max(2, len(noises)), sharey=True)
    lines: list[Line2D] = []
    for ax, noise in zip(axes, noises, strict=False):
        lines = _panel(ax, measured.sel(label_noise=noise, batch_size=batch))
        ax.set(title=f"ς = {noise:g}, B = {batch}", xlabel="step")
    axes[0].set_ylabel(r"mean gap $w_i^2 - w_j^2$")
    theory = key("mean of one step, from the state before", INK, linewidth=1.0, ls=(0, (4, 2.2)))
    legend_above(figure, [*lines, theory])
    return figure


def _panel(ax: Axes, cell: xr.Dataset) -> list[Line2D]:
    steps = cell.step.values[1:][np.diff(cell.step.values) == 1]
    lines = []
    for pair, color in zip(pairs(cell), COLORS, strict=False):
        _, after, said = gaps(cell, pair)
        mean = np.nanmean(after, axis=1)
        error = np.nanstd(after, axis=1, ddof=1) / np.isfinite(after).sum(axis=1) ** 0.5
        label = f"layers {pair[0] + 1}, {pair[1] + 1}"
        lines.append(measured_line(ax, steps, mean, label, color))
        ax.fill_between(steps, mean - 1.96 * error, mean + 1.96 * error, color=color, alpha=0.25)
        predicted_line(ax, steps, np.nanmean(said, axis=1))
    return lines
