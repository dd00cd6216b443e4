"""The same from Gaussian starts: does the noise of a mode peak before the mode is learned?

Nothing is aligned or balanced now: entries of variance width^{−γ}, four layers, SGD on batches of
one, labels without noise. The larger γ, the smaller the start. At γ = 1 the start is as large as
the target, and the noise of every mode is largest at the start: there is no peak to speak of. From
small starts each mode's diffusion has its peak before 95 % of the target, at about the value where
that of a balanced mode has (dashed). Weights are aligned in the end, but never balanced: the nearer
to it, the smaller the start.
"""

from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.observables import (
    alignment_error,
    balance_error,
    loss,
    mode_diffusion,
    mode_values,
)
from dlnlab.papers.corlouer2026.modes import (
    clock,
    learning_times,
    matrix_dynamics,
    mode_shares,
    strengths,
    teacher,
)
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    key,
    legend_above,
    panels,
    predicted_level,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.noise import peak_share


def build(
    dynamics: Literal["descent", "langevin", "sgd"] = "sgd",
    gamma: Annotated[float, Coordinate(least=0, symbol="γ")] = 2.0,
    hidden: Annotated[int, Coordinate(least=1, most=1000)] = 10,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.0,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (1.0, 0.9, 0.8, 0.7),
    seed: int = 0,
) -> Run:
    """A square teacher of these singular values, from Gaussian entries of variance width^{−γ}."""
    size = len(targets)
    problem = teacher(targets, (size, *(hidden,) * (depth - 1), size), label_noise)
    start, noise = jax.random.split(jax.random.key(seed))
    params = gaussian(problem.network, start, gamma=gamma)
    return Run(problem, matrix_dynamics(dynamics, learning_rate, batch_size), params, noise)


EXPERIMENT = Experiment(
    build,
    title="Noise of the modes from Gaussian starts",
    steps=4000,
    schedule=linear(201),
    observe=(loss, mode_values, mode_diffusion, alignment_error, balance_error),
    coords={"gamma": (1.0, 1.5, 2.0, 2.5), "seed": tuple(range(24))},
    cites=("corlouer2026",),
)
CLAIMS = ()
