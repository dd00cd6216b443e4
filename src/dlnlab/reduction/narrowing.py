"""From a wide network to a narrow one that trains as it does: hidden spaces that training reaches.

The gradient of a layer is `W_{>l}ᵀ G W_{<l}ᵀ`, G of the size of the map. So it writes to the range
of `W_{l+1}ᵀ ⋯ W_Lᵀ` and reads what `W_{l−1} ⋯ W_1` writes, and the next step sees these through
the layers again. With S_l the space of all products of at most r layers and transposes of them
that lead from the input or the output to hidden level l (a block Krylov space; for one hidden
matrix of `W_2ᵀW_2`), the layers `Q_lᵀ W_l Q_{l−1}`, Q_l an orthonormal basis of S_l, make a network
of the width of S_l, which knows nothing of how wide the first one was.

n steps of descent are exact from `r = (n + 1)(L − 1)` on, and what is left out of a longer run is
small, since a product of k layers enters with the k-th power of how far they moved: from Gaussian
layers the error falls by a constant factor with each r (docs/narrowing.md has it measured). The
number of products grows as r for L ≤ 3, by √2 with each r for L = 4, and by less than 2 beyond.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.networks import Pathways, product
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Float, Params, Scalar

Basis = Float[Array, "wide narrow"] | None
"""Orthonormal columns, or None for the whole level as it is."""


@dataclass(frozen=True)
class Narrowed:
    """The narrow network: problem, parameters, and the way back to the wide one."""

    problem: Problem
    params: Params
    wide: tuple[Problem, Params]
    bases: tuple[tuple[Basis, ...], ...]

    def lift(self, params: Params) -> Params:
        """The wide layers whose narrow ones are these: `W_l(0) + Q_l (W'_l − W'_l(0)) Q_{l−1}ᵀ`."""
        moved = self.embed(jax.tree.map(jnp.subtract, params, self.params))
        return jax.tree.map(jnp.add, self.wide[1], moved)

    def embed(self, move: Params) -> Params:
        """The wide layers' move that a narrow one is: `Q_l δ'_l Q_{l−1}ᵀ`."""
        return tuple(raised(p, q) for p, q in zip(move, self.bases, strict=True))

    def departure(self, params: Params) -> Scalar:
        """The share of the wide network's velocity, at these layers lifted, that leaves the spaces.

        `‖Jᵀ G − Q J'ᵀ G‖ / ‖Jᵀ G‖`, J and J' the derivatives of the wide and the narrow map, Q the
        way up, and G the gradient of the cost at the narrow map. 0 at the start. What it leads to
        lies outside, and comes back into the map no sooner than at second order: the runs' maps
        come apart by about its square (measured, no bound; compare with the next order).
        """
        wide, at = self.wide[0], self.lift(params)
        narrow_map, back = jax.vjp(lambda p: product(self.problem.network, p), params)
        slope = jax.grad(self.problem.cost)(narrow_map)
        velocity = jax.vjp(lambda p: product(wide.network, p), at)[1](slope)[0]
        inside = self.embed(back(slope)[0])
        return _norm(jax.tree.map(jnp.subtract, velocity, inside)) / _norm(velocity)


def narrow(problem: Problem, params: Params, order: int) -> Narrowed:
    """A network of the same map, loss and gradient that follows the same path, and is narrow.

    **Arguments:** matrices of one or more pathways; `order` is r above, the longest product that
    the hidden spaces hold. A level whose space is the whole of it stays as it is, so narrow
    networks are returned unchanged. Traceable: it may stand in the `build` of an experiment.

    **Assumptions:** training along the gradient in all layers (descent, also with momentum or
    weight decay, SGD, flow). Rules for single entries (Adam) and noise on weights leave the
    spaces. Measured on the narrow network, norms and singular values of layers are without what
    stands still; maps, losses, gradients and their norms, and balance of what moves are whole.

    **Raises:** `InputError` for other networks, and an order below `L − 1`, at which the gradient
    itself would be cut.

    >>> from dlnlab.initialization import gaussian
    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> network = chain((2, 500, 500, 2))
    >>> problem = Problem(network, Whitened(jnp.diag(jnp.array([2.0, 1.0]))))
    >>> made = narrow(problem, gaussian(network, jax.random.key(0), std=0.02), order=6)
    >>> made.problem.network.widths
    ((2, 12, 12, 2),)
    """
    network = problem.network
    if not isinstance(network, Pathways):
        raise InputError(
            f"only networks of matrices are narrowed, and a {type(network).__name__} was given; "
            "pass a Problem of Pathways."
        )
    deepest = max(network.depths)
    if order < deepest - 1:
        raise InputError(
            f"an order of {order} cuts the gradient of {deepest} layers, and at least "
            f"{deepest - 1} is needed; 8 is a usual one."
        )
    params = network.check(params)
    bases = tuple(reachable(_on_host(layers), order) for layers in params)
    made = tuple(lowered(p, q) for p, q in zip(params, bases, strict=True))
    widths = tuple((p[0].shape[1], *(w.shape[0] for w in p)) for p in made)
    return Narrowed(Problem(Pathways(widths), problem.task), made, (problem, params), bases)


def reachable(layers: tuple[Any, ...], order: int) -> tuple[Any, ...]:
    """Orthonormal bases of S_l at all levels from input to output, None where it is everything.

    NumPy or JAX, as the layers are.

    >>> import numpy as np
    >>> wide, tall = np.arange(1.0, 5.0)[:, None], np.ones((1, 4))
    >>> [q if q is None else q.shape for q in reachable((wide, tall), order=1)]
    [None, (4, 2), None]
    """
    xp = layers[0].__array_namespace__()
    sizes = [layers[0].shape[1], *(w.shape[0] for w in layers)]
    ends = (xp.eye(sizes[0], dtype=layers[0].dtype), xp.eye(sizes[-1], dtype=layers[0].dtype))
    bases = [ends[0], *(w[:, :0] for w in layers[:-1]), ends[1]]
    latest = list(bases)
    for _ in range(order):
        if not any(q.shape[1] for q in latest):
            break
        arrived = [
            xp.concat((w @ latest[n], v.T @ latest[n + 2]), axis=1)
            for n, (w, v) in enumerate(zip(layers, layers[1:], strict=False))
        ]
        latest = [q[:, :0] for q in bases]
        for n, columns in enumerate(arrived, 1):
            latest[n] = _further(xp, bases[n], columns)
            bases[n] = xp.concat((bases[n], latest[n]), axis=1)
    return tuple(None if q.shape[0] == q.shape[1] else q for q in bases)


def _on_host(layers: tuple[Any, ...]) -> tuple[Any, ...]:
    """As NumPy has them, which compiles nothing, unless they are being traced."""
    traced = any(isinstance(w, jax.core.Tracer) for w in layers)
    return layers if traced else tuple(np.asarray(w) for w in layers)


def _further(xp: Any, basis: Any, columns: Any) -> Any:
    """Orthonormal columns that a basis lacks of these; any others where they are dependent."""
    count = basis.shape[1]
    # Of all in one: a factor stays orthonormal where columns are dependent, a projection does not.
    return xp.linalg.qr(xp.concat((basis, columns), axis=1))[0][:, count:]


def lowered(layers: tuple[Any, ...], bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Q_lᵀ W_l Q_{l−1}` of all layers."""

    def one(layer: Any, before: Any, after: Any) -> Any:
        layer = layer if before is None else layer @ before
        return layer if after is None else after.T @ layer

    return tuple(map(one, layers, bases, bases[1:]))


def raised(layers: tuple[Any, ...], bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Q_l W'_l Q_{l−1}ᵀ` of all layers."""

    def one(layer: Any, before: Any, after: Any) -> Any:
        layer = layer if before is None else layer @ before.T
        return layer if after is None else after @ layer

    return tuple(map(one, layers, bases, bases[1:]))


def _norm(tree: Params) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
