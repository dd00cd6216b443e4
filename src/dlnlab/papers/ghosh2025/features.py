"""The oscillation lies in the span of the top features: in a chain of matrices, not in any network.

A chain that learns a map oscillates in the singular pairs of the map that are beyond their edge,
in whatever basis they lie, and nowhere else: seen in W_{t+1} − W_t, whose part in the k leading
pairs is drawn against k. Where those pairs mix, the oscillation still stays within their span. A
diagonal linear network, each weight of which is a product of its own, learns the same map from the
same white samples; what oscillates there are the largest weights, and in features that is a bit of
everything, unless the features happen to be the weights.

Lines are of the first random basis, bands of all; runs that diverge (a rotated chain at 1.17) are
left out, and predictions where the phases of what oscillates are not known.
"""

import functools
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import zero_last_layer
from dlnlab.networks import DiagonalLinear, square
from dlnlab.observables import end_to_end, loss, observable
from dlnlab.papers.ghosh2025.mixing import random_bases
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, legend_above, panels, with_axes
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.state import Status
from dlnlab.tasks import Samples
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import Assumption, prediction
from dlnlab.theory.transverse import mixing_onset
from dlnlab.theory.transverse.attractor import attractor
from dlnlab.typing import Any, Array, Params

Kind = Literal["chain", "diagonal"]
Basis = Literal["standard", "rotated"]

TARGETS, DEPTH = (10.0, 9.5, 9.0, 0.0, 0.0), 3


def build(
    edge_ratio: Annotated[float, Coordinate(above=0, symbol="ηS/2")] = 1.02,
    network: Kind = "chain",
    basis: Basis = "rotated",
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.01,
    seed: int = 0,
) -> Run:
    """Three layers that learn a map of singular values 10, 9.5, 9, 0, 0 from white samples.

    η is edge_ratio · 2/S, S = L s^{2−2/L} with s the largest singular value for a chain of matrices
    and the largest weight for a diagonal network. All layers start at α (times the identity, or in
    each factor), the last at 0. The seed draws the bases of a `rotated` map.
    """
    task = white_samples(*random_bases(len(TARGETS), basis == "rotated", seed))
    if network == "chain":
        problem = Problem(square(len(TARGETS), (DEPTH,)), task)
        params, largest = zero_last_layer(problem, layer_scale), jnp.asarray(max(TARGETS))
    else:
        problem = Problem(DiagonalLinear(len(TARGETS), len(TARGETS), DEPTH), task)
        first = jnp.full(task.target.shape, layer_scale)
        params = ((first,) * (DEPTH - 1) + (jnp.zeros_like(first),),)
        largest = jnp.max(jnp.abs(task.target))
    return Run(problem, GradientDescent(edge_ratio * edge(largest)), params)


def edge(largest: Any) -> Any:
    """The step size 2/S, `S = L s^{2−2/L}`."""
    return 2 / (DEPTH * largest ** (2 - 2 / DEPTH))


def white_samples(left: Array, right: Array) -> Samples:
    """d samples with E[xxᵀ] = I exactly, and their images: the loss is ½‖W − M‖²_F."""
    size = len(left)
    inputs = size**0.5 * jnp.eye(size)
    target = left * jnp.array(TARGETS) @ right.T
    return Samples(inputs, inputs @ target.T, basis=(left, right))


# --- what is predicted --------------------------------------------------------------------------

TOGETHER = Assumption(
    "apart",
    "what oscillates does so in a place and a phase that are known: features below the onset of "
    "mixing, or one weight",
    lambda loose: loose,
)


@prediction(
    "feature_shares", dims=("pair",), symbol="c_k", assumes=(TOGETHER,), source="ghosh2025.7"
)
def predicted_shares(swing: Floats, left: Floats, right: Floats, loose: float) -> Floats:
    """The share c_k of the oscillation in the k leading features, from the `swing` of the map.

    `swing` [output, input] is how far each weight of a diagonal network goes in a step, or that of
    each singular value of a chain put together again. NaN where nothing oscillates, and where
    the assumption is broken.
    """
    if loose:
        return np.full(min(swing.shape), np.nan)
    return cumulated((left.T @ swing @ right) ** 2)


def cumulated(energy: Floats) -> Floats:
    """The share of the k × k leading entries in all, for k = 1, 2, …"""
    whole, sizes = energy.sum(), range(1, min(energy.shape) + 1)
    return np.array([energy[:k, :k].sum() / whole if whole > 0 else np.nan for k in sizes])


@functools.lru_cache(1024)
def _swing(target: float, learning_rate: float) -> float:
    """How far the descent of a balanced mode goes in a step: the root mean square of its orbit."""
    orbit = attractor(DEPTH, target, learning_rate)
    if orbit is None:
        return np.nan
    values = orbit**DEPTH
    return float(np.sqrt(np.mean((np.roll(values, -1) - values) ** 2)))


_swings = np.vectorize(_swing, otypes=[float])


@functools.cache
def onset() -> float:
    """The step size from which on singular pairs mix."""
    return mixing_onset(DEPTH, TARGETS) or np.nan


def _arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    with jax.enable_x64(True):
        task = jax.tree.map(np.asarray, build(**coords).problem.task)
    chain, rotated = coords["network"] == "chain", coords["basis"] == "rotated"
    largest = max(TARGETS) if chain else float(np.abs(task.target).max())
    rate, loose = coords["edge_ratio"] * edge(largest), 0.0
    if chain:
        swing = task.left * _swings(np.array(TARGETS), rate) @ task.right.T
        loose = max(0.0, float(rate / onset() - 1))
    else:
        swing = np.sign(task.target) * _swings(np.abs(task.target), rate)
        loose = max(0.0, float(np.count_nonzero(swing) - 1))
    bases = {"left": task.left, "right": task.right}
    return {"swing": swing, **bases, "loose": float(loose) if rotated else 0.0}


# --- what is measured ---------------------------------------------------------------------------


@observable(dims=("left", "right"), symbol="UᵀWV", formula="u_kᵀ W v_l")
def feature_map(problem: Problem, params: Params) -> Array:
    """The map in the target's features: entry (k, l) is `u_kᵀ W v_l`."""
    task = problem.task
    return jnp.asarray(task.left).T @ problem.end_to_end(params) @ jnp.asarray(task.right)


WINDOW = 64
EXPERIMENT = Experiment(
    build,
    title="In which features a network oscillates",
    steps=5000,
    schedule=last(WINDOW),
    observe=(loss, end_to_end, feature_map),
    predictions=(Bound(predicted_shares, _arguments),),
    coords={
        "network": ("chain", "diagonal"),
        "basis": ("standard", "rotated"),
        "edge_ratio": (1.02, 1.05, 1.09, 1.17),
        "seed": tuple(range(20)),
    },
    cites=("ghosh2025",),
)


def swings(measured: xr.Dataset, name: str = "feature_map") -> xr.DataArray:
    """The sum of squares of W_{t+1} − W_t over the recorded last steps, entry by entry."""
    return (measured[name].isel(step=slice(-WINDOW, None)).diff("step") ** 2).sum(
        "step", skipna=False
    )


def feature_shares(measured: xr.Dataset) -> xr.DataArray:
    """The share of the oscillation in the k leading features, k = 1, 2, …"""
    return xr.apply_ufunc(
        cumulated,
        swings(measured),
        input_core_dims=[["left", "right"]],
        output_core_dims=[["pair"]],
        vectorize=True,
    )


def _weights(measured: xr.Dataset) -> tuple[Floats, Floats]:
    """For each run, how many weights oscillate, and their share if they are the largest ones."""
    energy = swings(measured, "end_to_end").stack(weight=["output", "input"]).values
    size = abs(measured.end_to_end.isel(step=slice(-WINDOW, None)).mean("step"))
    order = np.argsort(-size.stack(weight=["output", "input"]).values, axis=-1)
    share = np.take_along_axis(energy, order, axis=-1) / energy.sum(axis=-1, keepdims=True)
    count = (share > LITTLE).sum(axis=-1)
    held = np.cumsum(share, axis=-1)
    return count, np.take_along_axis(held, count[..., None] - 1, axis=-1)[..., 0]


# --- claims -------------------------------------------------------------------------------------

NOTHING, LITTLE = 1e-9, 1e-4
"""Shares of the oscillation that are none; of one that is still dying out there is a little."""

OWN = {1.02: 1, 1.05: 1, 1.09: 2, 1.17: 3}
"""How many singular values are beyond their edge, η > 2/S_i, at each edge_ratio."""

BOUNDED = 1.1
"""In units of 2/S_1: from where on most runs that mix diverge."""


def _mixes(chain: xr.Dataset) -> xr.DataArray:
    """Where singular pairs mix."""
    return chain.edge_ratio * edge(max(TARGETS)) > onset()


def check_one(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The most that any rotated chain below the onset has outside of its leading pair."""
    chain = measured.sel(network="chain", basis="rotated")
    shares = feature_shares(chain.sel(edge_ratio=~_mixes(chain)))
    outside = abs(1 - shares.isel(pair=0))
    worst = float(outside.max(skipna=False)) if outside.size else np.nan
    return Verdict.at_most(worst, NOTHING, sample_size=outside.size)


def check_rank(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far diagonal chains are from the predicted shares; NaN, which fails, unless p pairs hold
    all of it and p − 1 do not, for every p from 1 to 3."""
    one = {"network": "chain", "basis": "standard", "seed": 0}
    found, said = feature_shares(measured.sel(one)), predicted.predicted_shares.sel(one)
    needed = 1 + (found < 1 - NOTHING).sum("pair")
    ranks = [OWN.get(float(ratio), 0) for ratio in found.edge_ratio]
    as_said = set(ranks) == {1, 2, 3} and needed.values.tolist() == ranks
    error = float(abs(found - said).max(skipna=False)) if as_said else np.nan
    return Verdict.at_most(error, 1e-6, sample_size=found.sizes["edge_ratio"])


def check_mixed(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The most that any rotated chain that mixes has outside the two leading pairs' span; NaN
    unless its oscillation is beyond bounds of aligned ones."""
    chain = measured.sel(network="chain", basis="rotated")
    chain = chain.sel(edge_ratio=_mixes(chain) & (chain.edge_ratio < BOUNDED))
    shares, energy = feature_shares(chain), swings(chain)
    across = 1 - sum(energy.isel(left=k, right=k) for k in range(len(TARGETS))) / energy.sum(
        ["left", "right"]
    )
    mixes = chain.edge_ratio.size > 0 and float(across.mean()) > 0.1
    lost = chain.status == Status.DIVERGED
    outside = abs(1 - shares.isel(pair=1)).where(~lost, 0)
    worst = float(outside.max(skipna=False)) if mixes and not bool(lost.all()) else np.nan
    return Verdict.at_most(worst, NOTHING, sample_size=int((~lost).sum()))


def check_diagonal(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean part of the oscillation of rotated diagonal networks that is outside as many
    leading pairs as weights oscillate; NaN unless these are the largest and hold all of it."""
    one = measured.sel(network="diagonal", basis="rotated").transpose("seed", "edge_ratio", ...)
    one = one.sel(edge_ratio=one.edge_ratio < BOUNDED)
    count, held = _weights(one)
    shares = feature_shares(one).transpose("seed", "edge_ratio", "pair").values
    place = np.minimum(count, shares.shape[-1]) - 1
    outside = 1 - np.take_along_axis(shares, place[..., None], axis=-1)[..., 0]
    ordered = bool((held > 1 - LITTLE).all())
    sample = outside.mean(axis=1) if ordered else np.full(len(outside), np.nan)
    return Verdict.mean_at_least(sample, 0.5)


def check_control(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """How far a diagonal network and a chain are apart where the features are the weights."""
    found = feature_shares(measured.sel(basis="standard"))
    gap = abs(found.sel(network="diagonal") - found.sel(network="chain"))
    return Verdict.at_most(float(gap.max(skipna=False)), 1e-9, sample_size=gap.isel(pair=0).size)


SETTING = "L = 3, targets 10, 9.5, 9, 0, 0, white samples"
CLAIMS = (
    Claim(
        "ghosh2025.7",
        "Beyond 2/S_1 and below the onset of mixing a chain oscillates in its top singular pair "
        "alone, in whatever basis: all but 1e-9 of W_{t+1} − W_t lies in its span.",
        check_one,
        (SETTING,),
    ),
    Claim(
        "ghosh2025.7a",
        "On exactly diagonal matrices it oscillates in the p top pairs and in no fewer where "
        "2/S_p < η < 2/S_{p+1}, p = 1, 2, 3, in the proportions of the modes' 2-cycles.",
        check_rank,
        (SETTING,),
    ),
    Claim(
        "ghosh2025.7b",
        "Where the two top pairs mix and the run stays bounded, all but 1e-9 of the oscillation "
        "stays within their span.",
        check_mixed,
        (SETTING, "onset < η < 1.1 · 2/S_1"),
    ),
    Claim(
        "ghosh2025.7c",
        "A diagonal linear network has no such order: its largest weights oscillate, and of that "
        "as many top singular pairs hold less than half, in the mean over bases.",
        check_diagonal,
        (SETTING, "random bases"),
        statistical=True,
    ),
    Claim(
        "ghosh2025.7d",
        "Where the singular pairs are the weights themselves, it oscillates as the chain does.",
        check_control,
        (SETTING, "diagonal target"),
    ),
)

INTERACTIVE = ("feature_map", "end_to_end", "loss")


# --- the figure ---------------------------------------------------------------------------------

NAMES = {"chain": "chain of matrices", "diagonal": "diagonal linear network"}


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """The share of the oscillation in the k leading pairs against k: a panel for each network and
    basis, a colour for each step size; of many seeds the first, and the range of all."""
    axes = ("network", "basis", "edge_ratio", "seed")
    measured, predicted = with_axes(measured, predicted, axes)
    cells = [(n, b) for n in measured.network.values for b in measured.basis.values]
    figure, found = panels(1, len(cells), height=2.4, sharey=True), feature_shares(measured)
    lines: list[Line2D] = []
    for ax, (network, basis) in zip(figure[1], cells, strict=True):
        cell = {"network": network, "basis": basis}
        lines = _panel(ax, found.sel(cell), predicted.predicted_shares.sel(cell))
        ax.set_title(f"{NAMES[network]},\n{basis} basis")
    figure[1][0].set_ylabel("share of the oscillation")
    legend_above(figure[0], lines)
    return figure[0]


def _panel(ax: Axes, found: xr.DataArray, said: xr.DataArray) -> list[Line2D]:
    pairs, lines, dashed = np.arange(1, found.sizes["pair"] + 1), [], []
    for color, ratio in zip(COLORS, found.edge_ratio.values, strict=False):
        one = found.sel(edge_ratio=ratio)
        first, low, high = one.isel(seed=0), one.min("seed"), one.max("seed")
        lines.append(measured_line(ax, pairs, first, f"η = {ratio:g} · 2/S", color))
        ax.fill_between(pairs, low, high, color=color, alpha=0.15, linewidth=0)
        expected = said.sel(edge_ratio=ratio).isel(seed=0)
        dashed.append(predicted_line(ax, pairs, expected, "predicted"))
    lines.append(dashed[-1])
    ax.set(xlabel="leading pairs k", xticks=pairs, ylim=(-0.03, 1.05))
    return lines
