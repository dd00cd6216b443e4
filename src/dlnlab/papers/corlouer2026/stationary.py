"""Where one mode comes to rest under the noise of batches: its stationary law, and SGD's own.

Label noise keeps a learned mode moving. The equation of SGD has a stationary law in closed form
(dashed), which chains of the equation follow within the error of their effective size. SGD itself
is a little wider: its variance exceeds the law's by ηS/2 to first order in the step size, S the
sharpness of the mode (S = L s^{2−2/L}). Without label noise there is no law to draw: every chain
ends at the target, as gradient flow does. Distances from the law (Wasserstein, and
Kolmogorov–Smirnov) stand in the panels. Values after the first quarter of each run.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.dynamics import Langevin, StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import BalancedModes, square
from dlnlab.observables import mode_values
from dlnlab.plotting import (
    COLORS,
    Axes,
    Figure,
    Line2D,
    at,
    few_ticks,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.noise import (
    Distances,
    StationaryLaw,
    sample_distances,
    stationary_law,
    stationary_mean,
    stationary_variance,
)
from dlnlab.typing import Any

Method = Literal["sgd", "equation"]

AXES = ("method", "depth", "label_noise", "seed")
REFINEMENT = 4
"""Steps of the equation (weak order 2) in the time of one step of SGD: a bias of the variance of
(ηS/4)²/4, beneath its error."""


def one_mode(
    method: Method, depth: int, target: Any, label_noise: Any, start: Any
) -> tuple[Problem, Any]:
    """One balanced mode at `start`: for SGD a chain of 1×1 matrices, for the equation its value."""
    if method == "sgd":
        one = jnp.ones((1, 1))
        task = Whitened(target * one, label_noise, basis=(one, one))
        problem = Problem(square(1, (depth,)), task)
    else:
        task = Whitened(jnp.full(1, target), label_noise)
        problem = Problem(BalancedModes((depth,), 1), task)
    return problem, scaled_identity(problem, (start,))


def moved(method: Method, learning_rate: Any, batch_size: int, time_step: Any) -> Any:
    """SGD, or its equation in steps of `time_step`."""
    if method == "sgd":
        return StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Langevin(learning_rate, batch_size=batch_size, time_step=time_step, scheme="weak_2")


def build(
    method: Method = "sgd",
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.2,
    scaled_rate: Annotated[float, Coordinate(above=0, log=True, symbol="ηS")] = 0.2,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.5,
    seed: int = 0,
) -> Run:
    """One balanced mode from w(0) on, at η = scaled_rate/S, S = L s^{2−2/L}.

    The equation takes four steps in the time of one of SGD.
    """
    rate = learning_rate(scaled_rate, depth, target)
    problem, params = one_mode(method, depth, target, label_noise, start)
    dynamics = moved(method, rate, batch_size, rate / REFINEMENT)
    return Run(problem, dynamics, params, jax.random.key(seed))


def learning_rate(scaled_rate: Any, depth: int, target: Any) -> Any:
    """η of a given ηS."""
    return scaled_rate / (depth * target ** (2 - 2 / depth))


def asked(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The arguments of a stationary law at one point."""
    rate = learning_rate(coords["scaled_rate"], coords["depth"], coords["target"])
    kept = ("depth", "target", "label_noise", "batch_size")
    return {**{name: coords[name] for name in kept}, "learning_rate": rate}


EXPERIMENT = Experiment(
    build,
    title="The stationary law of one mode",
    steps=4000,
    schedule=linear(801),
    observe=(mode_values,),
    predictions=(Bound(stationary_mean, asked), Bound(stationary_variance, asked)),
    coords={
        "method": ("sgd", "equation"),
        "depth": (2, 4),
        "label_noise": (0.0, 0.2),
        "seed": tuple(range(128)),
    },
    cites=("corlouer2026",),
)

FULL = {"depth": (2, 3, 4, 6), "label_noise": (0.0, 0.1, 0.2, 0.5), "steps": 40_000}

INTERACTIVE = ("mode_values",)


def rested(measured: xr.Dataset, **place: Any) -> np.ndarray[Any, Any]:
    """The values of a cell after the first quarter of the run, [seed, record], NaN if diverged."""
    found = at(measured.mode_values, **place).isel(pathway=0, mode=0)
    found = found.isel(step=slice(found.sizes["step"] // 4, None))
    return np.asarray(found.transpose("seed", "step").values)


def law_at(measured: xr.Dataset, depth: int, label_noise: float) -> StationaryLaw:
    """The law at these coordinates."""
    names = ("target", "scaled_rate", "batch_size")
    coords = {name: measured[name].item() for name in names}
    return stationary_law(**asked({**coords, "depth": depth, "label_noise": label_noise}, measured))


def noisy_cells(measured: xr.Dataset) -> list[tuple[int, float]]:
    """Depth and label noise of the cells that have a law with a density."""
    noises = [float(n) for n in np.atleast_1d(measured.label_noise) if n > 0]
    return [(int(depth), noise) for depth in np.atleast_1d(measured.depth) for noise in noises]


def distances(measured: xr.Dataset, method: Method, depth: int, noise: float) -> Distances:
    """Of the chains that did not diverge from the law."""
    series = rested(measured, method=method, depth=depth, label_noise=noise)
    kept = series[np.isfinite(series).all(axis=1)]
    return sample_distances(kept, law_at(measured, depth, noise))


def alarm(cells: int) -> float:
    """The false-alarm rate of one comparison of so many that make up a claim."""
    return FALSE_ALARM / STATISTICAL_CLAIMS / cells


def check_law(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least p-value of Kolmogorov and Smirnov over cells, at the chains' effective sizes."""
    measured, _ = with_axes(measured, predicted, AXES)
    cells = noisy_cells(measured)
    found = [distances(measured, "equation", *cell) for cell in cells]
    least = min(each.p_value for each in found)
    size = int(min(each.effective_size for each in found))
    return Verdict.at_least(least, alarm(len(cells)), sample_size=size)


CLAIMS = (
    Claim(
        "corlouer2026.4",
        "One balanced mode under the stochastic differential equation of SGD has the stationary "
        "law p ∝ w^{−3(1−1/L)} (2(s−w)²+ς²)^{−1} exp((2B/ηL)∫(s−w)/(w^{2−2/L}(2(s−w)²+ς²))dw).",
        check_law,
        ("d = 1", "label noise", "ηS = 0.2"),
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Histograms of SGD and of its equation with the law over them, a panel for each depth."""
    measured, _ = with_axes(measured, predicted, AXES)
    cells = noisy_cells(measured)
    figure, axes = panels(1, len(cells), height=2.5)
    for ax, cell in zip(axes, cells, strict=True):
        _panel(ax, measured, *cell)
    axes[0].set_ylabel("density")
    return figure
