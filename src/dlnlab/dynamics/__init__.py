"""How parameters move: gradient flow and descent (on all or on batches), optimizers, growth."""

from dlnlab.dynamics import gradient, greedy, langevin, stochastic, switched
from dlnlab.dynamics.base import Dynamics, Flow, Map
from dlnlab.dynamics.gradient import GradientDescent, GradientFlow, Optax
from dlnlab.dynamics.greedy import GreedyGrowth
from dlnlab.dynamics.langevin import Langevin
from dlnlab.dynamics.stochastic import StochasticGradientDescent
from dlnlab.dynamics.switched import Switched

EXAMPLES: tuple[Map | Flow, ...] = (
    *gradient.EXAMPLES,
    *stochastic.EXAMPLES,
    *greedy.EXAMPLES,
    *langevin.EXAMPLES,
    *switched.EXAMPLES,
)

__all__ = [
    "EXAMPLES",
    "Dynamics",
    "Flow",
    "GradientDescent",
    "GradientFlow",
    "GreedyGrowth",
    "Langevin",
    "Map",
    "Optax",
    "StochasticGradientDescent",
    "Switched",
]
