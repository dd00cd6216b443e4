"""A chain of random layers learns two modes, the stronger one first.

This docstring is what `dln show FILE.py` says about the experiment. Try:

    dln run FILE.py                                             one run
    dln run FILE.py --learning-rate 0.02:0.3:8:log --seeds 4    a sweep, as one program
    dln run FILE.py --depth 2,3,4 --out sweep.nc                all that is recorded, for xarray
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import xarray as xr

from dlnlab import plotting
from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import loss, mode_values, observable, sharpness
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schema import Coordinate
from dlnlab.statistics import Outcome
from dlnlab.tasks import Whitened
from dlnlab.theory.stability import edge_sharpness
from dlnlab.typing import Params, Scalar


# The parameters of `build` are the flags, the axes of a sweep and the coordinates of the results.
# Floats and the seed are traced: do not branch on them. Whatever else changes is compiled anew.
def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.1,
    depth: Annotated[int, Coordinate(least=1, most=50, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=2, help="neurons of each layer")] = 4,
    strengths: Annotated[tuple[float, ...], Coordinate(least=0, symbol="s_i")] = (2.0, 1.0),
    std: Annotated[float, Coordinate(least=0, help="of the first weights")] = 0.3,
    seed: int = 0,
) -> Run:
    """Gradient descent on a diagonal target, from independent normal weights."""
    if len(strengths) > width:
        raise InputError(f"{len(strengths)} strengths need as many neurons; raise --width.")
    target = jnp.diag(jnp.zeros(width).at[: len(strengths)].set(jnp.asarray(strengths)))
    problem = Problem(chain((width,) * (depth + 1)), Whitened(target))
    start = gaussian(problem.network, jax.random.key(seed), std=std)
    return Run(problem, GradientDescent(learning_rate), start)


# An observable of one's own: any pure function of a problem and its parameters.
@observable(symbol="‖θ‖", formula="root of the sum of squares of all weights")
def weight_norm(problem: Problem, params: Params) -> Scalar:
    """The Euclidean norm of all weights."""
    return jnp.sqrt(sum(jnp.sum(layer**2) for pathway in params for layer in pathway))


EXPERIMENT = Experiment(
    build,
    title="A random chain learns two modes",
    steps=2000,
    observe=(loss, mode_values, sharpness, weight_norm),
    statistics=(Outcome(),),
    # Theory's word on `sharpness`: the arguments of `edge_sharpness` are found among the
    # coordinates by name; Bound(prediction, bind) says so itself.
    predictions=(Bound(edge_sharpness),),
    cites=("kim2026",),
)


def check_stable(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The sharpness at the end over the edge 2/η, in the worst of all runs."""
    ratio = measured.sharpness.isel(step=-1) / predicted.edge_sharpness
    return Verdict.at_most(float(ratio.max()), 1.0, sample_size=ratio.size)


CLAIMS = (Claim("own.1", "Gradient descent ends where the sharpness is below 2/η.", check_stable),)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> plotting.Figure:
    """The sharpness along the run, with the edge dashed over it."""
    figure, (ax,) = plotting.panels()
    plotting.measured(ax, measured.step, measured.sharpness, "sharpness")
    plotting.predicted_level(ax, float(predicted.edge_sharpness.max()), "2/η")
    return figure
