"""Along its minima SGD drifts to where the Hessian's trace is least, which need not be balance.

Matrices of two modes and three layers start on a minimum, balanced or not, under SGD with label
noise. The loss has no gradient there; what noise adds is, in the mean, a flow down
(ης²/4B) tr ∇²ℓ along the set of minima (dashed), tr ∇²ℓ = Σ_l ‖W_{>l}‖²‖W_{<l}‖². The trace falls
from the unbalanced start. With three layers and two unequal modes the least trace is not balanced,
so that SGD leaves the balanced set; the trace that it gains there is within the noise of these
runs. Means over seeds with 95 % intervals.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import square
from dlnlab.observables import balance_error, observable
from dlnlab.plotting import COLORS, INK, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.typing import Any, Params, Scalar

TARGETS = (1.0, 0.2)
AXES = ("unevenness", "seed")


@observable(symbol="tr ∇²ℓ", formula="Σ_l ‖W_{>l}‖²‖W_{<l}‖²: the trace of the Hessian")
def exact_trace(problem: Problem, params: Params) -> Scalar:
    """The trace of the Hessian: the square of the Jacobian of the end-to-end map."""
    slopes = jax.jacrev(problem.end_to_end)(params)
    return sum((jnp.sum(part**2) for part in jax.tree.leaves(slopes)), start=jnp.zeros(()))


def _layers(unevenness: Any, depth: int) -> Any:
    """Layers of the target: the first is larger by `unevenness`, the last smaller."""
    factors = jnp.ones(depth).at[0].set(unevenness).at[-1].set(1 / unevenness)
    return factors[:, None] * jnp.array(TARGETS) ** (1 / depth)


def build(
    unevenness: Annotated[float, Coordinate(above=0, log=True, symbol="W₁")] = 1.5,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    label_noise: Annotated[float, Coordinate(above=0, symbol="ς")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.02,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 2,
    seed: int = 0,
) -> Run:
    """Aligned square matrices on the minimum of diag(1, 0.2), layers uneven at the ends."""
    eye = jnp.eye(len(TARGETS))
    task = Whitened(jnp.diag(jnp.array(TARGETS)), label_noise, basis=(eye, eye))
    problem = Problem(square(len(TARGETS), (depth,)), task)
    params = (tuple(jnp.diag(values) for values in _layers(unevenness, depth)),)
    rule = StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Run(problem, rule, params, jax.random.key(seed))


def _trace_slopes(layers: Any) -> tuple[float, Any]:
    """On diagonal layers [layer, mode]: `Σ_l ‖W_{>l}‖²‖W_{<l}‖²`, and its gradient."""
    depth = len(layers)
    total, slopes = 0.0, np.zeros_like(layers)
    for low in range(depth):
        after, before = layers[low + 1 :].prod(axis=0), layers[:low].prod(axis=0)
        sizes = (after @ after, before @ before)
        total += sizes[0] * sizes[1]
        for other in range(depth):
            if other == low:
                continue
            side, rest = (before, sizes[0]) if other < low else (after, sizes[1])
            slopes[other] += 2 * rest * side**2 / layers[other]
    return total, slopes


@prediction("trace", dims=("step",), symbol="tr ∇²ℓ", source="corlouer2026.6")
def trace_along(
    unevenness: float,
    depth: int,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
    times: tuple[float, ...],
) -> Any:
    """The trace along the flow down (ης²/4B) tr ∇²ℓ on the minima, at times of η · step.

    From diagonal layers it stays diagonal, and each mode keeps its product: in the logarithms
    q of the layers, the slope along w is that without its part along ∂(Π w).
    """
    layers = np.asarray(_layers(unevenness, depth), dtype=float)
    rate = learning_rate * label_noise**2 / (4 * batch_size)
    found, now = [], 0.0
    for moment in times:
        count = max(1, int(np.ceil((moment - now) * rate * 400)))
        for _ in range(count if moment > now else 0):
            middle = layers + (moment - now) / count / 2 * _velocity(layers, rate)
            layers = layers + (moment - now) / count * _velocity(middle, rate)
        now = moment
        found.append(_trace_slopes(layers)[0])
    return np.array(found)


def _velocity(layers: Any, rate: float) -> Any:
    slopes = _trace_slopes(layers)[1]
    normal = layers.prod(axis=0) / layers
    inward = (slopes * normal).sum(axis=0) / (normal**2).sum(axis=0)
    return -rate * (slopes - inward * normal)


def _asked(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    times = tuple(float(k) * coords["learning_rate"] for k in measured.step.values)
    return {**{k: v for k, v in coords.items() if k != "seed"}, "times": times}


EXPERIMENT = Experiment(
    build,
    title="The drift along minima",
    steps=12_000,
    schedule=linear(41),
    observe=(exact_trace, balance_error),
    predictions=(Bound(trace_along, _asked),),
    coords={"unevenness": (1.0, 1.5), "seed": tuple(range(48))},
    cites=("corlouer2026",),
)

FULL = {"unevenness": (0.7, 1.0, 1.25, 1.5, 2.0), "seed": tuple(range(200)), "steps": 60_000}


def falls(measured: xr.Dataset) -> tuple[Any, Any]:
    """The trace at each of the two ends of a run, after its first twentieth, [unevenness, seed]."""
    trace = measured.exact_trace.transpose("unevenness", "seed", "step").values
    part = max(1, trace.shape[-1] // 10)
    return trace[..., 2 : 2 + part].mean(axis=-1), trace[..., -part:].mean(axis=-1)


def check_falls(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least mean fall of the trace, over unbalanced starts, in its one-sided bound."""
    measured, _ = with_axes(measured, predicted, AXES)
    first, final = falls(measured.where(measured.unevenness != 1, drop=True))
    found = [Verdict.mean_at_least(a - b, 0.0) for a, b in zip(first, final, strict=True)]
    worst = min(found, key=lambda each: each.statistic - each.uncertainty)
    return Verdict.at_least(
        worst.statistic, 0.0, uncertainty=worst.uncertainty, sample_size=first.shape[1]
    )


def check_leaves(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean imbalance at the end of a run from balanced layers."""
    measured, _ = with_axes(measured, predicted, AXES)
    ends = measured.balance_error.sel(unevenness=1.0).isel(step=-1, pathway=0)
    return Verdict.mean_at_least(ends.values, 0.1)


CLAIMS = (
    Claim(
        "corlouer2026.6a",
        "Along its minima SGD with label noise drifts from unbalanced layers to a smaller trace of "
        "the Hessian.",
        check_falls,
        ("matrices", "label noise", "from aligned layers on a minimum"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.6e",
        "With three layers and two unequal modes SGD leaves the balanced set, where the trace is "
        "not least: the imbalance of a balanced start grows by 0.1 and more.",
        check_leaves,
        ("matrices", "label noise 0.5", "time 240"),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The trace along the run with the flow's, and the imbalance."""
    measured, predicted = with_axes(measured, predicted, AXES)
    figure, (left, right) = panels(1, 2)
    times = measured.step.values * float(measured.learning_rate)
    lines = []
    for unevenness, color in zip(measured.unevenness.values, COLORS, strict=False):
        for ax, name in ((left, "exact_trace"), (right, "balance_error")):
            found = measured[name].sel(unevenness=unevenness).transpose(..., "seed", "step").values
            found = found.reshape(-1, len(times))
            mean, error = found.mean(axis=0), 1.96 * found.std(axis=0) / len(found) ** 0.5
            line = measured_line(ax, times, mean, f"first layer × {unevenness:g}", color)
            ax.fill_between(times, mean - error, mean + error, color=color, alpha=0.25)
        lines.append(line)
        predicted_line(left, times, predicted.trace_along.sel(unevenness=unevenness).isel(seed=0))
    left.set(xlabel="time η · step", ylabel="tr ∇²ℓ", title="trace of the Hessian")
    right.set(xlabel="time η · step", ylabel="balance error", title="distance from balance")
    flow = key("flow down (ης²/4B) tr ∇²ℓ", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*lines, flow])
    return figure
