"""The first escape has the path of a network of width one, for small enough starts.

Maps of random starts of norm α, from the start to where they pass nearest the first saddle,
against the path of a network of one hidden neuron, in the space of products and free of time: the
Fréchet distance falls with α. Of two layers every start does so; of three some leave along another
singular pair, however small they are, and the share of those that do not is measured. Some entries
of the target are not observed, for where all are the path is a straight line.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Flow
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.frechet import evenly, frechet_distance
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import end_to_end, loss
from dlnlab.papers.jacot2021.escape import of_norm, on_ray
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Completion
from dlnlab.typing import Any, Array, Params, Scalar

Network = Literal["full", "one neuron"]


class PathFlow(Flow):
    """Gradient flow at a pace of its own, `θ̇ = −∇ℓ/√(‖∇ℓ‖² + ε²)`: the same path.

    Its time is the length of the path in parameters where ‖∇ℓ‖ is well above `pace` ε, so that a
    path is recorded evenly however long the network rests at a saddle.
    """

    pace: Scalar | float
    rtol: float = 1e-9
    atol: float = 1e-12
    arrival: float = 0.1

    def velocity(self, problem: Problem, params: Params) -> Params:
        gradient = problem.gradient(params)
        square = sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient))
        return jax.tree.map(lambda g: -g / jnp.sqrt(square + self.pace**2), gradient)


STRENGTHS = (3.0, 1.5, 0.5)
MASK = np.ones((4, 4)) - np.eye(4)[:, ::-1]
"""The other diagonal is not observed."""


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α")] = 1e-3,
    depth: Annotated[int, Coordinate(least=2, most=6, symbol="L")] = 2,
    network: Network = "full",
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 6,
    seed: int = 0,
) -> Run:
    """A 4×4 target of which 12 entries are observed, learned from parameters of norm α.

    Of `one neuron` in each hidden layer they lie on the optimal ray, else they are Gaussian. The
    seed draws them; the target is the same for all.
    """
    left, right = jax.random.orthogonal(jax.random.key(7), 4, (2,))
    values = jnp.array((*STRENGTHS, 0.0))
    whole = left * values @ right.T
    task = Completion(whole, MASK)
    hidden = 1 if network == "one neuron" else width
    problem = Problem(chain((4, *(hidden,) * (depth - 1), 4)), task)
    drawn = jax.random.key(seed)
    if network == "full":
        params = gaussian(problem.network, drawn, std=1.0)
    else:
        u, _, vt = jnp.linalg.svd(task.target)
        params = on_ray(problem, drawn, u[:, 0], vt[0])
    pace = 30.0 * scale ** (depth - 1)  # which a saddle's gradient is well below, for L > 2
    return Run(problem, PathFlow(pace), of_norm(params, scale))


EXPERIMENT = Experiment(
    build,
    title="The path of the first escape",
    time=4.0,
    schedule=linear(201),
    observe=(loss, end_to_end),
    coords={
        "depth": (2, 3),
        "network": ("full", "one neuron"),
        "scale": (1e-1, 1e-2, 1e-3, 1e-4),
        "seed": tuple(range(20)),
    },
    cites=("jacot2021",),
)
