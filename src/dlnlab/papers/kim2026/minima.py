"""How sharp the minima of one mode are, as it is divided between two pathways.

Every division of a singular value s between pathways is a minimum of the loss, and they differ in
sharpness: with equal depths beyond 2 a single path is the sharpest (S = L s^{2−2/L}) and equal
shares are the flattest, λ^min = H^{2/L−1} S; at depth 2 all are alike; with unequal depths the
flattest division is uneven. Here the Hessian itself is taken at each of them.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import Modes
from dlnlab.observables import loss, mode_values, sharpness
from dlnlab.plotting import COLORS, INK, Figure, legend_above, panels
from dlnlab.plotting import measured as measured_line
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.curvature import sharpness_at_minimum
from dlnlab.theory.stability import flattest_edge
from dlnlab.typing import Any


def build(
    share: Annotated[float, Coordinate(least=0, most=1, symbol="σ_1/s")] = 0.5,
    depths: Annotated[tuple[int, ...], Coordinate(least=1, most=1000, symbol="L_h")] = (5, 5),
    target: Annotated[float, Coordinate(above=0, log=True, symbol="s")] = 1.0,
) -> Run:
    """One mode at zero loss, the first of two pathways carrying `share` of it; nothing moves."""
    if len(depths) != 2:
        raise InputError(
            f"depths has {len(depths)} values and a share divides between 2 pathways; give two "
            "depths, say --depths 3,5."
        )
    values = (share * target, (1 - share) * target)
    problem = Problem(Modes(depths, 1), Whitened(jnp.full(1, target)))
    params = tuple(
        (jnp.full(1, v) ** (1 / depth),) * depth for v, depth in zip(values, depths, strict=True)
    )
    return Run(problem, GradientDescent(0.0), params)


def _values(coords: dict[str, Any], measured: xr.Dataset) -> dict[str, Any]:
    share, target = coords["share"], coords["target"]
    values = target * np.array([[share], [1 - share]])
    return {"values": values, "depths": coords["depths"], "targets": np.array([target])}


EXPERIMENT = Experiment(
    build,
    title="Sharpness of the minima against how they divide a mode",
    steps=0,
    observe=(loss, mode_values, sharpness),
    predictions=(Bound(sharpness_at_minimum, _values), Bound(flattest_edge)),
    coords={
        "share": tuple(np.linspace(0, 1, 101).tolist()),
        "depths": [(2, 2), (3, 3), (5, 5), (20, 20), (3, 5), (2, 4)],
    },
    cites=("kim2026",),
)


def check_formula(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The Hessian's largest eigenvalue against the formula at every minimum."""
    found = measured.sharpness.isel(step=0)
    error = abs(predicted.sharpness_at_minimum - found).max()
    bound = float(measured.sharpness_residual.max())
    return Verdict.at_most(float(error), 1e-9, uncertainty=bound, sample_size=found.size)


def check_flattest(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The least sharpness over all divisions against λ^min of theory, for every pair of depths."""
    least = measured.sharpness.isel(step=0).min("share")
    grid = float(measured.share.diff("share").max())
    expected = 2 / predicted.flattest_edge.isel(share=0)
    # Sharpness is quadratic about its minimum; a grid of spacing δ misses by O(δ²), never below.
    error = (least / expected - 1).values
    worst = error.max() if error.min() > -1e-9 else np.nan
    return Verdict.at_most(worst, 4 * grid**2, sample_size=error.size)


def check_flat_at_two(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """At depth 2 the sharpness is the same for every division."""
    if "2,2" not in measured.depths.values:
        return Verdict.at_most(np.nan, 0, sample_size=0)
    found = measured.sharpness.isel(step=0).sel(depths="2,2")
    spread = float(found.max() / found.min() - 1)
    return Verdict.at_most(spread, 1e-12, sample_size=found.size)


CLAIMS = (
    Claim(
        "kim2026.1a",
        "At zero loss the sharpness of a mode is Σ_h L_h σ_h^{2−2/L_h}, whatever the depths.",
        check_formula,
        ("aligned, depth-balanced pathways",),
    ),
    Claim(
        "kim2026.2",
        "The flattest division is the one of Lagrange's condition: equal shares for equal depths, "
        "2(L_h−1)σ_h^{1−2/L_h} = μ for unequal ones.",
        check_flattest,
        ("aligned, depth-balanced pathways",),
    ),
    Claim(
        "kim2026.1b",
        "With two layers every division is equally sharp: no force, the negative control.",
        check_flat_at_two,
        ("aligned, depth-balanced pathways",),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """Sharpness against the share of the first pathway, a panel for each pair of depths."""
    pairs = np.atleast_1d(measured.depths.values)
    columns = min(3, pairs.size)
    rows = -(-pairs.size // columns)
    figure, axes = panels(rows, columns, height=0.3 + 1.75 * rows, sharex=True)
    for ax, pair in zip(axes, pairs, strict=False):
        found, theory = measured.sel(depths=pair), predicted.sel(depths=pair)
        lines = [
            measured_line(ax, found.share, found.sharpness.isel(step=0), "Hessian", COLORS[0]),
            predicted_line(
                ax, theory.share, theory.sharpness_at_minimum, r"$\Sigma_h L_h\,\sigma_h^{2-2/L_h}$"
            ),
        ]
        least = 2 / float(theory.flattest_edge[0])
        lines.append(
            ax.axhline(
                least,
                color=INK,
                linewidth=0.8,
                linestyle=(0, (1, 1.6)),
                label=r"$\lambda^{\min}$ of theory",
            )
        )
        ax.set_title("depths " + pair.replace(",", " and "))
        if np.ptp(found.sharpness.values) < 1e-6:
            ax.set_ylim(0.9 * least, 1.1 * least)
    for ax in axes[-columns:]:
        ax.set_xlabel("share of the first pathway")
    for ax in axes[::columns]:
        ax.set_ylabel(r"sharpness $\lambda_{\max}$")
    legend_above(figure, lines)
    return figure
