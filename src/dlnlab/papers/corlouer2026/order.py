"""Does noise change the order in which modes are learned, or when? SGD, descent, and a control.

Five modes, from the same small Gaussian starts: descent on all of the population (B = ∞), SGD on
batches of 1 and of 10, and the isotropic control, whose noise has at each state the trace of SGD's
on batches of 1 and no direction. In `switched` the batch grows from 1 to 10 half-way.

Left: the loss of one start, and the plateaus of theory. SGD learns the modes in the order of
descent, at the same times. The isotropic control does not rest there: noise in directions that no
signal has keeps weights away from the saddles. Middle: times of learning, each run against descent
from its start. Right: SGD's noise is far from isotropic all along, most of all before learning.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent, Switched
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.observables import loss, mode_values, noise_anisotropy, parameters
from dlnlab.papers.corlouer2026.modes import learning_times, matrix_dynamics, strengths, teacher
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.escape import plateau_loss

Method = Literal["descent", "sgd", "sgd_10", "isotropic", "switched"]


def build(
    dynamics: Method = "sgd",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.004,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.0,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (
        5.0,
        4.0,
        3.0,
        2.0,
        1.0,
    ),
    hidden: Annotated[int, Coordinate(least=1, most=500)] = 10,
    scale: Annotated[float, Coordinate(above=0, log=True)] = 0.1,
    seed: int = 0,
) -> Run:
    """A square teacher of these singular values, from Gaussian entries of deviation `scale`/√width.

    `sgd` takes batches of 1, `sgd_10` of 10, `switched` of 1 and from step 750 on of 10;
    `isotropic` is Langevin dynamics with the trace of SGD's noise on batches of 1. The start is
    that of the seed, whatever the dynamics.
    """
    size = len(targets)
    problem = teacher(targets, (size, *(hidden,) * (depth - 1), size), label_noise)
    start, noise = jax.random.split(jax.random.key(seed))
    params = gaussian(problem.network, start, std=scale / jnp.sqrt(hidden))
    return Run(problem, _dynamics(dynamics, learning_rate), params, noise)


SWITCH = 500


def _dynamics(name: Method, rate: float):
    one, ten = (StochasticGradientDescent(rate, batch_size=batch) for batch in (1, 10))
    if name == "switched":
        return Switched((one, ten), (SWITCH,))
    return ten if name == "sgd_10" else matrix_dynamics(name, rate, 1)


EXPERIMENT = Experiment(
    build,
    title="Order and times of learning: SGD, descent, isotropic noise",
    steps=2500,
    schedule=linear(201),
    observe=(loss, mode_values, noise_anisotropy),
    coords={
        "dynamics": ("descent", "sgd_10", "sgd", "isotropic", "switched"),
        "seed": tuple(range(32)),
    },
    cites=("corlouer2026",),
)
CLAIMS = ()
