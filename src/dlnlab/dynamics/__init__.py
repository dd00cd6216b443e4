"""How parameters move: gradient flow, gradient descent on all or on batches, any optimizer."""

from dlnlab.dynamics import gradient, langevin, stochastic
from dlnlab.dynamics.base import Dynamics, Flow, Map
from dlnlab.dynamics.gradient import GradientDescent, GradientFlow, Optax
from dlnlab.dynamics.langevin import Langevin
from dlnlab.dynamics.stochastic import StochasticGradientDescent

EXAMPLES: tuple[Map | Flow, ...] = (
    *gradient.EXAMPLES,
    *stochastic.EXAMPLES,
    *langevin.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Dynamics",
    "Flow",
    "GradientDescent",
    "GradientFlow",
    "Langevin",
    "Map",
    "Optax",
    "StochasticGradientDescent",
]
