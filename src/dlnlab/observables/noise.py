"""How the noise of mini-batches moves the modes `w_a = u_aᵀWv_a`: drift, Itô drift, diffusion.

A step of descent on a batch of B samples has the mean −η∇ℓ and the covariance η²Σ/B, Σ being the
covariance of one sample's gradient. In time = η · step this is `dθ = −∇ℓ dt + √(ηΣ/B) dβ`, whence

    dw_a = [drift_a + (η/B) ito_drift_a] dt + √((η/B) diffusion_a) dβ_a .

No observable knows η or B: **what stands here is per unit of η/B**. Everything is exact at any
weights, aligned or not, balanced or not, for several pathways too.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from dlnlab.networks import LinearNetwork, require_linear
from dlnlab.networks.products import dot
from dlnlab.observables.base import observable
from dlnlab.observables.per_sample import mode_updates
from dlnlab.observables.sensitivity import (
    Layers,
    connections,
    label_variance,
    mode_rates,
    mode_sides,
    mode_totals,
    products_before,
)
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Task
from dlnlab.typing import Array, Float, Params

Sides = tuple[list[Array], list[Array]]
Ways = Iterator[tuple[int, int, Array]]


@observable(dims=("mode",), symbol="dw_a/dt", formula="−∇w_a·∇ℓ, w_a = u_aᵀWv_a")
def mode_drift(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """The velocity of each mode under gradient flow, `−∇w_a·∇ℓ`, `w_a = u_aᵀWv_a`.

    Aligned, `−r_a Σ_{h,l} Π_{m≠l} w_{h,m,a}²`; balanced too, `Lw^{2−2/L}(s − w)`. A mode is what
    `mode_values` adds up to over pathways: on samples `u_aᵀE[f(x)xᵀ]v_a`. Source: corlouer2026.2.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([3.0])))
    >>> float(mode_drift(problem, ((jnp.array([1.0]), jnp.array([1.0])),))[0])
    4.0
    """
    down = jax.tree.map(jnp.negative, problem.gradient(params))
    return jax.jvp(functools.partial(mode_totals, problem), (params,), (down,))[1]


@observable(
    dims=("mode",),
    symbol="D_a·B/η",
    formula="Var(∇w_a·g), g one sample's gradient: diffusion of w_a per unit of η/B",
)
def mode_diffusion(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """The diffusion of each mode per unit of η/B, `D_a·B/η = ∇w_aᵀ Σ ∇w_a = Var(∇w_a·g)`.

    The variance of w_a grows by `η²/B` times this in a step. On a whitened task, over x ~ N(0, I)
    and ξ ~ N(0, ς²I): `½‖G + Gᵀ‖²_F + ς²‖Σ_l a_l b_lᵀ‖²_F`, `G = (W − M)ᵀ Σ_l a_l b_lᵀ`,
    `a_l = W_{>l}W_{>l}ᵀu_a`, `b_l = W_{<l}ᵀW_{<l}v_a`, l over the layers of all pathways. Aligned,
    `(2r_a² + ς²)(Σ_{h,l} Π_{m≠l} w_{h,m,a}²)²`; balanced too, `L²w^{4−4/L}(2(s − w)² + ς²)`. On
    samples it is the variance over them, exactly (drawn with replacement), of any network.
    Source: corlouer2026.1, corlouer2026.2.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([3.0]), label_noise=1.0))
    >>> float(mode_diffusion(problem, ((jnp.array([1.0]), jnp.array([1.0])),))[0])
    36.0
    """
    network, task = problem.network, problem.task
    if isinstance(task, Samples) and not isinstance(network, LinearNetwork):
        return jnp.var(mode_updates(problem, params, task.inputs, task.outputs), axis=0)
    network, residual = require_linear(network), problem.residual(params)
    if residual.ndim == 1:
        heat = 2 * residual**2 + label_variance(task, residual)
        return heat * mode_rates(network, params) ** 2
    sides = [mode_sides(problem, network, layers) for layers in network.expand(params)]
    ahead = [a for left, _ in sides for a in left]
    behind = [b for _, right in sides for b in right]
    if isinstance(task, Samples):
        return _sampled_variance(task, residual, ahead, behind)
    pulled = [dot(residual.T, a) for a in ahead]
    return _white_variance(task, *(jnp.stack(columns) for columns in (ahead, pulled, behind)))


def _white_variance(task: Task, ahead: Array, pulled: Array, behind: Array) -> Array:
    """`½‖G + Gᵀ‖² + ς²‖Σ a bᵀ‖²` from the inner products of a_l, `p_l = Δᵀa_l` and b_l."""

    def gram(one: Array, other: Array) -> Float[Array, "layer layer mode"]:
        return jnp.sum(one[:, None] * other[None], axis=2)

    crossed, squared = gram(pulled, behind), gram(behind, behind)
    noisy = gram(pulled, pulled) + label_variance(task, ahead) * gram(ahead, ahead)
    return jnp.sum(noisy * squared + crossed * jnp.swapaxes(crossed, 0, 1), axis=(0, 1))


def _sampled_variance(
    task: Samples, residual: Array, ahead: list[Array], behind: list[Array]
) -> Array:
    """The variance over samples of `Σ_l (e_k·a_l)(x_k·b_l)`, e the errors."""
    inputs = jnp.asarray(task.inputs)
    pairs = zip(ahead, behind, strict=True)
    moved = functools.reduce(jnp.add, [dot(residual, a) * dot(inputs, b) for a, b in pairs])
    return len(inputs) * jnp.var(moved, axis=0)


@observable(
    dims=("mode",),
    symbol="Itô_a·B/η",
    formula="½ Tr(∇²w_a Σ): drift that noise adds to w_a, per unit of η/B",
)
def mode_ito_drift(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """The drift that noise adds to each mode per unit of η/B, `½ Tr(∇²w_a Σ)`.

    On a whitened task it is `Σ_{l>m} [(p_l·b_m) Tr K + b_mᵀK p_l + ς² b_mᵀC a_l]`, over pairs of
    layers of the same pathway, with `p_l = (W − M)ᵀa_l`, `K = C(W − M)`,
    `C = W_{<l}ᵀW_{l−1} ⋯ W_{m+1}W_{>m}ᵀ`, and a, b as in `mode_diffusion`; on samples the same mean
    over them. The trace couples modes, aligned ones too: it is what the weights off the diagonal
    do, so that for `Modes` it is that of the matrices that they stand for. Σ is a covariance: the
    second-order part of the mean step, `½η² ∇²w_a[∇ℓ, ∇ℓ]`, does not depend on B and is left out.
    Source: corlouer2026.1, corlouer2026.2.

    **Raises:** `InputError` for a network that is not linear.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((2,), 1), Whitened(jnp.array([3.0]), label_noise=1.0))
    >>> float(mode_ito_drift(problem, ((jnp.array([1.0]), jnp.array([1.0])),))[0])
    9.0
    """
    network, task = require_linear(problem.network), problem.task
    residual = problem.residual(params)

    def of_pathway(layers: Layers) -> Array:
        if residual.ndim == 1:
            return _modes_ito(task, residual, layers)
        sides, ways = mode_sides(problem, network, layers), connections(network, layers)
        if isinstance(task, Samples):
            return _sampled_ito(task, residual, sides, ways)
        return _white_ito(task, residual, sides, ways)

    return functools.reduce(jnp.add, [of_pathway(layers) for layers in network.expand(params)])


def _white_ito(task: Task, residual: Array, sides: Sides, ways: Ways) -> Array:
    ahead, behind = sides
    pulled = [dot(residual.T, a) for a in ahead]
    noise = label_variance(task, residual)
    pushed = [dot(residual, p) + noise * a for p, a in zip(pulled, ahead, strict=True)]
    total = jnp.zeros(ahead[0].shape[1], residual.dtype)
    for at, m, way in ways:
        trace = jnp.sum(way.T * residual)
        total += jnp.sum(behind[m] * (trace * pulled[at] + dot(way, pushed[at])), axis=0)
    return total


def _sampled_ito(task: Samples, residual: Array, sides: Sides, ways: Ways) -> Array:
    """The same mean over samples of `(e·a_l)(xᵀCe)(x·b_m)`, less what their mean gives."""
    ahead, behind = sides
    inputs = jnp.asarray(task.inputs)
    mean = dot(residual.T, inputs) / len(inputs) ** 0.5
    total = jnp.zeros(ahead[0].shape[1], residual.dtype)
    for at, m, way in ways:
        between = jnp.sum(dot(inputs, way) * residual, axis=1, keepdims=True)
        each = dot(residual, ahead[at]) * between * dot(inputs, behind[m])
        of_mean = dot(mean.T, ahead[at]) * dot(way, dot(mean, behind[m]))
        total += jnp.sum(each, axis=0) - jnp.sum(of_mean, axis=0)
    return total


def _modes_ito(task: Task, residual: Array, layers: Layers) -> Array:
    """All pairs of layers at once, `[m, l, mode]`."""
    values, order = jnp.stack(layers), jnp.arange(len(layers))
    later = (order[:, None] < order[None])[..., None]
    before = products_before(values)
    after = products_before(values[::-1])[::-1]
    between = products_before(jnp.where(later, values[None], 1), axis=1)
    way = jnp.where(later, before[None] * between * after[:, None], 0)
    weight = before[:, None] ** 2 * after[None] ** 2
    trace = jnp.sum(way * residual, axis=-1, keepdims=True)
    local = (residual**2 + label_variance(task, residual)) * way
    return jnp.sum(weight * (residual * trace + local), axis=(0, 1))


@observable(
    dims=("mode",),
    symbol="drift_a²/D_a·η/B",
    formula="mode_drift² / mode_diffusion, per unit of B/η; NaN where both vanish",
)
def mode_signal_to_noise(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """`drift_a² / D_a` of each mode, per unit of B/η: the larger the batch, the more of it.

    On a whitened task without label noise a single mode has ½ at all times, aligned modes too: the
    noise dies as the signal does. NaN where nothing moves (a saddle, or a minimum without noise),
    at which the limit depends on the way there.
    """
    drift, diffusion = mode_drift(problem, params), mode_diffusion(problem, params)
    return drift**2 / diffusion


EXAMPLES = (
    mode_drift,
    mode_diffusion,
    mode_ito_drift,
    mode_signal_to_noise,
)
