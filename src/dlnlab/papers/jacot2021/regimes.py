"""Training in three regimes: plateaus for γ > 1, none at γ = 1 or below.

Gradient flow of four layers on a diagonal target, from normal entries of variance w^{−γ}; a line
for each start. For γ = 3/2 the loss rests at ½Σ_{i>k} s_i², dashed, where the rank rises by one at
a time and the gradient norm has its valleys; at γ = 1 and 3/4 it falls without a rest. At a width
of 10 the three lie close together, and what a start's own product adds to the loss is large.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientFlow
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import effective_rank, gradient_norm, loss
from dlnlab.plotting import COLORS, Figure, Line2D, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted_level
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import Staircase
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import plateau_loss

BUDGET = 6000


def build(
    gamma: Annotated[float, Coordinate(symbol="γ", help="variance of entries is w^−γ")] = 1.5,
    width: Annotated[int, Coordinate(least=1, most=4000, symbol="w")] = 100,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = (50, 40, 30, 20, 10),
    budget: Annotated[int, Coordinate(least=1, most=10**8, help="steps to try")] = BUDGET,
    seed: int = 0,
) -> Run:
    """Gradient flow on white inputs from layers of variance w^{−γ}, w the hidden width.

    The target is the diagonal of `targets`. The integrator tries `budget` steps, and what needs
    more ends as `exhausted`.
    """
    modes, identity = len(targets), jnp.eye(len(targets))
    task = Whitened(jnp.diag(jnp.array(targets)), basis=(identity, identity))
    problem = Problem(chain((modes, *[width] * (depth - 1), modes)), task)
    std = width ** (-jnp.asarray(gamma) / 2)
    params = gaussian(problem.network, jax.random.key(seed), std=std)
    flow = GradientFlow(rtol=1e-6, atol=1e-9, arrival=1e-8, most_steps=budget)
    return Run(problem, flow, params)


EXPERIMENT = Experiment(
    build,
    title="Training curves in three regimes",
    time=30.0,
    schedule=logarithmic(200),
    observe=(loss, gradient_norm, effective_rank),
    statistics=(Staircase(),),
    predictions=(Bound(plateau_loss),),
    coords={"gamma": (0.75, 1.0, 1.5), "width": (10, 100), "seed": (0, 1, 2)},
    cites=("jacot2021",),
)

FULL = {"width": (10, 100, 1000), "seed": tuple(range(10))}
"""90 runs; the widest take hours."""
