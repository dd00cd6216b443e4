"""An L2 penalty of all parameters is a Schatten quasi-norm of order 2/L of the product.

Descent on ℓ + (λ/2)‖θ‖² balances the layers, and ends where ‖θ‖² is the least that its product
allows, L Σσ_i^{2/L}. The singular values that are left are those of the target, shrunk: by λ for
two layers, and beyond by little or to zero, with a jump. There zero is a local minimum too, however
weak the penalty, so that of a small and of a large start the better end counts, mode by mode; and a
mode that is once learned is kept a little below the threshold at which it ceases to be worth it.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Map
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import chain, require_width
from dlnlab.observables import loss, parameter_norm, singular_values
from dlnlab.plotting import COLORS, FAINT, INK, Axes, Figure, key, legend_above, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import learning_threshold, least_squared_norm, regularised_values
from dlnlab.typing import Any, Array, Key, Params, Scalar

Start = Literal["small", "large"]


class DecayedDescent(Map):
    """`θ⁺ = θ − η(∇ℓ + λθ)`: descent on `ℓ + (λ/2)‖θ‖²`."""

    learning_rate: Scalar | float
    weight_decay: Scalar | float

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> tuple[()]:
        return ()

    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        gradient = problem.gradient(params)
        keep = 1 - self.learning_rate * self.weight_decay
        return jax.tree.map(lambda w, g: keep * w - self.learning_rate * g, params, gradient), ()


def build(
    weight_decay: Annotated[float, Coordinate(least=0, symbol="λ")] = 0.1,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    start: Start = "large",
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 6,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (2.0, 1.0, 0.6, 0.3),
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.05,
    seed: int = 0,
) -> Run:
    """A whitened target in random bases, learned by descent on `ℓ + (λ/2)‖θ‖²`.

    A `large` start has every mode at twice the strongest target; a small one has Gaussian entries
    of deviation 0.01. On both lie Gaussian entries of deviation 0.01, so that layers begin neither
    aligned nor balanced. The seed draws bases and entries.
    """
    if not targets:
        raise InputError("a target has one singular value or more, and none was given; name them.")
    require_width(width, len(targets))
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, len(targets), (2,))
    values = jnp.asarray(targets)
    network = chain((len(targets), *(width,) * (depth - 1), len(targets)))
    problem = Problem(network, Whitened(left * values @ right.T, basis=(left, right)))
    params = gaussian(network, drawn, std=0.01)
    if start == "large":
        aligned = scaled_identity(problem, (jnp.max(values),))
        params = jax.tree.map(jnp.add, params, aligned)
    return Run(problem, DecayedDescent(learning_rate, weight_decay), params)


EXPERIMENT = Experiment(
    build,
    title="The product under an L2 penalty of the parameters",
    steps=20_000,
    schedule=logarithmic(25),
    observe=(loss, parameter_norm, singular_values),
    predictions=(Bound(regularised_values),),
    coords={
        "depth": (2, 3, 4),
        "start": ("small", "large"),
        "weight_decay": (0.02, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7),
        "seed": (0, 1),
    },
    cites=("jacot2021",),
)

FULL = {"depth": (2, 3, 4, 5), "seed": tuple(range(10)), "steps": 100_000}
INTERACTIVE = ("singular_values", "parameter_norm", "loss")


# --- claims -------------------------------------------------------------------------------------

AXES = ("weight_decay", "depth", "start", "seed")
EPSILON = float(np.finfo(np.float64).eps)


def strengths(measured: xr.Dataset) -> Any:
    """The target's singular values, descending."""
    return np.sort([float(s) for s in str(measured.targets.values).split(",")])[::-1]


def quasi_norm(measured: xr.Dataset) -> xr.DataArray:
    """`L Σσ_i^{2/L}` of the recorded maps."""
    return xr.apply_ufunc(
        lambda values, depth: float(least_squared_norm(values, int(depth))),
        measured.singular_values,
        measured.depth,
        input_core_dims=[["mode"], []],
        vectorize=True,
    )


def check_norm(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest relative difference of ‖θ‖² and the quasi-norm where descent from a large start
    ends; NaN if ‖θ‖² is ever below the quasi-norm by more than singular values round."""
    square, least = measured.parameter_norm**2, quasi_norm(measured)
    modes, power = measured.sizes["mode"], 2 / measured.depth
    rounding = modes * measured.depth * (16 * EPSILON * strengths(measured)[0]) ** power
    never_below = bool((square >= least - rounding).all())
    end = square.isel(step=-1).sel(start="large")
    kept = end > 0.1  # where a mode is kept at all
    error = abs(end / least.isel(step=-1).sel(start="large") - 1).where(kept, 0)
    worst = float(error.max(skipna=False)) if never_below and bool(kept.any()) else np.nan
    return Verdict.at_most(worst, 1e-4, sample_size=error.size)


def best(measured: xr.Dataset) -> xr.DataArray:
    """The singular values at the end, of the two starts those of the lesser cost, mode by mode."""
    ends = measured.singular_values.isel(step=-1)
    goals = xr.DataArray(strengths(measured), dims="mode")
    penalty = measured.weight_decay * measured.depth / 2 * ends ** (2 / measured.depth)
    cost = (ends - goals) ** 2 / 2 + penalty
    return ends.isel(start=cost.argmin("start"))


def check_values(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest difference of the better ends from the regularised values."""
    error = abs(best(measured) - predicted.regularised_values.isel(start=0))
    return Verdict.at_most(float(error.max(skipna=False)), 1e-4, sample_size=error.size)


def check_soft(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The same of both starts at two layers, against max(0, s − λ)."""
    goals = xr.DataArray(strengths(measured), dims="mode")
    said = np.maximum(0, goals - measured.weight_decay)
    error = abs(measured.singular_values.isel(step=-1).sel(depth=2) - said)
    return Verdict.at_most(float(error.max(skipna=False)), 1e-4, sample_size=error.size)


def check_threshold(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of modes that the better end has kept and theory has not, or the reverse."""
    kept = best(measured) > 1e-3
    goals = xr.DataArray(strengths(measured), dims="mode")
    least = xr.apply_ufunc(
        lambda depth, decay: learning_threshold(int(depth), float(decay)),
        measured.depth,
        measured.weight_decay,
        vectorize=True,
    )
    wrong = kept != (goals > least)
    return Verdict.at_most(int(wrong.sum()), 0, sample_size=wrong.size)


SETTING = "white inputs, targets 2, 1, 0.6, 0.3, 20,000 steps of descent on ℓ + (λ/2)‖θ‖²"
CLAIMS = (
    Claim(
        "jacot2021.5",
        "L2 regularisation of parameters is a Schatten quasi-norm of the product: ‖θ‖² is never "
        "below L Σσ_i^{2/L}, and descent ends where it is equal.",
        check_norm,
        (SETTING, "from large starts; where all modes are lost both are zero"),
    ),
    Claim(
        "jacot2021.5a",
        "The singular values that are left minimise ½(σ − s)² + (λL/2)σ^{2/L}, mode by mode.",
        check_values,
        (SETTING, "of a small and a large start the better end, mode by mode"),
    ),
    Claim(
        "jacot2021.5b",
        "For two layers they are max(0, s − λ), from a small start as from a large one.",
        check_soft,
        (SETTING,),
    ),
    Claim(
        "jacot2021.5c",
        "A mode is worth keeping where s is above σ_c(L−1)/(L−2), σ_c = (λ(L−2))^{L/(2L−2)}, or λ "
        "for two layers.",
        check_threshold,
        (SETTING, "of a small and a large start the better end, mode by mode"),
    ),
)


# --- the figure ---------------------------------------------------------------------------------


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Singular values against the penalty, a panel for each depth; theory dashed."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    depths = measured.depth.values
    figure, axes = panels(1, len(depths), height=2.5, sharey=True)
    for ax, depth in zip(axes, depths, strict=True):
        _panel(ax, measured.sel(depth=depth), int(depth))
        ax.set(title=f"L = {depth}", xlabel="penalty λ")
    axes[0].set_ylabel("singular values σ")
    keys = [key("large start", FAINT, marker="o"), key("small start", FAINT, marker="x")]
    theory = key("least penalised cost", INK, linestyle="--", linewidth=1)
    legend_above(figure, [*keys, theory])
    return figure


def _panel(ax: Axes, one: xr.Dataset, depth: int) -> None:
    ends, goals = one.singular_values.isel(step=-1), strengths(one)
    for start, marker in zip(("large", "small"), "ox", strict=True):
        if start not in one.start.values:
            continue
        for mode, color in zip(ends.mode.values, COLORS, strict=False):
            values = ends.sel(start=start, mode=mode).isel(seed=0)
            ax.plot(one.weight_decay, values, marker, color=color, ms=4, mew=1.1, mfc="none")
    penalties = np.linspace(0, 1.05 * float(one.weight_decay.max()), 600)
    said = np.array([regularised_values(goals, depth, float(decay)) for decay in penalties])
    for line in said.T:
        predicted_line(ax, penalties, line)
