"""Which saddles there are, and which of them lie on the way.

The critical points with balanced layers are W = P_S M: some set S of modes is learned, the others
are zero. Here the Hessian is written out at every one of them. With two layers each saddle is
strict. With three those on the way from a small start, where the strongest modes are learned, have
no negative eigenvalue at all: only one that has learned a mode before a stronger one has.
"""

from itertools import product
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.critical import signature
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import chain
from dlnlab.observables import gradient_norm, loss
from dlnlab.plotting import COLORS, INK, Figure, key, legend_above, panels, with_axes
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.escape import critical_point
from dlnlab.typing import Any

HIDDEN = 4


def build(
    learned: Annotated[
        tuple[float, ...], Coordinate(least=0, most=1, symbol="S", help="1 if learned, else 0")
    ] = (1.0, 0.0, 0.0),
    depth: Annotated[int, Coordinate(least=2, most=10, symbol="L")] = 3,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s")] = (3.0, 2.0, 1.0),
    seed: int = 0,
) -> Run:
    """Balanced layers at W = P_S M, in random hidden frames; nothing moves."""
    modes = len(targets)
    if len(learned) != modes:
        raise InputError(
            f"learned has {len(learned)} values for {modes} targets; give a 0 or a 1 for each, say "
            f"--learned {','.join(['1'] + ['0'] * (modes - 1))}."
        )
    hidden = max(HIDDEN, modes)
    root = (jnp.array(learned) * jnp.array(targets)) ** (1 / depth)
    keys = jax.random.split(jax.random.key(seed), depth - 1)
    inner = [jnp.linalg.qr(jax.random.normal(k, (hidden, modes)))[0] for k in keys]
    frames = [jnp.eye(modes), *inner, jnp.eye(modes)]
    params = tuple(b * root @ a.T for a, b in zip(frames, frames[1:], strict=False))
    task = Whitened(jnp.diag(jnp.array(targets)))
    problem = Problem(chain((modes, *[hidden] * (depth - 1), modes)), task)
    return Run(problem, GradientDescent(0.0), (params,))


def curvature(run: Run) -> xr.Dataset:
    """The signature of the Hessian at the start, written out."""
    found = signature(run.problem, run.params)
    counts = {"negative": "n_−", "zero": "n_0", "positive": "n_+", "rank": "rank W"}
    made = {n: ((), float(getattr(found, n)), {"symbol": s}) for n, s in counts.items()}
    return xr.Dataset({**made, "lowest": ((), found.eigenvalues[-1], {"symbol": "λ_min"})})


@prediction(
    "critical_signature",
    dims=("number",),
    symbol="ℓ, n_−, n_0, n_+, λ_min, k",
    source="jacot2021.3",
)
def predicted_signature(
    targets: Floats, widths: tuple[int, ...], chosen: tuple[int, ...]
) -> Floats:
    """Loss, index, zero and positive eigenvalues, the lowest, and the rank of W = P_S M."""
    point = critical_point(targets, widths, chosen)
    counts = (point.negative, point.zero, point.positive)
    return np.array([point.loss, *counts, point.lowest, len(point.learned)])


def _arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    modes = len(coords["targets"])
    widths = (modes, *[max(HIDDEN, modes)] * (coords["depth"] - 1), modes)
    chosen = tuple(k for k, share in enumerate(coords["learned"]) if share)
    return {"targets": coords["targets"], "widths": widths, "chosen": chosen}


EXPERIMENT = Experiment(
    build,
    title="All critical points of a small task, and how the loss curves there",
    steps=0,
    observe=(loss, gradient_norm),
    predictions=(Bound(predicted_signature, _arguments),),
    examine=curvature,
    coords={
        "learned": sorted(
            product((0.0, 1.0), repeat=3), key=lambda s: (sum(s), -np.dot(s, (4, 2, 1)))
        ),
        "depth": (2, 3, 4),
        "seed": (0, 1),
    },
    cites=("jacot2021",),
)

FIELDS = ("loss", "negative", "zero", "positive", "lowest", "rank")


def check_signature(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest departure of loss, the three counts, the lowest eigenvalue and the rank."""
    found = xr.concat([_field(measured, name) for name in FIELDS], "number")
    gap = abs(found - predicted.predicted_signature)
    still = float(measured.gradient_norm.max()) < 1e-9
    worst = float(gap.max(skipna=False)) if still else np.nan
    return Verdict.at_most(worst, 1e-9, sample_size=measured["negative"].size)


def _field(measured: xr.Dataset, name: str) -> xr.DataArray:
    found = measured[name]
    return (found.isel(step=0, drop=True) if "step" in found.dims else found).drop_attrs()


def leading(measured: xr.Dataset) -> xr.DataArray:
    """Whether the learned modes are the strongest: 1s before 0s, in the order of the targets."""
    texts = [str(label) for label in np.atleast_1d(measured.learned.values)]
    sets = [[float(part) for part in text.split(",")] for text in texts]
    first = [values == sorted(values, reverse=True) for values in sets]
    return xr.DataArray(first, {"learned": np.atleast_1d(measured.learned.values)}, "learned")


def check_strict(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How many points have an index other than: none of two layers but the minimum at 0; beyond,
    those with the strongest modes learned at 0, all others above."""
    minimum = abs(_field(measured, "loss")) < 1e-9
    way = leading(measured)
    said = minimum.where(measured.depth == 2, way)
    wrong = (measured.negative == 0) != said
    both = {2}.issubset(measured.depth.values) and float(measured.depth.max()) > 2
    count = float(wrong.sum()) if both else np.nan
    return Verdict.at_most(count, 0, sample_size=int(wrong.size))


SETTING = ("white inputs, half-square loss", "balanced layers, distinct singular values")
CLAIMS = (
    Claim(
        "jacot2021.3d",
        "At W = P_S M, for every set S of modes, the gradient vanishes, the rank is |S|, the loss "
        "½Σ_{a∉S} s_a², and the Hessian has #{(a∈S, j∉S): s_j > s_a} + [L=2](h−|S|)(r−|S|) "
        "negative eigenvalues, the lowest and the other counts as theory says.",
        check_signature,
        SETTING,
    ),
    Claim(
        "jacot2021.3e",
        "With two layers every saddle is strict; with more, just those are that have learned a "
        "mode before a stronger one: the saddles on the way are not.",
        check_strict,
        SETTING,
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Loss against rank of every critical point, a panel for each depth, with its index."""
    measured, predicted = with_axes(measured, predicted, ("learned", "depth", "seed"))
    figure, grid = panels(1, measured.sizes["depth"], height=2.5, sharey=True)
    one, said = measured.isel(seed=0), predicted.predicted_signature.isel(seed=0)
    way = leading(measured)
    for ax, depth in zip(grid, measured.depth.values, strict=True):
        here, theory = one.sel(depth=depth), said.sel(depth=depth)
        on = way.sel(learned=here.learned).values
        height = _field(here, "loss").values
        path = np.argsort(here["rank"].values[on])
        order = here["rank"].values[on][path], height[on][path]
        ax.plot(*order, color=COLORS[0], lw=0.9, linestyle=":", zorder=1)
        for place in range(here.sizes["learned"]):
            color = COLORS[0] if on[place] else COLORS[1]
            rank, level = float(here["rank"][place]), float(height[place])
            ax.plot(rank, level, "o", color=color, ms=4, zorder=2)
            ax.plot(theory[place, 5], theory[place, 0], "o", color=INK, mfc="none", ms=6.5, mew=0.7)
            ax.annotate(
                f"{here.negative[place]:.0f}",
                (rank, level),
                (6, 2),
                textcoords="offset points",
                color=color,
                fontsize=7.5,
            )
        most = int(said[..., 5].max())
        ax.set(title=f"L = {depth}", xlabel="modes learned", xlim=(-0.3, most + 0.5))
        ax.set_ylim(-0.05 * height.max() - 0.05, 1.12 * height.max() + 0.05)
        ax.set_xticks(range(most + 1))
    grid[0].set_ylabel("loss ℓ, with the index beside it")
    marks = [
        key("strongest modes learned", COLORS[0], marker="o", markersize=4),
        key("their order of learning, no path", COLORS[0], linestyle=":", linewidth=0.9),
        key("others", COLORS[1], marker="o", markersize=4),
        key("predicted", INK, marker="o", markersize=6.5, markerfacecolor="none"),
    ]
    legend_above(figure, marks)
    return figure
