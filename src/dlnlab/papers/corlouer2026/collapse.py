"""Two layers near zero: where the equation of SGD collapses, and where SGD does.

How a small mode of two layers ends, over the step size and the batch. The equation has a boundary
of collapse, η(2s² + ς²) = 2Bs (dashed): without label noise ηs = B. There both ends attract beyond
it, and a start w ends at 0 with the probability 1 − I_{w/s}(½ − c, 1 + c), c = B/(2ηs), else at its
target. SGD itself does not collapse without label noise: every factor of a small mode,
1 + ηs x², is above 1. It converges, or it diverges. With label noise ten times the target SGD
collapses as its equation does; its own boundary (dotted), where the Lyapunov exponent of a small
mode E ln|1 + η(s x² + ξx)| changes sign, is nearly the same one.
A mode is at 0 below 10⁻¹² s, and learned within a thousandth of its target or, with label noise,
above 10⁻¹² s. Target s = 1, and η in units of the equation's boundary.
"""

from typing import Annotated

import jax
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.experiment import Bound, Experiment
from dlnlab.observables import mode_values
from dlnlab.papers.corlouer2026.stationary import NAMES, Method, alarm, moved, one_mode
from dlnlab.plotting import (
    COLORS,
    FAINT,
    INK,
    Axes,
    Figure,
    key,
    panels,
    patches_above,
    swatch,
    with_axes,
)
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.schema import Coordinate
from dlnlab.theory.base import Assumption, prediction
from dlnlab.theory.noise import collapse_edge, collapse_probability, small_mode_exponent
from dlnlab.typing import Any

TARGET = 1.0
AXES = ("dynamics", "label_noise", "batch_size", "edge_ratio", "seed")
TIME_STEP = 0.02
"""Of the equation, in units of 1/s: ln w changes by some 0.2 in a step at the boundary."""


_RATIO = Coordinate(
    above=0, log=True, symbol="η/η*", help="η* = 2Bs/(2s² + ς²), where the equation collapses"
)


def build(
    dynamics: Method = "sgd",
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς/s")] = 0.0,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    edge_ratio: Annotated[float, _RATIO] = 1.5,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)/s")] = 0.1,
    seed: int = 0,
) -> Run:
    """One mode of two layers and target 1, at η = edge_ratio · 2Bs/(2s² + ς²).

    A step of the equation takes the time 0.02/s.
    """
    rate = learning_rate(edge_ratio, label_noise, batch_size)
    problem, params = one_mode(dynamics, 2, TARGET, label_noise, start)
    rule = moved(dynamics, rate, batch_size, TIME_STEP / TARGET)
    # η/B alone tells the equation's batches apart: without this they would share every path.
    key = jax.random.fold_in(jax.random.key(seed), batch_size)
    return Run(problem, rule, params, key)


def learning_rate(edge_ratio: Any, label_noise: Any, batch_size: Any) -> Any:
    """η of a given η/η*, η* = 2Bs/(2s² + ς²)."""
    return edge_ratio * 2 * batch_size * TARGET / (2 * TARGET**2 + label_noise**2)


OF_THE_EQUATION = Assumption(
    "of_the_equation",
    "the run is one of the differential equation, --dynamics equation",
    lambda dynamics: float(dynamics != "equation"),
)
OF_SGD = Assumption(
    "of_sgd",
    "the run is one of SGD itself, --dynamics sgd",
    lambda dynamics: float(dynamics != "sgd"),
)


@prediction("ends_at_zero", symbol="P(w → 0)", assumes=(OF_THE_EQUATION,), source="corlouer2026.4")
def ends_at_zero(
    dynamics: str, start: float, label_noise: float, learning_rate: float, batch_size: int
) -> Any:
    """The chance that the equation ends at 0: with label noise 1 beyond the boundary, 0 before."""
    if label_noise > 0:
        edge = collapse_edge(TARGET, label_noise, batch_size)
        return np.asarray(float(learning_rate > edge))
    return collapse_probability(start, TARGET, learning_rate, batch_size)


@prediction("small_mode_exponent", symbol="E ln|θ⁺/θ|", assumes=(OF_SGD,), source="corlouer2026.4")
def exponent(dynamics: str, label_noise: float, learning_rate: float, batch_size: int) -> Any:
    """The Lyapunov exponent of a small mode under SGD, for each step, see `small_mode_exponent`."""
    return np.asarray(small_mode_exponent(TARGET, label_noise, learning_rate, batch_size))


def _rate(coords: dict[str, Any]) -> dict[str, Any]:
    names = ("label_noise", "batch_size")
    kept = {name: coords[name] for name in names}
    rate = learning_rate(coords["edge_ratio"], **kept)
    return {**kept, "dynamics": coords["dynamics"], "learning_rate": rate}


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
        "seed": tuple(range(48)),
    },
    cites=("corlouer2026",),
)

FULL = {
    "batch_size": (1, 2, 4, 8, 16),
    "edge_ratio": tuple(float(r) for r in np.geomspace(0.2, 4, 25).round(4)),
    "seed": tuple(range(400)),
    "steps": 20_000,
}

ENDS = ("at 0", "learned", "neither", "diverged")
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


BELOW, ABOVE = 0.6, 1.3
"""In units of the boundary: between them a run of any length is too short to tell its end."""


def _right(found: xr.DataArray, collapses: xr.DataArray, kept: xr.DataArray) -> Verdict:
    """The fraction of runs that end at 0 exactly where they should."""
    hits = ((found == 0) == collapses) & kept
    count = int((kept & xr.ones_like(found, dtype=bool)).sum())
    return Verdict.all_at_least([int(hits.sum())], [count], 0.95)


def _cells(measured: xr.Dataset, predicted: xr.Dataset, **place: Any) -> tuple[Any, Any]:
    measured, predicted = with_axes(measured, predicted, AXES)
    ratio = measured.edge_ratio
    far = ratio[(ratio <= BELOW) | (ratio >= ABOVE)].values
    noisy = measured.label_noise.values > 0 if place.pop("noisy") else measured.label_noise == 0
    where = {"edge_ratio": far, "label_noise": measured.label_noise.values[np.asarray(noisy)]}
    return measured.sel(**where, **place), predicted.sel(**where, **place)


def check_boundary(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of the equation's runs that end at 0 beyond the boundary, and not before it."""
    runs, said = _cells(measured, predicted, dynamics="equation", noisy=True)
    found = ends(runs)
    return _right(found, said.ends_at_zero > 0.5, xr.ones_like(found, dtype=bool))


def check_chance(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least p-value, over η/η*, of the number of runs that ended at 0 (binomial, exact).

    Batches are counted together: without label noise η/B and the start decide alone.
    """
    import scipy.stats

    runs, said = _cells(measured, predicted, dynamics="equation", noisy=False)
    hits = (ends(runs) == 0).sum(["seed", "batch_size", "label_noise"])
    chances = said.ends_at_zero.isel(seed=0, batch_size=0, label_noise=0).values
    count = runs.sizes["seed"] * runs.sizes["batch_size"]
    found = [
        scipy.stats.binomtest(int(k), count, float(chance)).pvalue
        for k, chance in zip(hits.values, chances, strict=True)
    ]
    return Verdict.at_least(min(found), alarm(len(found)), sample_size=count * len(found))


def check_no_collapse(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of SGD's runs without label noise that ended at 0."""
    measured, _ = with_axes(measured, predicted, AXES)
    found = ends(measured.sel(dynamics="sgd", label_noise=[0.0]))
    return Verdict.at_most(float((found == 0).sum()), 0, sample_size=found.size)


def check_exponent(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The fraction of SGD's runs, those that did not diverge, that end as the exponent says."""
    runs, said = _cells(measured, predicted, dynamics="sgd", noisy=True)
    found = ends(runs)
    return _right(found, said.exponent < 0, found != ENDS.index("diverged"))


SMALL = ("two layers", "one balanced mode", "η at most 0.6 or at least 1.3 times the boundary")
CLAIMS = (
    Claim(
        "corlouer2026.4e",
        "Under label noise the equation of two layers has a law at rest for η(2s² + ς²) < 2Bs, and "
        "collapses to 0 beyond.",
        check_boundary,
        (*SMALL, "ς = 10 s"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.4j",
        "Without label noise and for ηs > B both ends of the equation attract: it ends at 0 with "
        "the probability 1 − I_{w/s}(½ − c, 1 + c), c = B/(2ηs), else at its target; for ηs < B "
        "never at 0.",
        check_chance,
        SMALL,
        statistical=True,
    ),
    Claim(
        "corlouer2026.4k",
        "SGD itself does not collapse without label noise, at any step size: it converges or it "
        "diverges.",
        check_no_collapse,
        ("two layers", "one balanced mode"),
    ),
    Claim(
        "corlouer2026.4l",
        "Under label noise SGD collapses where the Lyapunov exponent of a small mode, "
        "E ln|1 + η(s x̄² + (ξx)̄)|, is below 0, if it does not diverge.",
        check_exponent,
        (*SMALL, "ς = 10 s"),
        statistical=True,
    ),
)

END_COLORS = (COLORS[1], COLORS[5], FAINT, "#dfe3e8")

EDGE: dict[str, Any] = {"linewidth": 1.2, "linestyle": (0, (4, 2.2))}
TURN: dict[str, Any] = {"linewidth": 1.4, "linestyle": (0, (1, 1.2))}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The fractions of ends in each cell of step size and batch, stacked: a panel for each
    dynamics and label noise."""
    measured, predicted = with_axes(measured, predicted, AXES)
    shares = fractions(measured)
    kinds = [(n, d) for n in measured.label_noise.values for d in measured.dynamics.values]
    figure, axes = panels(-(-len(kinds) // 2), min(2, len(kinds)))
    for ax, (noise, dynamics) in zip(axes, kinds, strict=False):
        place = {"label_noise": noise, "dynamics": dynamics}
        _cells_drawn(ax, shares.sel(**place))
        _boundary(ax, measured)
        if dynamics == "sgd":
            _turns(ax, predicted.exponent.isel(seed=0).sel(**place))
        ax.set_title(f"{NAMES[dynamics]}, ς = {noise:g} s")
    seen = (shares > 0).any([dim for dim in shares.dims if dim != "end"]).values
    fates = [swatch(n, c) for n, c, s in zip(ENDS, END_COLORS, seen, strict=True) if s]
    edges = [key("edge of the equation", INK, **EDGE), key("edge of SGD", INK, **TURN)]
    patches_above(figure, [*fates, *edges])
    return figure


def _cells_drawn(ax: Axes, shares: xr.DataArray) -> None:
    for row, batch in enumerate(shares.batch_size.values):
        for column, ratio in enumerate(shares.edge_ratio.values):
            bottom = row - 0.42
            for part, color in zip(
                shares.sel(batch_size=batch, edge_ratio=ratio).transpose("end").values,
                END_COLORS,
                strict=True,
            ):
                ax.bar(column, 0.84 * part, 0.84, bottom, color=color, zorder=2)
                bottom += 0.84 * part
    ax.set_yticks(range(shares.sizes["batch_size"]), [str(b) for b in shares.batch_size.values])
    labels = [f"{ratio:.3g}" for ratio in shares.edge_ratio.values]
    every = -(-len(labels) // 8)
    ax.set_xticks(range(len(labels))[::every], labels[::every])
    ax.set(
        ylabel="batch size B", xlabel="η(2s² + ς²)/2Bs", ylim=(-0.5, len(shares.batch_size) - 0.5)
    )
    ax.grid(visible=False)


def _boundary(ax: Axes, measured: xr.Dataset) -> None:
    """The equation's boundary, dashed."""
    ratios = measured.edge_ratio.values
    if ratios[0] < 1 < ratios[-1]:
        place = float(np.interp(0, np.log(ratios), np.arange(len(ratios))))
        ax.axvline(place, color=INK, zorder=3, **EDGE)


def _turns(ax: Axes, exponents: xr.DataArray) -> None:
    """Where SGD's exponent vanishes, dotted, row by row."""
    for row, batch in enumerate(exponents.batch_size.values):
        values = exponents.sel(batch_size=batch).values
        turns = np.flatnonzero((values[:-1] > 0) & (values[1:] <= 0))
        if turns.size:
            k = int(turns[0])
            place = k + values[k] / (values[k] - values[k + 1])
            ax.vlines(place, row - 0.5, row + 0.5, color=INK, zorder=4, **TURN)
