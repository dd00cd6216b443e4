"""How well the task is fitted."""

import jax
import jax.numpy as jnp

from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Params, Scalar


@observable(symbol="ℓ", formula="½‖W − M‖²_F, of samples (1/2n) Σ_k‖f(x_k) − y_k‖²")
def loss(problem: Problem, params: Params) -> Scalar:
    """The loss: `½‖W − M‖²_F`, of samples half the mean squared error."""
    return problem.loss(params)


@observable(symbol="ℓ_test", formula="(1/2m) Σ_k‖f(x_k) − y_k‖² over the samples held out")
def test_loss(problem: Problem, params: Params) -> Scalar:
    """Half the mean squared error on the samples held out (see `dlnlab.tasks.Samples`)."""
    return problem.test_loss(params)


@observable(symbol="‖∇ℓ‖", formula="root of the sum of squares of all entries of the gradient")
def gradient_norm(problem: Problem, params: Params) -> Scalar:
    """The Euclidean norm of the gradient over all parameters."""
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(problem.gradient(params))]
    return jnp.sqrt(sum(squares, jnp.zeros((), squares[0].dtype)))


EXAMPLES = (loss, test_loss, gradient_norm)
