"""The minimum under each iterate: beyond the edge it becomes the flattest there is.

From each recorded iterate gradient flow takes over; it keeps the gaps between layers, and the
sharpness where it ends tells what is left of them. Below 2/λ, λ the sharpness at the end of the
flow from the start, it stalls above S; between 2/λ and 2/S it falls until it is at most 2/η; beyond
2/S it falls to S = L s^{2−2/L}, that of equal layers, while the iterate itself oscillates about it.
At two layers and near 2/S the first step alone, 1 − η²s², takes nearly all of the gap.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab import solve
from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import zero_last_layer
from dlnlab.networks import Modes
from dlnlab.observables import balance_gap, flow_end_sharpness, loss, observable, sharpness
from dlnlab.papers.ghosh2025.gap import layer_values
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, at, legend_above, log_step_axis, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.balance import balance_regime, chain_flow_end_sharpness
from dlnlab.theory.base import prediction
from dlnlab.theory.stability import single_path_sharpness
from dlnlab.typing import Any, Array, Float, Params, jax


@observable(
    dims=("pathway",),
    symbol="b(θ_∞)",
    formula="the balance gap where θ̇ = −∇ℓ ends from this state",
)
def flow_end_gap(problem: Problem, params: Params) -> Float[Array, " pathway"]:
    """The balance gap of the state to which gradient flow goes from this one."""

    def velocity(state: Params) -> Params:
        return jax.tree.map(jnp.negative, problem.gradient(state))

    end = solve.flow_end(velocity, params, rtol=1e-10, atol=1e-12)
    return jnp.asarray(balance_gap(problem, end.state))


@prediction("flow_end_sharpness", dims=("step",), symbol="λ(θ_∞)", source="ghosh2025.4")
def flow_end_sharpness_along(layers: np.ndarray[Any, Any], target: float) -> np.ndarray[Any, Any]:
    """`Σ_l (s/w_l)²` at the end of the flow from each of the states `layers` [step, layer]."""
    return np.array(
        [
            chain_flow_end_sharpness(state, target, stretch=True)
            if np.isfinite(state).all()
            else np.nan
            for state in layers
        ]
    )


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.1,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 2,
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 1.0,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """One mode of strength s, at η = edge_ratio · 2/S, from layers α and a last one of zero."""
    problem = Problem(Modes((depth,), 1), Whitened(jnp.full(1, target)))
    learning_rate = edge_ratio * 2 / (depth * target ** (2 - 2 / depth))
    return Run(problem, GradientDescent(learning_rate), zero_last_layer(problem, layer_scale))


def _iterates(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    # Deeper lanes of the same sweep have layers that this one lacks.
    layers = measured.layer_values.transpose("step", "layer").values[:, : coords["depth"]]
    return {"layers": layers, "target": coords["target"]}


EXPERIMENT = Experiment(
    build,
    title="The sharpness of the minima under the iterates",
    steps=1000,
    schedule=logarithmic(24),
    observe=(loss, layer_values, sharpness, balance_gap, flow_end_sharpness, flow_end_gap),
    predictions=(Bound(flow_end_sharpness_along, _iterates),),
    coords={"edge_ratio": (0.7, 0.95, 1.05, 1.2), "depth": (2, 3)},
    cites=("ghosh2025",),
)

INTERACTIVE = ("flow_end_sharpness", "sharpness", "balance_gap", "loss")


def excess(measured: xr.Dataset) -> xr.DataArray:
    """λ(θ_∞)/S − 1: how much sharper the minimum under the iterate is than the flattest."""
    depths = np.atleast_1d(measured.depth)
    flattest = [
        float(single_path_sharpness(float(measured.target), int(depth))) for depth in depths
    ]
    shared = xr.DataArray(flattest, coords={"depth": depths}, dims="depth")
    own = shared if "depth" in measured.dims else shared.isel(depth=0)
    return measured.flow_end_sharpness / own - 1


def regime(measured: xr.Dataset, ratio: float, depth: int) -> str:
    """What theory calls the regime of one lane, from its start and its step size."""
    lane = at(measured, edge_ratio=ratio, depth=depth)
    start, target = lane.layer_values.isel(step=0).values[:depth], float(lane.target)
    rate = 2 * ratio / float(single_path_sharpness(target, depth))
    return balance_regime(start, target, rate).regime


def check_conserved(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest difference of the gap at the flow's end from that of the iterate, over the first
    gap, at all iterates of all runs."""
    first = measured.balance_gap.isel(step=0)
    error = abs(measured.flow_end_gap - measured.balance_gap) / first
    return Verdict.at_most(float(error.max(skipna=False)), 1e-9, sample_size=error.size)


def check_formula(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The Hessian at the flow's end from each iterate against Σ_l (s/w_l)² on its hyperbola."""
    said = predicted.flow_end_sharpness_along
    error = abs(measured.flow_end_sharpness / said - 1)
    return Verdict.at_most(float(error.max(skipna=False)), 1e-6, sample_size=error.size)


def check_flattest(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """λ(θ_∞)/S − 1 at the last iterate beyond 2/S; it began above 0.01 and never rose."""
    found = excess(measured).where(measured.edge_ratio > 1, drop=True)
    falls = found.diff("step").max() < 1e-6 and found.isel(step=0).min() > 0.01
    end = abs(found.isel(step=-1))
    return Verdict.at_most(float(end.max()) if falls else np.nan, 1e-6, sample_size=end.size)


def check_stalls(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least λ(θ_∞)/S − 1 at the end below 2/S; it is below 2/η, and no longer falls."""
    found = excess(measured).where(measured.edge_ratio < 1, drop=True)
    end, before = found.isel(step=-1), found.isel(step=-2)
    stable = ((1 + end) * end.edge_ratio).max() <= 1
    stalled = abs(end - before).max() < 1e-6 and stable
    return Verdict.at_least(float(end.min()) if stalled else np.nan, 1e-4, sample_size=end.size)


def check_regimes(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of runs that are not in the regime that theory tells from their start."""
    wrong, count = 0, 0
    for ratio in np.atleast_1d(measured.edge_ratio):
        for depth in np.atleast_1d(measured.depth):
            lane = at(measured, edge_ratio=ratio, depth=depth)
            above = at(excess(measured), edge_ratio=ratio, depth=depth)
            rests = float(lane.loss.isel(step=-1)) < 1e-12
            unstable = ratio * (1 + float(above.isel(step=0))) >= 1
            settled = "until stable" if unstable else "partial"
            found = settled if rests and above.isel(step=-1) > 1e-4 else "decays"
            wrong, count = wrong + (found != regime(measured, float(ratio), int(depth))), count + 1
    return Verdict.at_most(float(wrong), 0, sample_size=count)


START = ("one mode", "from W_L = 0 and W_l = αI")
CLAIMS = (
    Claim(
        "ghosh2025.4k",
        "Gradient flow conserves the gap between layers: from any iterate it ends with the "
        "iterate's own.",
        check_conserved,
        START,
    ),
    Claim(
        "ghosh2025.4l",
        "The sharpness where the flow from an iterate ends is Σ_l (s/w_l)² at the minimum with the "
        "iterate's gaps.",
        check_formula,
        START,
    ),
    Claim(
        "ghosh2025.4m",
        "Beyond 2/S it falls to S = L s^{2−2/L}, the flattest, at two layers and at three, and at "
        "no time rises.",
        check_flattest,
        (*START, "ηS < 2√2"),
    ),
    Claim(
        "ghosh2025.4n",
        "Below 2/S it stalls above S, and no higher than 2/η.",
        check_stalls,
        START,
    ),
    Claim(
        "ghosh2025.4o",
        "Which of the three regimes a run is in follows from its start and its step size: partly "
        "balanced below 2/λ(θ_∞), until stable up to 2/S, decaying beyond.",
        check_regimes,
        START,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """λ(θ_∞)/S − 1 along each run, a panel for each depth."""
    depths = np.atleast_1d(measured.depth)
    figure, axes = panels(1, depths.size, height=2.6, sharey=True)
    lines: list[Line2D] = []
    for ax, depth in zip(axes, depths, strict=True):
        lines = _panel(ax, measured, predicted, int(depth))
        ax.set(title=f"L = {depth}", yscale="log", ylim=(1e-7, 1))
        log_step_axis(ax)
    axes[0].set_ylabel(r"$\lambda(\theta_\infty)/S - 1$")
    legend_above(figure, lines, columns=3)
    return figure


def _panel(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset, depth: int) -> list[Line2D]:
    steps, lines = np.maximum(measured.step, 0.5), []
    flattest = float(single_path_sharpness(float(measured.target), depth))
    for k, ratio in enumerate(np.atleast_1d(measured.edge_ratio)):
        found = at(excess(measured), edge_ratio=ratio, depth=depth)
        said = at(predicted.flow_end_sharpness_along, edge_ratio=ratio, depth=depth)
        label = f"{ratio:.4g} · 2/S: {regime(measured, float(ratio), depth)}"
        lines.append(measured_line(ax, steps, found, label, COLORS[k % len(COLORS)]))
        theory = predicted_line(ax, steps, said / flattest - 1, r"$\Sigma_l\,(s/w_l)^2$")
    return [*lines, theory]
