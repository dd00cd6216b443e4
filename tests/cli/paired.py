"""A chain of modes under several dynamics."""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp

from dlnlab.dynamics import GradientDescent, GradientFlow, Langevin
from dlnlab.experiment import Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes
from dlnlab.observables import loss
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened


def build(
    learning_rate: Annotated[float, Coordinate(above=0)] = 0.05,
    batch_size: Annotated[float, Coordinate(least=1)] = 10.0,
    dynamics: Literal["flow", "descent", "half", "noise", "third"] = "descent",
    seed: int = 0,
) -> Run:
    problem = Problem(Modes((2,), 2), Whitened(jnp.array([1.0, 0.5])))
    chosen = {
        "flow": GradientFlow(),
        "descent": GradientDescent(learning_rate),
        "half": GradientDescent(learning_rate / 2),
        "third": GradientDescent(learning_rate * 0.7),
        "noise": Langevin(learning_rate, batch_size),
    }[dynamics]
    return Run(problem, chosen, scaled_identity(problem, (0.3,)), jax.random.key(seed))


EXPERIMENT = Experiment(
    build, title="Several dynamics", steps=20, schedule=linear(5), observe=(loss,)
)
