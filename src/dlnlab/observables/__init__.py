"""Quantities that one state determines: pure functions `(problem, params) -> array`."""

from dlnlab.observables import (
    covariance,
    curvature,
    endpoints,
    escape,
    fit,
    noise,
    noise_size,
    pathways,
    saddles,
    sampled_noise,
    spectrum,
    weights,
)
from dlnlab.observables.base import Observable, observable
from dlnlab.observables.covariance import (
    gradient_covariance,
    gradient_covariance_spectrum,
)
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
from dlnlab.observables.noise import (
    mode_diffusion,
    mode_drift,
    mode_ito_drift,
    mode_signal_to_noise,
)
from dlnlab.observables.noise_size import gradient_covariance_trace, noise_anisotropy
from dlnlab.observables.pathways import (
    balance_error,
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
    learned_rank,
    parameter_norm,
    stable_rank,
)
from dlnlab.observables.sampled_noise import sampled_mode_diffusion
from dlnlab.observables.spectrum import (
    alignment_error,
    end_to_end,
    layer_singular_values,
    off_diagonal_norm,
    singular_values,
    svs_error,
)
from dlnlab.observables.weights import parameters

EXAMPLES = (
    *fit.EXAMPLES,
    *spectrum.EXAMPLES,
    *pathways.EXAMPLES,
    *curvature.EXAMPLES,
    *endpoints.EXAMPLES,
    *noise.EXAMPLES,
    *sampled_noise.EXAMPLES,
    *covariance.EXAMPLES,
    *noise_size.EXAMPLES,
    *weights.EXAMPLES,
    *escape.EXAMPLES,
    *saddles.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Observable",
    "alignment_error",
    "balance_error",
    "balance_gap",
    "conserved_z",
    "effective_rank",
    "end_to_end",
    "escape_alignment",
    "escape_rate",
    "flow_end_sharpness",
    "free_sharpness",
    "gradient_covariance",
    "gradient_covariance_spectrum",
    "gradient_covariance_trace",
    "gradient_norm",
    "hessian_density",
    "hessian_trace",
    "layer_rank_one",
    "layer_singular_values",
    "learned_rank",
    "loss",
    "mode_diffusion",
    "mode_drift",
    "mode_ito_drift",
    "mode_signal_to_noise",
    "mode_values",
    "noise_anisotropy",
    "observable",
    "off_diagonal_norm",
    "parameter_norm",
    "parameters",
    "pathway_norms",
    "sampled_mode_diffusion",
    "shares",
    "sharpness",
    "singular_values",
    "stable_rank",
    "svs_error",
    "test_loss",
    "top_eigenvalues",
]
