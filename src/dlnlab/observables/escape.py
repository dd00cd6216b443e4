"""How fast parameters leave the origin."""

import jax
import jax.numpy as jnp

from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Params, Scalar


def radial_rate(problem: Problem, params: Params) -> Scalar:
    """`ṙ/r^{L−1}` with `ṙ = −θ·∇ℓ/r`, the plain function behind `escape_rate`.

    Computed from θ/r, so that no power of a small r underflows before it is divided out.
    """
    depth = min(problem.network.depths)
    leaves, slopes = (jax.tree.leaves(tree) for tree in (params, problem.gradient(params)))
    radius = jnp.sqrt(sum((jnp.sum(w**2) for w in leaves), jnp.zeros((), leaves[0].dtype)))
    safe = jnp.where(radius > 0, radius, 1)
    pairs = zip(leaves, slopes, strict=True)
    along = -sum((jnp.sum((w / safe) * g) for w, g in pairs), jnp.zeros_like(radius))
    return jnp.where(radius > 0, along / safe ** (depth - 1), 0)


@observable(symbol="ṙ/r^{L−1}", formula="−θ·∇ℓ/r^L with r = ‖θ‖; 0 at θ = 0")
def escape_rate(problem: Problem, params: Params) -> Scalar:
    """The radial speed of gradient flow near the origin, in units that its escape keeps constant.

    With r the Euclidean norm of all parameters and L the (least) depth, `ṙ = −θ·∇ℓ/r`; along the
    optimal direction of escape `ṙ = s* r^{L−1}`, `s* = L^{−(L−2)/2} s_1`, s_1 the largest singular
    value of the gradient −∇C(0) with respect to the map (jacot2021.2). Exact from the gradient,
    no time step is involved.
    """
    return radial_rate(problem, params)


EXAMPLES = (escape_rate,)
