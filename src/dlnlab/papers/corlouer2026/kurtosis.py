"""Whitened inputs that are not Gaussian: another size of noise, and noise that modes share.

One step of SGD from aligned, balanced weights, many times over. The variance of a mode's update is
(η²/B) L²w^{4−4/L}[(κ − 1)(s − w)² + ς²], κ the kurtosis of vᵀx, in place of the Gaussian 2. Modes
diffuse together only where they are not themselves the independent inputs: turned by an angle
against them, two modes have E[(v₁ᵀx)²(v₂ᵀx)²] − 1 = (κ − 3) Σ_i v_{1i}²v_{2i}². Points are
measured, with intervals of 95 %, the dashed lines are what the formula says; two modes of three
layers, w = (0.5, 0.2), target (1, 0.5).
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
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.stationary import normal_limit
from dlnlab.plotting import COLORS, INK, Figure, key, legend_above, panels, with_axes
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.tasks import KURTOSIS, Law, Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import mode_diffusion
from dlnlab.typing import Any

TARGETS, VALUES = (1.0, 0.5), (0.5, 0.2)
AXES = ("inputs", "angle", "seed")


def build(
    inputs: Law = "uniform",
    angle: Annotated[float, Coordinate(least=0, most=90, symbol="φ", unit="degrees")] = 45.0,
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 3,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.2,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 1e-6,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    seed: int = 0,
) -> Run:
    """Two aligned, balanced modes, the input side of which is turned by an angle."""
    turn = jnp.deg2rad(angle)
    right = jnp.array([[jnp.cos(turn), -jnp.sin(turn)], [jnp.sin(turn), jnp.cos(turn)]])
    left = jnp.eye(2)
    target = jnp.diag(jnp.array(TARGETS)) @ right.T
    problem = Problem(square(2, (depth,)), Whitened(target, label_noise, (left, right), inputs))
    layer = jnp.diag(jnp.array(VALUES) ** (1 / depth))
    params = ((layer @ right.T, *(layer,) * (depth - 1)),)
    rule = StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Run(problem, rule, params, jax.random.key(seed))


def _fourth(angle: float, inputs: Law) -> tuple[float, float]:
    """`E[(v₁ᵀx)⁴]`, and `E[(v₁ᵀx)²(v₂ᵀx)²] − 1`."""
    cosine, sine = np.cos(np.deg2rad(angle)) ** 2, np.sin(np.deg2rad(angle)) ** 2
    excess = KURTOSIS[inputs] - 3
    return 3 + excess * float(cosine**2 + sine**2), excess * float(2 * cosine * sine)


@prediction("update_covariance", dims=("mode", "other"), symbol="D_ab", source="corlouer2026.6")
def update_covariance(
    inputs: Law,
    angle: float,
    depth: int,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
) -> Any:
    """The covariance of two modes' updates per unit of η², [mode, mode]."""
    own, shared = _fourth(angle, inputs)
    values, rest = np.array(VALUES), np.array(TARGETS) - np.array(VALUES)
    rate = depth * values ** (2 - 2 / depth) * rest
    cross = shared * rate[0] * rate[1] / batch_size
    noise = (label_noise, learning_rate, batch_size)
    made = np.diag(mode_diffusion(values, TARGETS, depth, *noise, own) / learning_rate)
    return made + cross * (1 - np.eye(2))


EXPERIMENT = Experiment(
    build,
    title="Noise of inputs that are not Gaussian",
    steps=1,
    schedule=Schedule(),
    observe=(mode_values,),
    predictions=(
        Bound(
            update_covariance,
            lambda coords, _: {k: v for k, v in coords.items() if k != "seed"},
        ),
    ),
    coords={
        "inputs": ("gaussian", "uniform", "rademacher"),
        "angle": (0.0, 22.5, 45.0),
        "seed": tuple(range(2000)),
    },
    cites=("corlouer2026",),
)

FULL = {"angle": (0.0, 10.0, 22.5, 35.0, 45.0), "seed": tuple(range(40_000))}


def products(measured: xr.Dataset, inputs: str, angle: float) -> Any:
    """Per unit of η², the products of two modes' departures from their mean, [seed, mode, mode]."""
    found = measured.mode_values.sel(inputs=inputs, angle=angle).isel(pathway=0)
    found = found.transpose("seed", "step", "mode").values
    rate = float(measured.learning_rate)
    moved = (found[:, -1] - found[:, 0]) / rate
    moved = moved - moved.mean(axis=0)
    return moved[:, :, None] * moved[:, None, :]


def departures(
    measured: xr.Dataset, predicted: xr.Dataset, entries: tuple[tuple[int, int], ...]
) -> list[float]:
    """Of these entries of the covariance from the predicted ones, in standard errors."""
    found = []
    for inputs in measured.inputs.values:
        for angle in measured.angle.values:
            sample = products(measured, inputs, angle)
            said = predicted.update_covariance.sel(inputs=inputs, angle=angle).isel(seed=0).values
            for place in entries:
                one = sample[(slice(None), *place)]
                error = one.std(ddof=1) / np.sqrt(one.size)
                found.append(float(abs(one.mean() - said[place]) / error))
    return found


def check_variance(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure of a mode's variance from the formula's, in standard errors."""
    measured, predicted = with_axes(measured, predicted, AXES)
    found = departures(measured, predicted, ((0, 0), (1, 1)))
    size = measured.sizes["seed"]
    return Verdict.at_most(max(found), normal_limit(len(found)), sample_size=size)


def check_shared(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of the covariance of two modes; where the formula has none, none must be there."""
    measured, predicted = with_axes(measured, predicted, AXES)
    found = departures(measured, predicted, ((0, 1),))
    size = measured.sizes["seed"]
    return Verdict.at_most(max(found), normal_limit(len(found)), sample_size=size)


SET = ("aligned and balanced", "to leading order in η", "inputs of light tails")
CLAIMS = (
    Claim(
        "corlouer2026.6b",
        "With whitened inputs that are not Gaussian the 2 in D becomes the kurtosis of vᵀx less 1.",
        check_variance,
        SET,
        statistical=True,
    ),
    Claim(
        "corlouer2026.6d",
        "Two modes diffuse together only where they are not themselves the independent inputs, by "
        "(κ − 3) Σ_i v_{ai}²v_{bi}² in place of the 0 of Gaussian inputs.",
        check_shared,
        SET,
        statistical=True,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The variance of the stronger mode's update, and the covariance of both, over the angle."""
    measured, predicted = with_axes(measured, predicted, AXES)
    figure, axes = panels(1, 2)
    titles = ("variance of the first mode's update", "covariance of the two modes' updates")
    fine = np.linspace(0, max(45.0, float(measured.angle.max())), 46)
    named = ("depth", "label_noise", "learning_rate", "batch_size")
    fixed = {name: measured[name].item() for name in named}
    for ax, place, title in zip(axes, ((0, 0), (0, 1)), titles, strict=True):
        for inputs, color in zip(measured.inputs.values, COLORS, strict=False):
            said = [update_covariance(str(inputs), float(a), **fixed)[place] for a in fine]
            ax.plot(fine, said, color=INK, linewidth=1.0, linestyle=(0, (4, 2.2)), zorder=2)
            for angle in measured.angle.values:
                one = products(measured, inputs, angle)[(slice(None), *place)]
                error = 1.96 * one.std(ddof=1) / one.size**0.5
                ax.errorbar(
                    angle, one.mean(), error, color=color, marker="o", ms=3.5, capsize=2, zorder=3
                )
        ax.set(title=title, xlabel="angle of modes to inputs (degrees)", ylabel="per unit of η²")
    marks = [
        key(f"{name}, κ = {KURTOSIS[name]:g}", color, marker="o", ms=3.5)
        for name, color in zip(measured.inputs.values, COLORS, strict=False)
    ]
    theory = key("theory", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*marks, theory])
    return figure
