"""Smaller networks that train as larger ones do: modes for aligned layers, narrow for wide."""

from dlnlab.reduction.modes import Certificate, NotReducible, Reduction, reduce, whitened
from dlnlab.reduction.narrowing import Narrowed, narrow, reachable

__all__ = [
    "Certificate",
    "Narrowed",
    "NotReducible",
    "Reduction",
    "narrow",
    "reachable",
    "reduce",
    "whitened",
]
