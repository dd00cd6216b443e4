"""The worst-case return: beyond η_WCR a step can throw a chain across the saddle at zero.

On a balanced chain gradient descent is the map f_η(w) = w − η w^{L−1}(w^L − s) of one layer value.
Every start in (0, w*) is thrown at most to f_η(c), c the map's highest point, and from there back
to f_η(f_η(c)) at worst. Below η_WCR that is positive and every start returns to the well; above it
some starts cross zero. Here every start is tried.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import Modes
from dlnlab.observables import loss, observable
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.stability import map_value, worst_case_return_constant
from dlnlab.typing import Any, Params, Scalar


@observable(symbol="w", formula="the value of the first layer of the first pathway, with its sign")
def layer_value(problem: Problem, params: Params) -> Scalar:
    """The layer value w of a balanced scalar chain."""
    return params[0][0][0]


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.5,
    start: Annotated[float, Coordinate(above=0, symbol="w/w*")] = 0.5,
    depth: Annotated[int, Coordinate(least=1, most=1000, symbol="L")] = 5,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """A balanced chain at η = edge_ratio · 2/S, started at w = start · w*, w* = s^{1/L}."""
    problem = Problem(Modes((depth,), 1), Whitened(jnp.full(1, target)))
    learning_rate = edge_ratio * 2 / (depth * target ** (2 - 2 / depth))
    value = start * jnp.full(1, target) ** (1 / depth)
    return Run(problem, GradientDescent(learning_rate), ((value,) * depth,))


def map_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The first step of one lane, in the theory's terms."""
    depth, target = coords["depth"], coords["target"]
    return {
        "value": coords["start"] * target ** (1 / depth),
        "learning_rate": coords["edge_ratio"] * 2 / (depth * target ** (2 - 2 / depth)),
        "target": target,
        "depth": depth,
    }


_RETURN = worst_case_return_constant(5) / 2
EXPERIMENT = Experiment(
    build,
    title="The loss of a chain of five layers, and two steps on it",
    steps=2,
    schedule=last(2),
    observe=(layer_value, loss),
    predictions=(Bound(map_value, map_arguments),),
    coords={
        "edge_ratio": (0.97 * _RETURN, 1.03 * _RETURN),
        "start": tuple(np.linspace(0.0025, 0.9975, 399).tolist()),
    },
    cites=("kim2026",),
)


def check_return(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The lowest point that any start reaches in two steps: above zero below η_WCR, below beyond."""
    lowest = measured.layer_value.isel(step=2).min("start").sortby("edge_ratio").values
    sides = lowest[0] > 0 > lowest[-1]
    margin = min(lowest[0], -lowest[-1]) if sides else np.nan
    return Verdict.at_least(margin, 0, sample_size=measured.layer_value.isel(step=2).size)


CLAIMS = (
    Claim(
        "kim2026.7",
        "Below η_WCR = γ(L)/S every start in (0, w*) returns to the well in two steps, above it "
        "some cross zero (η at 0.97 and 1.03 of it).",
        check_return,
        ("one aligned, depth-balanced chain",),
    ),
)
