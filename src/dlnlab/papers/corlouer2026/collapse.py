"""Two layers near zero: where the equation of SGD collapses, and where SGD does.

How a small mode of two layers ends, over the step size and the batch. The equation has a boundary
of collapse, η(2s² + ς²) = 2Bs (dashed): without label noise ηs = B. There both ends attract beyond
it, and a start w ends at 0 with the probability 1 − I_{w/s}(½ − c, 1 + c), c = B/(2ηs), else at its
target. **SGD itself does not collapse without label noise**: every factor of a small mode,
1 + ηs x², is above 1. It converges, or it diverges. With label noise ten times the target SGD
collapses as its equation does; its own boundary (dotted), where the Lyapunov exponent of a small
mode E ln|1 + η(s x² + ξx)| changes sign, is nearly the same one.
A mode is at 0 below 10⁻¹² s, at its target within a thousandth of s, or, with label noise, above
10⁻¹² s. Target s = 1, and η in units of the equation's boundary.
"""

from typing import Annotated, Literal

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.stationary import Method, moved, normal_limit, one_mode
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, at, panels, patches_above, swatch, with_axes
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import collapse_edge, collapse_probability, small_mode_exponent
from dlnlab.typing import Any

TARGET = 1.0
AXES = ("dynamics", "label_noise", "batch_size", "edge_ratio", "seed")
TIME_STEP = 0.02
"""Of the equation, in units of 1/s: ln w changes by some 0.2 in a step at the boundary."""

BATCHES = Literal[1, 2, 4, 8]


def build(
    dynamics: Method = "sgd",
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς/s")] = 0.0,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    edge_ratio: Annotated[float, Coordinate(above=0, log=True, symbol="η/η*")] = 1.5,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)/s")] = 0.1,
    seed: int = 0,
) -> Run:
    """One mode of two layers and target 1, at η = edge_ratio · 2Bs/(2s² + ς²).

    A step of the equation takes the time 0.02/s.
    """
    rate = learning_rate(edge_ratio, label_noise, batch_size)
    problem, params = one_mode(dynamics, 2, TARGET, label_noise, start)
    rule = moved(dynamics, rate, batch_size, TIME_STEP / TARGET)
    return Run(problem, rule, params, jax.random.key(seed))


def learning_rate(edge_ratio: Any, label_noise: Any, batch_size: Any) -> Any:
    """η of a given η/η*, η* = 2Bs/(2s² + ς²)."""
    return edge_ratio * 2 * batch_size * TARGET / (2 * TARGET**2 + label_noise**2)


@prediction("ends_at_zero", symbol="P(w → 0)", source="corlouer2026.4")
def ends_at_zero(start: float, label_noise: float, learning_rate: float, batch_size: int) -> Any:
    """The chance that the equation ends at 0: with label noise 1 beyond the boundary, 0 before."""
    if label_noise > 0:
        edge = collapse_edge(TARGET, label_noise, batch_size)
        return np.asarray(float(learning_rate > edge))
    return collapse_probability(start, TARGET, learning_rate, batch_size)


@prediction("small_mode_exponent", symbol="E ln|θ⁺/θ|", source="corlouer2026.4")
def exponent(label_noise: float, learning_rate: float, batch_size: int) -> Any:
    """The Lyapunov exponent of a small mode under SGD, for each step."""
    return np.asarray(small_mode_exponent(TARGET, label_noise, learning_rate, batch_size))


def _rate(coords: dict[str, Any]) -> dict[str, Any]:
    names = ("label_noise", "batch_size")
    kept = {name: coords[name] for name in names}
    return {**kept, "learning_rate": learning_rate(coords["edge_ratio"], **kept)}


EXPERIMENT = Experiment(
    build,
    title="How a small mode of two layers ends",
    steps=8000,
    schedule=Schedule(),
    observe=(mode_values,),
    predictions=(
        Bound(ends_at_zero, lambda coords, measured: {"start": coords["start"], **_rate(coords)}),
        Bound(exponent, lambda coords, measured: _rate(coords)),
    ),
    coords={
        "dynamics": ("sgd", "equation"),
        "label_noise": (0.0, 10.0),
        "batch_size": (1, 2, 4),
        "edge_ratio": (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8),
        "seed": tuple(range(64)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "batch_size": (1, 2, 4, 8, 16),
    "edge_ratio": tuple(float(r) for r in np.geomspace(0.2, 4, 25).round(4)),
    "seed": tuple(range(400)),
    "steps": 20_000,
}

ENDS = ("at 0", "at its target", "neither", "diverged")
LOWEST, NEAR = 1e-12, 1e-3


def ends(measured: xr.Dataset) -> xr.DataArray:
    """How each run ended, as an index into `ENDS`."""
    last = measured.isel(step=-1, pathway=0, mode=0)
    share = last.mode_values / TARGET
    learned = (abs(share - 1) < NEAR) | ((measured.label_noise > 0) & (share > LOWEST))
    found = xr.where(share < LOWEST, 0, xr.where(learned, 1, 2))
    return found.where((last.status != 2) & share.notnull(), 3).astype(int)


def fractions(measured: xr.Dataset) -> xr.DataArray:
    """The fraction of each end in each cell."""
    found = ends(measured)
    return xr.concat([(found == k).mean("seed") for k in range(len(ENDS))], "end")
