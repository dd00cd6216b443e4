"""Greedy low-rank growth has the path of gradient flow from a small start.

The greedy algorithm begins at zero, adds a neuron of weight ε along the top singular pair of −∇C,
descends to the next saddle, and so on. The flow starts from random layers of scale α = ε, and adds
nothing. In the space of products, free of time, the Fréchet distance of the two paths falls as a
power of α, where all of the target is observed and where a part of it is. Paths are drawn in the
plane of the origin, the first saddle and the end.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GreedyGrowth
from dlnlab.experiment import Experiment
from dlnlab.frechet import frechet_distance
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import end_to_end, loss, observable
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Completion
from dlnlab.typing import Any, Array, Params, Scalar

Algorithm = Literal["flow", "greedy"]
Observed = Literal["all", "part"]

MASK = np.ones((4, 4)) - np.eye(4)[:, ::-1]


@observable(symbol="n", formula="hidden neurons with a weight other than zero")
def neurons(problem: Problem, params: Params) -> Scalar:
    """How many neurons the first hidden layer has."""
    return jnp.sum(jnp.any(params[0][0] != 0, axis=1)).astype(params[0][0].dtype)


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α, ε")] = 1e-2,
    observed: Observed = "all",
    algorithm: Algorithm = "flow",
    depth: Annotated[int, Coordinate(least=2, most=5, symbol="L")] = 2,
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 4,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.05,
    seed: int = 0,
) -> Run:
    """A 4×4 target of rank 3, learned by gradient flow or by greedy growth, in steps of time η.

    Both take steps of a fourth-order method. The flow starts from Gaussian layers whose entries
    have deviation α, of full width, so that growth has nothing to add; growth starts from zero. The
    seed draws target and start.
    """
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, 4, (2,))
    whole = left * jnp.array((2.0, 1.0, 0.5, 0.0)) @ right.T
    task = Completion(whole, MASK if observed == "part" else np.ones((4, 4)))
    problem = Problem(chain((4, *(width,) * (depth - 1), 4)), task)
    params = gaussian(problem.network, drawn, std=scale)
    if algorithm == "greedy":
        params = jax.tree.map(jnp.zeros_like, params)
    return Run(problem, GreedyGrowth(learning_rate, weight=scale, by="flow"), params)


EXPERIMENT = Experiment(
    build,
    title="Greedy growth against gradient flow",
    steps=4000,
    schedule=linear(4001),
    observe=(loss, end_to_end, neurons),
    coords={
        "observed": ("all", "part"),
        "algorithm": ("flow", "greedy"),
        "scale": (1e-1, 1e-2, 1e-3, 1e-4),
        "seed": tuple(range(10)),
    },
    cites=("jacot2021",),
)
