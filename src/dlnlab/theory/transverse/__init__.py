"""Transverse stability: what becomes of perturbations that mix oscillating modes."""

from dlnlab.theory.transverse import onset
from dlnlab.theory.transverse.growth import (
    growth_along,
    growth_exponent,
    growth_exponents,
    hidden_rotations,
    transverse_maps,
)
from dlnlab.theory.transverse.onset import Transverse, mixing_edge, mixing_onset, transverse

PREDICTIONS = onset.PREDICTIONS

__all__ = [
    "PREDICTIONS",
    "Transverse",
    "growth_along",
    "growth_exponent",
    "growth_exponents",
    "hidden_rotations",
    "mixing_edge",
    "mixing_onset",
    "transverse",
    "transverse_maps",
]
