"""The parameters themselves."""

from jax.flatten_util import ravel_pytree

from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Array, Float, Params


@observable(
    dims=("parameter",), symbol="θ", formula="entries of all layers, pathway by pathway from x on"
)
def parameters(problem: Problem, params: Params) -> Float[Array, " parameter"]:
    """All parameters in one vector: pathways in order, layers from the input on, rows in order.

    Distances between runs, and from the start, are differences of what is recorded.

    >>> import jax.numpy as jnp
    >>> parameters(None, ((jnp.array([[1.0, 2.0]]), jnp.array([[3.0]])),)).tolist()
    [1.0, 2.0, 3.0]
    """
    return ravel_pytree(params)[0]


EXAMPLES = (parameters,)
