"""From the edge to the end of chaos: orbits of singular values and of sharpness.

Three layers learn the singular values 10, 6, 3. Beyond 2/S_1 the strongest mode doubles its period
again and again (steps shrinking by Feigenbaum's 4.669), becomes chaotic, has windows of period 6,
5, 3, and at η_WCR, where it may be thrown across zero, it is lost there for good, before the second
mode reaches its own edge. On its 2-cycle the sharpness alternates between the two sides of 2/η; it
never falls below that of the second mode at rest. The last 64 states of each run are shown. The
start is balanced: past the edge the layers of an oscillating mode become equal from the start of
the other figures too (see `layers`). Sharpness is that of the modes with all layers free; matrices
also have directions that mix two modes, which lift the lowest values by up to 30 % (dashed on the
2-cycle). The Lyapunov exponent is that of all modes together, and no lower than that of the modes
at rest.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import BalancedModes
from dlnlab.observables import free_sharpness, mode_values
from dlnlab.papers.ghosh2025.oscillation_range import birth
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, Line2D, key, legend_above, panels
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.statistics import Lyapunov
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.curvature import aligned_sharpness
from dlnlab.theory.orbits import doubling_edges, two_cycle, window_edges
from dlnlab.theory.stability import edge_sharpness, worst_case_return
from dlnlab.typing import Any

KEPT = 64
PERIODS = (6, 5, 3)
"""Those of the windows that are named."""


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.034,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (10.0, 6.0, 3.0),
    alpha: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.1,
) -> Run:
    """Gradient descent on a balanced chain with the singular values `targets`, from αI."""
    strengths = jnp.stack([jnp.asarray(target, float) for target in targets])
    problem = Problem(BalancedModes((depth,), len(targets)), Whitened(strengths))
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, (alpha,)))


@prediction("learning_rate_edge", symbol="η_WCR", source="kim2026.7")
def chaos_end(targets: tuple[float, ...], depth: int) -> np.ndarray[Any, Any]:
    """The step size at which the strongest mode may be thrown across zero, `γ(L)/S_1`."""
    return np.asarray(worst_case_return(max(targets), depth))


def _strongest(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depth": coords["depth"], "target": max(coords["targets"])}


def _cycle(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {**_strongest(coords, measured), "learning_rate": coords["learning_rate"]}


def _window(period: int) -> Bound:
    def bind(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
        return {**_strongest(coords, measured), "period": period}

    return Bound(window_edges, bind, name=f"window_{period}")


EXPERIMENT = Experiment(
    build,
    title="Orbits of singular values and sharpness, to the end of chaos",
    steps=20_000,
    schedule=last(KEPT - 1),
    observe=(mode_values, free_sharpness),
    statistics=(Lyapunov(),),
    predictions=(
        Bound(edge_sharpness),
        Bound(two_cycle, _cycle),
        Bound(doubling_edges, _strongest),
        Bound(chaos_end),
        *map(_window, PERIODS),
    ),
    coords={"learning_rate": tuple(np.linspace(0.030, 0.058, 4000).tolist())},
    cites=("ghosh2025",),
)

INTERACTIVE = ("lyapunov", "mode_values", "free_sharpness")


def _orbit(measured: xr.Dataset) -> xr.Dataset:
    """The last states of each run, in the order of the step sizes."""
    return measured.isel(step=slice(-KEPT, None)).sortby("learning_rate")


def _first(predicted: xr.Dataset, name: str) -> np.ndarray[Any, Any]:
    """A prediction that is the same at all step sizes."""
    return np.asarray(predicted[name].isel(learning_rate=0))


def strongest_values(measured: xr.Dataset) -> np.ndarray[Any, Any]:
    """The last states of the mode that is largest at the smallest step size [η, step]."""
    values = _orbit(measured).mode_values.sum("pathway").transpose("learning_rate", "step", "mode")
    return values.values[:, :, int(values.values[0, -1].argmax())]


def found_doublings(
    rates: np.ndarray[Any, Any], orbits: np.ndarray[Any, Any], count: int
) -> np.ndarray[Any, Any]:
    """Where the period doubles from 2^n, n < count, from the orbits [η, step] alone.

    Beyond it `|σ(t + 2^n) − σ(t)|` is no longer zero, while the same over 2^{n+1} steps still is.
    The first third of that range, 30 step sizes at most, is followed back (see `birth`). NaN where
    fewer than three are there.
    """
    unit, found = np.abs(orbits).max(), []
    for lag in 2 ** np.arange(count):
        swing, again = (np.abs(orbits[:, n:] - orbits[:, :-n]).max(axis=1) for n in (lag, 2 * lag))
        begun = np.flatnonzero(swing > 1e-3 * unit)
        start = int(begun[0]) if begun.size else len(rates)
        ended = np.flatnonzero(~(again[start:] < 1e-3 * swing[start:]))
        length = int(ended[0]) if ended.size else len(rates) - start
        chosen = slice(start, start + min(length, max(3, min(30, length // 3))))
        # A run that starts the range is not preceded by a rest: what was born lies before.
        inside = start > 0
        found.append(birth(rates[chosen], swing[chosen]) if inside else np.nan)
    return np.array(found)


COUNT = 4
"""Doublings that 4,000 step sizes resolve."""


def _doublings(measured: xr.Dataset) -> np.ndarray[Any, Any]:
    rates = _orbit(measured).learning_rate.values
    return found_doublings(rates, strongest_values(measured), COUNT)


def check_cycle(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest distance of the two values from theory's, 0.1 % away from where either ends."""
    edges, theory = _first(predicted, "doubling_edges"), predicted.sortby("learning_rate")
    rates = theory.learning_rate.values
    inside = (rates > 1.001 * edges[0]) & (rates < 0.999 * edges[1])
    ends = np.sort(strongest_values(measured)[inside][:, -2:], axis=1)
    error = np.abs(ends - theory.two_cycle.values[inside])
    return Verdict.at_most(
        error.max() if error.size else np.nan, 1e-5, sample_size=int(inside.sum())
    )


def check_doublings(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative distance of the step sizes found from those of theory."""
    error = np.abs(_doublings(measured) / _first(predicted, "doubling_edges")[:COUNT] - 1)
    return Verdict.at_most(error.max(), 1e-5, sample_size=COUNT)


def check_ratios(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the last ratio found is from Feigenbaum's; NaN unless the ratios rise towards it."""
    gaps = np.diff(_doublings(measured))
    ratios = gaps[:-1] / gaps[1:]
    rise = bool((np.diff(ratios) > 0).all())
    return Verdict.at_most(
        abs(ratios[-1] / FEIGENBAUM - 1) if rise else np.nan, 0.01, sample_size=COUNT
    )


FEIGENBAUM = 4.669201609
"""The limit for all one-humped maps with a quadratic top."""


def _exponents(measured: xr.Dataset) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    orbit = _orbit(measured)
    return orbit.learning_rate.values, orbit.lyapunov.isel(step=-1).values


def check_exponent(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The exponent farthest from zero among those at the doublings found."""
    rates, exponents = _exponents(measured)
    found = np.interp(_doublings(measured), rates, exponents)
    return Verdict.at_most(np.abs(found).max(), 0.01, sample_size=COUNT)


def check_windows(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest exponent inside the windows; NaN unless there is chaos on both sides of each."""
    rates, exponents = _exponents(measured)
    inside, chaotic = np.zeros(rates.shape, bool), []
    for period in PERIODS:
        opens, closes = _first(predicted, f"window_{period}")
        inside |= (rates > opens) & (rates < closes)
        before = exponents[rates < opens][-20:]
        after = exponents[(rates > closes)][: len(rates) // 10]
        chaotic += [before.max(initial=-1) > 0.1, after.max(initial=-1) > 0.1]
    highest = exponents[inside].max(initial=-np.inf)
    return Verdict.at_most(
        highest if all(chaotic) and inside.any() else np.nan, 0.0, sample_size=int(inside.sum())
    )


def check_end(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far the first step size at which the mode is lost at zero is from η_WCR."""
    rates, values = _orbit(measured).learning_rate.values, strongest_values(measured)
    lost = values.max(axis=1) <= 0
    first = rates[lost][0] if lost.any() and lost[rates >= rates[lost][0]].all() else np.nan
    end = float(_first(predicted, "chaos_end"))
    return Verdict.at_most(abs(first / end - 1), 1e-3, sample_size=len(rates))


def check_sharpness(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of the 2-cycles on which the sharpness lies on either side of 2/η."""
    edges, orbit = _first(predicted, "doubling_edges"), _orbit(measured)
    inside = (orbit.learning_rate > edges[0]) & (orbit.learning_rate < edges[1])
    sharp = orbit.free_sharpness.isel(step=slice(-2, None)).sel(learning_rate=inside)
    edge = predicted.edge_sharpness.sortby("learning_rate").sel(learning_rate=inside)
    astride = (sharp.min("step") < edge) & (sharp.max("step") > edge)
    share = float(astride.mean()) if astride.size else np.nan
    return Verdict.at_least(share, 1.0, sample_size=astride.size)


SETTING = ("aligned, depth-balanced chain", "L = 3, s = 10, 6, 3")
CLAIMS = (
    Claim(
        "ghosh2025.2a",
        "Between 2/S and the first doubling the strongest mode alternates between the two roots of "
        "ρ^L(1 + z^{2L−1})/(1 + z^{L−1}) = s, z = 1 + η(s − ρ^L)ρ^{L−2}, within 1e-5.",
        check_cycle,
        (*SETTING, "η 0.1 % away from both"),
    ),
    Claim(
        "ghosh2025.3",
        "The period doubles from 1 to 2, 4, 8, 16 where theory's cycle has multiplier −1, found "
        "from the orbits alone within 1e-5: the first two at ηS = 2 and 2.4892.",
        check_doublings,
        SETTING,
    ),
    Claim(
        "ghosh2025.3a",
        "The ratios of the gaps between doublings rise towards Feigenbaum's 4.669; the second is "
        "within 1 % of it.",
        check_ratios,
        SETTING,
    ),
    Claim(
        "ghosh2025.3b",
        "At each doubling the Lyapunov exponent is zero, within 0.01.",
        check_exponent,
        SETTING,
    ),
    Claim(
        "ghosh2025.3c",
        "In the windows of period 6, 5 and 3 that theory names the exponent is negative, with "
        "chaos before and after each.",
        check_windows,
        SETTING,
    ),
    Claim(
        "ghosh2025.3d",
        "Chaos ends at η_WCR = γ(L)/S_1, within 0.1 %: from there on the mode is lost at zero.",
        check_end,
        (*SETTING, "odd depth", "20,000 steps"),
    ),
    Claim(
        "ghosh2025.3e",
        "On every 2-cycle the sharpness is above 2/η at one of the two points and below it at the "
        "other.",
        check_sharpness,
        SETTING,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Singular values, sharpness and Lyapunov exponent against the step size."""
    figure, axes = panels(3, 1, height=5.6, width=7.0, sharex=True)
    values, sharp, growth = axes
    orbit = _orbit(measured)
    rates = orbit.learning_rate.values
    lines = _values(values, orbit)
    cycle, unstable = _branches(values, measured, predicted)
    _cloud(sharp, rates, orbit.free_sharpness.values, COLORS[0])
    theory = predicted.sortby("learning_rate")
    edge = predicted_line(sharp, rates, theory.edge_sharpness, "2/η", COLORS[3])
    growth.plot(rates, orbit.lyapunov.isel(step=-1), color=COLORS[6], linewidth=0.6)
    growth.axhline(0, color=INK, linewidth=0.6)
    matrices = _of_matrices(sharp, measured, predicted)
    for ax in axes:
        _marks(ax, predicted, named=ax is values)
    values.set(ylabel=r"singular value $\sigma_i$", ylim=(-0.6, 19.5))
    sharp.set(ylabel=r"sharpness $\lambda_{\max}$", ylim=(10, 180))
    growth.set(ylabel="Lyapunov exponent Λ", xlabel="step size η", ylim=(-0.8, 0.7))
    growth.set_xlim(rates[0], rates[-1])
    legend_above(figure, [*lines, cycle, unstable, edge, matrices], columns=4)
    return figure


def _cloud(ax: Axes, rates: np.ndarray[Any, Any], values: np.ndarray[Any, Any], color: str) -> None:
    """Every state a dot, fainter than the lines that a cycle draws."""
    where = np.broadcast_to(rates[:, None], values.shape)
    (dots,) = ax.plot(where.ravel(), values.ravel(), ",", color=color, alpha=0.25)
    dots.set_rasterized(True)  # hundreds of thousands


def _values(ax: Axes, orbit: xr.Dataset) -> list[Line2D]:
    rates, lines = orbit.learning_rate.values, []
    values = orbit.mode_values.sum("pathway").transpose("learning_rate", "step", "mode").values
    for mode in range(values.shape[-1]):
        color = COLORS[mode % len(COLORS)]
        _cloud(ax, rates, values[:, :, mode], color)
        lines.append(key(f"mode {mode + 1}", color))
    return lines


def _branches(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> tuple[Line2D, Line2D]:
    """The 2-cycle of theory while it is stable, and beyond."""
    theory = predicted.sortby("learning_rate")
    rates = theory.learning_rate.values
    goal = float(strongest_values(measured)[0, -1])
    beyond = rates[(rates > _first(predicted, "doubling_edges")[1])][::20]
    beyond = beyond[beyond < float(_first(predicted, "chaos_end"))]
    depth = int(measured.depth)
    ends = np.array([two_cycle(depth, goal, rate, stretch=True) for rate in beyond])
    for phase in range(2):
        stable = predicted_line(ax, rates, theory.two_cycle.isel(phase=phase), "2-cycle of theory")
        if ends.size:
            predicted_line(ax, beyond, ends[:, phase], stretched=True)
    unstable = predicted_line(ax, [], [], "the same, unstable", stretched=True)
    return stable, unstable


def _of_matrices(ax: Axes, measured: xr.Dataset, predicted: xr.Dataset) -> Line2D:
    """What theory says of the sharpness of matrices, pairs of modes included, on the 2-cycle."""
    theory = predicted.sortby("learning_rate").two_cycle.dropna("learning_rate")[::20]
    targets = sorted(float(text) for text in str(measured.targets.item()).split(","))
    depth, rest = int(measured.depth), targets[:-1]
    widths = [(len(targets),) * (depth + 1)]
    for phase in range(2):
        found = []
        for value in theory.isel(phase=phase).values:
            layer = np.append(rest, value) ** (1 / depth)
            found.append(float(aligned_sharpness([[layer] * depth], targets, widths)))
        line = predicted_line(ax, theory.learning_rate, found, "matrices, on the 2-cycle")
    return line


def _marks(ax: Axes, predicted: xr.Dataset, *, named: bool) -> None:
    """Doublings, windows, and the end of chaos."""
    edges = _first(predicted, "doubling_edges")[:3]
    marks = [(edge, f"$\\eta_{n}$") for n, edge in enumerate(edges)]
    marks.append((float(_first(predicted, "chaos_end")), r"$\eta_{\rm WCR}$"))
    for place, name in marks:
        ax.axvline(place, color=FAINT, linewidth=0.7, zorder=1)
        if named:
            _name(ax, place, name)
    for period in PERIODS:
        opens, closes = _first(predicted, f"window_{period}")
        ax.axvspan(opens, closes, color=COLORS[4], alpha=0.3, linewidth=0, zorder=0)
        if named:
            _name(ax, (opens + closes) / 2, f"period {period}" if period == 3 else str(period))


def _name(ax: Axes, place: float, text: str) -> None:
    ax.annotate(
        text,
        (place, 1.0),
        (0, 1),
        xycoords=ax.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7,
        color=INK,
    )
