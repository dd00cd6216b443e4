"""Curvature of the half-square loss: spectra of its Hessian in closed form or by small blocks."""

from dlnlab.theory.curvature import aligned, minima
from dlnlab.theory.curvature.aligned import (
    aligned_sharpness,
    aligned_spectrum,
    aligned_top_eigenvalues,
    merged,
    svs_spectrum,
)
from dlnlab.theory.curvature.minima import (
    Spectrum,
    chain_minimum_spectrum,
    minimum_spectrum,
    sharpness_at_minimum,
    unbalanced_chain_sharpness,
)
from dlnlab.theory.curvature.question import SpectrumAnswer, spectrum

PREDICTIONS = minima.PREDICTIONS + aligned.PREDICTIONS

__all__ = [
    "PREDICTIONS",
    "Spectrum",
    "SpectrumAnswer",
    "aligned_sharpness",
    "aligned_spectrum",
    "aligned_top_eigenvalues",
    "chain_minimum_spectrum",
    "merged",
    "minimum_spectrum",
    "sharpness_at_minimum",
    "spectrum",
    "svs_spectrum",
    "unbalanced_chain_sharpness",
]
