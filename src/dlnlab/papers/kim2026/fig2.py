"""The same runs in the plane of the two pathways, over the sharpness of the minima.

Minima lie on the line σ_1 + σ_2 = s; along it the sharpness Σ_h L σ_h^{2−2/L} is least at equal
shares. Gradient flow follows its conserved z to the corner; large steps push the run along the
line until λ = 2/η.
"""

import dataclasses

import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.papers.kim2026 import fig1

EXPERIMENT = dataclasses.replace(
    fig1.EXPERIMENT,
    title="Two pathways in their plane, over the sharpness of the minima",
    observe=tuple(
        o for o in fig1.EXPERIMENT.observe if o.name in {"loss", "mode_values", "shares"}
    ),
    coords={"learning_rate": (0.05, 0.12, 0.15, fig1.FLATTEST_EDGE)},
)


def check_order(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """From one step size to the next larger the end is less one-sided; by how much at least."""
    top = measured.shares.isel(step=-1, mode=0).max("pathway").sortby("learning_rate")
    least = float(-top.diff("learning_rate").max()) if top.size > 1 else np.nan
    return Verdict.at_least(least, 0.01, sample_size=top.size)


CLAIMS = (
    Claim(
        "kim2026.5c",
        "The larger the step size, up to 2/λ^min, the more equal the shares that are left.",
        check_order,
        (fig1.ALIGNED,),
    ),
)
