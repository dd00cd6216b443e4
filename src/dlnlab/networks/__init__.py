"""How a map is parametrised: linear chains in parallel, their modes, and perceptrons."""

from dlnlab.networks import chains, diagonal, perceptrons
from dlnlab.networks.base import (
    MOST_LAYERS,
    LinearNetwork,
    Network,
    Shapes,
    pathway_products,
    product,
    require_linear,
)
from dlnlab.networks.chains import (
    BalancedModes,
    Modes,
    Pathways,
    chain,
    require_width,
    square,
)
from dlnlab.networks.diagonal import DiagonalLinear
from dlnlab.networks.perceptrons import ACTIVATIONS, Activation, Perceptrons

EXAMPLES = (*chains.EXAMPLES, *diagonal.EXAMPLES, *perceptrons.EXAMPLES)

__all__ = [
    "ACTIVATIONS",
    "EXAMPLES",
    "MOST_LAYERS",
    "Activation",
    "BalancedModes",
    "DiagonalLinear",
    "LinearNetwork",
    "Modes",
    "Network",
    "Pathways",
    "Perceptrons",
    "Shapes",
    "chain",
    "pathway_products",
    "product",
    "require_linear",
    "require_width",
    "square",
]
