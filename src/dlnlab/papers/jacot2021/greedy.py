"""Greedy low-rank growth has the path of gradient flow from a small start.

The greedy algorithm begins at zero, adds a neuron of weight ε along the top singular pair of −∇C,
descends to the next saddle, and so on. The flow starts from random layers of scale α = ε, and adds
nothing. In the space of products, free of time, the Fréchet distance of the two paths falls as a
power of α, where all of the target is observed and where a part of it is. Paths are drawn in the
plane of the origin, the first saddle and the end.

In completion the exponent is smaller, a quarter, and not all pairs come together. From the smallest
scale two of sixteen end apart (farther than a twentieth of the target's norm; the legend counts
them): on one matrix growth rests, within these steps, with two neurons at half a per cent of the
first cost, while the flow finds a minimum with a third singular value; on the other the flow's
third singular value is smaller and shrinks with α. Three paths of sixteen are still farther apart
than a fifth of that norm somewhere on the way. The claim is about the mean over all of them; the
middle panel shows the first that ends with the flow.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GreedyGrowth
from dlnlab.experiment import Experiment
from dlnlab.frechet import frechet_distance
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, require_width
from dlnlab.observables import end_to_end, loss, observable
from dlnlab.plotting import COLORS, INK, Axes, Figure, key, legend_above, panels, style, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Completion
from dlnlab.typing import Any, Params, Scalar

Algorithm = Literal["flow", "greedy"]
Observed = Literal["all", "part"]

SIZE, STRENGTHS = 5, (2.0, 1.0)
MASK = np.fliplr(np.eye(SIZE)) == 0
"""Where only a part is observed, the other diagonal is not."""


@observable(symbol="n", formula="hidden neurons with a weight other than zero")
def neurons(problem: Problem, params: Params) -> Scalar:
    """How many neurons the first hidden layer has."""
    return jnp.sum(jnp.any(params[0][0] != 0, axis=1)).astype(params[0][0].dtype)


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α, ε")] = 1e-2,
    observed: Observed = "all",
    algorithm: Algorithm = "flow",
    depth: Annotated[int, Coordinate(least=2, most=5, symbol="L")] = 2,
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 5,
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.05,
    seed: int = 0,
) -> Run:
    """A 5×5 target of rank 2, learned by gradient flow or by greedy growth, in steps of time η.

    Both take steps of a fourth-order method. The flow starts from Gaussian layers whose entries
    have deviation α, of full width, so that growth has nothing to add; growth starts from zero. The
    seed draws target and start.
    """
    require_width(width, len(STRENGTHS))
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, SIZE, (2,))
    whole = left * jnp.pad(jnp.array(STRENGTHS), (0, SIZE - len(STRENGTHS))) @ right.T
    task = Completion(whole, MASK if observed == "part" else np.ones_like(MASK))
    problem = Problem(chain((SIZE, *(width,) * (depth - 1), SIZE)), task)
    params = gaussian(problem.network, drawn, std=scale)
    if algorithm == "greedy":
        params = jax.tree.map(jnp.zeros_like, params)
    return Run(problem, GreedyGrowth(learning_rate, scale, 1e-5, "flow"), params)


EXPERIMENT = Experiment(
    build,
    title="Greedy growth against gradient flow",
    steps=4000,
    schedule=linear(4001),
    observe=(loss, end_to_end, neurons),
    coords={
        "observed": ("all", "part"),
        "algorithm": ("flow", "greedy"),
        "scale": (1e-1, 1e-2, 1e-3, 1e-4),
        "seed": tuple(range(16)),
    },
    cites=("jacot2021",),
)

FULL = {"depth": (2, 3), "scale": (1e-1, 3e-2, 1e-2, 3e-3), "steps": 60_000}
INTERACTIVE = ("end_to_end", "loss", "neurons")


# --- claims -------------------------------------------------------------------------------------

AXES = ("scale", "observed", "algorithm", "seed")
POINTS = 300


def distances(measured: xr.Dataset, observed: str) -> xr.DataArray:
    """The Fréchet distances [scale, seed] of growth and flow in the space of products."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    paths = measured.end_to_end.sel(observed=observed)
    return xr.apply_ufunc(
        lambda one, other: frechet_distance(one, other, points=POINTS),
        paths.sel(algorithm="flow", drop=True),
        paths.sel(algorithm="greedy", drop=True),
        input_core_dims=[["step", "output", "input"]] * 2,
        vectorize=True,
    ).transpose("scale", "seed")


def slopes(found: xr.DataArray) -> Any:
    """For each seed the exponent p of distance ~ α^p, fitted over all scales."""
    return np.polyfit(np.log(found.scale.values), np.log(found.values), 1)[0]


def _exponent(measured: xr.Dataset, observed: str) -> Verdict:
    """The mean exponent over seeds; NaN, which fails, unless all runs have ended."""
    costs = measured.loss.sel(observed=observed)
    ended = bool((costs.isel(step=-1) < ENDED * costs.isel(step=0)).all())
    found = slopes(distances(measured, observed))
    return Verdict.mean_at_least(found if ended else found * np.nan, 0.0)


def ends_apart(measured: xr.Dataset, observed: str) -> Any:
    """For each seed whether growth and flow from the smallest scale end farther apart than `APART`
    of the target's norm."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    place = {"observed": observed, "scale": measured.scale.min()}
    ends = measured.end_to_end.sel(place).isel(step=-1)
    gap = ends.sel(algorithm="flow") - ends.sel(algorithm="greedy")
    size = np.sqrt((gap**2).sum(("output", "input"))).values
    return size > APART * np.linalg.norm(STRENGTHS)


APART = 0.05
ENDED = 1e-2
"""A run counts as ended where its cost is below this share of its first."""


def check_all(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean exponent, all of the target observed."""
    return _exponent(measured, "all")


def check_part(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean exponent in completion."""
    return _exponent(measured, "part")


def births(measured: xr.Dataset) -> list[tuple[float, Any, Any]]:
    """For each growth after the first: by how many neurons, and the singular values of the map
    before it and at the next one, or at the end."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    found = []
    grown = measured.sel(algorithm="greedy").stack(lane=("scale", "observed", "seed"))
    for lane in range(grown.sizes["lane"]):
        run = grown.isel(lane=lane)
        counts, maps = run.neurons.values, run.end_to_end.transpose("step", "output", "input")
        places = [*np.flatnonzero(np.diff(counts)), counts.size - 1]
        values = [np.linalg.svd(maps.values[k], compute_uv=False) for k in places]
        for k, before, after in zip(places, values, values[1:], strict=False):
            found.append((counts[k + 1] - counts[k], before, after))
    return found


def rank(values: Any) -> int:
    """How many singular values are above a thousandth of the largest; 0 for the zero map."""
    return int((values > 1e-3 * max(values[0], 1e-3)).sum())


def check_rank(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The number of growths that do not raise the rank by one between a saddle and the next."""
    found = births(measured)
    wrong = sum(by != 1 or rank(after) != rank(before) + 1 for by, before, after in found)
    return Verdict.at_most(wrong if found else np.nan, 0, sample_size=len(found))


SETTING = "two layers of width 5, a 5×5 target of singular values 2, 1, α = ε = 1e-1 to 1e-4"
CLAIMS = (
    Claim(
        "jacot2021.4",
        "As α = ε → 0 the flow from a random start and greedy low-rank growth have one path: their "
        "Fréchet distance in the space of products falls as a power of α, of positive exponent.",
        check_all,
        (SETTING, "all of the target observed"),
        statistical=True,
    ),
    Claim(
        "jacot2021.4a",
        "In matrix completion it falls too, more slowly: its exponent is positive in the mean over "
        "matrices and starts.",
        check_part,
        (SETTING, "20 of 25 entries observed"),
        statistical=True,
    ),
    Claim(
        "jacot2021.4c",
        "Each growth adds one neuron and raises the rank of the map by one, from a saddle to the "
        "next.",
        check_rank,
        (SETTING, "singular values above a thousandth of the largest count"),
    ),
)


# --- the figure ---------------------------------------------------------------------------------

TITLES = {"all": "all observed", "part": "a part observed"}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Paths of one seed in the plane of origin, first saddle and end, a panel for each task; then
    the distances against α, of each seed and their geometric mean."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    tasks = [str(task) for task in measured.observed.values]
    figure, axes = panels(1, len(tasks) + 1, height=2.9)
    marks = []
    for ax, task, color in zip(axes, tasks, COLORS[4:], strict=False):
        apart = ends_apart(measured, task)
        _plane(ax, measured.sel(observed=task).isel(seed=int(np.argmin(apart))))
        ax.set(title=TITLES[task], xlabel="towards the first saddle")
        found = distances(measured, task)
        axes[-1].plot(found.scale, found.values, color=color, lw=0.5, alpha=0.45)
        middle = np.exp(np.log(found.values).mean(axis=1))
        axes[-1].plot(found.scale, middle, "o-", color=color, ms=3.5)
        marks.append(key(_told(task, found, apart), color, marker="o", markersize=3.5))
    axes[0].set_ylabel("towards the end")
    axes[-1].set(xscale="log", yscale="log", xlabel="α = ε", title="Fréchet distance")
    axes[-1].margins(x=0.1)
    scales = np.sort(measured.scale)[::-1]
    keys = [
        key(f"flow, α = {a:.0e}".replace("e-0", "e-"), c)
        for a, c in zip(scales, COLORS, strict=False)
    ]
    growth = key("greedy", INK, linestyle="--", linewidth=1)
    legend_above(figure, [*keys, growth])
    with style():
        figure.legend(handles=marks, loc="outside lower left", ncols=2, borderaxespad=0.2)
    return figure


def _told(task: str, found: xr.DataArray, apart: Any) -> str:
    """The exponent of the distances of a task, if there is more than one scale, and how many
    pairs end apart."""
    power = f" ~ $\\alpha^{{{slopes(found).mean():.2f}}}$" if found.sizes["scale"] > 1 else ""
    return f"{TITLES[task]}{power}, {apart.sum()} of {apart.size} end apart"


def _plane(ax: Axes, runs: xr.Dataset) -> None:
    """Flows at all scales and growth at the smallest, in the plane of its own saddle and end."""
    scales = np.sort(runs.scale)[::-1]
    grown = runs.sel(algorithm="greedy", scale=scales[-1])
    path = grown.end_to_end.transpose("step", "output", "input").values.reshape(runs.step.size, -1)
    births = np.flatnonzero(np.diff(grown.neurons.values))
    first = births[1] if births.size > 1 else -1
    plane = np.linalg.qr(np.stack([path[first], path[-1]], axis=1))[0]
    plane = plane * np.sign(np.diag(plane.T @ np.stack([path[first], path[-1]], axis=1)))
    for scale, color in zip(scales, COLORS, strict=False):
        flow = runs.end_to_end.sel(algorithm="flow", scale=scale).values.reshape(len(path), -1)
        ax.plot(*(flow @ plane).T, color=color, lw=1.4)
    across, along = (path @ plane).T
    predicted_line(ax, across, along, "greedy")
    ax.plot(*(path[[0, first, -1]] @ plane).T, "o", color=INK, ms=3.5, zorder=4)
