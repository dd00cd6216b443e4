"""Each mode has a temperature of its own: not one law of the loss.

Two modes of matrices under SGD with label noise. For small noise each is Gaussian about its target
with the variance (η/2B)ς²S_a, S_a = L s_a^{2−2/L}: a Boltzmann law of that mode's loss at a
temperature proportional to its own sharpness. One law exp(−ℓ/T) of the whole loss would give every
mode the same variance. Bars are 95 % over seeds; the measured variance is larger by some ηS, as
stationary.py has it for one mode. The balanced set is left meanwhile by at most the distance that
the right panel tells (flattening.py says where to).
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
from dlnlab.observables import balance_error, mode_values
from dlnlab.papers.corlouer2026.stationary import normal_limit
from dlnlab.plotting import COLORS, INK, Figure, few_ticks, key, legend_above, panels, with_axes
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import gaussian_variance
from dlnlab.typing import Any

AXES = ("depth", "seed")


def build(
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = (2.0, 0.7),
    label_noise: Annotated[float, Coordinate(above=0, symbol="ς")] = 0.1,
    scaled_rate: Annotated[float, Coordinate(above=0, log=True, symbol="ηS₁")] = 0.1,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    seed: int = 0,
) -> Run:
    """Matrices from the balanced minimum on, at η = scaled_rate/S of the strongest mode."""
    strengths = jnp.array(targets)
    eye = jnp.eye(len(targets))
    task = Whitened(jnp.diag(strengths), label_noise, basis=(eye, eye))
    problem = Problem(square(len(targets), (depth,)), task)
    layer = jnp.diag(strengths ** (1 / depth))
    rate = scaled_rate / (depth * jnp.max(strengths) ** (2 - 2 / depth))
    rule = StochasticGradientDescent(rate, batch_size=batch_size)
    return Run(problem, rule, ((layer,) * depth,), jax.random.key(seed))


def _asked(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    depth, targets = coords["depth"], coords["targets"]
    rate = coords["scaled_rate"] / (depth * max(targets) ** (2 - 2 / depth))
    kept = {name: coords[name] for name in ("depth", "label_noise", "batch_size")}
    return {"target": targets, "learning_rate": rate, **kept}


@prediction("variances", dims=("mode",), symbol="(η/2B)ς²S_a", source="corlouer2026.4")
def variances(
    depth: int,
    target: tuple[float, ...],
    label_noise: float,
    learning_rate: float,
    batch_size: int,
) -> Any:
    """The variance of each mode for small noise, see `gaussian_variance`."""
    noise = (label_noise, learning_rate, batch_size)
    return np.array([gaussian_variance(depth, s, *noise, stretch=True) for s in target])


EXPERIMENT = Experiment(
    build,
    title="A temperature for each mode",
    steps=8000,
    schedule=linear(301),
    observe=(mode_values, balance_error),
    predictions=(Bound(variances, _asked),),
    coords={"depth": (2, 3), "seed": tuple(range(64))},
    cites=("corlouer2026",),
)

FULL = {"depth": (2, 3, 4, 6), "scaled_rate": 0.02, "seed": tuple(range(200)), "steps": 30_000}


def spreads(measured: xr.Dataset) -> xr.DataArray:
    """The mean square of w − s of each run and mode, after its first tenth."""
    values = measured.mode_values.isel(pathway=0, step=slice(measured.sizes["step"] // 10, None))
    targets = xr.DataArray(strengths(measured), dims="mode")
    return ((values - targets) ** 2).mean("step")


def strengths(measured: xr.Dataset) -> Any:
    """The targets, as numbers."""
    return np.array([float(s) for s in str(measured.targets.item()).split(",")])


def check_gaussian(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure of a variance from the Gaussian's, as a share of it; 3ηS is allowed."""
    found, said, size = _found(measured, predicted)
    ratio = found.mean(axis=1) / said - 1
    errors = found.std(axis=1, ddof=1) / said / size**0.5 * normal_limit(ratio.size)
    worst = np.unravel_index(np.argmax(abs(ratio) + errors), ratio.shape)
    limit = 3 * float(measured.scaled_rate)
    return Verdict.at_most(
        float(abs(ratio[worst])), limit, uncertainty=float(errors[worst]), sample_size=size
    )


def _found(measured: xr.Dataset, predicted: xr.Dataset) -> tuple[Any, Any, int]:
    """Variances measured [depth, seed, mode] and predicted [depth, mode], and the seeds."""
    measured, predicted = with_axes(measured, predicted, AXES)
    found = spreads(measured).transpose("depth", "seed", "mode").values
    said = predicted.variances.isel(seed=0).transpose("depth", "mode").values
    return found, said, measured.sizes["seed"]


def check_own(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the quotient of two modes' variances is from (s_1/s_d)^{2−2/L}, as a share of the
    logarithm of that: one law of the loss would have 1, all of it."""
    found, said, size = _found(measured, predicted)
    mean, error = found.mean(axis=1), found.std(axis=1, ddof=1) / size**0.5
    logs = np.log(mean[:, 0] / mean[:, -1])
    spread = np.hypot(error[:, 0] / mean[:, 0], error[:, -1] / mean[:, -1])
    wanted = np.log(said[:, 0] / said[:, -1])
    off, errors = abs(logs / wanted - 1), spread / abs(wanted) * normal_limit(len(logs))
    worst = int(np.argmax(off + errors))
    return Verdict.at_most(
        float(off[worst]), 0.25, uncertainty=float(errors[worst]), sample_size=size
    )


SMALL = ("label noise small against the targets", "ηS₁ = 0.1", "square matrices, aligned")
CLAIMS = (
    Claim(
        "corlouer2026.4b",
        "For small noise a mode has the variance (η/B) ς² L s^{2−2/L}/2, up to the order ηS.",
        check_gaussian,
        (*SMALL, "limit 3ηS₁"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.4c",
        "Each mode has its own temperature (η/2B)ς²S_a: the variances of two modes stand as "
        "(s_a/s_b)^{2−2/L}, and there is no one law of the loss, which would make them equal.",
        check_own,
        SMALL,
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The variance of each mode against its target, and the imbalance along the run."""
    measured, predicted = with_axes(measured, predicted, AXES)
    figure, (left, right) = panels(1, 2)
    goals, size = strengths(measured), measured.sizes["seed"]
    fine = np.geomspace(goals.min() / 1.3, goals.max() * 1.3, 50)
    found, said, _ = _found(measured, predicted)
    for k, (depth, color) in enumerate(zip(measured.depth.values, COLORS, strict=False)):
        error = 1.96 * found[k].std(axis=0, ddof=1) / size**0.5
        left.errorbar(
            goals, found[k].mean(axis=0), error, color=color, marker="o", ms=4, ls="", capsize=2
        )
        scale = said[k][0] * (fine / goals[0]) ** (2 - 2 / depth)
        left.plot(fine, scale, color=INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
        imbalance = measured.balance_error.sel(depth=depth).isel(pathway=0).mean("seed")
        right.plot(imbalance.step, imbalance, color=color)
    one = float(np.sqrt(said.prod()) ** (2 / said.size)) if said.size else np.nan
    left.axhline(one, color="#8b929a", linewidth=0.8)
    left.annotate("one law of the loss", (fine[0], one), (2, 3), textcoords="offset points")
    left.set(xscale="log", yscale="log", xlabel="target s", ylabel="variance of the mode")
    left.set_xticks(goals, [f"{goal:g}" for goal in goals])
    left.set_xticks([], minor=True)
    left.set_title("diagonal lines: one temperature for each mode")
    few_ticks(right, 4, axis="x")
    right.set(xlabel="step", ylabel="balance error", title="distance from balance")
    marks = [
        key(f"L = {d}", c, marker="o", ms=4)
        for d, c in zip(measured.depth.values, COLORS, strict=False)
    ]
    theory = key("(η/2B)ς²S", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*marks, theory])
    return figure
