"""From a wide network to a narrow one that trains as it does, by projection on Krylov subspaces.

The gradient of a layer is `W_{>l}ᵀ G W_{<l}ᵀ`, G of the size of the map. So it writes to the range
of `W_{l+1}ᵀ ⋯ W_Lᵀ` and reads what `W_{l−1} ⋯ W_1` writes, and the next step sees these through
the layers again. Let S_l hold the ranges of all products of at most r layers and transposes of them
that lead from the input or the output to hidden layer l: a block Krylov subspace, for one hidden
matrix that of `W_2ᵀW_2`. With Q_l an orthonormal basis of S_l, the Galerkin projections
`Q_lᵀ W_l Q_{l−1}` make a network as wide as S_l, which knows nothing of the width of the first.

The layers are exact for n steps of descent from `r = n(L − 1)` on, and the map from
`r = (n + 1)(L − 1)` on, which is sufficient but not needed. What is left out of a longer run is
small, since a product of k layers enters with the k-th power of how far they moved: from Gaussian
layers the error falls by a constant factor with each r (docs/narrowing.md). The number of products
grows as r for L ≤ 3, twofold with every second r for L = 4, and by less than 2 with each beyond.
"""

import operator
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.networks import Pathways, product
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Float, Params, Scalar

Basis = Float[Array, "wide narrow"] | None
"""Orthonormal columns, or None for the whole layer as it is."""


@dataclass(frozen=True, eq=False)
class Narrowed:
    """The narrow network, and the way back to the wide one.

    `problem` and `params` are what to train. `wide` are the problem and the parameters that were
    narrowed, and `bases` the Q_l of each pathway, from the input to the output. (What is returned
    from a jitted function are these, not the object.)

    The way back, `lift`, and `leakage`, which goes there, hold under rules along the gradient
    alone: weight decay also shrinks what stands outside the subspaces, which they leave as it was.
    """

    problem: Problem
    params: Params = field(repr=False)
    wide: tuple[Problem, Params] = field(repr=False)
    bases: tuple[tuple[Basis, ...], ...] = field(repr=False)

    def lift(self, params: Params) -> Params:
        """The wide layers whose narrow ones are these: `W_l(0) + Q_l (W'_l − W'_l(0)) Q_{l−1}ᵀ`.

        **Raises:** `InputError` for parameters that are not of the narrow network's shapes.
        """
        params = self.problem.network.check(params)
        moved = self.embed(jax.tree.map(jnp.subtract, params, self.params))
        return jax.tree.map(jnp.add, self.wide[1], moved)

    def embed(self, move: Params) -> Params:
        """The wide layers' move that a narrow one is: `Q_l δ'_l Q_{l−1}ᵀ`."""
        return tuple(embedded(p, q) for p, q in zip(move, self.bases, strict=True))

    def leakage(self, params: Params) -> Scalar:
        """The share of the wide network's velocity, at these layers lifted, that leaves the space.

        `‖Jᵀ G − Q J'ᵀ G‖ / ‖Jᵀ G‖`, J and J' the derivatives of the wide and the narrow map, Q the
        way up, and G the gradient of the cost at the narrow map; 0 where the velocity is. It is 0
        at the start. What leaks comes back into the map at second order: along a run the maps come
        apart by its square, to within a factor of about ten (measured, no bound; the test of a
        result is the next order).

        **Raises:** as `lift`.
        """
        wide, at = self.wide[0], self.lift(params)
        narrow_map, back = jax.vjp(lambda p: product(self.problem.network, p), params)
        slope = jax.grad(self.problem.cost)(narrow_map)
        velocity = jax.vjp(lambda p: product(wide.network, p), at)[1](slope)[0]
        inside = self.embed(back(slope)[0])
        size = _norm(velocity)
        left = _norm(jax.tree.map(jnp.subtract, velocity, inside))
        return jnp.where(size > 0, left / jnp.where(size > 0, size, 1), 0)


def narrow(problem: Problem, params: Params, order: int) -> Narrowed:
    """A network of the same map, loss and gradient that follows the same path, and is narrow.

    Its layers are `Q_lᵀ W_l Q_{l−1}`, of shape [S_l, S_{l−1}]; input and output stay as they are.

    **Arguments:** matrices of one or more pathways; `order` is r, the number of layers of the
    longest product that the subspaces hold. 8 to 10 serves L ≤ 4; whether it is enough is seen from
    the next one. A hidden layer whose subspace is the whole of it stays as it is, so narrow
    networks are returned unchanged. Traceable in the parameters: it may stand in the `build` of an
    experiment.

    **Assumptions:** training along the gradient in all layers (descent, also with momentum or
    weight decay, SGD, flow). Rules for single entries (Adam) and noise on weights leave the
    subspaces. Where layers are aligned, products depend on each other and the network is wider
    than it need be (then `reduce`). Measured on the narrow network, norms and singular values of
    layers are without what stands still; the Hessian is the wide one's projection.

    **Raises:** `InputError` for other networks, for layers that are complex, of half precision or
    not finite, and for an order that is no whole number, or below `L − 1`, at which the gradient
    itself would be cut.

    Source: of Krylov subspaces and quadrature, Golub and Meurant (2010), Matrices, Moments and
    Quadrature; for deep linear networks derived in docs/narrowing.md.

    >>> from dlnlab.initialization import gaussian
    >>> from dlnlab.networks import chain
    >>> from dlnlab.tasks import Whitened
    >>> network = chain((2, 500, 500, 2))
    >>> problem = Problem(network, Whitened(jnp.diag(jnp.array([2.0, 1.0]))))
    >>> near = narrow(problem, gaussian(network, jax.random.key(0), std=0.02), order=6)
    >>> near.problem.network.widths
    ((2, 12, 12, 2),)
    >>> float(near.leakage(near.params)) < 1e-6
    True
    """
    network = problem.network
    if not isinstance(network, Pathways):
        raise InputError(
            f"only networks of matrices are narrowed, and a {type(network).__name__} was given; "
            "pass a Problem of Pathways."
        )
    params, order = _checked(network.check(params)), _whole(order)
    deepest = max(network.depths)
    if order < deepest - 1:
        raise InputError(
            f"an order of {order} cuts the gradient of {deepest} layers, and at least "
            f"{deepest - 1} is needed; raise it."
        )
    bases = tuple(reachable(layers, order) for layers in params)
    made = tuple(projected(p, q) for p, q in zip(params, bases, strict=True))
    widths = tuple((p[0].shape[1], *(w.shape[0] for w in p)) for p in made)
    return Narrowed(Problem(Pathways(widths), problem.task), made, (problem, params), bases)


def _whole(order: Any) -> int:
    try:
        return operator.index(order)
    except TypeError:
        raise InputError(
            f"the order must be a whole number, known before tracing, and {order!r} was given; "
            "8 serves four layers."
        ) from None


def _checked(params: Params) -> Params:
    """As NumPy has them, which compiles nothing, unless they are being traced."""
    leaves = jax.tree.leaves(params)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return params
    params = jax.tree.map(np.asarray, params)
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}
    if not kinds <= {"float32", "float64"}:
        raise InputError(
            f"layers of {' and '.join(sorted(kinds))} were given, and float32 or float64 is "
            "needed; convert them."
        )
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise InputError("a layer has NaN or infinite entries, and finite ones are needed.")
    return params


def reachable(layers: tuple[Any, ...], order: int) -> tuple[Any, ...]:
    """Orthonormal bases of S_l from the input to the output, None where it is the whole layer.

    **Arguments:** the layers of one chain, arrays of NumPy or of JAX, and r. Each basis has shape
    [width, products], and products that depend on others leave arbitrary directions in it.

    >>> wide, tall = np.arange(1.0, 5.0)[:, None], np.ones((1, 4))
    >>> [q if q is None else q.shape for q in reachable((wide, tall), order=1)]
    [None, (4, 2), None]
    """
    xp, dtype = layers[0].__array_namespace__(), layers[0].dtype
    first, last = (xp.eye(n, dtype=dtype) for n in (layers[0].shape[1], layers[-1].shape[0]))
    bases = [first, *(w[:, :0] for w in layers[:-1]), last]
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


def _further(xp: Any, basis: Any, columns: Any) -> Any:
    """Orthonormal columns that a basis lacks of these; any others where they are dependent."""
    count = basis.shape[1]
    # Of all in one: a factor stays orthonormal where columns are dependent, a projection does not.
    return xp.linalg.qr(xp.concat((basis, columns), axis=1))[0][:, count:]


def projected(layers: tuple[Any, ...], bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Q_lᵀ W_l Q_{l−1}` of all layers."""

    def one(layer: Any, before: Any, after: Any) -> Any:
        layer = layer if before is None else layer @ before
        return layer if after is None else after.T @ layer

    return tuple(map(one, layers, bases, bases[1:]))


def embedded(layers: tuple[Any, ...], bases: tuple[Any, ...]) -> tuple[Any, ...]:
    """`Q_l W'_l Q_{l−1}ᵀ` of all layers."""

    def one(layer: Any, before: Any, after: Any) -> Any:
        layer = layer if before is None else layer @ before.T
        return layer if after is None else after @ layer

    return tuple(map(one, layers, bases, bases[1:]))


def _norm(tree: Params) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
