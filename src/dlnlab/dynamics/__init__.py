"""How parameters move: gradient flow and descent (on all or on batches), optimizers, growth."""

from dlnlab.dynamics import gradient, greedy, stochastic
from dlnlab.dynamics.base import Dynamics, Flow, Map
from dlnlab.dynamics.gradient import GradientDescent, GradientFlow, Optax
from dlnlab.dynamics.greedy import GreedyGrowth
from dlnlab.dynamics.stochastic import StochasticGradientDescent

EXAMPLES: tuple[Map | Flow, ...] = (
    *gradient.EXAMPLES,
    *stochastic.EXAMPLES,
    *greedy.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Dynamics",
    "Flow",
    "GradientDescent",
    "GradientFlow",
    "GreedyGrowth",
    "Map",
    "Optax",
    "StochasticGradientDescent",
]
