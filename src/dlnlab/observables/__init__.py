"""Quantities that one state determines: pure functions `(problem, params) -> array`."""

from dlnlab.observables import curvature, endpoints, fit, pathways, saddles, spectrum
from dlnlab.observables.base import Observable, observable
from dlnlab.observables.curvature import (
    free_sharpness,
    hessian_density,
    hessian_trace,
    sharpness,
    top_eigenvalues,
)
from dlnlab.observables.endpoints import flow_end_sharpness
from dlnlab.observables.fit import gradient_norm, loss, test_loss
from dlnlab.observables.pathways import (
    balance_gap,
    conserved_z,
    mode_values,
    pathway_norms,
    shares,
)
from dlnlab.observables.saddles import (
    effective_rank,
    escape_alignment,
    layer_rank_one,
    parameter_norm,
    stable_rank,
)
from dlnlab.observables.spectrum import (
    alignment_error,
    end_to_end,
    layer_singular_values,
    off_diagonal_norm,
    singular_values,
    svs_error,
)

EXAMPLES = (
    *fit.EXAMPLES,
    *spectrum.EXAMPLES,
    *pathways.EXAMPLES,
    *curvature.EXAMPLES,
    *endpoints.EXAMPLES,
    *saddles.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Observable",
    "alignment_error",
    "balance_gap",
    "conserved_z",
    "effective_rank",
    "end_to_end",
    "escape_alignment",
    "flow_end_sharpness",
    "free_sharpness",
    "gradient_norm",
    "hessian_density",
    "hessian_trace",
    "layer_rank_one",
    "layer_singular_values",
    "loss",
    "mode_values",
    "observable",
    "off_diagonal_norm",
    "parameter_norm",
    "pathway_norms",
    "shares",
    "sharpness",
    "singular_values",
    "stable_rank",
    "svs_error",
    "test_loss",
    "top_eigenvalues",
]
