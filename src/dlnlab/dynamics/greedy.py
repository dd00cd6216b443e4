"""Greedy low-rank growth: a network that gains one neuron in each layer at each saddle."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Map, require_at_least
from dlnlab.errors import InputError
from dlnlab.networks import Pathways
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Float, Int, Key, Params, Scalar

Descent = Literal["descent", "flow"]

_MOST_PRODUCTS = 10_000


class Growth(NamedTuple):
    """How many neurons there are, and the gradient norm since the last of them came.

    `least` is its least value from the saddle on, `largest` its largest since it was twice as much
    (0 before: the saddle is not left yet), `first` the steepest direction at the first growth.
    """

    neurons: Int[Array, ""]
    least: Scalar
    largest: Scalar
    first: Scalar


class GreedyGrowth(Map):
    """The greedy low-rank algorithm (Li et al. 2021; Jacot et al. 2021).

    From zero: take the top singular triple (s, u, v) of −∇C(W); give every hidden layer one more
    neuron, joined by weights ε into a chain from v to u; descend until the next saddle; repeat
    until −∇C(W) vanishes. Layers have their full width from the beginning. A neuron that is not
    yet there has zero rows and columns, which descent leaves exactly zero.

    A saddle is reached where ‖∇ℓ‖, having risen to twice its least value since the last saddle,
    falls to `tolerance` times its largest since then, or where it is exactly zero. No neuron is
    added once s is below √tolerance of its first value: that is the global minimum.

    **Arguments:** `learning_rate` is the step η; `weight` is ε > 0; `tolerance` as above. `by` is
    `"descent"` for steps of gradient descent, or `"flow"` for steps of gradient flow over a time η
    (Runge–Kutta of order 4, not adaptive). Grows in the shallowest pathway, where escape is
    fastest, and up to its narrowest layer.

    **Raises:** `InputError` for a weight that is not above zero, and where the network is not one
    of matrices with a hidden layer in each pathway.

    Source: jacot2021.4.

    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(chain((2, 2, 2)), Whitened(jnp.diag(jnp.array([2.0, 1.0]))))
    >>> params = ((jnp.zeros((2, 2)), jnp.zeros((2, 2))),)
    >>> greedy = GreedyGrowth(0.1, weight=0.01)
    >>> memory = greedy.init(problem, params, None)
    >>> ((first, second),), memory = greedy.step(problem, params, memory)
    >>> int(memory.neurons), bool(jnp.allclose(jnp.abs(first), jnp.diag(jnp.array([0.01, 0]))))
    (1, True)
    """

    learning_rate: Scalar | float
    weight: Scalar | float = 1e-2
    tolerance: Scalar | float = 1e-6
    by: Descent = eqx.field(static=True, default="descent")

    def __check_init__(self) -> None:
        require_at_least("weight", self.weight, 0.0, above=True)
        require_at_least("tolerance", self.tolerance, 0.0)

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Growth:
        pathway = params[_growing(problem)]
        neurons = jnp.sum(jnp.any(pathway[0] != 0, axis=1))
        zero = jnp.zeros((), pathway[0].dtype)
        norm = _norm(problem.gradient(params))
        return Growth(neurons, norm, norm, zero)

    def step(self, problem: Problem, params: Params, memory: Growth) -> tuple[Params, Growth]:
        gradient = problem.gradient(params)
        norm = _norm(gradient)
        moved = self._move(problem, params, gradient)
        at_saddle = norm <= self.tolerance * memory.largest
        at_saddle &= (memory.largest > 0) | (norm == 0)
        left, strength, right = top_triple(-problem.map_gradient(params), at_saddle)
        width = min(
            params[_growing(problem)][0].shape[0], *map(len, params[_growing(problem)][:-1])
        )
        wanted = strength > jnp.sqrt(jnp.asarray(self.tolerance)) * memory.first
        grows = at_saddle & wanted & (memory.neurons < width)
        grown = self._grown(problem, params, memory.neurons, left, right)
        after = jax.tree.map(lambda a, b: jnp.where(grows, a, b), grown, moved)
        return after, _remembered(memory, grows, norm, strength)

    def _move(self, problem: Problem, params: Params, gradient: Params) -> Params:
        rate = self.learning_rate
        if self.by == "descent":
            return _plus(params, -rate, gradient)
        second = problem.gradient(_plus(params, -rate / 2, gradient))
        third = problem.gradient(_plus(params, -rate / 2, second))
        fourth = problem.gradient(_plus(params, -rate, third))
        return jax.tree.map(
            lambda w, a, b, c, d: w - rate * (a + 2 * b + 2 * c + d) / 6,
            params,
            gradient,
            second,
            third,
            fourth,
        )

    def _grown(
        self, problem: Problem, params: Params, neuron: Array, left: Array, right: Array
    ) -> Params:
        """The next neuron of each hidden layer, in a chain of weights ε from v to u."""
        which = _growing(problem)
        first, *inner, last = params[which]
        weight = jnp.asarray(self.weight, first.dtype)

        def new(size: int) -> Array:  # by masks: multi-output fusions of scatters abort in XLA
            return jnp.arange(size) == neuron

        layers = (
            jnp.where(new(len(first))[:, None], weight * right, first),
            *(
                jnp.where(new(len(layer))[:, None] & new(layer.shape[1]), weight, layer)
                for layer in inner
            ),
            jnp.where(new(last.shape[1]), (weight * left)[:, None], last),
        )
        return (*params[:which], layers, *params[which + 1 :])


def _growing(problem: Problem) -> int:
    """The pathway that grows: the shallowest."""
    network = problem.network
    if not isinstance(network, Pathways) or min(network.depths) < 2:
        raise InputError(
            f"greedy growth adds neurons to hidden layers of matrices, and a "
            f"{type(network).__name__} of depths {network.depths} was given; take "
            "dlnlab.networks.chain with a hidden layer."
        )
    return network.depths.index(min(network.depths))


def _remembered(memory: Growth, grows: Array, norm: Scalar, strength: Scalar) -> Growth:
    least = jnp.minimum(memory.least, norm)
    left = (memory.largest > 0) | (norm > 2 * least)
    largest = jnp.where(left, jnp.maximum(memory.largest, norm), 0)
    first = jnp.where(grows & (memory.first == 0), strength, memory.first)
    return Growth(
        memory.neurons + grows,
        jnp.where(grows, norm, least),
        jnp.where(grows, jnp.zeros_like(norm), largest),
        first.astype(memory.first.dtype),
    )


def top_triple(
    matrix: Float[Array, "out in"], wanted: Array | bool = True
) -> tuple[Float[Array, " out"], Scalar, Float[Array, " in"]]:
    """The largest singular value with its vectors (u, s, v), by power iteration to rounding.

    No factorisation, so that lanes may do it side by side; where it is not `wanted` nothing is
    iterated. Of equal largest values any vector of their span will do.

    >>> left, value, right = top_triple(jnp.array([[0.0, 2.0], [0.0, 0.0]]))
    >>> float(value), jnp.abs(right).tolist()
    (2.0, [0.0, 1.0])
    """
    # No row or column of the matrix: those may be orthogonal to what is sought.
    generic = jnp.cos(1 + jnp.arange(matrix.shape[1], dtype=matrix.dtype))
    tiny = jnp.finfo(matrix.dtype).tiny
    unit = lambda vector: vector / jnp.maximum(jnp.linalg.norm(vector), tiny)  # noqa: E731
    rounding = 16 * jnp.finfo(matrix.dtype).eps

    def going(carry: tuple[Array, Array, Array]) -> Array:
        _, change, count = carry
        return wanted & (change > rounding) & (count < _MOST_PRODUCTS)

    def multiply(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        vector, _, count = carry
        after = unit(matrix.T @ unit(matrix @ vector))
        return after, jnp.linalg.norm(after - vector), count + 1

    start = (unit(generic), jnp.ones((), matrix.dtype), jnp.asarray(0))
    right = jax.lax.while_loop(going, multiply, start)[0]
    made = matrix @ right
    return unit(made), jnp.linalg.norm(made), right


def _plus(params: Params, factor: Scalar | float, direction: Params) -> Params:
    return jax.tree.map(lambda w, d: w + factor * d, params, direction)


def _norm(tree: Any) -> Scalar:
    return jnp.sqrt(jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)])))


EXAMPLES = (GreedyGrowth(0.01), GreedyGrowth(0.01, by="flow"))
