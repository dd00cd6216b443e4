"""Does rank-p oscillation survive off exactly diagonal matrices? Only below the onset of mixing.

Aligned modes that oscillate push each other's singular vectors apart. From a step size on that
lies between the edges of the first and the second mode, 2/S_1 and 2/S_2, whatever is off the
diagonal in the target's basis grows at a fixed rate, be it the rounding of a rotated start. Below
it one mode oscillates alone for ever; beyond it no run stays aligned but one that is diagonal to
the last bit, so that two modes never oscillate side by side for long. Those that mix oscillate on,
wildly, or diverge, at step sizes at which the diagonal run does neither.

Onset: after 2/λ_12, the edge of a mixing at minima, by a line's width in the drawing. Where two
modes oscillate, they do so in step or in opposite phase, and each phase has an exponent of its own:
a run grows at that of its own phase, which need not be the larger one. The fractions are of the
rotated and the perturbed runs; above them stands how the diagonal ones ended.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian, zero_last_layer
from dlnlab.networks import square
from dlnlab.observables import loss, mode_values, off_diagonal_norm
from dlnlab.plotting import (
    COLORS,
    FAINT,
    INK,
    Axes,
    Figure,
    Line2D,
    edge_line,
    few_ticks,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.state import Status
from dlnlab.tasks import Whitened
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.stability import stability_edge
from dlnlab.theory.transverse import fastest_growth, mixing_edge, onset, own_growth
from dlnlab.typing import Any, Array

Start = Literal["diagonal", "rotated", "gaussian"]


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.0325,
    depth: Annotated[int, Coordinate(least=2, most=20, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(least=0, most=1e6, symbol="s_i")] = (
        10.0,
        9.5,
        9.0,
        0.0,
        0.0,
    ),
    start: Start = "rotated",
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    perturbation: Annotated[float, Coordinate(least=0, log=True)] = 1e-18,
    seed: int = 0,
) -> Run:
    """Descent on a matrix with these singular values, from layers αI and a last one of zeros.

    `diagonal`: target and layers are diagonal, and stay so to the last bit. `rotated`: the target
    and with it the first and last layers are turned into random bases, in which rounding is what
    perturbs. `gaussian`: diagonal, and all layers plus normal entries of size `perturbation`. The
    seed draws bases or entries.
    """
    if len(targets) < 2:
        raise InputError(
            f"targets has {len(targets)} values, and two singular values or more are needed to "
            "mix; give some, say --targets 10,9.5."
        )
    dimension = len(targets)
    left, right = random_bases(dimension, start == "rotated", seed)
    strengths = jnp.stack([jnp.asarray(target, float) for target in targets])
    problem = Problem(
        square(dimension, (depth,)), Whitened(left * strengths @ right.T, basis=(left, right))
    )
    params = zero_last_layer(problem, layer_scale)
    if start == "gaussian":
        noise = gaussian(problem.network, jax.random.key(seed), std=perturbation)
        params = jax.tree.map(jnp.add, params, noise)
    return Run(problem, GradientDescent(learning_rate), params)


def random_bases(dimension: int, rotated: bool, seed: Any) -> tuple[Array, Array]:
    """Two random orthonormal bases, or twice the identity."""
    if not rotated:
        return jnp.eye(dimension), jnp.eye(dimension)
    drawn = jax.random.normal(jax.random.key(seed), (2, dimension, dimension))
    left, right = (jnp.linalg.qr(matrix)[0] for matrix in drawn)
    return left, right


# --- what is predicted --------------------------------------------------------------------------


def _edge(rank: int) -> Any:
    """The arguments of 2/S for the mode of this rank, the strongest first."""

    def arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
        return {"target": sorted(coords["targets"])[-1 - rank], "depth": coords["depth"]}

    return arguments


def _own(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    asked = {name: coords[name] for name in ("depth", "targets", "learning_rate")}
    place = stretch(measured)[-1:]
    values = measured.mode_values.isel(pathway=0).transpose("step", "mode").values[place]
    never = (np.nan,) * len(coords["targets"])
    return {**asked, "values": tuple(map(float, values[0])) if len(values) else never}


# --- what is measured ---------------------------------------------------------------------------

SEEN, GROWN, MIXED = 1e-12, 1e-3, 1.0
"""Growth is read off between the first two of these norms; beyond the third a run has mixed."""


def stretch(lane: xr.Dataset) -> Floats:
    """Places in the record of one run between its leaving 1e-12 for good and its reaching 1e-3."""
    norm = lane.off_diagonal_norm.values
    over = np.flatnonzero(norm > GROWN)
    if not over.size:
        return np.empty(0, int)
    small = np.flatnonzero(norm[: over[0]] < SEEN)
    return np.arange(small[-1] + 1 if small.size else 0, over[0])


def growth(lane: xr.Dataset) -> float:
    """The slope of the logarithm of the off-diagonal norm of one run; NaN where it did not grow."""
    places = stretch(lane)
    if len(places) < 5:
        return np.nan
    logs = np.log(lane.off_diagonal_norm.values[places])
    return float(np.polyfit(lane.step.values[places], logs, 1)[0])


def growths(measured: xr.Dataset) -> xr.DataArray:
    """The same of every run."""
    axes = [dim for dim in measured.off_diagonal_norm.dims if dim != "step"]
    if not axes:
        return xr.DataArray(growth(measured))
    lanes = measured[["off_diagonal_norm"]].stack(lane=axes)
    found = [growth(lanes.isel(lane=k)) for k in range(lanes.sizes["lane"])]
    return xr.DataArray(found, coords=lanes.lane.coords, dims="lane").unstack("lane")


STEPS = 20_000

EXPERIMENT = Experiment(
    build,
    title="Do oscillating modes stay aligned?",
    steps=STEPS,
    schedule=logarithmic(1500) | linear(201),
    observe=(loss, mode_values, off_diagonal_norm),
    predictions=(
        Bound(stability_edge, _edge(0), name="first_mode_edge"),
        Bound(mixing_edge),
        Bound(onset),
        Bound(stability_edge, _edge(1), name="second_mode_edge"),
        Bound(fastest_growth),
        Bound(own_growth, _own),
    ),
    coords={
        "start": ("diagonal", "rotated", "gaussian"),
        "learning_rate": (
            *(0.0312, 0.0317, 0.03203, 0.0322, 0.0325, 0.0328, 0.033),
            *(0.0334, 0.0337, 0.034, 0.0343, 0.0346, 0.035, 0.0354, 0.0358, 0.0362),
        ),
        "seed": tuple(range(4)),
    },
    cites=("ghosh2025",),
)

FULL = {
    "learning_rate": tuple(sorted([0.03203, *np.linspace(0.0305, 0.0363, 59).round(6).tolist()])),
    "seed": tuple(range(20)),
}
"""3,600 runs."""


# --- claims -------------------------------------------------------------------------------------

OFF = ("rotated", "gaussian")


def _perturbed(data: xr.Dataset) -> xr.Dataset:
    """The runs that are not diagonal to the last bit."""
    return data.sel(start=[name for name in data.start.values if name in OFF])


def _mixing(measured: xr.Dataset, predicted: xr.Dataset) -> xr.DataArray:
    """Whether a run is beyond the onset, with the time to grow out of rounding by e^60."""
    time = float(measured.step[-1]) * predicted.fastest_growth
    return (measured.learning_rate > predicted.onset) & (time > 60)


def _departures(measured: xr.Dataset, predicted: xr.Dataset, beyond: bool) -> Floats:
    """How far each run's growth is from that of its phase, before or beyond the second edge."""
    measured, predicted = _perturbed(measured), _perturbed(predicted)
    place = _mixing(measured, predicted)
    place &= (measured.learning_rate > predicted.second_mode_edge) == beyond
    error, place = xr.broadcast(abs(growths(measured) / predicted.own_growth - 1), place)
    return np.asarray(error.values[place.values])


def check_growth(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean departure between the onset and 2/S_2."""
    found = _departures(measured, predicted, beyond=False)
    return Verdict.at_most(found.mean() if found.size else np.nan, 0.05, sample_size=found.size)


def check_phase(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean departure beyond 2/S_2; NaN, which fails, unless some runs fall short of half the
    largest exponent over all phases."""
    found = _departures(measured, predicted, beyond=True)
    share = _perturbed(predicted).own_growth / _perturbed(predicted).fastest_growth
    tells = found.size > 0 and float(share.min()) < 0.5
    return Verdict.at_most(found.mean() if tells else np.nan, 0.05, sample_size=found.size)


def check_before(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest norm between 2/S_1 and the onset; NaN, which fails, for runs of fewer steps or
    where none of them is beyond 2/λ_12."""
    measured, predicted = _perturbed(measured), _perturbed(predicted)
    rate, norm = measured.learning_rate, measured.off_diagonal_norm.max("step")
    place = (rate > predicted.first_mode_edge) & (rate < predicted.onset)
    past = bool((place & (rate > predicted.mixing_edge)).any())
    enough = past and int(measured.step[-1]) >= STEPS
    norm, place = xr.broadcast(norm, place)
    found = norm.values[place.values]
    return Verdict.at_most(found.max() if enough else np.nan, 1e-10, sample_size=found.size)


ENDS = ("aligned", "mixed", "diverged")


def ends(measured: xr.Dataset) -> xr.DataArray:
    """How each run ended, as an index into `ENDS`: aligned all along, mixed and bounded, lost."""
    lost = measured.status == Status.DIVERGED
    # A lost run may have no finite norm at its end.
    aligned = measured.off_diagonal_norm.max("step") < MIXED
    return xr.where(lost, 2, xr.where(aligned, 0, 1))


def check_survival(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of perturbed runs beyond the onset that mix; NaN unless all diagonal runs stay
    aligned there and bounded."""
    place, found = xr.broadcast(_mixing(measured, predicted), ends(measured))
    off = place.start.isin(OFF)
    mixed = (found > 0).values[(place & off).values]
    kept = (found == 0).values[(place & ~off).values]
    told = mixed.size and kept.size and kept.all()
    return Verdict.at_least(mixed.mean() if told else np.nan, 1.0, sample_size=mixed.size)


LOST = 1.13
"""In units of 2/S_1: from here on all diverge that mix."""


def check_ends(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of perturbed runs from η = 1.13 · 2/S_1 on that diverge; NaN, which fails,
    unless none does up to 2/S_2, and no diagonal run at all."""
    lost = ends(measured) == ENDS.index("diverged")
    off, rate = lost.start.isin(OFF), lost.learning_rate
    early = (lost & (~off | (rate < predicted.second_mode_edge))).any()
    late, place = xr.broadcast(lost, off & (rate > LOST * predicted.first_mode_edge))
    found = late.values[place.values]
    told = found.size and not bool(early)
    return Verdict.at_least(found.mean() if told else np.nan, 1.0, sample_size=found.size)


SETTING = ("L = 3, targets 10, 9.5, 9, 0, 0", "last layer 0, others 0.01 I")
CLAIMS = (
    Claim(
        "ghosh2025.6",
        "Between the onset and 2/S_2 what is off the diagonal grows from rounding to 1e-3 at the "
        "predicted exponent: rotated and perturbed runs depart from it by 5 % at most in the mean.",
        check_growth,
        SETTING,
    ),
    Claim(
        "ghosh2025.6a",
        "Before the onset, and also between 2/λ_12 and the onset, it stays below 1e-10 for 20,000 "
        "steps: one mode oscillates alone, and stays aligned.",
        check_before,
        (*SETTING, "η > 2/S_1"),
    ),
    Claim(
        "ghosh2025.6b",
        "Beyond 2/S_2 it grows at the exponent of the run's own phase, within 5 % in the mean; "
        "of runs whose modes oscillate in step that is less than half of the largest exponent.",
        check_phase,
        SETTING,
    ),
    Claim(
        "ghosh2025.6c",
        "Beyond the onset every run mixes that is not diagonal to the last bit, so that two modes "
        "never oscillate side by side for long, while every diagonal run stays aligned.",
        check_survival,
        SETTING,
    ),
    Claim(
        "ghosh2025.6d",
        "What mixes stays bounded up to 2/S_2 and diverges from 1.13 · 2/S_1 on, in every run of "
        "20,000 steps, while the diagonal runs stay bounded throughout.",
        check_ends,
        SETTING,
    ),
)

INTERACTIVE = ("off_diagonal_norm", "mode_values", "loss")


# --- the figure ---------------------------------------------------------------------------------

MARKS = {"rotated": "o", "gaussian": "D"}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The off-diagonal norm against the step with its predicted slope, the exponents against the
    step size, and the fractions of ends."""
    figure, (left, middle, right) = panels(1, 3, height=2.6)
    axes = ("start", "learning_rate", "seed")
    measured, predicted = with_axes(measured, predicted, axes)
    _norms(left, measured, predicted)
    lines = [*_exponents(middle, measured, predicted), *_fractions(right, measured)]
    for ax in (middle, right):
        ax.set_xlabel("step size η")
        few_ticks(ax, 4, "x")
    legend_above(figure, lines, columns=4)
    return figure


def _norms(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> None:
    """One run at each of a few step sizes around the onset, up to where it has mixed."""
    start = next((name for name in OFF if name in measured.start), measured.start.values[0])
    one, said = (data.sel(start=start).isel(seed=0) for data in (measured, predicted))
    rates = one.learning_rate.values
    first = max(int(np.searchsorted(rates, float(said.onset[0]))) - 1, 0)
    for index, rate in enumerate(rates[first : first + 4]):
        lane, slope = one.sel(learning_rate=rate), float(said.own_growth.sel(learning_rate=rate))
        steps, norm = lane.step.values, np.maximum(lane.off_diagonal_norm.values, 1e-17)
        end = int(np.argmax(norm > MIXED)) or len(steps)
        measured_line(ax, steps[:end], norm[:end], "", COLORS[index]).set_linewidth(1.0)
        places = stretch(lane)
        if len(places) > 4 and np.isfinite(slope):
            level = np.mean(np.log(norm[places]) - slope * steps[places])
            predicted_line(ax, steps[places], np.exp(level + slope * steps[places]))
        _name(ax, steps[:end], norm[:end], index, rate)
    ax.set(yscale="log", ylim=(1e-17, 10), xlim=(0, 8000), xlabel="step")
    ax.set_ylabel("off-diagonal norm")
    ax.set_title("growth, at η as written")


def _name(ax: Axes, steps: Floats, norm: Floats, index: int, rate: float) -> None:
    """The step size beside its curve: on its right while there is room, or on its left."""
    level = (-12, -7, -4, -4)[index]
    grows, left = norm.max() > 10.0**level, index == 3
    beside = steps[norm < 10.0**level][-1] if grows else 5000
    ax.annotate(
        f"{rate:g}",
        (beside, 10.0**level),
        (-6 if left else 6, -3),
        textcoords="offset points",
        ha="right" if left else "left",
        color=COLORS[index],
        fontsize=7.5,
    )


def _exponents(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> list[Line2D]:
    """Measured exponents as marks over those of the runs' own phases and the largest."""
    rates, found = measured.learning_rate.values, growths(measured)
    over = [dim for dim in predicted.fastest_growth.dims if dim != "learning_rate"]
    largest = predicted.fastest_growth.max(over)
    (most,) = ax.plot(rates, largest, color=FAINT, linewidth=1.0, label="predicted, largest")
    (own,) = ax.plot([], [], "_", color=INK, ms=7, label="predicted, own phase")
    marks = []
    for color, start in zip(COLORS, [name for name in OFF if name in measured.start], strict=False):
        points = found.sel(start=start).transpose("learning_rate", "seed")
        where = np.repeat(rates, points.sizes["seed"])
        style: Any = {"marker": MARKS[start], "color": color, "ms": 3, "ls": "none", "zorder": 2}
        marks += ax.plot(where, points.values.ravel(), label=f"measured, {start}", **style)
        said = predicted.own_growth.sel(start=start).transpose("learning_rate", "seed")
        ax.plot(where, said.values.ravel(), "_", color=INK, ms=7, zorder=3)
    _edges(ax, predicted)
    ax.set_title("exponent for each step")
    return [*marks, own, most]


def _edges(ax: Axes, predicted: xr.Dataset) -> None:
    """2/S_1, the onset and 2/S_2; 2/λ_12 lies within a line's width of the onset."""
    names = {"first_mode_edge": r"$2/S_1$", "onset": "onset", "second_mode_edge": r"$2/S_2$"}
    for name, label in names.items():
        edge_line(ax, float(predicted[name].values.ravel()[0]), label, vertical=True)


END_COLORS = {"aligned": "#56b4e9", "mixed": "#e69f00", "diverged": INK}


def _fractions(ax: Axes, measured: xr.Dataset) -> list[Line2D]:
    """All perturbed runs of each step size, and in a row above them how the diagonal runs ended."""
    found, rates = ends(measured), measured.learning_rate.values
    between = (rates[1:] + rates[:-1]) / 2
    borders = np.concatenate([rates[:1], between, rates[-1:]]) if rates.size > 1 else rates * [1, 2]
    off, bottom = found.sel(start=found.start.isin(OFF)), np.zeros(rates.size)
    for code, name in enumerate(ENDS):
        height = (off == code).mean(["start", "seed"]).values
        ax.bar(
            borders[:-1],
            height,
            np.diff(borders),
            bottom,
            align="edge",
            color=END_COLORS[name],
            zorder=2,
        )
        bottom = bottom + height
    for start in [name for name in found.start.values if name not in OFF]:
        codes = found.sel(start=start).isel(seed=0).values
        ax.scatter(rates, [1.1] * rates.size, 9, [END_COLORS[ENDS[k]] for k in codes], marker="s")
        ax.annotate(f"{start} start", (rates[0], 1.15), fontsize=7, color=INK)
    ax.set(ylim=(0, 1.28), yticks=[0, 0.5, 1])
    ax.set_title("fraction of ends")
    return [key(name, END_COLORS[name], marker="s") for name in ENDS]
