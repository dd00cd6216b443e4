"""How parameters move: gradient flow, gradient descent, any optax optimizer."""

from dlnlab.dynamics.base import Dynamics, Flow, Map
from dlnlab.dynamics.gradient import EXAMPLES, GradientDescent, GradientFlow, Optax

__all__ = ["EXAMPLES", "Dynamics", "Flow", "GradientDescent", "GradientFlow", "Map", "Optax"]
