"""The first escape: at which speed, in which time and along which direction the origin is left.

Near zero a cost is linear in the product, and the network leaves along the top singular pair of
−∇C(0), all layers of rank one and of one size, at ṙ = s* r^{L−1} with s* = L^{−(L−2)/2} s_1. On
this ray the time is known. Other starts of the same norm are later, since none is ever faster, and
come to the same speed. Beyond two layers some leave along another pair, and more slowly: those are
no smaller in number for smaller starts, and left out of the claims on the speed.

Time is in units of that of the ray, t* (to the norm 1 at L = 2, to its blow-up beyond).
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Flow
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import escape_alignment, escape_rate, loss, parameter_norm
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.statistics import EscapeRate, Maximum
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import escape_speed, escape_time, norm_on_ray
from dlnlab.typing import Any, Array, Key, Params, Scalar

Start = Literal["ray", "gaussian"]


class ScaledFlow(Flow):
    """Gradient flow with a unit of time of its own, `θ̇ = −τ∇ℓ`, which stops at the first saddle.

    It has arrived where ‖∇ℓ‖ has fallen to `arrival` of its largest value.
    """

    unit: Scalar | float
    rtol: float = 1e-10
    atol: float = 1e-13
    arrival: float = 0.01

    def velocity(self, problem: Problem, params: Params) -> Params:
        return jax.tree.map(lambda g: -self.unit * g, problem.gradient(params))


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α")] = 1e-3,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    start: Start = "gaussian",
    width: Annotated[int, Coordinate(least=1, most=200, symbol="w")] = 6,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (3.0, 1.0, 0.5),
    seed: int = 0,
) -> Run:
    """A whitened target in random bases, learned from parameters of norm α by gradient flow.

    They lie on the optimal `ray` (with random hidden directions) or are `gaussian`, scaled to the
    same norm. The seed draws bases and start. A unit of time is t*.
    """
    if not targets:
        raise InputError("a target has one singular value or more, and none was given; name them.")
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, len(targets), (2,))
    values = jnp.asarray(targets)
    network = chain((len(targets), *(width,) * (depth - 1), len(targets)))
    problem = Problem(network, Whitened(left * values @ right.T, (left, right)))
    top = jnp.argmax(values)
    if start == "ray":
        params = on_ray(problem, drawn, left[:, top], right[:, top])
    else:
        params = gaussian(network, drawn, std=1.0)
    return Run(problem, ScaledFlow(_unit(scale, depth, values[top])), of_norm(params, scale))


def on_ray(problem: Problem, key: Key[Array, ""], left: Array, right: Array) -> Params:
    """Layers `q_l q_{l−1}ᵀ` from v to u, with random unit vectors in between."""
    (shapes,) = problem.network.shapes
    keys = jax.random.split(key, len(shapes))
    inner = [jax.random.normal(k, (s[0],)) for k, s in zip(keys, shapes[:-1], strict=False)]
    ends = [right, *(q / jnp.linalg.norm(q) for q in inner), left]
    return (tuple(jnp.outer(b, a) for a, b in zip(ends, ends[1:], strict=False)),)


def of_norm(params: Params, norm: Scalar | float) -> Params:
    """The parameters times a number, so that the root of the sum of their squares is `norm`."""
    size = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)))
    return jax.tree.map(lambda leaf: norm / size * leaf, params)


def _unit(scale: Scalar | float, depth: int, strength: Scalar) -> Scalar:
    """The time t* of the ray."""
    if depth == 2:
        return -jnp.log(scale) / strength
    return depth ** (depth / 2 - 1) / ((depth - 2) * strength * scale ** (depth - 2))


# --- what is predicted --------------------------------------------------------------------------

LEVEL = 10.0
"""Times are taken at this many times the norm of the start."""


def _ray(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    start = float(coords["scale"])
    strength = max(coords["targets"])
    return {
        "strength": strength,
        "depth": coords["depth"],
        "start": start,
        "level": LEVEL * start,
    }


def _speed(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"strength": max(coords["targets"]), "depth": coords["depth"]}


EXPERIMENT = Experiment(
    build,
    title="The first escape from the origin",
    time=30.0,
    schedule=logarithmic(200) | linear(600),
    observe=(loss, parameter_norm, escape_rate, escape_alignment),
    statistics=(EscapeRate(), Maximum(escape_alignment)),
    predictions=(Bound(escape_speed, _speed), Bound(escape_time, _ray)),
    coords={
        "depth": (2, 3, 4),
        "start": ("ray", "gaussian"),
        "scale": (1e-1, 1e-2, 1e-4, 1e-6),
        "seed": tuple(range(20)),
    },
    cites=("jacot2021",),
)
