"""Just below the worst-case return a chain comes close to collapse; depth decides for how long.

At 0.99 η_WCR every start still returns, but the worst is thrown so near to the saddle at zero that
it has to escape anew, in w^{2−L}/((L−2)ηs) steps from the layer value w. At depth 5 that is some
5,600 steps, and the chain returns (to be thrown again: beyond the edge 2/S it never settles). At
depth 20 it is 10²³ from the worst start, c of the map, and 2·10⁹ for two pathways from (0.02, 0.01):
a collapse for all that can be simulated, though no step crossed zero. Two pathways of depth 5 from
there share the mode and never come near zero.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values
from dlnlab.plotting import COLORS, INK, legend_above, log_step_axis, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear, logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.base import prediction
from dlnlab.theory.stability import map_argmax, worst_case_return, worst_case_return_constant
from dlnlab.typing import Any

RATIO = 0.99


def worst_start(depth: int) -> float:
    """The end-to-end value c^L that is thrown farthest at 0.99 η_WCR, target 1."""
    edge = worst_case_return(1.0, depth)
    return map_argmax(RATIO * edge, 1.0, depth) ** depth if edge is not None else 1.0


def build(
    depth: Annotated[int, Coordinate(least=3, most=1000, symbol="L")] = 5,
    alphas: Annotated[tuple[float, ...], Coordinate(above=0, log=True, symbol="α_h")] = (
        round(worst_start(5), 4),
    ),
    return_ratio: Annotated[float, Coordinate(above=0, symbol="η/η_WCR")] = RATIO,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """One mode, one pathway for each α_h, at η = return_ratio · η_WCR of a single one."""
    problem = Problem(Modes((depth,) * len(alphas), 1), Whitened(jnp.full(1, target)))
    learning_rate = return_ratio * step_unit(depth, target)
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, alphas))


def step_unit(depth: int, target: Any) -> Any:
    """η_WCR = γ(L)/S."""
    return worst_case_return_constant(depth) / (depth * target ** (2 - 2 / depth))


NEAR, BACK = 0.01, 0.5
"""A mode below 0.01 s after it had been above 0.5 s has nearly collapsed; above 0.5 s it is back."""


@prediction("escape_steps", symbol="T", source="kim2026.7")
def escape_steps(value: float, learning_rate: float, depth: int, target: float) -> Any:
    """The steps in which a layer value w escapes from the saddle: `w^{2−L}/((L−2)ηs)`."""
    return value ** (2 - depth) / ((depth - 2) * learning_rate * target)


def fall(lane: xr.Dataset) -> int | None:
    """The place in the record where the mode has first nearly collapsed."""
    total = lane.mode_values.isel(mode=0).sum("pathway").values / float(lane.get("target", 1.0))
    fallen = (np.maximum.accumulate(total) > BACK) & (total < NEAR)
    return int(np.argmax(fallen)) if fallen.any() else None


def leader(lane: xr.Dataset) -> np.ndarray[Any, Any]:
    """The layer value of the pathway that is largest after the fall, at every recorded step."""
    values = lane.mode_values.isel(mode=0).dropna("pathway", how="all")
    largest = values.isel(step=fall(lane)).argmax("pathway").item()
    return np.asarray(abs(values.isel(pathway=largest)) ** (1 / int(lane.depth)))


def _escape_arguments(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    place, depth, target = fall(measured), coords["depth"], coords["target"]
    value = np.nan if place is None else leader(measured)[place]
    rate = coords["return_ratio"] * step_unit(depth, target)
    return {"value": value, "learning_rate": rate, "depth": depth, "target": target}


EXPERIMENT = Experiment(
    build,
    title="Near-collapse just below the worst-case return",
    steps=20_000,
    schedule=linear(2001) | logarithmic(400),
    observe=(loss, mode_values),
    predictions=(Bound(escape_steps, _escape_arguments),),
    coords={"depth": (5, 20), "alphas": [(round(worst_start(5), 4),), (0.02, 0.01)]},
    cites=("kim2026",),
)


def return_step(lane: xr.Dataset) -> float:
    """The step at which the mode is back at half its target, counted from its fall; else ∞."""
    place = fall(lane)
    total = lane.mode_values.isel(mode=0).sum("pathway").values / float(lane.get("target", 1.0))
    back = np.flatnonzero(total[place:] > BACK)
    steps = lane.step.values[place:]
    return float(steps[back[0]] - steps[0]) if back.size else np.inf


def drift(lane: xr.Dataset) -> float:
    """The escape time told by how w^{2−L} shrinks on the plateau; ∞ where rounding hides it."""
    place, power = fall(lane), 2 - int(lane.depth)
    values = leader(lane)[place:] ** power
    change = 1 - values[-1] / values[0]
    passed = float(lane.step[-1] - lane.step[place])
    return passed / change if change > 1e-8 else np.inf


def _lanes(data: xr.Dataset) -> list[xr.Dataset]:
    axes = [name for name in ("depth", "alphas") if name in data.dims]
    lanes = data.stack(lane=axes) if axes else data.expand_dims("lane")
    return [lanes.isel(lane=k) for k in range(lanes.sizes["lane"])]


def check_escape(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """Escape times, seen at depth 5 and extrapolated from the plateau at depth 20, against the
    formula. Depth 5 must return, and depth 20 stay below 0.01 s to the end, its time beyond 10⁹."""
    errors, depths = [], set()
    for lane, theory in zip(_lanes(measured), _lanes(predicted), strict=True):
        if fall(lane) is None:
            continue
        expected, seen = float(theory.escape_steps), return_step(lane)
        depths.add((int(lane.depth), bool(np.isfinite(seen)), expected > 1e9))
        time = seen if np.isfinite(seen) else drift(lane)
        if np.isfinite(time):
            errors.append(abs(time / expected - 1))
    told = depths == {(5, True, False), (20, False, True)} and len(errors) > 1
    return Verdict.at_most(max(errors) if told else np.nan, 0.01, sample_size=len(errors))


CLAIMS = (
    Claim(
        "kim2026.7c",
        "At 0.99 η_WCR a chain of depth 5 returns from its near-collapse in about 5,600 steps; at "
        "depth 20 the mode stays down for all of 20,000, and its drift says more than 10⁹: both "
        "within 1 % of w^{2−L}/((L−2)ηs).",
        check_escape,
        (
            "aligned, depth-balanced pathways",
            "one chain from c^L at depth 5, two from (0.02, 0.01)",
        ),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """σ_h1 against the step: a column for each start, a row for each depth."""
    lanes, theories = _lanes(measured), _lanes(predicted)
    rows = measured.sizes.get("depth", 1)
    figure, axes = panels(
        rows, len(lanes) // rows, height=0.5 + 1.8 * rows, sharex=True, sharey="row"
    )
    lines: list[Line2D] = []
    for ax, lane, theory in zip(axes, lanes, theories, strict=True):
        lines = max(lines, _panel(ax, lane, theory), key=len)
    for ax in axes[-(len(lanes) // rows) :]:
        log_step_axis(ax)
    for ax in axes[:: len(lanes) // rows]:
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
    depth, place = int(lane.depth), fall(lane)
    where = "two pathways" if values.pathway.size > 1 else "one chain, worst start"
    ax.set_title(f"L = {depth}, {where}")
    ax.set(yscale="log", xlim=(0.4, 1.5 * steps[-1]))
    if place is None:
        return lines
    escape = float(theory.escape_steps)
    first = leader(lane)[place]
    since = lane.step.values[place:] - lane.step.values[place]
    left = np.where(since < escape, 1 - since / escape, np.nan)
    curve = first**depth * left ** (depth / (2 - depth))
    inside = curve < 1
    lines.append(
        predicted_line(
            ax,
            steps[place:][inside],
            curve[inside],
            r"predicted escape, $w^{2-L}$ falling by $(L-2)\eta s$ a step",
        )
    )
    power = int(np.floor(np.log10(escape)))
    ax.annotate(
        rf"escapes after ${escape / 10**power:.1f}\cdot10^{{{power}}}$ steps",
        (0.04, 0.06),
        xycoords="axes fraction",
        color=INK,
        fontsize=7,
    )
    return lines
