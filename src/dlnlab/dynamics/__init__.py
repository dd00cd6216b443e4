"""How parameters move: gradient flow, gradient descent on all or on batches, any optimizer."""

from dlnlab.dynamics import gradient, langevin, stochastic, switched
from dlnlab.dynamics.base import Dynamics, Flow, Map
from dlnlab.dynamics.gradient import GradientDescent, GradientFlow, Optax
from dlnlab.dynamics.langevin import Langevin
from dlnlab.dynamics.stochastic import StochasticGradientDescent
from dlnlab.dynamics.switched import Switched

EXAMPLES: tuple[Map | Flow, ...] = (
    *gradient.EXAMPLES,
    *stochastic.EXAMPLES,
    *langevin.EXAMPLES,
    *switched.EXAMPLES,
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
    "Switched",
]
