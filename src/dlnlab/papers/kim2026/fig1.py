"""Two deep pathways learn one mode; large steps divide it between them again.

Gradient flow hands the whole mode to the pathway that starts ahead. At a step size η above 2/S,
the stability edge of a single path, the trajectory first does the same, then oscillates, and the
mode is handed back step by step until the minimum it sits in has become stable, λ = 2/η. Only at
η = 2/λ^min do the pathways end equal.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, square
from dlnlab.observables import (
    alignment_error,
    balance_gap,
    conserved_z,
    gradient_norm,
    loss,
    mode_values,
    pathway_norms,
    sharpness,
    shares,
    svs_error,
)
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import FirstRise, Maximum, Outcome, Period
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Array


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.12,
    depth: Annotated[int, Coordinate(least=1, most=1000, symbol="L")] = 20,
    pathways: Annotated[int, Coordinate(least=1, most=64, symbol="H")] = 2,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        0.02,
        0.01,
    ),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    dimension: Annotated[int, Coordinate(least=1, most=2000, symbol="d")] = 3,
    representation: Literal["modes", "full"] = "modes",
    rotated: bool = False,
    seed: int = 0,
) -> Run:
    """Gradient descent on diag(s, 0, …, 0) by H pathways of depth L that start at α_h I.

    `representation="full"` trains the matrices themselves; `rotated` turns the target into a
    random basis drawn from `seed` (which changes nothing on modes).
    """
    if len(alphas) != pathways:
        raise InputError(
            f"alphas has {len(alphas)} values and there are {pathways} pathways; give one end-to-end "
            "scale for each pathway, say --alphas " + ",".join(["0.01"] * pathways) + "."
        )
    strengths = jnp.zeros(dimension).at[0].set(target)
    if representation == "modes":
        problem = Problem(Modes((depth,) * pathways, dimension), Whitened(strengths))
    else:
        left, right = _bases(dimension, rotated, seed)
        task = Whitened(left * strengths @ right.T, basis=(left, right))
        problem = Problem(square(dimension, (depth,) * pathways), task)
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, alphas))


def _bases(dimension: int, rotated: bool, seed: int) -> tuple[Array, Array]:
    if not rotated:
        return jnp.eye(dimension), jnp.eye(dimension)
    left, right = jax.random.normal(jax.random.key(seed), (2, dimension, dimension))
    return jnp.linalg.qr(left)[0], jnp.linalg.qr(right)[0]


EXPERIMENT = Experiment(
    build,
    title="Two pathways under growing step size",
    steps=40_000,
    schedule=linear(101) | logarithmic(120),
    observe=(
        loss,
        gradient_norm,
        mode_values,
        shares,
        pathway_norms,
        conserved_z,
        balance_gap,
        svs_error,
        sharpness,
    ),
    statistics=(FirstRise(), Period(), Outcome(), Maximum(alignment_error)),
    coords={"learning_rate": (0.05, 0.105, 0.12, 0.15, 0.18660659830736148)},
    cites=("kim2026",),
)
