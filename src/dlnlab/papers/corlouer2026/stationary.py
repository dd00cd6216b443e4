"""Where one mode comes to rest under the noise of batches: its stationary law, and SGD's own.

Label noise keeps a learned mode moving. The equation of SGD has a stationary law in closed form
(dashed), which chains of the equation follow within the error of their effective size. SGD itself
is a little wider: its variance exceeds the law's by the share ηS/2 to first order in the step size,
S = L s^{2−2/L} the sharpness of the mode (here 0.143 with all orders, at ηS = 0.2). Without label
noise there is no law to draw: every chain ends at the target, as gradient flow does. Distances from
the law (Wasserstein W₁, and Kolmogorov–Smirnov KS) stand in the panels. Values after the first
quarter of each run; the equation takes four steps in the time of one of SGD.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import FALSE_ALARM, STATISTICAL_CLAIMS, Claim, Verdict
from dlnlab.dynamics import Langevin, StochasticGradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import BalancedModes, square
from dlnlab.observables import mode_values
from dlnlab.plotting import (
    COLORS,
    INK,
    Axes,
    Figure,
    at,
    few_ticks,
    key,
    legend_above,
    panels,
    with_axes,
)
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.noise import (
    Distances,
    StationaryLaw,
    sample_distances,
    sgd_variance_ratio,
    stationary_law,
    stationary_mean,
    stationary_variance,
)
from dlnlab.typing import Any

Method = Literal["sgd", "equation"]

AXES = ("dynamics", "depth", "label_noise", "seed")
REFINEMENT = 4
"""Steps of the equation (weak order 2) in the time of one step of SGD: a bias of the variance of
(ηS/4)²/4, beneath its error."""


def one_mode(
    method: Method, depth: int, target: Any, label_noise: Any, start: Any
) -> tuple[Problem, Any]:
    """One balanced mode at `start`: for SGD a chain of 1×1 matrices, for the equation its value."""
    if method == "sgd":
        one = jnp.ones((1, 1))
        task = Whitened(target * one, label_noise, basis=(one, one))
        problem = Problem(square(1, (depth,)), task)
    else:
        task = Whitened(jnp.full(1, target), label_noise)
        problem = Problem(BalancedModes((depth,), 1), task)
    return problem, scaled_identity(problem, (start,))


def moved(method: Method, learning_rate: Any, batch_size: int, time_step: Any) -> Any:
    """SGD, or its equation in steps of `time_step`."""
    if method == "sgd":
        return StochasticGradientDescent(learning_rate, batch_size=batch_size)
    return Langevin(learning_rate, batch_size=batch_size, time_step=time_step, scheme="weak_2")


def build(
    dynamics: Method = "sgd",
    depth: Annotated[int, Coordinate(least=2, most=100, symbol="L")] = 2,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
    label_noise: Annotated[float, Coordinate(least=0, symbol="ς")] = 0.2,
    scaled_rate: Annotated[float, Coordinate(above=0, log=True, symbol="ηS")] = 0.2,
    batch_size: Annotated[int, Coordinate(least=1, most=10_000, symbol="B")] = 1,
    start: Annotated[float, Coordinate(above=0, log=True, symbol="w(0)")] = 0.5,
    seed: int = 0,
) -> Run:
    """One balanced mode from w(0) on, at η = scaled_rate/S, S = L s^{2−2/L}.

    The equation takes four steps in the time of one of SGD.
    """
    rate = learning_rate(scaled_rate, depth, target)
    problem, params = one_mode(dynamics, depth, target, label_noise, start)
    rule = moved(dynamics, rate, batch_size, rate / REFINEMENT)
    return Run(problem, rule, params, jax.random.key(seed))


def learning_rate(scaled_rate: Any, depth: int, target: Any) -> Any:
    """η of a given ηS."""
    return scaled_rate / (depth * target ** (2 - 2 / depth))


def asked(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    """The arguments of a stationary law at one point."""
    rate = learning_rate(coords["scaled_rate"], coords["depth"], coords["target"])
    kept = ("depth", "target", "label_noise", "batch_size")
    return {**{name: coords[name] for name in kept}, "learning_rate": rate}


@prediction("variance_ratio", symbol="Var_SGD/Var w", source="corlouer2026.4")
def variance_ratio(scaled_rate: float, batch_size: int) -> Any:
    """SGD's variance over that of its equation, for small label noise: 1 + ηS/2 + O((ηS)²).

    Both of them linear about the target (`sgd_variance_ratio`, where S = 1); NaN where SGD has no
    variance there.
    """
    ratio = sgd_variance_ratio(1, 1.0, scaled_rate, batch_size)
    return np.asarray(np.nan if ratio is None else ratio)


EXPERIMENT = Experiment(
    build,
    title="The stationary law of one mode",
    steps=4000,
    schedule=linear(801),
    observe=(mode_values,),
    predictions=(
        Bound(stationary_mean, asked),
        Bound(stationary_variance, asked),
        Bound(variance_ratio),
    ),
    coords={
        "dynamics": ("sgd", "equation"),
        "depth": (2, 4),
        "label_noise": (0.0, 0.2),
        "seed": tuple(range(128)),
    },
    cites=("corlouer2026",),
)

FULL = {"depth": (2, 3, 4, 6), "label_noise": (0.0, 0.1, 0.2, 0.5), "steps": 40_000}

INTERACTIVE = ("mode_values",)


def rested(measured: xr.Dataset, **place: Any) -> np.ndarray[Any, Any]:
    """The values of a cell after the first quarter of the run, [seed, record], NaN if diverged."""
    found = at(measured.mode_values, **place).isel(pathway=0, mode=0)
    found = found.isel(step=slice(found.sizes["step"] // 4, None))
    return np.asarray(found.transpose("seed", "step").values)


def law_at(measured: xr.Dataset, depth: int, label_noise: float) -> StationaryLaw:
    """The law at these coordinates."""
    names = ("target", "scaled_rate", "batch_size")
    coords = {name: measured[name].item() for name in names}
    return stationary_law(**asked({**coords, "depth": depth, "label_noise": label_noise}, measured))


def noisy_cells(measured: xr.Dataset) -> list[tuple[int, float]]:
    """Depth and label noise of the cells that have a law with a density."""
    noises = [float(n) for n in np.atleast_1d(measured.label_noise) if n > 0]
    return [(int(depth), noise) for depth in np.atleast_1d(measured.depth) for noise in noises]


def distances(measured: xr.Dataset, method: Method, depth: int, noise: float) -> Distances:
    """Of the chains that did not diverge from the law."""
    series = rested(measured, dynamics=method, depth=depth, label_noise=noise)
    kept = series[np.isfinite(series).all(axis=1)]
    return sample_distances(kept, law_at(measured, depth, noise))


def alarm(cells: int) -> float:
    """The false-alarm rate of one comparison of so many that make up a claim."""
    return FALSE_ALARM / STATISTICAL_CLAIMS / cells


def check_law(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least p-value of Kolmogorov and Smirnov over cells, at the chains' effective sizes."""
    measured, _ = with_axes(measured, predicted, AXES)
    cells = noisy_cells(measured)
    found = [distances(measured, "equation", *cell) for cell in cells]
    least = min(each.p_value for each in found)
    size = int(min(each.effective_size for each in found))
    return Verdict.at_least(least, alarm(len(cells)), sample_size=size)


def _errors(sample: np.ndarray[Any, Any], expected: float) -> float:
    """The mean of a chain's numbers, one for each chain, from what is expected, in its errors."""
    spread = sample.std(ddof=1) / np.sqrt(len(sample))
    return float(abs(sample.mean() - expected) / spread)


def farthest(errors: list[float], sample_size: int) -> Verdict:
    """Holds where no comparison is further off than chance allows: in standard errors, at a level
    shared between them (Student's t with the degrees of freedom of the chains)."""
    import scipy.stats  # which takes longer to import than all else that a run needs

    limit = float(scipy.stats.t.isf(alarm(len(errors)) / 2, sample_size - 1))
    return Verdict.at_most(float(np.max(errors)), limit, sample_size=sample_size)


def check_moments(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Mean and variance of the equation's chains from the law's, in their standard errors."""
    measured, predicted = with_axes(measured, predicted, AXES)
    errors, size = [], 0
    for depth, noise in noisy_cells(measured):
        series = rested(measured, dynamics="equation", depth=depth, label_noise=noise)
        said = at(predicted, depth=depth, label_noise=noise).isel(dynamics=0, seed=0)
        mean, size = float(said.stationary_mean), len(series)
        errors.append(_errors(series.mean(axis=1), mean))
        squares = ((series - mean) ** 2).mean(axis=1)
        errors.append(_errors(squares, float(said.stationary_variance)))
    return farthest(errors, size)


def excess(measured: xr.Dataset, predicted: xr.Dataset, depth: int, noise: float) -> Any:
    """SGD's variance over the law's, less one, and its standard error over chains."""
    series = rested(measured, dynamics="sgd", depth=depth, label_noise=noise)
    said = at(predicted, depth=depth, label_noise=noise).isel(dynamics=0, seed=0)
    squares = ((series - series.mean()) ** 2).mean(axis=1) / float(said.stationary_variance)
    return float(squares.mean()) - 1, float(squares.std(ddof=1)) / np.sqrt(len(squares))


def check_wider(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """SGD's excess of variance from that of the linear recursion, in its standard errors; it is to
    be told from none besides."""
    measured, predicted = with_axes(measured, predicted, AXES)
    cells = noisy_cells(measured)
    said = float(predicted.variance_ratio.values.flat[0]) - 1
    found = [excess(measured, predicted, *cell) for cell in cells]
    told = all(value > normal_limit(len(cells)) * error for value, error in found)
    errors = [abs(value - said) / error if told else np.nan for value, error in found]
    return farthest(errors, measured.sizes["seed"])


def normal_limit(comparisons: int) -> float:
    """The standard errors that none of so many normal numbers exceeds, at the shared level."""
    import scipy.stats

    return float(scipy.stats.norm.isf(alarm(comparisons) / 2))


def check_noiseless(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest |w/s − 1| at the end of a run without label noise, of either dynamics."""
    measured, _ = with_axes(measured, predicted, AXES)
    quiet = measured.sel(label_noise=0.0).isel(pathway=0, mode=0, step=-1)
    off = abs(quiet.mode_values / float(measured.target) - 1)
    worst = float(off.max(skipna=False))
    return Verdict.at_most(worst, 1e-9, sample_size=off.size)


ONE = ("d = 1", "balanced", "ηS = 0.2")
CLAIMS = (
    Claim(
        "corlouer2026.4",
        "One balanced mode under the stochastic differential equation of SGD has the stationary "
        "law p ∝ w^{−3(1−1/L)} (2(s−w)²+ς²)^{−1} exp((2B/ηL)∫(s−w)/(w^{2−2/L}(2(s−w)²+ς²))dw).",
        check_law,
        (*ONE, "label noise"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.4a",
        "The mean and the variance of the equation's chains are those of the law.",
        check_moments,
        (*ONE, "label noise"),
        statistical=True,
    ),
    Claim(
        "corlouer2026.4d",
        "Without label noise all mass is at the target, as for gradient flow: SGD and its equation "
        "end there from every seed.",
        check_noiseless,
        (*ONE, "from half the target"),
    ),
    Claim(
        "corlouer2026.4i",
        "SGD's own variance exceeds that of the law by the share ηS/2 to first order: by "
        "the factor (2 − 2ηS/B)/(2 − ηS(1 + 2/B)) of the linear recursion.",
        check_wider,
        (*ONE, "label noise small against the target", "B = 1"),
        statistical=True,
    ),
)

NAMES: dict[Method, str] = {"sgd": "SGD", "equation": "its equation"}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Histograms of SGD and of its equation with the law over them, a panel for each depth and
    label noise; without label noise, the median distance from the target along the run."""
    measured, _ = with_axes(measured, predicted, AXES)
    cells, quiet = noisy_cells(measured), bool((measured.label_noise == 0).any())
    count = len(cells) + quiet
    columns = min(count, 3)
    figure, axes = panels(-(-count // columns), columns)
    for ax, cell in zip(axes, cells, strict=False):
        _panel(ax, measured, *cell)
    if quiet:
        _distances_from_target(axes[len(cells)], measured)
    for ax in axes[count:]:
        ax.set_axis_off()
    lines = [key(NAMES[m], c) for m, c in zip(NAMES, COLORS, strict=False)]
    law = key("stationary law", INK, linewidth=1.0, linestyle=(0, (4, 2.2)))
    legend_above(figure, [*lines, law])
    return figure


_SHOWN = 1e-13  # rounding lies below


def _distances_from_target(ax: Axes, measured: xr.Dataset) -> None:
    quiet = measured.mode_values.sel(label_noise=0.0).isel(pathway=0, mode=0)
    off = abs(quiet / float(measured.target) - 1).median("seed")
    ends = float(off.time.where(off > _SHOWN).max())
    first, *others = np.atleast_1d(measured.depth).tolist()
    thin = f", thin L = {', '.join(map(str, others))}" if others else ""
    for name, color in zip(NAMES, COLORS, strict=False):
        for k, depth in enumerate((first, *others)):
            if name in measured.dynamics.values:
                found = off.sel(dynamics=name, depth=depth)
                ax.plot(found.time, found, color=color, linewidth=1.6 - 0.6 * (k > 0), zorder=2)
    ax.set(
        yscale="log", ylim=(_SHOWN, 2), xlabel="time η · step", title=f"ς = 0: L = {first}{thin}"
    )
    ax.set_xlim(0, 1.1 * ends)
    ax.set_ylabel("median |w/s − 1|")
    few_ticks(ax, 4, axis="x")


def _panel(ax: Axes, measured: xr.Dataset, depth: int, noise: float) -> None:
    law, target = law_at(measured, depth, noise), float(measured.target)
    low, high = map(float, law.ppf(np.array([5e-4, 1 - 1e-3])))
    edges = np.linspace(low, high, 51)
    lines = []
    for method, color in zip(np.atleast_1d(measured.dynamics), COLORS, strict=False):
        series = rested(measured, dynamics=method, depth=depth, label_noise=noise)
        kept = series[np.isfinite(series).all(axis=1)]
        shares = np.histogram(kept, edges)[0] / kept.size / np.diff(edges)
        ax.stairs(shares * target, edges / target, color=color, linewidth=1.4, zorder=2)
        off = sample_distances(kept, law)
        lost = len(series) - len(kept)
        lines.append(f"$W_1$ = {off.wasserstein:.4f}, KS = {off.kolmogorov_smirnov:.4f}")
        lines[-1] += f", {lost} diverged" if lost else ""
        ax.text(
            0.02,
            1.07 - 0.09 * len(lines),
            lines[-1],
            transform=ax.transAxes,
            va="top",
            fontsize=6.5,
            color=color,
        )
    fine = np.linspace(low, high, 400)
    predicted_line(ax, fine / target, law.pdf(fine) * target)
    ax.set_title(f"L = {depth}, ς = {noise:g}")
    ax.set(xlabel="w/s", ylabel="density", ylim=(0, 1.35 * float(law.pdf(law.ppf(0.5))) * target))
    few_ticks(ax)
