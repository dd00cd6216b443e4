"""Transverse stability: what becomes of perturbations that mix oscillating modes."""

from dlnlab.theory.transverse import onset as edges
from dlnlab.theory.transverse import phase
from dlnlab.theory.transverse.growth import (
    growth_along,
    growth_exponent,
    growth_exponents,
    hidden_rotations,
    transverse_maps,
)
from dlnlab.theory.transverse.onset import Transverse, mixing_edge, mixing_onset, transverse
from dlnlab.theory.transverse.phase import fastest_growth, onset, own_growth

PREDICTIONS = (*edges.PREDICTIONS, *phase.PREDICTIONS)

__all__ = [
    "PREDICTIONS",
    "Transverse",
    "fastest_growth",
    "growth_along",
    "growth_exponent",
    "growth_exponents",
    "hidden_rotations",
    "mixing_edge",
    "mixing_onset",
    "onset",
    "own_growth",
    "transverse",
    "transverse_maps",
]
