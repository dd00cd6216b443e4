"""Any convex cost of the end-to-end map."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.tasks.basis import in_modes
from dlnlab.typing import Any, Array, Float, Matrix, PyTree, Scalar

Cost = Callable[[Matrix, PyTree], Scalar]


class Convex(eqx.Module):
    """A convex, differentiable cost of the end-to-end map, `ℓ(θ) = C(W)`.

    Modes are those of `−∇C(0)`, the task's `target`, along whose leading pair training leaves the
    origin. `convex` makes one from the cost alone.

    **Arguments:** `cost(W, data)` is a module-level function, `data` a pytree of arrays. `target`
    is `−∇C(0)`, `[d_out, d_in]`. `held_out` are other data, whose cost is the test loss. `basis`
    is (U, V) as for `Whitened`. Convexity is taken on trust.

    **Raises:** `InputError` where the target is no matrix.

    Source: jacot2021.0.

    >>> Convex(huber, np.diag([1.0, 0.5]), np.diag([4.0, 0.5])).strengths.tolist()
    [1.0, 0.5]
    """

    cost: Cost = eqx.field(static=True)
    target: Float[Array, "out in"]
    data: PyTree
    strengths: Float[Array, " mode"]
    left: Float[Array, "out mode"]
    right: Float[Array, "in mode"]
    held_out: PyTree

    def __init__(
        self,
        cost: Cost,
        target: Float[Array | np.ndarray, "out in"],
        data: PyTree = None,
        held_out: PyTree = None,
        basis: tuple[Any, Any] | None = None,
    ) -> None:
        xp: Any = jnp if isinstance(target, jax.Array) else np
        self.cost, self.target = cost, xp.asarray(target)
        self.data, self.held_out = data, held_out
        if self.target.ndim != 2:
            raise InputError(
                f"a cost of a matrix has a gradient of two axes (outputs, inputs), and one of "
                f"shape {self.target.shape} was given; see dlnlab.tasks.convex."
            )
        self.strengths, self.left, self.right = in_modes(self.target, basis)


def convex(
    cost: Cost, shape: tuple[int, int], data: PyTree = None, held_out: PyTree = None
) -> Convex:
    """The task of a convex cost of maps of a shape; its target `−∇C(0)` by differentiation.

    >>> convex(logistic, (2, 2), jnp.eye(2)).strengths.tolist()
    [0.5, 0.5]
    """
    dtype = jnp.result_type(float, *jax.tree.leaves(data))
    slope = jax.grad(cost)(jnp.zeros(shape, dtype), data)
    return Convex(cost, -slope, data, held_out)


def huber(made: Matrix, target: Matrix) -> Scalar:
    """`Σ_ij h(W_ij − M_ij)`, `h(r) = ½r²` for |r| ≤ 1, beyond it `|r| − ½`.

    >>> float(huber(jnp.array([[0.0, 0.0]]), jnp.array([[1.0, 3.0]])))
    3.0
    """
    size = jnp.abs(made - target)
    return jnp.sum(jnp.where(size <= 1, size**2 / 2, size - 0.5))


def logistic(made: Matrix, signs: Matrix) -> Scalar:
    """`Σ log(1 + e^{−y_ij W_ij})` over the entries with y_ij = ±1; those with y_ij = 0 are unseen.

    It has no minimum: it falls towards 0 as W grows.

    >>> round(float(logistic(jnp.zeros((1, 2)), jnp.array([[1.0, 0.0]]))), 4)
    0.6931
    """
    return jnp.sum(jnp.where(signs == 0, 0, jax.nn.softplus(-signs * made)))


EXAMPLES = (Convex(huber, np.diag([1.0, 1.0, 0.5]), np.diag([3.0, 2.0, 0.5])),)
