"""One chain on a few modes: small enough to run in milliseconds."""

from typing import Annotated, Literal

import jax.numpy as jnp

from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import FirstRise, Outcome
from dlnlab.tasks import Whitened
from dlnlab.theory.stability import edge_sharpness


def build(
    learning_rate: Annotated[float, Coordinate(above=0, symbol="η")] = 0.1,
    depth: Annotated[int, Coordinate(least=1, most=3, help="layers")] = 2,
    strengths: Annotated[tuple[float, ...], Coordinate(least=0)] = (1.0, 0.5),
    shift: float = 0.0,
    doubled: bool = False,
    kind: Literal["plain", "fancy"] = "plain",
    seed: int = 0,
) -> Run:
    if not strengths:
        raise InputError("strengths is empty, and one mode or more is needed; give one.")
    target = (jnp.asarray(strengths) + shift) * (2 if doubled else 1)
    problem = Problem(Modes((depth,), len(strengths)), Whitened(target))
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, (0.5,)))


EXPERIMENT = Experiment(
    build,
    title="A tiny chain",
    steps=20,
    schedule=linear(3),
    observe=(loss, mode_values),
    statistics=(Outcome(window=5), FirstRise()),
    predictions=(Bound(edge_sharpness),),
    cites=("kim2026",),
)
