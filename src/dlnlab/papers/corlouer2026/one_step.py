"""How one batch moves the modes, at random weights and at aligned ones, against the exact formulas.

Thousands of batches, each taken with a step η and with 2η from the same weights. The differences of
first and second order in η are, in turn, what a mode moves by along the batch's gradient, and by
its curvature. Their means and variances need no formula: they are what drift, diffusion (of each
mode, and of modes together) and Itô drift are predictions of. Descent gives what is no noise.

At aligned weights different modes do not diffuse together. They do drift together: the Itô drift
of a mode is not that of its own noise alone, which is all that one equation for each mode has.
"""

from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.modes import matrix_dynamics, teacher
from dlnlab.plotting import COLORS, Axes, Figure, at, key, legend_above, panels
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import ito_parts, mode_motion
from dlnlab.typing import Any

Start = Literal["aligned", "random"]


def build(
    dynamics: Literal["descent", "langevin", "sgd"] = "sgd",
    start: Start = "random",
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 1e-4,
    batch_size: Annotated[int, Coordinate(least=1, symbol="B")] = 1,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.5,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 4,
    seed: int = 0,
) -> Run:
    """One batch at fixed weights before the teacher diag(2, 1, ½); the seed draws the batch.

    `aligned`: balanced diagonal layers, of values (1, 0.7, 0.2). `random`: Gaussian entries.
    """
    problem = teacher(TARGETS, (3,) * (depth + 1), label_noise)
    params = (tuple(jnp.asarray(layer, float) for layer in weights(start, depth)),)
    moves = matrix_dynamics(dynamics, learning_rate, batch_size)
    return Run(problem, moves, params, jax.random.key(seed))


TARGETS, ALIGNED = (2.0, 1.0, 0.5), (1.0, 0.7, 0.2)


def weights(start: str, depth: int) -> list[Floats]:
    """The layers of one of the two starts, which no seed changes."""
    if start == "aligned":
        return [np.diag(np.power(ALIGNED, 1 / depth))] * depth
    return list(np.random.default_rng(5).normal(scale=3**-0.5, size=(depth, 3, 3)))


# --- what is predicted --------------------------------------------------------------------------


@prediction("mode_drift", dims=("mode",), symbol="ẇ_a", source="corlouer2026.1")
def exact_drift(start: str, depth: int) -> Floats:
    """The drift of each mode at the weights of a start."""
    return mode_motion(weights(start, depth), np.diag(TARGETS), 0.0, 1.0, 1).mode_drift


@prediction("mode_diffusion", dims=("mode", "other"), symbol="D_ab·B/η", source="corlouer2026.1")
def exact_diffusion(start: str, depth: int, label_noise: float) -> Floats:
    """The diffusion of modes together, per unit of η/B."""
    found = mode_motion(weights(start, depth), np.diag(TARGETS), label_noise, 1.0, 1)
    return found.mode_diffusion


@prediction("mode_ito_drift", dims=("mode",), symbol="I_a·B/η", source="corlouer2026.1")
def exact_ito(start: str, depth: int, label_noise: float) -> Floats:
    """The Itô drift, per unit of η/B."""
    return mode_motion(weights(start, depth), np.diag(TARGETS), label_noise, 1.0, 1).ito_drift


@prediction("mode_ito_drift", dims=("mode",), symbol="I_a·B/η", source="corlouer2026.2")
def own_ito(start: str, depth: int, label_noise: float) -> Floats:
    """The own part of it, of aligned weights; of others NaN."""
    if start != "aligned":
        return np.full(len(TARGETS), np.nan)
    return ito_parts(ALIGNED, TARGETS, depth, label_noise, 1.0, 1).own


RATE = 1e-4

EXPERIMENT = Experiment(
    build,
    title="One batch: drift, diffusion and Itô drift of the modes",
    steps=1,
    schedule=linear(2),
    observe=(mode_values,),
    predictions=(Bound(exact_drift), Bound(exact_diffusion), Bound(exact_ito), Bound(own_ito)),
    coords={
        "dynamics": ("descent", "langevin", "sgd"),
        "start": ("aligned", "random"),
        "learning_rate": (RATE, 2 * RATE),
        "seed": tuple(range(1024)),
    },
    cites=("corlouer2026",),
)

FULL = {"seed": tuple(range(100_000))}
"""1,200,000 batches."""

NOISY = ("langevin", "sgd")


# --- what is measured ---------------------------------------------------------------------------


class Moves(NamedTuple):
    """Of every batch, [seed, mode]: the moves of first and of second order, per η and per η²."""

    first: Floats
    second: Floats


def moves(measured: xr.Dataset, dynamics: str, start: str) -> Moves:
    """From w(η) and w(2η): `(4w(η) − w(2η) − 3w(0))/2η` and `(w(2η) − 2w(η) + w(0))/η²`.

    They err by η² and by η times the next derivative of w along the gradient.
    """
    if measured.sizes.get("learning_rate") != 2:
        raise InputError(
            "learning_rate needs two values here, η and 2η, from the same weights; give both."
        )
    lane = measured.mode_values.isel(pathway=0).sel(dynamics=dynamics, start=start)
    values = lane.transpose("learning_rate", "step", "seed", "mode").values
    rate = float(measured.learning_rate[0])
    zero, once, twice = values[0, 0], values[0, 1], values[1, 1]
    first = (4 * once - twice - 3 * zero) / (2 * rate)
    return Moves(first, (twice - 2 * once + zero) / rate**2)


def estimates(measured: xr.Dataset, dynamics: str, start: str) -> dict[str, tuple[Floats, Floats]]:
    """Drift, diffusion of modes together and Itô drift, per unit of η/B, with standard errors."""
    found, free = (moves(measured, name, start) for name in (dynamics, "descent"))
    batch, count = float(measured.batch_size), len(found.first)
    away = found.first - found.first.mean(axis=0)
    pairs = batch * np.einsum("ka,kb->kab", away, away)
    bend = batch * (found.second - free.second.mean(axis=0)) / 2
    parts = {"drift": found.first, "diffusion": pairs, "ito": bend}
    return {
        name: (part.mean(axis=0), part.std(axis=0, ddof=1) / count**0.5)
        for name, part in parts.items()
    }


SAID = {"drift": "exact_drift", "diffusion": "exact_diffusion", "ito": "exact_ito"}


def departures(measured: xr.Dataset, predicted: xr.Dataset, start: str) -> Floats:
    """All estimates less what is predicted, in standard errors."""
    found = []
    for name in [name for name in np.atleast_1d(measured.dynamics) if name in NOISY]:
        for part, (value, error) in estimates(measured, name, start).items():
            said = at(predicted[SAID[part]], dynamics=name, start=start).isel(
                learning_rate=0, seed=0
            )
            found.append(((value - said.values) / error).ravel())
    return np.concatenate(found)


def threshold(count: int) -> float:
    """What the largest of so many standard normal numbers stays below, but for the false alarms."""
    import scipy.stats

    return float(scipy.stats.norm.isf(FALSE_ALARM / STATISTICAL_CLAIMS / 2 / count))


def _within(away: Floats) -> Verdict:
    worst = float(np.abs(away).max())
    return Verdict.at_most(worst, threshold(away.size), sample_size=away.size)


def check_random(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure, in standard errors, at random weights."""
    return _within(departures(measured, predicted, "random"))


def check_aligned(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure, in standard errors, at aligned weights."""
    return _within(departures(measured, predicted, "aligned"))


def check_apart(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest diffusion of two different aligned modes together, in standard errors."""
    away = []
    for name in NOISY:
        value, error = estimates(measured, name, "aligned")["diffusion"]
        away.append((value / error)[~np.eye(len(value), dtype=bool)])
    return _within(np.concatenate(away))


def check_cross(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """By how much the Itô drift of aligned modes exceeds that of their own noise, in the units of
    the standard error, for the mode in which it is most; SGD."""
    value, error = estimates(measured, "sgd", "aligned")["ito"]
    own = at(predicted.own_ito, dynamics="sgd", start="aligned").isel(learning_rate=0, seed=0)
    excess = np.abs(value - own.values) / error
    return Verdict.at_least(float(excess.max()), threshold(excess.size), sample_size=excess.size)


SETTING = ("white Gaussian inputs and label noise", "L = 4, d = 3")
CLAIMS = (
    Claim(
        "corlouer2026.1a",
        "At any weights the moves of modes by a batch have the drift, the diffusion and the Itô "
        "drift of the exact formulas: no estimate departs beyond chance, SGD or its equation.",
        check_random,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.1b",
        "So do those at aligned, balanced weights.",
        check_aligned,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2d",
        "Aligned modes do not diffuse together.",
        check_apart,
        SETTING,
        statistical=True,
    ),
    Claim(
        "corlouer2026.2e",
        "They do drift together: the Itô drift of aligned modes is measurably not that of their "
        "own noise alone.",
        check_cross,
        SETTING,
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------

LABELS = {"drift": "drift", "diffusion": r"$D_{ab}\,B/\eta$", "ito": r"Itô drift $\cdot B/\eta$"}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """What was estimated against what is predicted, a panel for each quantity: on the diagonal
    they agree. Crosses: the Itô drift of aligned modes by their own noise alone."""
    figure, axes = panels(1, 3, height=2.7)
    starts = list(measured.start.values)
    for ax, part in zip(axes, SAID, strict=True):
        for start, color in zip(starts, COLORS, strict=False):
            _points(ax, measured, predicted, part, start, color)
        low, high = ax.get_xlim()
        ax.plot([low, high], [low, high], color="#1f2328", lw=1.0, ls=(0, (4, 2.2)), zorder=1)
        ax.set(title=LABELS[part], xlabel="predicted")
    axes[0].set_ylabel("measured, with 95 % intervals")
    marks = [key(start, c, marker="o", ms=4) for start, c in zip(starts, COLORS, strict=False)]
    agreed = key("equal", "#1f2328", ls="--", linewidth=1.0)
    alone = key("aligned, own noise alone", COLORS[3], marker="x", ms=4)
    legend_above(figure, [*marks, agreed, alone])
    return figure


def _points(
    ax: Axes, measured: xr.Dataset, predicted: xr.Dataset, part: str, start: str, color: str
) -> None:
    value, error = estimates(measured, "sgd", start)[part]
    place: Any = {"dynamics": "sgd", "start": start}
    said = at(predicted, **place).isel(learning_rate=0, seed=0)
    keep = np.triu(np.ones(value.shape, bool)) if value.ndim == 2 else np.ones(value.shape, bool)
    x, y, spread = said[SAID[part]].values[keep], value[keep], 1.96 * error[keep]
    ax.errorbar(x, y, spread, color=color, fmt="o", ms=3.5, lw=1, capsize=2)
    if part == "ito" and start == "aligned":
        ax.plot(said.own_ito.values, y, "x", color=COLORS[3], ms=4)
