"""From the paper's own start, W_L = 0 and W_l = αI, large steps first widen the gap.

The first step multiplies the gap between the last two layers by 1 − η²s²α^{2(L−2)}: with two layers
that is more than one in size beyond ηS = 2√2, whatever α, and for as long as the mode is not
learned every step does it again. Afterwards the gap decays all the same. With three layers and a
small α no bounded run does so.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import zero_last_layer
from dlnlab.networks import Modes
from dlnlab.observables import balance_gap, loss, mode_values
from dlnlab.plotting import COLORS, Figure, at, edge_line, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.balance import first_growth_edge
from dlnlab.theory.stability import stability_edge
from dlnlab.typing import Any

STEPS = 400


def build(
    scaled_rate: Annotated[float, Coordinate(above=0, symbol="ηS")] = 3.0,
    depth: Annotated[int, Coordinate(least=2, most=1000, symbol="L")] = 2,
    layer_scale: Annotated[float, Coordinate(above=0, log=True, symbol="α")] = 0.05,
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """One mode of strength s, at η = scaled_rate/S, from layers α and a last one of zero."""
    problem = Problem(Modes((depth,), 1), Whitened(jnp.full(1, target)))
    learning_rate = scaled_rate / (depth * target ** (2 - 2 / depth))
    return Run(problem, GradientDescent(learning_rate), zero_last_layer(problem, layer_scale))


def _edge(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    return {"target": coords["target"], "depth": coords["depth"]}


EXPERIMENT = Experiment(
    build,
    title="The gap of the paper's start, which first grows",
    steps=STEPS,
    schedule=last(STEPS),
    observe=(loss, mode_values, balance_gap),
    predictions=(Bound(first_growth_edge), Bound(stability_edge, _edge)),
    coords={
        "scaled_rate": tuple(np.linspace(0.1, 3.1, 31).round(12).tolist()),
        "depth": (2, 3),
        "layer_scale": (0.01, 0.05, 0.2),
    },
    cites=("ghosh2025",),
)

INTERACTIVE = ("balance_gap@1", "mode_values", "loss")


def shares(measured: xr.Dataset) -> xr.DataArray:
    """The gap over its first value."""
    gap = measured.balance_gap.isel(pathway=0)
    return gap / gap.isel(step=0)


def _two_layers(measured: xr.Dataset, predicted: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Of two layers: the gap over its first value, and ηS at which it first grows."""
    two = measured.sel(depth=2)
    edge = (2 * predicted.first_growth_edge / predicted.stability_edge).sel(depth=2)
    return shares(two), edge.broadcast_like(two.scaled_rate)


def check_first_step(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least distance, on its proper side of 1, of what the first step multiplies the gap by."""
    share, edge = _two_layers(measured, predicted)
    beyond = share.scaled_rate > edge
    both = bool(beyond.any()) and not bool(beyond.all())
    margin = (share.sel(step=1) - 1) * xr.where(beyond, 1, -1)
    spread = abs(share.sel(step=1) - share.sel(step=1).isel(layer_scale=0)).max()
    alike = both and spread < 1e-12  # whatever α
    return Verdict.at_least(
        float(margin.min()) if alike else np.nan, 0.0, sample_size=int(margin.size)
    )


def check_decays_later(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The largest share of the gap left in the end where it first grew."""
    share, edge = _two_layers(measured, predicted)
    grew = (share.max("step") > 1.05) & (share.scaled_rate > edge)
    end = share.isel(step=-1).values[grew.transpose(*share.isel(step=-1).dims).values]
    return Verdict.at_most(float(end.max()) if end.size else np.nan, 1e-6, sample_size=end.size)


def check_three_layers(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The most by which a gap of three layers ever exceeds its first value."""
    share = shares(measured.sel(depth=3))
    edge = (2 * predicted.first_growth_edge / predicted.stability_edge).sel(depth=3)
    short = bool((edge > share.scaled_rate.max()).all())
    most = float(share.max()) - 1 if short and share.notnull().all() else np.nan
    return Verdict.at_most(most, 1e-12, sample_size=share.isel(step=0).size)


START = "one mode, from W_L = 0 and W_l = αI"
CLAIMS = (
    Claim(
        "ghosh2025.4h",
        "With two layers the first step widens the gap just where ηS > 2√2, whatever α.",
        check_first_step,
        (START,),
    ),
    Claim(
        "ghosh2025.4i",
        "Where it has grown it decays to zero later.",
        check_decays_later,
        (START, "two layers", "bounded runs"),
    ),
    Claim(
        "ghosh2025.4j",
        "With three layers and α up to a fifth of the minimum's layer value it never exceeds its "
        "first value, up to ηS = 3.1.",
        check_three_layers,
        (START,),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """What the first step makes of the gap, and the largest that it becomes."""
    figure, (ax,) = panels(1, 1, height=2.7)
    one = at(measured, layer_scale=0.05)
    rates = np.atleast_1d(measured.scaled_rate)
    two, three = (shares(at(one, depth=depth)) for depth in (2, 3))
    lines = [
        measured_line(ax, rates, two.max("step"), "L = 2, largest ever", COLORS[2]),
        measured_line(ax, rates, two.sel(step=1), "L = 2, first step", COLORS[0]),
        measured_line(ax, rates, three.sel(step=1), "L = 3, first step", COLORS[1]),
    ]
    lines[-1].set_linewidth(0.8)
    lines.append(predicted_line(ax, rates, abs(1 - rates**2 / 4), r"$|1-\eta^2s^2|$"))
    edge = 2 * at(predicted.first_growth_edge / predicted.stability_edge, depth=2)
    edge_line(ax, float(edge.max()), "2√2", vertical=True)
    ax.set(xlabel="scaled step size ηS", ylabel="gap over its first value", ylim=(0, None))
    legend_above(figure, lines, columns=2)
    return figure
