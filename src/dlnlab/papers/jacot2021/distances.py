"""How far a wide network starts from a saddle and from a minimum, and how that grows with width.

Layers start with normal entries of variance w^{−γ}. Below γ = 1 the nearest minimum comes nearer as
the width w grows and the nearest saddle moves away; above, it is the other way round. Dots are the
nearest points that were found (upper bounds, from at least 20 starts), means over seeds; bands
reach down to lower bounds that are proven. The right panel has the slopes of ln d over ln w,
extrapolated in 1/w by a fit of a + b ln w + c/w to each seed, with standard errors.

The lower bound of a saddle lies far below, and its slope is not the exponent's. At these widths
slopes still differ from the exponents by more than the scatter over seeds, mostly so for the
saddle at γ = 3/4, where the map that a saddle has to fit is no small part of the distance.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from dlnlab.claims import Claim, Verdict
from dlnlab.critical import linearised_distance, nearest_minimum, nearest_saddle
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import loss, parameter_norm
from dlnlab.plotting import (
    COLORS,
    FAINT,
    Axes,
    Figure,
    Line2D,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.regimes import minimum_distance_exponent, saddle_distance_exponent
from dlnlab.typing import Any

STARTS = 20


def build(
    gamma: Annotated[float, Coordinate(symbol="γ", help="variance of entries is w^−γ")] = 1.0,
    width: Annotated[int, Coordinate(least=1, most=4000, symbol="w")] = 64,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    dimension: Annotated[int, Coordinate(least=1, most=50, symbol="d")] = 5,
    strength: Annotated[float, Coordinate(above=0, log=True, symbol="s_1/5")] = 1.0,
    seed: int = 0,
) -> Run:
    """A Gaussian start, entries of variance w^{−γ} in all layers, of a chain of hidden width w.

    The target is diagonal, `dimension` by itself, with singular values from 5 down to 1 times
    `strength`. Nothing moves.
    """
    network = chain((dimension, *[width] * (depth - 1), dimension))
    task = Whitened(strength * jnp.diag(jnp.linspace(5.0, 1.0, dimension)))
    params = gaussian(network, jax.random.key(seed), std=width ** (-jnp.asarray(gamma) / 2))
    return Run(Problem(network, task), GradientDescent(0.0), params)


def distances(run: Run) -> xr.Dataset:
    """Upper and lower bounds of the distances, and the linearised one, NaN where it is invalid."""
    with threadpool_limits(1, user_api="blas"):
        saddle = nearest_saddle(run.problem, run.params, STARTS)
        least = nearest_minimum(run.problem, run.params, STARTS)
        try:
            linear = linearised_distance(run.problem, run.params)
        except InputError:
            linear = np.nan
    found = {
        "saddle_distance": (saddle.upper, "d_s"),
        "saddle_distance_lower": (saddle.lower, "d_s"),
        "minimum_distance": (least.upper, "d_m"),
        "minimum_distance_lower": (least.lower, "d_m"),
        "linearised_distance": (linear, "√(RᵀK⁻¹R)"),
    }
    return xr.Dataset({n: ((), value, {"symbol": symbol}) for n, (value, symbol) in found.items()})


EXPERIMENT = Experiment(
    build,
    title="Distances to the nearest saddle and minimum against the width",
    steps=0,
    observe=(loss, parameter_norm),
    predictions=(Bound(saddle_distance_exponent), Bound(minimum_distance_exponent)),
    examine=distances,
    coords={
        "gamma": (0.5, 0.75, 1.0, 1.25, 1.5, 2.0),
        "width": (24, 48, 96, 192),
        "seed": tuple(range(5)),
    },
    cites=("jacot2021",),
)

FULL = {"width": (24, 48, 96, 192, 400, 1000), "gamma": tuple(np.linspace(0.5, 2, 13).tolist())}
"""390 starts, the widest of a million parameters."""

SADDLE, MINIMUM = "saddle", "minimum"


def slopes(measured: xr.Dataset, name: str) -> xr.DataArray:
    """b of a fit of `a + b ln w + c/w` to the logarithm of a distance, for each seed.

    With fewer than three widths c is left out; with one there is no slope.
    """
    width = np.atleast_1d(measured.width.values).astype(float)
    columns = np.stack([np.log(width), np.ones_like(width), 1 / width], 1)[:, : max(2, len(width))]

    def fitted(logs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        flat = logs.reshape(-1, width.size).T
        found = np.linalg.lstsq(columns[:, :3], flat, rcond=None)[0][0]
        return np.where(width.size > 1, found, np.nan).reshape(logs.shape[:-1])

    logs = np.log(measured[name])
    return xr.apply_ufunc(fitted, logs, input_core_dims=[["width"]])
