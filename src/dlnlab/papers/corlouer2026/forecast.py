"""The variance of a mode's updates announces what is learned next. The mode's speed does so better.

Descent on batches of 10, drawn from a sample of 500, from aligned starts and from Gaussian ones.
The learner sees mini-batches alone. The mean of yxᵀ over all batches so far gives it a basis and
strengths ŝ_a; of its own steps it follows mean and variance, mode by mode, over about 50 steps. The
event, told in the basis of the whole sample: a mode passes half its target. An alarm names a mode
not yet there, and is right where the event comes within the horizon. The even seeds settle the
horizon (the median time from 5 % to half of a target), each forecaster's threshold (the largest F1)
and whether it counts in units in which theory has all modes alike; the odd seeds are what is drawn
and claimed.

The forecasters are the variance, the speed of the mode (the mean of its updates), its growth rate
d ln w/dt and its level w; the norm of the gradient, here even over the whole sample, which names
the strongest mode not yet learned; and the strength of that one alone, the largest unlearned
singular value.

Left, precision against recall as the threshold varies, the one chosen marked, the base rate dotted;
right, how long before the event the first alarm within the horizon sounds, 0 where none does. Bars
are 95 % intervals of the bootstrap over seeds. Above, aligned starts; below, Gaussian ones.
"""

from collections.abc import Callable, Sequence
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
from dlnlab.plotting import (
    COLORS,
    FAINT,
    INK,
    Axes,
    Figure,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.statistics import EstimatedModeUpdates, ModeUpdates
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
    descent = StochasticGradientDescent(learning_rate, batch_size, replacement="with")
    return Run(problem, descent, params, key=batches)


EXPERIMENT = Experiment(
    build,
    title="Which feature is learned next, told from mini-batches",
    steps=2500,
    schedule=linear(251),
    observe=(mode_values, strengths, gradient_norm),
    statistics=(EstimatedModeUpdates(50), ModeUpdates(50)),
    coords={"disorder": (0.0, 1.0), "seed": tuple(range(64))},
    cites=("corlouer2026",),
)

FULL = {
    "disorder": (0.0, 0.5, 1.0),
    "batch_size": (1, 10, 100),
    "width": (10, 100),
    "seed": tuple(range(200)),
}
"""3,600 runs."""

INTERACTIVE = ("estimated_update_variance", "mode_values", "gradient_norm")

EVENT, EARLY = 0.5, 0.05
VARIANCE, SPEED, GROWTH, LEVEL = "variance", "speed", "growth rate", "level"
NORM, STRENGTH = "gradient norm", "singular value"
FORECASTERS = (VARIANCE, SPEED, GROWTH, LEVEL, NORM, STRENGTH)
ALIGNED, GAUSSIAN = 0.0, 1.0

Numbers = np.ndarray[Any, Any]


class Watch(NamedTuple):
    """What was watched: `scores` [seed, step, mode] of each forecaster in one unit or two; `event`,
    when each mode passes half its target (inf if never), `early`, when a twentieth, [seed, mode];
    `time` [step]."""

    scores: dict[str, tuple[Numbers, ...]]
    event: Numbers
    early: Numbers
    time: Numbers

    @property
    def open(self) -> Numbers:
        """Where a mode is still to be learned, [seed, step, mode]."""
        return self.time[:, None] < self.event[:, None, :]

    @property
    def until(self) -> Numbers:
        """The time until it is."""
        return self.event[:, None, :] - self.time[:, None]


class Seen(NamedTuple):
    """What a learner sees of the modes, [seed, step, mode]."""

    variance: Numbers
    speed: Numbers
    level: Numbers
    goal: Numbers


ORDER = ("seed", "step", "mode")


def from_batches(measured: xr.Dataset) -> Seen:
    """What it sees who has mini-batches alone: basis and strengths are estimated."""
    name = "estimated_update_variance"
    columns = (name, f"{name}_mean", f"{name}_level", f"{name}_strength")
    return Seen(*(measured[column].transpose(*ORDER).values for column in columns))


def from_sample(measured: xr.Dataset) -> Seen:
    """What it sees who knows the whole sample, and with it the basis of its E[yxᵀ]."""
    columns = (
        measured.update_variance,
        measured.update_variance_mean,
        measured.mode_values.sum("pathway"),
        measured.strengths,
    )
    return Seen(*(column.transpose(*ORDER).values for column in columns))


View = Callable[[xr.Dataset], Seen]


def watch(measured: xr.Dataset, view: View = from_batches) -> Watch:
    """The forecasters' scores, of what is seen, and the events of all seeds, of what is true."""
    # Before the first batch there is nothing to see.
    measured = measured.isel(step=measured.step > 0)
    value, truth = from_sample(measured)[2:]
    time, depth = measured.time.values, int(measured.depth)
    event, early = (_first(value >= share * truth, time) for share in (EVENT, EARLY))
    variance, speed, level, goal = view(measured)
    unlearned = np.where(time[:, None] < event[:, None, :], goal, 0)
    strongest = (unlearned == unlearned.max(axis=2, keepdims=True)) & (unlearned > 0)
    norm = measured.gradient_norm.transpose("seed", "step").values[..., None]
    growth = np.where(level > 0, speed / np.where(level > 0, level, 1), 0)
    scores = {
        VARIANCE: (variance, variance / goal ** (6 - 4 / depth)),
        SPEED: (speed, speed / goal ** (3 - 2 / depth)),
        GROWTH: (growth, growth / goal ** (2 - 2 / depth)),
        LEVEL: (level, level / goal),
        NORM: (np.where(strongest, norm, 0),),
        STRENGTH: (np.where(strongest, goal, 0),),
    }
    return Watch(scores, event, early, time)


def _first(passed: Numbers, time: Numbers) -> Numbers:
    return np.where(passed.any(axis=1), time[passed.argmax(axis=1)], np.inf)


def halves(measured: xr.Dataset, view: View = from_batches) -> tuple[Watch, Watch]:
    """The even seeds, which settle what is free, and the odd ones; all of them twice if few."""
    if measured.sizes["seed"] < 4:
        return watch(measured, view), watch(measured, view)
    even, odd = (measured.isel(seed=slice(k, None, 2)) for k in (0, 1))
    return watch(even, view), watch(odd, view)


def horizon(train: Watch) -> float:
    """The median time that a mode takes from a twentieth to half of its target."""
    done = np.isfinite(train.event)
    return float(np.median((train.event - train.early)[done])) if done.any() else np.nan


class Curve(NamedTuple):
    """Precision, recall and F1 at each threshold, from the highest down."""

    threshold: Numbers
    precision: Numbers
    recall: Numbers
    f1: Numbers


def curve(seen: Watch, score: Numbers, ahead: float) -> Curve:
    """What alarms at `score ≥ threshold` are worth with this horizon, for every threshold."""
    values, due = score[seen.open], (seen.until <= ahead)[seen.open]
    order = np.argsort(-values, kind="stable")
    values, right = values[order], np.cumsum(due[order])
    last = np.append(values[1:] != values[:-1], True)  # of equal scores all or none
    alarms, total = np.arange(1, values.size + 1), max(1, int(due.sum()))
    made = (values, right / alarms, right / total, 2 * right / (alarms + total))
    return Curve(*(column[last] for column in made))


class Alarm(NamedTuple):
    """What the training seeds settle: the horizon, the unit of the score and the threshold."""

    ahead: float
    unit: int
    threshold: float


def settle(train: Watch, name: str) -> Alarm:
    """The unit and the threshold with the largest F1."""
    ahead, best = horizon(train), (-1.0, 0, np.inf)
    for unit, score in enumerate(train.scores[name]):
        found = curve(train, score, ahead)
        k = int(np.argmax(found.f1))
        best = max(best, (float(found.f1[k]), unit, float(found.threshold[k])))
    return Alarm(ahead, *best[1:])


class Scored(NamedTuple):
    """For each test seed, over the moments of open modes: right alarms, alarms, moments before an
    event, all moments; and the mean lead over learned modes, in units of the horizon."""

    right: Numbers
    alarms: Numbers
    before: Numbers
    all: Numbers
    lead: Numbers


def scored(measured: xr.Dataset, name: str, view: View = from_batches) -> Scored:
    """How a forecaster fares on the test seeds."""
    train, test = halves(measured, view)
    ahead, unit, threshold = settle(train, name)
    alarm = test.open & (test.scores[name][unit] >= threshold)
    due = test.open & (test.until <= ahead)
    right, alarms, before, every = (
        flag.sum(axis=(1, 2)) for flag in (alarm & due, alarm, due, test.open)
    )
    lead = np.where(alarm & due, test.until, 0).max(axis=1) / ahead
    learned = np.isfinite(test.event)
    mean = np.where(learned, lead, 0).sum(axis=1) / np.maximum(1, learned.sum(axis=1))
    return Scored(right, alarms, before, every, mean)


def precision(right: Numbers, alarms: Numbers, *_: Numbers) -> float:
    """The share of alarms that are right."""
    return float(right.sum() / max(1, alarms.sum()))


def recall(right: Numbers, alarms: Numbers, before: Numbers, *_: Numbers) -> float:
    """The share of moments before an event that have an alarm."""
    return float(right.sum() / max(1, before.sum()))


def f1(right: Numbers, alarms: Numbers, before: Numbers, *_: Numbers) -> float:
    """The harmonic mean of the two."""
    return float(2 * right.sum() / max(1, alarms.sum() + before.sum()))


def gain(right: Numbers, alarms: Numbers, before: Numbers, every: Numbers, *_: Numbers) -> float:
    """Precision over the base rate, which is that of alarms at random."""
    return precision(right, alarms) / max(1e-300, before.sum() / every.sum())


def names_next(measured: xr.Dataset, name: str) -> Numbers:
    """For each test seed the share of moments whose largest score is that of the next mode."""
    train, test = halves(measured)
    score = np.where(test.open, test.scores[name][settle(train, name).unit], -np.inf)
    coming = np.where(test.open, test.event[:, None, :], np.inf)
    some = np.isfinite(coming).any(axis=2)
    right = (score.argmax(axis=2) == coming.argmin(axis=2)) & some
    return np.asarray(right.sum(axis=1) / np.maximum(1, some.sum(axis=1)))


Statistic = Callable[..., float]


Group = tuple[Numbers, ...]


def counted(runs: xr.Dataset, *names: str) -> Group:
    """The counts of these forecasters, side by side, with a row for each seed."""
    return tuple(column for name in names for column in scored(runs, name))


def starts(measured: xr.Dataset) -> list[xr.Dataset]:
    """The runs from aligned starts, and those from Gaussian ones."""
    return [measured.sel(disorder=start) for start in (ALIGNED, GAUSSIAN)]


def least(groups: Sequence[Group], of: Statistic) -> tuple[Statistic, Group]:
    """The least that a statistic is of any group, as one of all their columns, and these."""
    width = len(groups[0])

    def found(*columns: Numbers) -> float:
        return min(of(*columns[k : k + width]) for k in range(0, len(columns), width))

    return found, tuple(column for group in groups for column in group)


def worst(measured: xr.Dataset, names: tuple[str, ...], of: Statistic) -> tuple[Statistic, Group]:
    """The least that a statistic of these forecasters is from either start."""
    return least([counted(runs, *names) for runs in starts(measured)], of)


def mean_lead(*columns: Numbers) -> float:
    """The mean of the last of the columns of `Scored`."""
    return float(columns[4].mean())


def advantage(*columns: Numbers) -> float:
    """F1 of the first of two forecasters less that of the second."""
    return f1(*columns[:5]) - f1(*columns[5:])


def check_precision(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Precision over base rate, the lesser of the two starts."""
    return Verdict.bootstrap_at_least(*worst(measured, (VARIANCE,), gain), 2.0)


def check_recall(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Recall, the lesser of the two starts."""
    return Verdict.bootstrap_at_least(*worst(measured, (VARIANCE,), recall), 0.4)


def check_lead(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean lead, the lesser of the two starts."""
    return Verdict.bootstrap_at_least(*worst(measured, (VARIANCE,), mean_lead), 0.4)


def check_speed(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """F1 of the speed less that of the variance, the lesser of the two starts."""
    return Verdict.bootstrap_at_least(*worst(measured, (SPEED, VARIANCE), advantage), 0.0)


def check_level(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of the level."""
    return Verdict.bootstrap_at_least(*worst(measured, (LEVEL, VARIANCE), advantage), 0.0)


def check_others(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """F1 of the variance less that of growth rate, gradient norm, singular value: the least."""
    aligned = starts(measured)[0]
    groups = [counted(aligned, VARIANCE, other) for other in (GROWTH, NORM, STRENGTH)]
    return Verdict.bootstrap_at_least(*least(groups, advantage), 0.0)


def check_gaussian(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """F1 of the gradient norm less that of the variance from Gaussian starts."""
    gaussian = starts(measured)[1]
    return Verdict.bootstrap_at_least(advantage, counted(gaussian, NORM, VARIANCE), 0.0)


def check_names(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of moments at which the largest variance is the next mode's, the lesser start."""
    columns = [names_next(runs, VARIANCE) for runs in starts(measured)]
    return Verdict.bootstrap_at_least(lambda *both: min(map(np.mean, both)), tuple(columns), 0.9)


def check_strongest(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much that share exceeds the one of the strongest mode not yet learned: −its excess,
    the lesser of the two starts."""
    names = (STRENGTH, VARIANCE)
    pairs = [names_next(runs, name) for runs in starts(measured) for name in names]
    return Verdict.bootstrap_at_least(
        lambda a, b, c, d: min(np.mean(a - b), np.mean(c - d)), tuple(pairs), -0.1
    )


def check_basis(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """F1 of the variance in the estimated basis less that in the sample's, the lesser start."""
    groups = [
        (*scored(runs, VARIANCE), *scored(runs, VARIANCE, from_sample)) for runs in starts(measured)
    ]
    return Verdict.bootstrap_at_least(*least(groups, advantage), -0.1)


SETTING = (
    "L = 3, d = 5, width 10, teacher diag(5, …, 1), ς = 0.1, 500 samples, batches of 10, η = 0.004",
    "thresholds, units and horizon from the even seeds, scores from the odd ones",
)
BOTH = (*SETTING, "from aligned and from Gaussian starts")
CLAIMS = (
    Claim(
        "corlouer2026.7",
        "The variance of a mode's updates announces that it will be learned: the precision of its "
        "alarms is more than twice the base rate.",
        check_precision,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7a",
        "The alarm is on in more than 40 % of the moments within the horizon before an event.",
        check_recall,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7b",
        "The first alarm within the horizon sounds more than 0.4 of it before the event in the "
        "mean, an event without one counted as 0.",
        check_lead,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7c",
        "It does not beat the speed of the mode, the mean of the same updates, which has the "
        "larger F1.",
        check_speed,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7d",
        "Nor does it beat the value that the mode has already.",
        check_level,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7e",
        "From aligned starts it beats growth rate, gradient norm and the largest unlearned "
        "singular value.",
        check_others,
        (*SETTING, "from aligned starts"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.7f",
        "From Gaussian starts the gradient norm beats it.",
        check_gaussian,
        (*SETTING, "from Gaussian starts"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.7g",
        "The mode of the largest variance is the one learned next at more than 90 % of moments.",
        check_names,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7h",
        "That is no more often, within a tenth of moments, than the strongest mode not yet "
        "learned is.",
        check_strongest,
        BOTH,
        statistical=True,
    ),
    Claim(
        "corlouer2026.7i",
        "Mini-batches are enough: to know the sample's basis instead of estimating it adds less "
        "than a tenth to the F1 of the variance.",
        check_basis,
        BOTH,
        statistical=True,
    ),
)

SHADES = (*COLORS[:4], COLORS[6], FAINT)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Precision against recall, and lead times: a row for each start."""
    measured = with_axes(measured, predicted, ("disorder", "seed"))[0]
    extra = {dim: 0 for dim in measured.mode_values.dims if dim not in KEPT}
    measured = measured.isel(extra)
    rows = measured.disorder.values
    figure, axes = panels(rows.size, 2, height=0.6 + 1.9 * rows.size, sharex="col")
    for start, left, right in zip(rows, axes[::2], axes[1::2], strict=True):
        runs = measured.sel(disorder=start)
        _curves(left, runs)
        _leads(right, runs)
        name = {ALIGNED: "aligned starts", GAUSSIAN: "Gaussian starts"}.get(float(start))
        left.set_title(name or f"starts of disorder {start:g}")
    axes[-2].set_xlabel("recall")
    axes[-1].set_xlabel("lead, in units of the horizon")
    marks = zip(FORECASTERS, SHADES, strict=True)
    legend_above(figure, [key(name, color) for name, color in marks], columns=3)
    return figure


KEPT = ("disorder", "seed", "step", "mode", "pathway")


def _curves(ax: Axes, runs: xr.Dataset) -> None:
    train, test = halves(runs)
    for name, color in zip(FORECASTERS, SHADES, strict=True):
        chosen, counts = settle(train, name), scored(runs, name)
        if not np.isfinite(chosen.threshold):
            continue
        found = curve(test, test.scores[name][chosen.unit], chosen.ahead)
        many = found.recall > 0.02  # of fewer alarms the precision is noise
        ax.plot(found.recall[many], found.precision[many], color=color, lw=1.3)
        place = recall(*counts), precision(*counts)
        reach = [_reach(counts, statistic) for statistic in (recall, precision)]
        ax.errorbar(*place, reach[1], reach[0], fmt="o", ms=4, color=color, lw=1, zorder=3)
    base = counts.before.sum() / max(1, counts.all.sum())
    ax.axhline(base, color=INK, lw=0.8, ls=":")
    ax.set(ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))


def _reach(columns: tuple[Numbers, ...], statistic: Statistic) -> Numbers:
    """How far the 95 % interval of a statistic reaches below and above it."""
    value = statistic(*columns)
    low, high = (value, value) if len(columns[0]) < 2 else bootstrap_interval(statistic, columns)
    return np.array([[max(0, value - low)], [max(0, high - value)]])


def _leads(ax: Axes, runs: xr.Dataset) -> None:
    for k, (name, color) in enumerate(zip(FORECASTERS, SHADES, strict=True)):
        counts = scored(runs, name)
        mean = mean_lead(*counts)
        ax.barh(k, mean, color=color, height=0.6)
        ax.errorbar(mean, k, xerr=_reach(counts, mean_lead), color=INK, lw=0.8)
    ax.set(xlim=(0, 1), yticks=range(len(FORECASTERS)), yticklabels=FORECASTERS)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
