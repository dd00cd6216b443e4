"""Critical points: the nearest saddle, the nearest minimum, and how the loss curves there."""

from dlnlab.critical.distances import (
    Nearest,
    linearised_distance,
    nearest_minimum,
    nearest_saddle,
)
from dlnlab.critical.signature import Signature, signature

__all__ = [
    "Nearest",
    "Signature",
    "linearised_distance",
    "nearest_minimum",
    "nearest_saddle",
    "signature",
]
