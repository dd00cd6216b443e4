"""Matrix completion: a small start finds the rank, and with it the entries that are not seen.

A 10×10 matrix of rank 3 of which a part is observed, learned by a deep linear network whose layers
begin with variance w^{−γ}. In the NTK regime (γ < 1) it fits what is observed and hardly moves
elsewhere; from saddle to saddle (γ = 2) it learns one singular pair after another, as the greedy
algorithm does, and the test cost falls with the training cost. Curves are of the first seed.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GreedyGrowth
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import loss, singular_values, test_loss
from dlnlab.papers.jacot2021.greedy import neurons
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks.completion import low_rank, observed
from dlnlab.typing import Any

Algorithm = Literal["descent", "greedy"]

SIZE, RANK = 10, 3


def build(
    gamma: Annotated[float, Coordinate(least=0, most=4, symbol="γ")] = 2.0,
    algorithm: Algorithm = "descent",
    fraction: Annotated[float, Coordinate(least=0.1, most=1.0)] = 0.7,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=1, most=400, symbol="w")] = 30,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.01,
    seed: int = 0,
) -> Run:
    """A random 10×10 matrix of rank 3 and unit variance, divided by 4, partly observed.

    `descent` starts from Gaussian layers of variance width^{−γ} in every layer, `greedy` growth
    from zero with neurons of weight w^{−γ/2}. The seed draws matrix, mask and start.
    """
    matrix, mask, drawn = jax.random.split(jax.random.key(seed), 3)
    whole = low_rank(matrix, (SIZE, SIZE), RANK, float) / 4
    task = observed(mask, whole, fraction)
    problem = Problem(chain((SIZE, *(width,) * (depth - 1), SIZE)), task)
    std = width ** (-jnp.asarray(gamma) / 2)
    params = gaussian(problem.network, drawn, std=std)
    if algorithm == "greedy":
        params = jax.tree.map(jnp.zeros_like, params)
    # A full start leaves growth nothing to add: it is plain descent.
    return Run(problem, GreedyGrowth(learning_rate, weight=std, tolerance=1e-3), params)


EXPERIMENT = Experiment(
    build,
    title="Matrix completion in two regimes",
    steps=20_000,
    schedule=linear(401),
    observe=(loss, test_loss, singular_values, neurons),
    coords={
        "gamma": (0.75, 2.0),
        "algorithm": ("descent", "greedy"),
        "seed": tuple(range(10)),
    },
    cites=("jacot2021",),
)
