"""Can the variance of a mode's updates announce which feature is learned next? Yes; others do so
better.

Descent on batches of 10 from a sample of 500, from Gaussian starts. The learner knows its sample,
and with it the basis of its E[yxᵀ] and the strengths s_a; along the run it sees its own steps, whose
mean and variance it follows mode by mode with weights that fall over 50 steps. The event: a mode
passes half its target. An alarm names a mode not yet there, and is right where the event comes
within the horizon. On the even seeds the horizon is fixed (the median time from 5 % to half of a
target) and each forecaster's threshold (the largest F1); what is drawn is of the odd ones.

The forecasters are the variance V, the speed and the growth rate of the mode, its level w/s, each
in the units in which theory has all modes alike (s^{6−4/L}, s^{3−2/L}, s^{2−2/L}, s); the norm of
the gradient over the sample, which names the strongest mode not yet learned, as does the last, the
largest unlearned singular value alone. Left, precision against recall over all thresholds, with the
base rate dotted. Middle, precision and recall at the threshold. Right, how long before the event
the first alarm within the horizon sounds, 0 where none does. Bars are 95 % intervals of the
bootstrap over seeds.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict, bootstrap_interval
from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.experiment import Experiment
from dlnlab.initialization import disordered
from dlnlab.networks import chain
from dlnlab.observables import gradient_norm, mode_values, observable
from dlnlab.plotting import COLORS, FAINT, Figure, key, legend_above, panels, with_axes
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import ModeUpdates
from dlnlab.tasks import teacher_samples
from dlnlab.typing import Any, Array, Float, Params


@observable(dims=("mode",), symbol="s_a", formula="singular values of E[yxᵀ] of the task")
def strengths(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """The target's singular values, of samples those of their `E[yxᵀ]`, which a learner knows."""
    return jnp.asarray(problem.task.strengths)


def build(
    disorder: Annotated[float, Coordinate(least=0, most=1, symbol="p")] = 1.0,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 10,
    samples: Annotated[int, Coordinate(least=1, most=100_000, symbol="n")] = 500,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.1,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.004,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    width: Annotated[int, Coordinate(least=1, most=500)] = 10,
    dimension: Annotated[int, Coordinate(least=1, most=50, symbol="d")] = 5,
    scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    seed: int = 0,
) -> Run:
    """A chain on n samples of the teacher diag(d, …, 1); the seed draws sample, start, batches."""
    data, start, batches = jax.random.split(jax.random.key(seed), 3)
    target = jnp.diag(jnp.arange(dimension, 0.0, -1.0))
    task = teacher_samples(data, target, samples, label_noise)
    problem = Problem(chain((dimension, *(width,) * (depth - 1), dimension)), task)
    params = disordered(problem, start, scale, disorder)
    return Run(problem, StochasticGradientDescent(learning_rate, batch_size), params, key=batches)


EXPERIMENT = Experiment(
    build,
    title="Which feature is learned next, told from mini-batches",
    steps=2500,
    schedule=linear(501),
    observe=(mode_values, strengths, gradient_norm),
    statistics=(ModeUpdates(50),),
    coords={"seed": tuple(range(64))},
    cites=("corlouer2026",),
)

FULL = {
    "disorder": (0.0, 0.5, 1.0),
    "batch_size": (1, 10, 100),
    "width": (10, 100),
    "seed": tuple(range(200)),
}
"""3,600 runs."""

INTERACTIVE = ("update_variance", "mode_values", "gradient_norm")

EVENT, EARLY = 0.5, 0.05
VARIANCE, LEVEL = "variance", "level"


class Watch(NamedTuple):
    """What was watched: `scores` [seed, step, mode] by forecaster; `event`, when each mode passes
    half its target (inf if never), [seed, mode]; `early`, when it passes a twentieth; `time`."""

    scores: dict[str, np.ndarray[Any, Any]]
    event: np.ndarray[Any, Any]
    early: np.ndarray[Any, Any]
    time: np.ndarray[Any, Any]

    @property
    def open(self) -> np.ndarray[Any, Any]:
        """Where a mode is still to be learned, [seed, step, mode]."""
        return self.time[:, None] < self.event[:, None, :]

    @property
    def until(self) -> np.ndarray[Any, Any]:
        """The time until it is."""
        return self.event[:, None, :] - self.time[:, None]


def watch(measured: xr.Dataset) -> Watch:
    """The forecasters' scores and the events of all seeds."""
    order = ("seed", "step", "mode")
    values = measured.mode_values.sum("pathway").transpose(*order).values
    goal = measured.strengths.transpose(*order).values
    level, depth = values / goal, int(measured.depth)
    speed = measured.update_variance_mean.transpose(*order).values
    time = measured.time.values

    def first(share: float) -> np.ndarray[Any, Any]:
        passed = level >= share
        return np.where(passed.any(axis=1), time[passed.argmax(axis=1)], np.inf)

    event = first(EVENT)
    unlearned = np.where(time[:, None] < event[:, None, :], goal, 0)
    next_one = (unlearned == unlearned.max(axis=2, keepdims=True)) & (unlearned > 0)
    norm = measured.gradient_norm.transpose("seed", "step").values[..., None]
    scores = {
        VARIANCE: measured.update_variance.transpose(*order).values / goal ** (6 - 4 / depth),
        "speed": speed / goal ** (3 - 2 / depth),
        "growth rate": np.where(level > 0, speed / np.where(level > 0, values, 1), 0)
        / goal ** (2 - 2 / depth),
        LEVEL: level,
        "gradient norm": np.where(next_one, norm, 0),
        "singular value": np.where(next_one, goal, 0),
    }
    return Watch(scores, event, first(EARLY), time)


def halves(measured: xr.Dataset) -> tuple[Watch, Watch]:
    """The even seeds, which settle horizon and thresholds, and the odd ones; all twice if few."""
    if measured.sizes["seed"] < 4:
        return watch(measured), watch(measured)
    return tuple(watch(measured.isel(seed=slice(k, None, 2))) for k in (0, 1))  # type: ignore[return-value]


def horizon(train: Watch) -> float:
    """The median time that a mode takes from a twentieth to half of its target."""
    done = np.isfinite(train.event)
    return float(np.median((train.event - train.early)[done])) if done.any() else np.nan


class Counts(NamedTuple):
    """For each seed the moments of open modes: alarms that are right, alarms, moments before an
    event, and all."""

    right: np.ndarray[Any, Any]
    alarms: np.ndarray[Any, Any]
    before: np.ndarray[Any, Any]
    all: np.ndarray[Any, Any]


def count(seen: Watch, name: str, threshold: float, ahead: float) -> Counts:
    """What alarms at `score ≥ threshold` are worth with this horizon."""
    alarm = seen.open & (seen.scores[name] >= threshold)
    due = seen.open & (seen.until <= ahead)
    return Counts(*(flag.sum(axis=(1, 2)) for flag in (alarm & due, alarm, due, seen.open)))


def precision(right: Any, alarms: Any, *_: Any) -> float:
    """The share of alarms that are right, 0 where there is none."""
    return float(np.sum(right) / max(1, np.sum(alarms)))


def recall(right: Any, alarms: Any, before: Any, *_: Any) -> float:
    """The share of moments before an event that have an alarm."""
    return float(np.sum(right) / max(1, np.sum(before)))


def f1(right: Any, alarms: Any, before: Any, *_: Any) -> float:
    """The harmonic mean of the two."""
    return float(2 * np.sum(right) / max(1, np.sum(alarms) + np.sum(before)))


def base_rate(right: Any, alarms: Any, before: Any, every: Any) -> float:
    """The share of moments before an event among all: the precision of an alarm at random."""
    return float(np.sum(before) / max(1, np.sum(every)))


def candidates(seen: Watch, name: str) -> np.ndarray[Any, Any]:
    """Thresholds to choose from: quantiles of the scores above zero."""
    scores = seen.scores[name][seen.open]
    above = scores[scores > 0]
    return np.unique(np.quantile(above, np.linspace(0, 1, 201))) if above.size else np.ones(1)


def threshold(train: Watch, name: str) -> float:
    """That with the largest F1 on the training seeds."""
    ahead, levels = horizon(train), candidates(train, name)
    return float(levels[np.argmax([f1(*count(train, name, level, ahead)) for level in levels])])


def scored(measured: xr.Dataset, name: str) -> Counts:
    """The counts of a forecaster on the test seeds."""
    train, test = halves(measured)
    return count(test, name, threshold(train, name), horizon(train))


def leads(measured: xr.Dataset, name: str) -> np.ndarray[Any, Any]:
    """For each test seed the mean over its learned modes of the time from the first alarm within
    the horizon to the event, 0 where none sounded, in units of the horizon."""
    train, test = halves(measured)
    ahead = horizon(train)
    alarm = test.scores[name] >= threshold(train, name)
    due = test.open & (test.until <= ahead) & alarm
    lead = np.where(due, test.until, 0).max(axis=1) / ahead
    return np.nanmean(np.where(np.isfinite(test.event), lead, np.nan), axis=1)
