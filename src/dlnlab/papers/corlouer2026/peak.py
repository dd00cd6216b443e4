"""Where the diffusion of a mode peaks, and where it has no peak before the mode is learned.

One mode under SGD, one sample at a time, at several depths L and label noises ς. D is measured from
the steps that SGD takes: the mean square of a step less its drift, among all steps from about the
same value w. Left: some of these profiles, with the formula. Middle: where they peak. Up to
ς/s = L/(2√((L−1)(3L−2))) D has a maximum before the mode is learned; beyond that (grey) it has
none, and D is largest at the end: "noise peaks before learning" is false there.
Right: D at the peak over D of the learned mode, which falls to 1 still earlier.

The null: without label noise D is proportional to the squared speed, so that its peak is that of
the speed, and nothing that noise announces.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.observables import mode_diffusion, mode_values
from dlnlab.papers.corlouer2026.modes import LEARNED, teacher
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.state import Step
from dlnlab.statistics import Statistic
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.noise import (
    label_noise_global_limit,
    label_noise_peak_limit,
    noise_peak,
    peak_share,
    speed_peak,
)
from dlnlab.typing import Any, Array, Params


def build(
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    limit_ratio: Annotated[float, Coordinate(least=0, symbol="ς/ς*")] = 0.5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.002,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.05,
    seed: int = 0,
) -> Run:
    """SGD on batches of one before a target of 1, at limit_ratio times the label noise from which
    on there is no peak before learning; balanced layers, `start` their product."""
    problem = teacher((1.0,), (1,) * (depth + 1), limit_ratio * label_noise_peak_limit(depth))
    moves = StochasticGradientDescent(learning_rate)
    return Run(problem, moves, scaled_identity(problem, (start,)), jax.random.key(seed))

EDGES = np.arange(0.0, 1.1001, 0.025)
"""Between which values w/s steps are counted together."""


@dataclass(frozen=True)
class StepProfile(Statistic):
    """The steps of the first mode by the value that they started from, [bin, moment].

    Their number, the sums of Δw and of Δw², and that of the diffusion per unit of η/B which the
    weights have there. Steps from beyond the edges are left out.
    """

    @property
    def name(self) -> str:
        return "step_profile"

    @property
    def dims(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("bin", "moment")

    def init(self, problem: Problem, params: Params) -> Array:
        return jnp.zeros((len(EDGES) - 1, 4))

    def update(self, problem: Problem, memory: Any, step: Step) -> Array:
        before, after = (mode_values(problem, state)[0, 0] for state in (step.before, step.after))
        heat = mode_diffusion(problem, step.before)[0]
        move = after - before
        place = jnp.searchsorted(jnp.asarray(EDGES), before) - 1
        here = (jnp.arange(len(EDGES) - 1) == place)[:, None]
        return memory + here * jnp.stack([jnp.ones_like(move), move, move**2, heat])

    def read(self, problem: Problem, memory: Any, params: Params, status: Array) -> Array:
        return jnp.asarray(memory)


def _target(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    noise = coords["limit_ratio"] * label_noise_peak_limit(coords["depth"])
    return {"depth": coords["depth"], "target": 1.0, "label_noise": noise}


EXPERIMENT = Experiment(
    build,
    title="The peak of a mode's diffusion, and where there is none",
    steps=2500,
    schedule=Schedule(),
    observe=(mode_values,),
    statistics=(StepProfile(),),
    predictions=(Bound(noise_peak, _target),),
    coords={
        "depth": (2, 3, 4, 6),
        "limit_ratio": (0.0, 0.5, 0.75, 0.95, 1.1, 1.5),
        "seed": tuple(range(128)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "limit_ratio": (0.0, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.5, 2.0),
    "seed": tuple(range(2000)),
}
"""112,000 runs."""

SHARES = (EDGES[1:] + EDGES[:-1]) / 2
BEFORE = (SHARES > 0.15) & (SHARES < LEARNED)


# --- what is measured ---------------------------------------------------------------------------


class Profile(NamedTuple):
    """By w/s: D per unit of η/B from the steps and at the weights, the mean speed, the counts."""

    steps: Floats
    weights: Floats
    speed: Floats
    counts: Floats


def profile(lanes: xr.Dataset) -> Profile:
    """The profile of some seeds at one depth and label noise; NaN where few steps began."""
    rate = float(lanes.learning_rate)
    sums = lanes.step_profile.isel(step=-1).transpose("seed", "bin", "moment").values.sum(axis=0)
    counts = np.where(sums[:, 0] >= 100, sums[:, 0], np.nan)
    mean = sums[:, 1] / counts
    spread = (sums[:, 2] / counts - mean**2) / rate**2
    return Profile(spread, sums[:, 3] / counts, mean / rate, counts)


def lane_of(measured: xr.Dataset, depth: int, ratio: float) -> xr.Dataset:
    return measured.sel(depth=depth, limit_ratio=ratio)


def vertex(values: Floats, counts: Floats) -> float:
    """Where a profile is largest before learning: of a quartic through it, weighted by counts."""
    keep = BEFORE & np.isfinite(values)
    weight = np.sqrt(counts[keep]) / np.maximum(values[keep], values[keep].max() / 20)
    curve = np.polyfit(SHARES[keep], values[keep], 4, w=weight)
    fine = np.linspace(SHARES[keep][0], SHARES[keep][-1], 2001)
    return float(fine[np.argmax(np.polyval(curve, fine))])


def vertices(lanes: xr.Dataset, of: str) -> tuple[float, float]:
    """The vertex and its standard error, from eight parts of the seeds left out in turn."""
    seeds = np.arange(lanes.sizes["seed"])

    def found(kept: Floats) -> float:
        made = profile(lanes.isel(seed=kept))
        return vertex(getattr(made, of), made.counts)

    parts = [found(np.setdiff1d(seeds, fold)) for fold in np.array_split(seeds, 8)]
    return found(seeds), float(np.sqrt((len(parts) - 1) * np.var(parts)))


def bump(values: Floats) -> tuple[float, float]:
    """Where a profile has a maximum before learning from which it falls, and its value; or NaN."""
    keep = BEFORE & np.isfinite(values)
    shares, heat = SHARES[keep], values[keep]
    inner = np.flatnonzero((heat[1:-1] > heat[:-2]) & (heat[1:-1] >= heat[2:])) + 1
    if not inner.size:
        return np.nan, np.nan
    best = inner[np.argmax(heat[inner])]
    return float(shares[best]), float(heat[best])


def at_end(values: Floats) -> float:
    """A profile at the learned mode."""
    return float(np.nanmean(values[np.abs(SHARES - 1) < 0.04]))


def cells(measured: xr.Dataset) -> list[tuple[int, float]]:
    return [(int(d), float(r)) for d in measured.depth.values for r in measured.limit_ratio.values]

CLAIMS=()
