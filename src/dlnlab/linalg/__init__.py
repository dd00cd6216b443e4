"""Extreme eigenpairs of symmetric operators that are known only by their action on a vector."""

from dlnlab.linalg.density import Density, Estimate, spectral_density, trace
from dlnlab.linalg.extremes import (
    DENSE_LIMIT,
    Eigenpairs,
    Matvec,
    dense,
    largest,
    largest_dense,
    largest_lanczos,
    largest_of_blocks,
)
from dlnlab.linalg.tracker import Track, begin, follow

__all__ = [
    "DENSE_LIMIT",
    "Density",
    "Eigenpairs",
    "Estimate",
    "Matvec",
    "Track",
    "begin",
    "dense",
    "follow",
    "largest",
    "largest_dense",
    "largest_lanczos",
    "largest_of_blocks",
    "spectral_density",
    "trace",
]
