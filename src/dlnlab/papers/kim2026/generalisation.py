"""Do re-balanced networks generalise better? A little, where there are fewer samples than inputs.

Linear pathways on noisy samples of a teacher of rank one, from the same Gaussian start with a
small step and with one at the edge, each until it fits its samples. With fewer samples than inputs
many maps fit them, and the start and the path decide: test errors are compared in pairs at equal
(vanishing) training loss. With more samples than inputs the least-squares map is unique, and both
end at it: there is no difference to be had, however the mode is divided.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import square
from dlnlab.observables import end_to_end, gradient_norm, loss, shares, test_loss
from dlnlab.plotting import COLORS, INK, Figure, panels
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.statistics import FirstRise
from dlnlab.tasks import teacher_samples
from dlnlab.typing import Any


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.4,
    samples: Annotated[int, Coordinate(least=1, most=10_000, symbol="n")] = 8,
    depth: Annotated[int, Coordinate(least=2, most=50, symbol="L")] = 3,
    pathways: Annotated[int, Coordinate(least=1, most=16, symbol="H")] = 2,
    dimension: Annotated[int, Coordinate(least=1, most=200, symbol="d")] = 12,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.3,
    scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    rank: Annotated[int, Coordinate(least=1, most=200)] = 1,
    seed: int = 0,
) -> Run:
    """Pathways of Gaussian matrices on n noisy samples of a projector of the given rank.

    The held-out inputs are √d times the unit vectors, without noise, so that the test loss is
    exactly `½‖W − M‖²_F`, the error over the whole population. The seed draws sample and start.
    """
    if rank > dimension:
        raise InputError(
            f"a map of {dimension} inputs has no rank {rank}; lower --rank or raise --dimension."
        )
    teacher = jnp.diag((jnp.arange(dimension) < rank).astype(float))
    probe = dimension**0.5 * jnp.eye(dimension)
    data, start = jax.random.split(jax.random.key(seed))
    held_out = (probe, probe @ teacher.T)
    task = teacher_samples(data, teacher, samples, label_noise, held_out)
    problem = Problem(square(dimension, (depth,) * pathways), task)
    params = gaussian(problem.network, start, std=scale ** (1 / depth) / dimension**0.5)
    return Run(problem, GradientDescent(learning_rate), params)


FEW, MANY = 8, 40
SMALL, LARGE = 0.1, 0.4

EXPERIMENT = Experiment(
    build,
    title="Test error of re-balanced against single-path solutions",
    steps=6000,
    schedule=Schedule(),
    observe=(loss, test_loss, gradient_norm, shares, end_to_end),
    statistics=(FirstRise(),),
    coords={
        "samples": (FEW, MANY),
        "learning_rate": (SMALL, LARGE),
        "seed": tuple(range(100)),
    },
    cites=("kim2026",),
)

FULL = {
    "samples": (4, 6, 8, 10, MANY),
    "depth": (2, 3, 5),
    "label_noise": (0.0, 0.3, 1.0),
    "learning_rate": (SMALL, 0.2, LARGE),
    "seed": tuple(range(300)),
    "steps": 20_000,
}
"""40,500 runs of 20,000 steps."""

FITTED = 1e-4
"""A training loss below this share of the test loss counts as vanished."""

AT_REST = 3e-5
"""A run whose gradient is no longer than this has come to rest."""


def pairs(measured: xr.Dataset, samples: int) -> xr.Dataset:
    """For each start where only the large step passed the edge and both fitted their samples, or
    came to rest: the relative difference of test losses, and the fall of the top share."""
    one = measured.sel(samples=samples).isel(step=-1)
    small, large = one.sel(learning_rate=SMALL), one.sel(learning_rate=LARGE)
    top = one.shares.isel(mode=0).max("pathway")
    fall = top.sel(learning_rate=SMALL) - top.sel(learning_rate=LARGE)
    done = (one.loss < FITTED * one.test_loss) | (one.gradient_norm < AT_REST)
    passed = (large.first_rise_step >= 0) & (small.first_rise_step < 0)
    kept = done.all("learning_rate") & passed
    change = (large.test_loss - small.test_loss) / small.test_loss
    return xr.Dataset({"change": change, "fall": fall}).where(kept, drop=True)


def check_better(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean relative gain in test error, over the starts that re-balanced."""
    return Verdict.mean_at_least(-pairs(measured, FEW).change.values, 0.0)


def check_small(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Whether the mean gain stays below 5 %: −gain is at least −0.05."""
    return Verdict.mean_at_least(pairs(measured, FEW).change.values, -0.05)


def check_unique(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far apart the two end-to-end maps are with more samples than inputs, where both came to
    rest (NaN unless at least half did)."""
    one = measured.sel(samples=MANY).isel(step=-1)
    small, large = one.sel(learning_rate=SMALL), one.sel(learning_rate=LARGE)
    settled = (one.gradient_norm < AT_REST).all("learning_rate")
    axes = ["output", "input"]
    apart = np.sqrt(((large.end_to_end - small.end_to_end) ** 2).sum(axes))
    whole = np.sqrt((small.end_to_end**2).sum(axes))
    found = (apart / whole).values[settled.values]
    enough = found.size >= settled.size / 2
    return Verdict.at_most(found.max() if enough else np.nan, 1e-3, sample_size=found.size)


SETTING = "L = 3, two pathways, d = 12, ς = 0.3, scale 0.01, rank one"
CLAIMS = (
    Claim(
        "kim2026.10",
        "With fewer samples than inputs re-balanced solutions have a lower test error than those "
        "of small steps, at equal (vanishing) training loss: the mean gain is positive.",
        check_better,
        (SETTING, "8 samples", "starts that passed the edge under the large step only"),
        statistical=True,
    ),
    Claim(
        "kim2026.10a",
        "That gain is small: less than 5 % of the test error in the mean.",
        check_small,
        (SETTING, "8 samples"),
        statistical=True,
    ),
    Claim(
        "kim2026.10b",
        "With more samples than inputs both end at the same map, within 0.1 %: there is no "
        "difference in test error.",
        check_unique,
        (SETTING, "40 samples", "runs that came to rest"),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The relative change of the test error against the fall of the top share, start by start."""
    figure, axes = panels(1, 2, height=2.5, sharey=False)
    for ax, samples, color in zip(axes, (FEW, MANY), COLORS, strict=False):
        found = pairs(measured, samples)
        ax.axhline(0, color=INK, linewidth=0.6, zorder=1)
        ax.plot(found.fall, 100 * found.change, "o", color=color, ms=3, alpha=0.7, zorder=2)
        _mean(ax, 100 * found.change.values)
        ax.set(xlabel="fall of the top share", title=f"n = {samples} samples, d = 12 inputs")
    axes[0].set_ylabel("change of the test error, %")
    return figure


def _mean(ax: Any, change: Any) -> None:
    if change.size < 2:
        return
    mean, error = change.mean(), 1.96 * change.std(ddof=1) / change.size**0.5
    ax.annotate(
        f"mean {mean:.2g} ± {error:.2g} %\n({change.size} pairs, 95 %)",
        (0.98, 0.03),
        xycoords="axes fraction",
        ha="right",
        va="bottom",
        fontsize=7,
    )
