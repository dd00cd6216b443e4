"""Solvers on opaque functions: where a flow ends."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.typing import Any, Int, PyTree, Scalar

FARTHEST = 1e9
"""A flow that has not come to rest by this time is on a plateau that it does not leave."""


class End(NamedTuple):
    """Where a flow came to rest, its speed there relative to the state's norm, and its steps."""

    state: PyTree
    speed: Scalar
    steps: Int[Any, ""]


def flow_end(
    velocity: Callable[[PyTree], PyTree],
    start: PyTree,
    *,
    rtol: float = 1e-8,
    atol: float = 1e-10,
    rest: float = 1e-8,
    most_steps: int = 20_000,
) -> End:
    """The state in which `ẏ = velocity(y)` comes to rest, `‖velocity(y)‖ ≤ rest · ‖y‖`.

    Explicit Runge–Kutta of order 8 with error control. Where `most_steps` do not suffice the state
    reached is returned with its speed: look at it. Can be jitted and vmapped.

    >>> end = flow_end(lambda y: 1 - y, jnp.array([0.0, 3.0]))
    >>> bool(jnp.allclose(end.state, 1.0, atol=1e-4))
    True
    """

    import diffrax  # which takes longer to import than most runs that need no flow

    def at_rest(t: Any, y: PyTree, args: Any, **_: Any) -> Any:
        return _norm(velocity(y)) <= rest * _norm(y)

    dtype = jax.tree.leaves(start)[0].dtype
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: velocity(y)),
        diffrax.Dopri8(),
        t0=jnp.zeros((), dtype),
        t1=jnp.asarray(FARTHEST, dtype),
        dt0=None,
        y0=start,
        saveat=diffrax.SaveAt(t1=True),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        event=diffrax.Event(at_rest),
        max_steps=most_steps,
        throw=False,
        adjoint=diffrax.ForwardMode(),
    )
    assert solution.ys is not None
    state = jax.tree.map(lambda leaf: leaf[0], solution.ys)
    return End(state, _norm(velocity(state)) / _norm(state), solution.stats["num_steps"])


def _norm(tree: PyTree) -> Scalar:
    return jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree)))
