"""Quantities that one state determines: pure functions `(problem, params) -> array`."""

from dlnlab.observables import curvature, endpoints, escape, fit, pathways, spectrum
from dlnlab.observables.base import Observable, observable
from dlnlab.observables.curvature import (
    free_sharpness,
    hessian_density,
    hessian_trace,
    sharpness,
    top_eigenvalues,
)
from dlnlab.observables.endpoints import flow_end_sharpness
from dlnlab.observables.escape import escape_rate
from dlnlab.observables.fit import gradient_norm, loss, test_loss
from dlnlab.observables.pathways import (
    balance_gap,
    conserved_z,
    mode_values,
    pathway_norms,
    shares,
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
    *escape.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Observable",
    "alignment_error",
    "balance_gap",
    "conserved_z",
    "end_to_end",
    "escape_rate",
    "flow_end_sharpness",
    "free_sharpness",
    "gradient_norm",
    "hessian_density",
    "hessian_trace",
    "layer_singular_values",
    "loss",
    "mode_values",
    "observable",
    "off_diagonal_norm",
    "pathway_norms",
    "shares",
    "sharpness",
    "singular_values",
    "svs_error",
    "test_loss",
    "top_eigenvalues",
]
