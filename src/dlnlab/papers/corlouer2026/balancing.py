"""SGD balances the layers of a chain, step by step, in the mean and exactly.

A chain of scalar layers under SGD with fresh samples: the gap b = w_i² − w_j² of two layers has,
given the state, the mean b(1 − η²(r² + (2r² + ς²)/B) Π w_m²) after a step, m over the other layers,
r the residual. Lines are means over the ensemble with their 95 % intervals, dashed what the formula
makes of each state one step before. Noise balances faster than descent, and with label noise it
goes on where descent, at the minimum, has stopped.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Experiment
from dlnlab.networks import square
from dlnlab.observables import observable
from dlnlab.papers.corlouer2026.stationary import normal_limit
from dlnlab.plotting import COLORS, INK, Axes, Figure, Line2D, key, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.noise import expected_balance_gap
from dlnlab.typing import Any, Array, Float, Params

AXES = ("label_noise", "batch_size", "seed")
STEPS = 60


@observable(dims=("layer",), symbol="w_l", formula="the value of each layer of a scalar chain")
def chain_values(problem: Problem, params: Params) -> Float[Array, " layer"]:
    """The layers of a chain of 1×1 matrices."""
    return jnp.stack([jnp.reshape(layer, ()) for layer in params[0]])


def build(
    layers: Annotated[tuple[float, ...], Coordinate(above=0, symbol="w_l")] = (1.3, 0.9, 0.5),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.1,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 2,
    seed: int = 0,
) -> Run:
    """One mode whose layers start at these values."""
    one = jnp.ones((1, 1))
    task = Whitened(target * one, label_noise, basis=(one, one))
    problem = Problem(square(1, (len(layers),)), task)
    params = (tuple(value * one for value in layers),)
    rule = StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Run(problem, rule, params, jax.random.key(seed))


EXPERIMENT = Experiment(
    build,
    title="SGD balances a scalar chain",
    steps=STEPS,
    schedule=linear(STEPS + 1),
    observe=(chain_values,),
    coords={"label_noise": (0.0, 0.5), "batch_size": (2, 8), "seed": tuple(range(2000))},
    cites=("corlouer2026",),
)

FULL = {"label_noise": (0.0, 0.2, 0.5, 1.0), "batch_size": (1, 2, 4, 8, 32)}
