"""Quantities that one state determines: pure functions `(problem, params) -> array`."""

from dlnlab.observables import (
    covariance,
    curvature,
    endpoints,
    fit,
    noise,
    noise_size,
    pathways,
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
)

__all__ = [
    "EXAMPLES",
    "Observable",
    "alignment_error",
    "balance_error",
    "balance_gap",
    "conserved_z",
    "end_to_end",
    "flow_end_sharpness",
    "free_sharpness",
    "gradient_covariance",
    "gradient_covariance_spectrum",
    "gradient_covariance_trace",
    "gradient_norm",
    "hessian_density",
    "hessian_trace",
    "layer_singular_values",
    "loss",
    "mode_diffusion",
    "mode_drift",
    "mode_ito_drift",
    "mode_signal_to_noise",
    "mode_values",
    "noise_anisotropy",
    "observable",
    "off_diagonal_norm",
    "parameters",
    "pathway_norms",
    "sampled_mode_diffusion",
    "shares",
    "sharpness",
    "singular_values",
    "svs_error",
    "test_loss",
    "top_eigenvalues",
]
