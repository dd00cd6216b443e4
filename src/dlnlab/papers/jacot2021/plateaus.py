"""A staircase: the loss rests where k modes are learned, and the rank rises by one at each escape.

Gradient flow from small random layers, seen in the run alone: a plateau is where the gradient norm
is least between two escapes, and its loss there is ½Σ_{i>k} s_i², the loss of the critical point
that has learned the k strongest modes. What is missing to that falls with the size of the start,
in scalar chains and in whole matrices. For two layers the start enters in logarithms alone. For
three a whole matrix needs a number of steps that grows as one over its scale.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientFlow
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, chain
from dlnlab.observables import gradient_norm, loss
from dlnlab.plotting import (
    COLORS,
    FAINT,
    Axes,
    Figure,
    Line2D,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted_level
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.state import Status
from dlnlab.statistics import Staircase
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import plateau_loss

TARGETS, HIDDEN = (9.0, 3.0, 1.0), 6


def build(
    representation: Literal["modes", "matrices"] = "matrices",
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 1e-3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = TARGETS,
    seed: int = 0,
) -> Run:
    """Gradient flow on white inputs from layers of size α.

    Modes start with all layer values at α; matrices with normal entries of standard deviation α,
    through hidden layers of 6 units (or as many as modes, if they are more).
    """
    modes, strengths = len(targets), jnp.array(targets)
    if representation == "modes":
        problem = Problem(Modes((depth,), modes), Whitened(strengths))
        params = ((jnp.full(modes, layer_scale),) * depth,)
    else:
        hidden = (max(HIDDEN, modes),) * (depth - 1)
        identity = jnp.eye(modes)
        task = Whitened(jnp.diag(strengths), basis=(identity, identity))
        problem = Problem(chain((modes, *hidden, modes)), task)
        params = gaussian(problem.network, jax.random.key(seed), std=layer_scale)
    return Run(problem, GradientFlow(arrival=1e-10, most_steps=200_000), params)


EXPERIMENT = Experiment(
    build,
    title="Plateaus of the loss, and the ranks on them",
    time=4000.0,
    schedule=logarithmic(400),
    observe=(loss, gradient_norm),
    statistics=(Staircase(),),
    predictions=(Bound(plateau_loss),),
    coords={
        "representation": ("modes", "matrices"),
        "depth": (2, 3),
        "layer_scale": (0.1, 0.01, 0.001),
        "seed": (0, 1, 2),
    },
    cites=("jacot2021",),
)
