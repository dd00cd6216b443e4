"""Which modes oscillate at which step size: each begins at its own edge 2/S_i.

Three layers learn diag(10, 9.5, 9, 0, 0) from a last layer of zeros. Between 2/S_p and 2/S_{p+1}
exactly p modes alternate between two values, and the others converge. How far a mode moves in a
step is that of its 2-cycle, which one balanced chain has by itself. Modes are followed by their
singular vectors: singular values in descending order pass each other as they oscillate. Matrices
in the basis of the target do as the modes do, to rounding. In a rotated basis rounding seeds a
mixing of singular vectors, which grows along the orbit once the step size is beyond 2/λ_12.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import zero_last_layer
from dlnlab.networks import Modes, square
from dlnlab.observables import balance_gap, loss, mode_values, svs_error
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    Line2D,
    at,
    edge_line,
    key,
    legend_above,
    panels,
)
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.statistics import Amplitude
from dlnlab.tasks import Whitened
from dlnlab.theory.orbits import amplitudes
from dlnlab.theory.stability import mode_edges
from dlnlab.theory.transverse import mixing_edge
from dlnlab.typing import Any, Array

Representation = Literal["modes", "matrices", "rotated"]


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.034,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(least=0, symbol="s_i")] = (
        10.0,
        9.5,
        9.0,
        0.0,
        0.0,
    ),
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    representation: Representation = "modes",
    seed: int = 0,
) -> Run:
    """Gradient descent on a chain with the singular values `targets`, from W_L = 0, W_l = αI.

    `representation="matrices"` trains the matrices themselves in the basis of the target,
    `"rotated"` in a random one drawn from `seed`.
    """
    strengths = jnp.stack([jnp.asarray(target, float) for target in targets])
    if representation == "modes":
        problem = Problem(Modes((depth,), len(targets)), Whitened(strengths))
    else:
        left, right = _bases(len(targets), representation == "rotated", seed)
        task = Whitened(left * strengths @ right.T, basis=(left, right))
        problem = Problem(square(len(targets), (depth,)), task)
    return Run(problem, GradientDescent(learning_rate), zero_last_layer(problem, layer_scale))


def _bases(size: int, rotated: bool, seed: int) -> tuple[Array, Array]:
    if not rotated:
        return jnp.eye(size), jnp.eye(size)
    left, right = jax.random.normal(jax.random.key(seed), (2, size, size))
    return jnp.linalg.qr(left)[0], jnp.linalg.qr(right)[0]


RATES = tuple(np.round(np.arange(0.0305, 0.0363, 0.00025), 5).tolist())

EXPERIMENT = Experiment(
    build,
    title="How far each mode moves in a step, against the step size",
    steps=1500,
    schedule=last(1),
    observe=(loss, mode_values, balance_gap, svs_error),
    statistics=(Amplitude(),),
    predictions=(Bound(mode_edges), Bound(amplitudes), Bound(mixing_edge)),
    coords={
        "learning_rate": RATES,
        "representation": ("modes", "matrices", "rotated"),
    },
    cites=("ghosh2025",),
)

INTERACTIVE = ("amplitude", "mode_values", "svs_error")
FULL = {"steps": 20_000}

MOVING = 0.01
"""A mode oscillates where a step moves it by more than this share of its value."""
APART = 0.005
"""So far from an edge, in units of it, transients are over after 1,500 steps."""


def _moving(measured: xr.Dataset) -> xr.DataArray:
    value = abs(measured.mode_values.sum("pathway").isel(step=-1))
    return measured.amplitude.isel(step=-1) > MOVING * value


def birth(rates: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> float:
    """Where an oscillation begins, from its sizes A at three step sizes beyond, or more.

    Period doubling is a pitchfork: beyond it η is a smooth function of A². The parabola is
    followed back to A = 0. NaN for fewer than three.
    """
    return float(np.polyfit(sizes**2, rates, 2)[-1]) if len(rates) > 2 else np.nan


def found_edges(measured: xr.Dataset) -> np.ndarray[Any, Any]:
    """Where each mode begins to oscillate, from its first three amplitudes [mode]."""
    modes = at(measured, representation="modes").sortby("learning_rate")
    moving, size, rates = _moving(modes), modes.amplitude.isel(step=-1), modes.learning_rate.values
    found = []
    for mode in range(modes.sizes["mode"]):
        there = np.flatnonzero(moving.isel(mode=mode).values)[:3]
        found.append(birth(rates[there], size.isel(mode=mode).values[there]))
    return np.array(found)


def check_edges(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative distance of the edges found from 2/S_i, of those inside the sweep."""
    found, rates = found_edges(measured), np.sort(np.atleast_1d(measured.learning_rate))
    said = at(predicted.mode_edges, representation="modes").isel(learning_rate=0).values
    due = (said > rates[0]) & (said < rates[max(0, len(rates) - 3)])
    error = abs(found / said - 1)[due | np.isfinite(found)]
    return Verdict.at_most(
        error.max(initial=-1) if due.any() else np.nan, 0.005, sample_size=error.size
    )


def check_count(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """At how many step sizes the number of oscillating modes isn't that of the edges passed."""
    counts = _moving(at(measured, representation="modes")).sum("mode")
    edges = at(predicted.mode_edges, representation="modes")
    passed = (edges < edges.learning_rate).sum("mode")
    several = len(np.unique(passed)) > 1
    wrong = float((counts != passed).sum()) if several else np.nan
    return Verdict.at_most(wrong, 0, sample_size=counts.size)


def check_amplitudes(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest difference of an amplitude from that of the 2-cycle, away from the edges."""
    found = at(measured.amplitude.isel(step=-1), representation="modes")
    theory = at(predicted, representation="modes")
    away = (abs(theory.learning_rate / theory.mode_edges - 1) > APART).all("mode")
    error = abs(found - theory.amplitudes).max("mode").where(away, drop=True)
    cycles = bool((theory.amplitudes.where(away) > 0).any())
    return Verdict.at_most(float(error.max()) if cycles else np.nan, 1e-5, sample_size=error.size)


def _apart(measured: xr.Dataset, representation: str) -> xr.DataArray:
    """The largest difference from the run of modes, for each step size."""
    last_values = measured.mode_values.isel(step=-1)
    differences = at(last_values, representation=representation) - at(
        last_values, representation="modes"
    )
    return abs(differences).max(["pathway", "mode"], skipna=False)


def check_matrices(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest difference of matrices in the basis of the target from modes."""
    apart = _apart(measured, "matrices")
    return Verdict.at_most(float(apart.max(skipna=False)), 1e-12, sample_size=apart.size)


def check_rotated(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same for matrices in a random basis, at the step sizes below 2/λ_12."""
    below = at(predicted.mixing_edge, representation="rotated") > predicted.learning_rate
    apart = _apart(measured, "rotated").where(below, drop=True)
    return Verdict.at_most(
        float(apart.max(skipna=False)) if apart.size else np.nan, 1e-10, sample_size=apart.size
    )


SETTING = ("aligned chain, started from W_L = 0, W_l = αI", "the step sizes of the figure")
CLAIMS = (
    Claim(
        "ghosh2025.1",
        "Each mode begins to oscillate at its own edge 2/S_i: found from the amplitudes alone, "
        "within 0.5 %.",
        check_edges,
        SETTING,
    ),
    Claim(
        "ghosh2025.1a",
        "For 2/S_p < η < 2/S_{p+1} exactly p modes oscillate.",
        check_count,
        (*SETTING, "oscillating: a step moves the mode by more than 1 % of it"),
    ),
    Claim(
        "ghosh2025.2",
        "An oscillating mode moves from step to step by the distance of the two values of its "
        "2-cycle, and the others by nothing, within 1e-5.",
        check_amplitudes,
        (*SETTING, "1,500 steps, η farther than 0.5 % from every edge"),
    ),
    Claim(
        "ghosh2025.1b",
        "Matrices in the basis of the target oscillate as their modes do, within 1e-12.",
        check_matrices,
        SETTING,
    ),
    Claim(
        "ghosh2025.1c",
        "So do matrices in a random basis in float64, within 1e-10, while η < 2/λ_12 (which lies "
        "below 2/S_2).",
        check_rotated,
        SETTING,
    ),
)


HIGHEST = 6.6


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The amplitude of each mode against the step size: of modes and matrices, and rotated."""
    figure, (left, right) = panels(1, 2, height=2.7, sharey=True)
    lines = _panel(left, measured, predicted, "modes")
    for which, ax in (("matrices", left), ("rotated", right)):
        dots = _dots(ax, at(measured.amplitude.isel(step=-1), representation=which), len(lines))
    cycle = _cycles(left, measured, predicted)
    _cycles(right, measured, predicted)
    left.set_title("modes, and matrices in the target's basis")
    right.set_title("matrices in a random basis, float64")
    mixing = float(at(predicted.mixing_edge, representation="rotated").isel(learning_rate=0))
    edge_line(right, mixing, r"$2/\lambda_{12}$", vertical=True)
    steps = int(measured.step[-1])
    left.set_ylabel(rf"$|\sigma_i(T) - \sigma_i(T-1)|$,  T = {steps:,}")
    for ax in (left, right):
        ax.set(xlabel="step size η", ylim=(-0.2, HIGHEST))
    legend_above(figure, [*lines, dots, cycle, _beyond(right, measured)])
    return figure


def _panel(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset, which: str) -> list[Line2D]:
    found, lines = at(measured.amplitude.isel(step=-1), representation=which), []
    for mode, edge in _learned(predicted):
        color, curve = COLORS[mode % len(COLORS)], found.isel(mode=mode)
        lines.append(measured_line(ax, found.learning_rate, curve, f"mode {mode + 1}", color))
        edge_line(ax, edge, f"$2/S_{mode + 1}$", vertical=True)
    return lines


def _learned(predicted: xr.Dataset) -> list[tuple[int, float]]:
    """The modes that have an edge, with it."""
    found = at(predicted.mode_edges, representation="modes").isel(learning_rate=0).values
    return [(mode, float(edge)) for mode, edge in enumerate(found) if np.isfinite(edge)]


def _dots(ax: Axes, found: xr.DataArray, modes: int) -> Line2D:
    for mode in range(modes):
        curve, color = found.isel(mode=mode), COLORS[mode % len(COLORS)]
        ax.plot(found.learning_rate, curve, ".", color=color, markersize=5)
    return key("matrices", INK, marker=".")


def _beyond(ax: Axes, measured: xr.Dataset) -> Line2D:
    """The step sizes at which matrices in a random basis diverge, or are beyond the panel."""
    found = at(measured.amplitude.isel(step=-1), representation="rotated")
    lost = found.learning_rate.values[~(found <= HIGHEST).all("mode").values]
    height = np.full(lost.size, HIGHEST)
    (crosses,) = ax.plot(
        lost, height, "x", color=INK, markersize=4, clip_on=False, label="beyond, or diverged"
    )
    return crosses


def _cycles(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> Line2D:
    """The amplitude of each mode's cycle on step sizes finer than those of the figure."""
    targets = [float(text) for text in str(measured.targets.item()).split(",")]
    swept = measured.learning_rate.values
    for mode, edge in _learned(predicted):
        rates = np.linspace(max(edge, swept.min()), max(edge, swept.max()), 200)
        depth, goal = int(measured.depth), targets[mode]
        found = [amplitudes(depth, goal, rate, stretch=True) for rate in rates]
        line = predicted_line(ax, rates, np.ravel(found), "2-cycle of theory")
    return line
