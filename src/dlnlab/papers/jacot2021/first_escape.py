"""The first escape has the path of a network of width one, for small enough starts.

Maps of random starts of norm α, from the start to where they pass nearest the first saddle,
against the path of a network of one hidden neuron, in the space of products and free of time: the
Fréchet distance falls with α. Of two layers every start does so; of three some may leave along
another singular pair, however small they are, and the share of those that do not is measured. Some
entries of the target are not observed, for where all are the path is a straight line.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Flow
from dlnlab.experiment import Experiment
from dlnlab.frechet import frechet_distance
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, require_width
from dlnlab.observables import end_to_end, loss
from dlnlab.papers.jacot2021.escape import of_norm, on_ray
from dlnlab.plotting import COLORS, Axes, Figure, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.schema import Coordinate
from dlnlab.tasks import Completion
from dlnlab.typing import Any, Params, Scalar

Network = Literal["full", "one neuron"]


class PathFlow(Flow):
    """Gradient flow at a pace of its own, `θ̇ = −∇ℓ/√(‖∇ℓ‖² + ε²)`: the same path.

    Its time is the length of the path in parameters where ‖∇ℓ‖ is well above `pace` ε, so that a
    path is recorded evenly however long the network rests at a saddle.
    """

    pace: Scalar | float = 1.0
    rtol: float = 1e-8
    atol: float = 1e-12
    arrival: float = 0.02
    most_steps: int = 5_000  # a run that waits at the saddle for longer has shown its first escape

    def velocity(self, problem: Problem, params: Params) -> Params:
        gradient = problem.gradient(params)
        square = sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient))
        return jax.tree.map(lambda g: -g / jnp.sqrt(square + self.pace**2), gradient)


STRENGTHS = (3.0, 0.8, 0.3)
MASK = np.fliplr(np.eye(4)) == 0
"""The other diagonal is not observed."""


def build(
    scale: Annotated[float, Coordinate(above=0, below=1, log=True, symbol="α")] = 1e-3,
    depth: Annotated[int, Coordinate(least=2, most=6, symbol="L")] = 2,
    network: Network = "full",
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 6,
    seed: int = 0,
) -> Run:
    """A 4×4 target of which 12 entries are observed, learned from parameters of norm α.

    Of `one neuron` in each hidden layer they lie on the optimal ray, else they are Gaussian. The
    seed draws them; the target is the same for all.
    """
    if network == "full":
        require_width(width, len(STRENGTHS))
    left, right = jax.random.orthogonal(jax.random.key(7), 4, (2,))
    values = jnp.array((*STRENGTHS, 0.0))
    whole = left * values @ right.T
    task = Completion(whole, MASK)
    hidden = 1 if network == "one neuron" else width
    problem = Problem(chain((4, *(hidden,) * (depth - 1), 4)), task)
    drawn = jax.random.key(seed)
    if network == "full":
        params = gaussian(problem.network, drawn, std=1.0)
    else:
        u, _, vt = jnp.linalg.svd(task.target)
        params = on_ray(problem, drawn, u[:, 0], vt[0])
    # The gradient at the first saddle is well below the pace, and most runs end there.
    pace = 0.3 if depth == 2 else 150.0 * scale ** (depth - 1)
    return Run(problem, PathFlow(pace=pace), of_norm(params, scale))


EXPERIMENT = Experiment(
    build,
    title="The path of the first escape",
    time=6.0,
    schedule=linear(201),
    observe=(loss, end_to_end),
    coords={
        "depth": (2, 3),
        "network": ("full", "one neuron"),
        "scale": (3e-3, 1e-3, 3e-4, 1e-4),
        "seed": tuple(range(20)),
    },
    cites=("jacot2021",),
)

FULL = {"depth": (2, 3, 4), "width": 20, "seed": tuple(range(100))}
INTERACTIVE = ("end_to_end", "loss")


# --- claims -------------------------------------------------------------------------------------

AXES = ("scale", "depth", "network", "seed")
POINTS = 200


def reference(measured: xr.Dataset, depth: int) -> Any:
    """The path of the network of one neuron from the smallest start, [moment, output, input]."""
    one = measured.sel(network="one neuron", depth=depth).isel(seed=0)
    smallest = one.sel(scale=one.scale.min())
    path = smallest.end_to_end.transpose("time", "output", "input").values
    return path[np.isfinite(path).all(axis=(1, 2))]


def until_nearest(path: Any, saddle: Any) -> Any:
    """A path up to where it is nearest to a map."""
    return path[: int(np.nanargmin(np.linalg.norm(path - saddle, axis=(1, 2)))) + 1]


def distances(measured: xr.Dataset, depth: int) -> xr.DataArray:
    """Fréchet distances [scale, seed] of first escapes from the path of one neuron, in units of
    the first saddle's norm."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    path = reference(measured, depth)
    size = float(np.linalg.norm(path[-1]))

    def apart(other: Any) -> float:
        return frechet_distance(until_nearest(other, path[-1]), path, points=POINTS) / size

    return xr.apply_ufunc(
        apart,
        measured.end_to_end.sel(network="full", depth=depth),
        input_core_dims=[["time", "output", "input"]],
        vectorize=True,
    ).sortby("scale")


def slopes(found: xr.DataArray) -> Any:
    """For each seed the exponent p of distance ~ α^p."""
    logs = np.log(found.transpose("scale", "seed").values)
    return np.polyfit(np.log(found.scale.values), logs, 1)[0]


NEAR = 0.1
"""A path counts as that of one neuron where it is nearer than this, of the saddle's norm."""


def check_two(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean exponent over seeds, two layers."""
    return Verdict.mean_at_least(slopes(distances(measured, 2)), 0.0)


def check_share(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The share of starts whose path is near that of one neuron from the smallest scale and
    farther from each larger one, three layers."""
    found = distances(measured, 3).transpose("scale", "seed").values
    follow = (found[0] < NEAR) & (np.diff(found, axis=0) > 0).all(axis=0)
    return Verdict.all_at_least([follow.sum()], [follow.size], 0.5)


SETTING = "a 4×4 target of singular values 3, 0.8, 0.3, its other diagonal unseen, width 6"
CLAIMS = (
    Claim(
        "jacot2021.2e",
        "For three layers the first escape has, with positive probability, the path of a network "
        "of width one: at least half of the starts come nearer to it with each smaller "
        "scale, and within a tenth.",
        check_share,
        (SETTING, "α = 3e-3 to 1e-4"),
        statistical=True,
    ),
    Claim(
        "jacot2021.2g",
        "For two layers the distance of the two paths falls as a power of α: its fitted exponent "
        "is positive in the mean over starts.",
        check_two,
        (SETTING, "α = 3e-3 to 1e-4"),
        statistical=True,
    ),
)


# --- the figure ---------------------------------------------------------------------------------


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Distances against α for each depth, and paths of the first seed in a plane."""
    measured, _ = with_axes(measured, xr.Dataset(), AXES)
    depths = measured.depth.values
    figure, (left, right) = panels(1, 2, height=2.6)
    for depth, color in zip(depths, COLORS, strict=False):
        found = distances(measured, int(depth))
        left.plot(found.scale, found.transpose("scale", "seed"), "-", color=color, lw=0.6)
        near = float((found.isel(scale=0) < NEAR).mean())
        label = f"L = {depth}: {100 * near:.0f} % within {NEAR}"
        left.plot([], [], color=color, label=label)
    left.set(xscale="log", yscale="log", xlabel="norm of the start α")
    left.set_ylabel("Fréchet distance / norm of the saddle")
    left.set_ylim(top=0.4)
    left.legend(loc="upper left")
    _paths(right, measured, int(depths[0]))
    return figure


def _paths(ax: Axes, measured: xr.Dataset, depth: int) -> None:
    """The first seed at all scales, in the plane of the reference's two principal directions."""
    path = reference(measured, depth)
    plane = np.linalg.svd(path.reshape(len(path), -1), full_matrices=False)[2][:2].T
    plane = plane * np.sign(path[-1].ravel() @ plane)
    full = measured.end_to_end.sel(network="full", depth=depth).isel(seed=0)
    for scale, color in zip(np.sort(full.scale)[::-1], COLORS, strict=False):
        other = until_nearest(full.sel(scale=scale).values, path[-1])
        drawn = other.reshape(len(other), -1) @ plane
        ax.plot(*drawn.T, color=color, lw=1.6, label=f"α = {scale:.0e}".replace("e-0", "e-"))
    across, along = (path.reshape(len(path), -1) @ plane).T
    predicted_line(ax, across, along, "one neuron")
    ax.set(title=f"L = {depth}, one start", xlabel="first principal direction")
    ax.set_ylabel("second")
    ax.legend(loc="upper center")
