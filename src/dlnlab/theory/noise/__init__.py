"""Noise of stochastic gradient descent: what it does to modes, to their balance, in the long run.

`y = Mx + ξ`, x ~ N(0, I), ξ ~ N(0, ς²I), batches of B; `dθ = −∇ℓ dt + √(ηΣ/B) dB`, in time
step × learning rate, Σ the covariance of a sample's gradient.
"""

from dlnlab.theory.base import Prediction
from dlnlab.theory.noise import aligned, balancing, collapse, peak, stationary, weights
from dlnlab.theory.noise.aligned import (
    ItoDrift,
    ito_drift,
    ito_parts,
    mode_diffusion,
    mode_drift,
)
from dlnlab.theory.noise.balancing import balance_drift, expected_balance_gap, trace_at_minimum
from dlnlab.theory.noise.collapse import (
    SmallMode,
    collapse_edge,
    collapse_probability,
    minimum_exponent,
    small_mode,
    small_mode_exponent,
)
from dlnlab.theory.noise.distances import (
    Distances,
    autocorrelation_time,
    effective_size,
    histogram_distances,
    sample_distances,
)
from dlnlab.theory.noise.exact import ModeMotion, mode_motion
from dlnlab.theory.noise.fokker_planck import (
    Generator,
    evolve,
    generator,
    mean_passage_times,
    stationary_masses,
    survival,
)
from dlnlab.theory.noise.law import StationaryLaw
from dlnlab.theory.noise.minimum import sgd_beside_equation, sgd_variance_ratio, variance_edge
from dlnlab.theory.noise.peak import (
    PeakTimes,
    label_noise_global_limit,
    label_noise_peak_limit,
    noise_peak,
    peak_lag,
    peak_share,
    peak_times,
    speed_peak,
)
from dlnlab.theory.noise.question import Noise, noise
from dlnlab.theory.noise.scale import noise_scale
from dlnlab.theory.noise.stationary import (
    gaussian_variance,
    no_law,
    stationary_law,
    stationary_mean,
    stationary_variance,
)
from dlnlab.theory.noise.weights import balanced_values, imbalance, misalignment

PREDICTIONS: tuple[Prediction, ...] = (
    *weights.PREDICTIONS,
    *aligned.PREDICTIONS,
    *peak.PREDICTIONS,
    *stationary.PREDICTIONS,
    *balancing.PREDICTIONS,
    *collapse.PREDICTIONS,
)

__all__ = [
    "PREDICTIONS",
    "Distances",
    "Generator",
    "ItoDrift",
    "ModeMotion",
    "Noise",
    "PeakTimes",
    "SmallMode",
    "StationaryLaw",
    "autocorrelation_time",
    "balance_drift",
    "balanced_values",
    "collapse_edge",
    "collapse_probability",
    "effective_size",
    "evolve",
    "expected_balance_gap",
    "gaussian_variance",
    "generator",
    "histogram_distances",
    "imbalance",
    "ito_drift",
    "ito_parts",
    "label_noise_global_limit",
    "label_noise_peak_limit",
    "mean_passage_times",
    "minimum_exponent",
    "misalignment",
    "mode_diffusion",
    "mode_drift",
    "mode_motion",
    "no_law",
    "noise",
    "noise_peak",
    "noise_scale",
    "peak_lag",
    "peak_share",
    "peak_times",
    "sample_distances",
    "sgd_beside_equation",
    "sgd_variance_ratio",
    "small_mode",
    "small_mode_exponent",
    "speed_peak",
    "stationary_law",
    "stationary_masses",
    "stationary_mean",
    "stationary_variance",
    "survival",
    "trace_at_minimum",
    "variance_edge",
]
