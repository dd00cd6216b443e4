"""Where training stands between saddles: ranks, and along what it leaves."""

import jax
import jax.numpy as jnp

from dlnlab.networks import product, require_linear
from dlnlab.observables.base import observable
from dlnlab.observables.spectrum import layer_singular_values, singular_values
from dlnlab.problem import Problem
from dlnlab.tasks import Completion, Convex
from dlnlab.tasks.basis import present, weakest
from dlnlab.typing import Array, Float, Params, Scalar


@observable(symbol="‖θ‖", formula="root of the sum of squares of all parameters")
def parameter_norm(problem: Problem, params: Params) -> Scalar:
    """The Euclidean norm of the parameters, the r of the first escape (jacot2021.2)."""
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)]
    return jnp.sqrt(sum(squares, jnp.zeros((), squares[0].dtype)))


@observable(symbol="erank W", formula="exp(−Σ_i p_i ln p_i), p_i = σ_i(W)/Σ_j σ_j(W); 0 for W = 0")
def effective_rank(problem: Problem, params: Params) -> Scalar:
    """The effective rank of the end-to-end map: how many singular values share its size.

    The exponential of the entropy of the normalised singular values (Roy and Vetterli 2007),
    between 1 and the rank.
    """
    values = jnp.abs(singular_values(problem, params))
    total = jnp.sum(values)
    some = jnp.where(values > 0, values / jnp.where(total > 0, total, 1), 1)
    return jnp.where(total > 0, jnp.exp(-jnp.sum(some * jnp.log(some))), 0)


@observable(symbol="srank W", formula="‖W‖_F²/‖W‖²; 0 for W = 0")
def stable_rank(problem: Problem, params: Params) -> Scalar:
    """The stable rank of the end-to-end map, `Σ_i σ_i²/σ_1²`, between 1 and the rank."""
    values = jnp.abs(singular_values(problem, params))
    largest = jnp.max(values)
    shares = values / jnp.where(largest > 0, largest, 1)
    return jnp.sum(shares**2)


@observable(
    symbol="rank",
    formula="number of i with σ_i(W) > ½a_i, a_i = what the cost asks for along u_iv_iᵀ",
)
def learned_rank(problem: Problem, params: Params) -> Scalar:
    """How many modes are learned: the rank of the map on a plateau (jacot2021.3).

    A singular pair (σ, u, v) of the end-to-end map counts where σ is more than half of what the
    cost asks for along it. For white inputs and samples that is `a = uᵀMv`, M the target, and a is
    to be more than half of the target's weakest mode that is not zero, so that directions in which
    there is nothing to learn never count. In completion, and for any other convex cost, where the
    target's modes are not those that are learned, a is where the parabola of the cost along uvᵀ has
    its minimum, `a = σ − ⟨∇C, uvᵀ⟩/⟨uvᵀ, ∇²C uvᵀ⟩`, and is to be more than a hundredth of σ_1.
    """
    rank = rank_learned(problem, problem.end_to_end(params))
    return rank.astype(jax.tree.leaves(params)[0].dtype)


SHARE = 0.01
"""Where the target's modes are not those learned, less than this of σ_1 is not asked for."""


def rank_learned(problem: Problem, made: Array) -> Array:
    """The same of a map that a network makes, as an integer."""
    task = problem.task
    if made.ndim == 1:  # of modes
        asked = jnp.asarray(task.target)
        return jnp.sum(present(asked) & (made * jnp.sign(asked) > jnp.abs(asked) / 2))
    left, values, right = jnp.linalg.svd(made, full_matrices=False)
    if isinstance(task, Completion | Convex):
        slope, curvature = _along_pairs(problem, made, left, right)
        # Multiplied by the curvature, which may vanish.
        enough = values * curvature - slope > SHARE * values[0] * curvature
        return jnp.sum((values * curvature > -slope) & enough)
    asked = jnp.sum(left * (jnp.asarray(task.target) @ right.T), axis=0)
    return jnp.sum((values > asked / 2) & (asked > weakest(task.strengths) / 2))


def _along_pairs(
    problem: Problem, made: Array, left: Array, right: Array
) -> tuple[Float[Array, " mode"], Float[Array, " mode"]]:
    """Slope and curvature of the cost of a map along each of its singular pairs."""

    def one(u: Array, v: Array) -> tuple[Scalar, Scalar]:
        pair = jnp.outer(u, v)
        slope, bend = jax.jvp(jax.grad(problem.cost), (made,), (pair,))
        return jnp.sum(slope * pair), jnp.sum(bend * pair)

    return jax.vmap(one)(left.T, right)


@observable(
    symbol="|u_1ᵀẆv_1|/‖Ẇ‖_F",
    formula="|u_1ᵀẆv_1|/‖Ẇ‖_F, (u_1, v_1) the top singular pair of −∇C(W), Ẇ of gradient flow",
)
def escape_alignment(problem: Problem, params: Params) -> Scalar:
    """How far the map moves along the top singular pair of `−∇C(W)` alone; 1 on an optimal escape.

    `Ẇ` is the velocity of the map under gradient flow, `Ẇ = −Σ_l W_{>l}W_{>l}ᵀ ∇C(W) W_{<l}ᵀW_{<l}`
    for a chain. Between 0 and 1, and 0 where the map stands still. Where the two largest singular
    values are equal, the pair is one of many.
    """
    network = require_linear(problem.network)
    downhill = jax.tree.map(jnp.negative, problem.gradient(params))
    made, velocity = jax.jvp(lambda at: product(network, at), (params,), (downhill,))
    slope = jax.grad(problem.cost)(made)
    along, size = jnp.abs(_along_top(slope, velocity)), jnp.linalg.norm(velocity)
    return jnp.where(size > 0, along / jnp.where(size > 0, size, 1), 0)


def _along_top(slope: Array, velocity: Array) -> Scalar:
    """The component of a velocity along the top singular pair of a slope."""
    if slope.ndim == 1:  # of modes
        return velocity[jnp.argmax(jnp.abs(slope))]
    left, _, right = jnp.linalg.svd(slope, full_matrices=False)
    return left[:, 0] @ velocity @ right[0]


@observable(
    dims=("pathway", "layer"),
    symbol="σ_1²/Σσ_i² of W_{h,l}",
    formula="σ_1(W_{h,l})²/‖W_{h,l}‖_F², NaN where there is no such layer",
)
def layer_rank_one(problem: Problem, params: Params) -> Float[Array, "pathway layer"]:
    """How near each layer is to rank one: the share of its leading singular value, 1 if it is.

    Layers of zeros have the share 0; where a pathway has no such layer it is NaN.
    """
    squares = layer_singular_values(problem, params) ** 2
    whole = jnp.nansum(squares, axis=-1)
    largest = jnp.max(squares, axis=-1, initial=0, where=jnp.isfinite(squares))
    shares = jnp.where(whole > 0, largest / jnp.where(whole > 0, whole, 1), 0)
    absent = jnp.all(jnp.isnan(squares), axis=-1)
    return jnp.where(absent, jnp.nan, shares)


EXAMPLES = (
    parameter_norm,
    effective_rank,
    stable_rank,
    learned_rank,
    escape_alignment,
    layer_rank_one,
)
