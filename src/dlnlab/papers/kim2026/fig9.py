"""Just below the worst-case return a chain comes close to collapse; depth decides for how long.

At 0.99 η_WCR every start still returns, but the worst is thrown so near to the saddle at zero that
it has to escape anew, in w^{2−L}/((L−2)ηs) steps from the layer value w. At depth 5 that is some
5,600 steps, and the chain returns (to be thrown again: beyond the edge 2/S it never settles). At
depth 20 it is 10²³ from the worst start, the map's c, and 2·10⁹ for two pathways from (0.02, 0.01):
a collapse for all that can be simulated, though no step crossed zero. Two pathways of depth 5 from
there share the mode and never come near zero.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values
from dlnlab.plotting import COLORS, INK, Axes, Figure, Line2D, legend_above, log_step_axis, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.arguments import Array as Floats
from dlnlab.theory.base import prediction
from dlnlab.theory.stability import map_argmax, stability_edge, worst_case_return_constant
from dlnlab.typing import Any

RATIO, TARGET = 0.99, 1.0
NEAR, BACK = 0.01, 0.5
"""A mode that had been above half its target has nearly collapsed when below 0.01 of it, and is
back when above half."""


def worst_start(depth: int) -> float:
    """The end-to-end value c^L that is thrown farthest, and returned nearest to zero."""
    return map_argmax(RATIO * _worst_case_return(depth), TARGET, depth) ** depth


def _worst_case_return(depth: int) -> float:
    return worst_case_return_constant(depth) / depth  # γ(L)/S, S = L for a target of 1


START = round(worst_start(5), 4)
"""The worst start at depth 5; at depth 20 it is nearly the same, 0.623."""


def build(
    return_ratio: Annotated[float, Coordinate(above=0, symbol="η/η_WCR")] = RATIO,
    depth: Annotated[int, Coordinate(least=3, most=1000, symbol="L")] = 5,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (START,),
) -> Run:
    """One mode of strength 1, one pathway for each α_h, at η = return_ratio · η_WCR."""
    problem = Problem(Modes((depth,) * len(alphas), 1), Whitened(jnp.full(1, TARGET)))
    learning_rate = return_ratio * _worst_case_return(depth)
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, alphas))


@prediction("escape_steps", symbol="T", source="kim2026.7")
def escape_steps(value: float, learning_rate: float, depth: int, target: float) -> Any:
    """The steps in which a layer value w escapes from the saddle: `w^{2−L}/((L−2)ηs)`.

    `ẇ = ηs w^{L−1}` for w far below s^{1/L}, until it has grown without bound; L > 2. NaN where
    `value` is. Source: kim2026.7.
    """
    return np.asarray(value) ** (2 - depth) / ((depth - 2) * learning_rate * target)


def _sum(lane: xr.Dataset) -> Floats:
    return np.asarray(lane.mode_values.isel(mode=0).sum("pathway"))


def fall(lane: xr.Dataset) -> int | None:
    """The place in the record where the mode has first nearly collapsed."""
    total = _sum(lane)
    fallen = (np.maximum.accumulate(total) > BACK * TARGET) & (total < NEAR * TARGET)
    return int(np.argmax(fallen)) if fallen.any() else None


def leader(lane: xr.Dataset, place: int) -> Floats:
    """σ_h from the fall on of the pathway that was then the largest: it escapes first."""
    values = lane.mode_values.isel(mode=0).dropna("pathway", how="all").transpose("step", "pathway")
    after = np.abs(values.values[place:])
    return np.asarray(after[:, np.argmax(after[0])])


def _escape_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    place, depth = fall(measured), coords["depth"]
    value = np.nan if place is None else leader(measured, place)[0] ** (1 / depth)
    rate = coords["return_ratio"] * _worst_case_return(depth)
    return {"value": value, "learning_rate": rate, "depth": depth, "target": TARGET}


def _edge_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"depth": coords["depth"], "target": TARGET}


EXPERIMENT = Experiment(
    build,
    title="Near-collapse just below the worst-case return",
    steps=6000,
    # Back above half its target the mode is for a step or two only: they must not be missed.
    schedule=logarithmic(400) | last(1000),
    observe=(loss, mode_values),
    predictions=(Bound(escape_steps, _escape_arguments), Bound(stability_edge, _edge_arguments)),
    coords={"depth": (5, 20), "alphas": [(START,), (0.02, 0.01)]},
    cites=("kim2026",),
)


def _lanes(measured: xr.Dataset, predicted: xr.Dataset) -> list[tuple[xr.Dataset, xr.Dataset]]:
    """Each run with its theory, in the order of the sweep."""
    axes = list(predicted.escape_steps.dims)
    found, said = (
        data.stack(lane=axes) if axes else data.expand_dims("lane")
        for data in (measured, predicted)
    )
    return [(found.isel(lane=k), said.isel(lane=k)) for k in range(found.sizes["lane"])]


def _depth(theory: xr.Dataset) -> int:
    return round(2 / float(theory.stability_edge))


def seen_escape(lane: xr.Dataset, depth: int) -> tuple[float, bool]:
    """The steps from the fall to half the target and True; where the mode stays down, those that
    the shrinking of w^{2−L} on the plateau tells (∞ where rounding hides it), and False."""
    place = fall(lane)
    if place is None:
        return np.nan, False
    steps = lane.step.values[place:] - float(lane.step[place])
    back = np.flatnonzero(_sum(lane)[place:] > BACK * TARGET)
    if back.size:
        return float(steps[back[0]]), True
    charge = leader(lane, place) ** ((2 - depth) / depth)
    shrunk = 1 - charge[-1] / charge[0]
    return float(steps[-1] / shrunk) if shrunk > 1e-9 else np.inf, False


def check_escape(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Escape times, seen at depth 5 and told by the plateau at depth 20, against the formula.
    Depth 5 must come back, and depth 20 stay below 0.01 to the end with a time beyond 10⁹."""
    errors, kinds = [], set()
    for lane, theory in _lanes(measured, predicted):
        depth, expected = _depth(theory), float(theory.escape_steps)
        seen, back = seen_escape(lane, depth)
        if np.isnan(seen):
            continue
        down = float(_sum(lane)[-1]) < NEAR * TARGET and expected > 1e9
        kinds.add((depth, back, not back and down))
        errors += [abs(seen / expected - 1)] if np.isfinite(seen) else []
    told = kinds == {(5, True, False), (20, False, True)} and len(errors) > 1
    return Verdict.at_most(max(errors) if told else np.nan, 0.01, sample_size=len(errors))


CLAIMS = (
    Claim(
        "kim2026.7c",
        "At 0.99 η_WCR a chain of depth 5 returns from its near-collapse in about 5,600 steps; at "
        "depth 20 the mode stays down for all of 6,000, and its drift there says 2·10⁹: both "
        "within 1 % of w^{2−L}/((L−2)ηs).",
        check_escape,
        (
            "aligned, depth-balanced pathways",
            "one chain from c^L at depth 5, two from (0.02, 0.01)",
        ),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """σ_h1 against the step: a row for each depth, a column for each start."""
    lanes = _lanes(measured, predicted)
    rows = measured.sizes.get("depth", 1)
    columns = len(lanes) // rows
    figure, axes = panels(rows, columns, height=0.5 + 1.8 * rows, sharex=True)
    lines: list[Line2D] = []
    for ax, (lane, theory) in zip(axes, lanes, strict=True):
        lines = max(lines, _panel(ax, lane, theory), key=len)
    for ax in axes[-columns:]:
        log_step_axis(ax)
    for first in range(0, len(axes), columns):
        ax = axes[first]
        for other in axes[first + 1 : first + columns]:
            other.sharey(ax)
        ax.set_ylabel(r"end-to-end value $\sigma_{h1}$")
    legend_above(figure, lines)
    return figure


def _panel(ax: Axes, lane: xr.Dataset, theory: xr.Dataset) -> list[Line2D]:
    # A logarithmic axis has no place for step 0; the start is drawn at step 1/2.
    steps = np.maximum(lane.step.values, 0.5)
    values = lane.mode_values.isel(mode=0).dropna("pathway", how="all")
    lines = [
        measured_line(ax, steps, values.sel(pathway=h), rf"$\sigma_{{{h + 1}1}}$", COLORS[h])
        for h in values.pathway.values
    ]
    starts = ", ".join(f"{start:.2g}" for start in values.isel(step=0).values)
    ax.set_title(f"L = {_depth(theory)}, start {starts}")
    ax.set(yscale="log", xlim=(0.4, 1.5 * steps[-1]))
    place = fall(lane)
    return lines if place is None else [*lines, _escape(ax, steps, lane, theory, place)]


def _escape(ax: Axes, steps: Floats, lane: xr.Dataset, theory: xr.Dataset, place: int) -> Line2D:
    """σ_h from its fall on as the formula has it, and its time in words."""
    depth, escape = _depth(theory), float(theory.escape_steps)
    left = 1 - (steps[place:] - steps[place]) / escape
    growing = left > 0
    power = int(np.floor(np.log10(escape)))
    ax.annotate(
        rf"escape after ${escape / 10**power:.1f}\cdot10^{{{power}}}$ steps",
        (0.9, 0.3),
        xycoords="axes fraction",
        ha="right",
        color=INK,
        fontsize=7,
    )
    curve = leader(lane, place)[0] * left[growing] ** (depth / (2 - depth))
    label = r"predicted escape: $w^{2-L}$ falls by $(L-2)\eta s$ a step"
    return predicted_line(ax, steps[place:][growing], np.minimum(curve, TARGET), label)
