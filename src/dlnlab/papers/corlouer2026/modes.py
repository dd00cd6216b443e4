"""Does one equation for each mode tell what SGD does? From aligned, balanced weights, and back.

Four layers, modes of nearly equal strength, samples with noisy labels one at a time. Solid: means
over seeds, with their 95 % bands; dashed: what theory makes of the values w that were measured.
At the start the three formulas of a balanced mode (drift, diffusion D, Itô drift) are exact. Along
the run D stays near its formula while the weights are still near balance.

The independent equations leave out what modes add to each other in the mean; the coupled ones have
it. Hidden layers of any width behave from such a start as those of the width of the target: what is
zero outside stays so, and this is the size that runs.
"""

from typing import Annotated, Literal

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent, Langevin, Map, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, chain
from dlnlab.observables import (
    loss,
    mode_diffusion,
    mode_drift,
    mode_ito_drift,
    mode_values,
)
from dlnlab.plotting import COLORS, INK, Axes, Figure, at, few_ticks, key, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import aligned
from dlnlab.typing import Any, Array, Params, jax

Method = Literal["descent", "independent", "coupled", "langevin", "sgd"]


def build(
    dynamics: Method = "langevin",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.1,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (1.0, 0.9, 0.8, 0.7),
    dimension: Annotated[int, Coordinate(least=1, most=200, symbol="d")] = 4,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.01,
    seed: int = 0,
) -> Run:
    """A teacher of these singular values (zeros fill up to d), all modes beginning at `start`.

    `descent`: no noise. `independent` and `coupled`: one number for each layer and mode, moved by
    its own stochastic equation, without and with the drift that modes add to each other.
    `langevin`: the equation of the matrices. `sgd`: fresh batches of `batch_size`.
    """
    rng = jax.random.key(seed)
    if dynamics in ("independent", "coupled"):
        strengths = padded(targets, dimension)
        problem = Problem(Modes((depth,), dimension), Whitened(strengths, label_noise))
        walk = Langevin(learning_rate, batch_size, cross_modes=dynamics == "coupled")
        return Run(problem, walk, scaled_identity(problem, (start,)), rng)
    problem = teacher(targets, (dimension,) * (depth + 1), label_noise)
    moves = matrix_dynamics(dynamics, learning_rate, batch_size)
    return Run(problem, moves, scaled_identity(problem, (start,)), rng)


def padded(targets: tuple[float, ...], dimension: int) -> Array:
    """The singular values with zeros up to the dimension."""
    if len(targets) > dimension:
        raise InputError(
            f"{len(targets)} targets do not fit into {dimension} dimensions; raise dimension to "
            f"{len(targets)} or more."
        )
    none = [jnp.zeros(())] * (dimension - len(targets))
    return jnp.stack([*(jnp.asarray(target, float) for target in targets), *none])


def teacher(targets: tuple[float, ...], widths: tuple[int, ...], label_noise: Any) -> Problem:
    """A chain of these widths before a diagonal teacher; modes are counted in the given order."""
    dimension = widths[0]
    basis = (jnp.eye(dimension), jnp.eye(dimension))
    target = jnp.diag(padded(targets, dimension))
    return Problem(chain(widths), Whitened(target, label_noise, basis=basis))


def matrix_dynamics(name: str, learning_rate: Any, batch_size: int) -> Map:
    """Descent, its batches, or their stochastic equation, with the noise of gradients or not."""
    match name:
        case "descent":
            return GradientDescent(learning_rate)
        case "sgd":
            return StochasticGradientDescent(learning_rate, batch_size=batch_size)
        case "isotropic":
            return Langevin(learning_rate, batch_size, noise="isotropic")
    return Langevin(learning_rate, batch_size)


# --- what is predicted, from the values that were measured ---------------------------------------


@prediction("mode_drift", dims=("step", "mode"), symbol="ẇ_a", source="corlouer2026.2")
def aligned_drift(values: Floats, targets: Floats, depth: int) -> Floats:
    """`L w^{2−2/L}(s − w)` of values [step, mode] below zero taken as zero."""
    return aligned.mode_drift.function(np.maximum(values, 0), targets, depth)


@prediction("mode_diffusion", dims=("step", "mode"), symbol="D_a·B/η", source="corlouer2026.2")
def aligned_diffusion(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """`L²w^{4−4/L}[2(s − w)² + ς²]`, per unit of η/B, of values [step, mode]."""
    return aligned.mode_diffusion.function(
        np.maximum(values, 0), targets, depth, label_noise, 1.0, 1
    )


@prediction("mode_ito_drift", dims=("step", "mode"), symbol="I_a·B/η", source="corlouer2026.2")
def aligned_ito_drift(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """Both parts of the Itô drift, per unit of η/B, of values [step, mode]."""
    return aligned.ito_drift.function(np.maximum(values, 0), targets, depth, label_noise, 1.0, 1)


@prediction("mode_ito_drift", dims=("step", "mode"), symbol="I_a·B/η", source="corlouer2026.2")
def own_ito_drift(values: Floats, targets: Floats, depth: int, label_noise: float) -> Floats:
    """Each mode's own part of it, `½L(L−1)w^{3−4/L}[2(s − w)² + ς²]`."""
    made = aligned.ito_parts(np.maximum(values, 0), targets, depth, label_noise, 1.0, 1)
    return made.own


def from_values(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """Arguments of the formulas of balanced modes: the values of one run, and its targets."""
    values = measured.mode_values.isel(pathway=0).transpose("step", "mode").values
    targets = np.zeros(values.shape[1])
    targets[: len(coords["targets"])] = coords["targets"]
    return {
        "values": values,
        "targets": targets,
        **{name: coords[name] for name in ("depth", "label_noise")},
    }


def _for_drift(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    found = from_values(coords, measured)
    return {name: found[name] for name in ("values", "targets", "depth")}


STEPS = 1400

EXPERIMENT = Experiment(
    build,
    title="Modes under SGD, its equation, and one equation for each mode",
    steps=STEPS,
    schedule=linear(141),
    observe=(loss, mode_values, mode_drift, mode_diffusion, mode_ito_drift),
    predictions=(
        Bound(aligned_drift, _for_drift),
        Bound(aligned_diffusion, from_values),
        Bound(aligned_ito_drift, from_values),
        Bound(own_ito_drift, from_values),
    ),
    coords={
        "dynamics": ("descent", "independent", "coupled", "langevin", "sgd"),
        "seed": tuple(range(48)),
    },
    cites=("corlouer2026",),
)

FULL = {"dimension": 10, "seed": tuple(range(200))}
"""Ten dimensions, 1,000 runs; the paper's teacher is this one times 100, at a step 1/100^{3/2}."""

INTERACTIVE = ("mode_values", "mode_diffusion", "mode_drift", "loss")

MATRICES = ("descent", "langevin", "sgd")


def check_start(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative error of the three formulas at the start."""
    pairs = (
        (measured.mode_drift, predicted.aligned_drift),
        (measured.mode_diffusion, predicted.aligned_diffusion),
        (measured.mode_ito_drift, predicted.aligned_ito_drift),
    )
    names = [name for name in np.atleast_1d(measured.dynamics) if name in MATRICES]
    errors = [abs(found / said - 1).sel(dynamics=names).isel(step=0) for found, said in pairs]
    worst = max(float(error.max(skipna=False)) for error in errors)
    return Verdict.at_most(worst, 1e-9, sample_size=sum(error.size for error in errors))


CLAIMS = (
    Claim(
        "corlouer2026.2",
        "At aligned, balanced weights a mode has the drift Lw^{2−2/L}(s−w), the diffusion "
        "(η/B)L²w^{4−4/L}[2(s−w)²+ς²], and the Itô drift of its own and the cross-mode part.",
        check_start,
        ("white Gaussian inputs and label noise", "L = 4"),
    ),
)
