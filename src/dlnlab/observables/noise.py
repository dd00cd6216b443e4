"""How the noise of mini-batches moves the modes `w_a = u_aᵀWv_a`: drift, Itô drift, diffusion.

A step of descent on a batch of B samples has the mean −η∇ℓ and the covariance η²Σ/B, Σ being the
covariance of one sample's gradient. In time = η · step this is `dθ = −∇ℓ dt + √(ηΣ/B) dβ`, whence

    dw_a = [drift_a + (η/B) ito_drift_a] dt + √((η/B) diffusion_a) dβ_a .

No observable knows η or B: **what stands here is per unit of η/B**. Everything is exact at any
weights, aligned or not, balanced or not, for several pathways too.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.networks import LinearNetwork, require_linear
from dlnlab.networks.products import dot
from dlnlab.observables.base import observable
from dlnlab.observables.sensitivity import connections, kernels, mode_sides, mode_totals
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Task
from dlnlab.typing import Any, Array, Float, Params, Scalar


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
    if not isinstance(network, LinearNetwork):
        return jnp.var(_updates(problem, params, task.inputs, task.outputs), axis=0)
    residual = problem.residual(params)
    if residual.ndim == 1:
        left, right = kernels(network, params)
        rate = jnp.sum(left * right, axis=0)
        return (2 * residual**2 + label_variance(task, residual)) * rate**2
    sides = [mode_sides(problem, network, layers) for layers in network.expand(params)]
    ahead = [a for left, _ in sides for a in left]
    behind = [b for _, right in sides for b in right]
    if isinstance(task, Samples):
        return _sampled_variance(task, residual, ahead, behind)
    pulled = [dot(residual.T, a) for a in ahead]
    return _white_variance(task, *(jnp.stack(columns) for columns in (ahead, pulled, behind)))


def label_variance(task: Task, like: Array) -> Scalar:
    """ς² in the precision of what it is added to."""
    return jnp.asarray(getattr(task, "label_noise", 0.0), like.dtype) ** 2


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


def _updates(
    problem: Problem, params: Params, inputs: Any, outputs: Any
) -> Float[Array, "sample mode"]:
    """`∇w_a·g_k` of each sample, by differentiating: the error times how the output moves."""

    def made(at: Params) -> Array:
        return functools.reduce(jnp.add, problem.network.outputs(at, inputs))

    errors = made(params) - outputs
    directions = jax.jacrev(functools.partial(mode_totals, problem))(params)

    def along(direction: Params) -> Array:
        return jnp.sum(errors * jax.jvp(made, (params,), (direction,))[1], axis=1)

    return jax.vmap(along, out_axes=1)(directions)


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
    network, residual = require_linear(problem.network), problem.residual(params)
    part = _modes_ito if residual.ndim == 1 else _matrices_ito
    if isinstance(problem.task, Samples):
        part = _samples_ito
    parts = [part(problem, network, layers, residual) for layers in network.expand(params)]
    return functools.reduce(jnp.add, parts)


def _matrices_ito(
    problem: Problem, network: LinearNetwork, layers: tuple[Array, ...], residual: Array
) -> Array:
    ahead, behind = mode_sides(problem, network, layers)
    pulled = [dot(residual.T, a) for a in ahead]
    noise = label_variance(problem.task, residual)
    pushed = [dot(residual, p) + noise * a for p, a in zip(pulled, ahead, strict=True)]
    total = jnp.zeros(ahead[0].shape[1], residual.dtype)
    for at, m, way in connections(network, layers):
        trace = jnp.sum(way.T * residual)
        total += jnp.sum(behind[m] * (trace * pulled[at] + dot(way, pushed[at])), axis=0)
    return total


def _samples_ito(
    problem: Problem, network: LinearNetwork, layers: tuple[Array, ...], residual: Array
) -> Array:
    ahead, behind = mode_sides(problem, network, layers)
    inputs = jnp.asarray(problem.task.inputs)
    mean = dot(residual.T, inputs) / len(inputs) ** 0.5
    total = jnp.zeros(ahead[0].shape[1], residual.dtype)
    for at, m, way in connections(network, layers):
        between = jnp.sum(dot(inputs, way) * residual, axis=1, keepdims=True)
        each = dot(residual, ahead[at]) * between * dot(inputs, behind[m])
        of_mean = dot(mean.T, ahead[at]) * dot(way, dot(mean, behind[m]))
        total += jnp.sum(each, axis=0) - jnp.sum(of_mean, axis=0)
    return total


def _modes_ito(
    problem: Problem, network: LinearNetwork, layers: tuple[Array, ...], residual: Array
) -> Array:
    """All pairs of layers at once, `[m, l, mode]`."""
    values, order = jnp.stack(layers), jnp.arange(len(layers))
    later = (order[:, None] < order[None])[..., None]
    before = _products_before(values)
    after = _products_before(values[::-1])[::-1]
    between = _products_before(jnp.where(later, values[None], 1), axis=1)
    way = jnp.where(later, before[None] * between * after[:, None], 0)
    weight = before[:, None] ** 2 * after[None] ** 2
    noise = label_variance(problem.task, residual)
    trace = jnp.sum(way * residual, axis=-1, keepdims=True)
    return jnp.sum(weight * (residual * trace + (residual**2 + noise) * way), axis=(0, 1))


def _products_before(values: Array, axis: int = 0) -> Array:
    """The product of all entries before each, along an axis."""
    ones = jnp.ones_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    rest = jax.lax.slice_in_dim(values, 0, values.shape[axis] - 1, axis=axis)
    return jnp.cumprod(jnp.concatenate([ones, rest], axis=axis), axis=axis)


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


class SampledDiffusion(NamedTuple):
    """The variance of `∇w_a·g` over samples drawn, and its standard error."""

    value: Float[Array, " mode"]
    error: Float[Array, " mode"]


@observable(
    dims=("mode",),
    symbol="D_a·B/η",
    formula="variance of ∇w_a·g over `count` samples drawn, per unit of η/B",
)
def sampled_mode_diffusion(
    problem: Problem, params: Params, count: int = 1000, seed: int = 0
) -> SampledDiffusion:
    """`mode_diffusion` as estimated from per-sample gradients, with its standard error.

    What a measurement would find, beside what is exact: `count` fresh samples of a whitened task
    (rows of a sample, with replacement), the same at every point; `bind(count=…, seed=…)` others.
    The estimate is unbiased; gradients are heavy-tailed, so that errors fall short at small counts.
    """
    inputs, outputs = _draw(problem.task, count, jax.random.key(seed), params[0][0].dtype)
    updates = _updates(problem, params, inputs, outputs)
    spread = jnp.var(updates, axis=0)
    fourth = jnp.mean((updates - jnp.mean(updates, axis=0)) ** 4, axis=0)
    error = jnp.sqrt(jnp.maximum(fourth - spread**2, 0) / count)
    return SampledDiffusion(spread * (count / (count - 1)), error)


def _draw(task: Task, count: int, key: Array, dtype: Any) -> tuple[Array, Array]:
    """Samples of the task: fresh ones, or rows of those that there are."""
    if isinstance(task, Samples):
        rows = jax.random.randint(key, (count,), 0, len(task.inputs))
        return jnp.asarray(task.inputs)[rows], jnp.asarray(task.outputs)[rows]
    target = jnp.asarray(task.target)
    for_inputs, for_labels = jax.random.split(key)
    inputs = jax.random.normal(for_inputs, (count, target.shape[-1]), dtype)
    labels = inputs * target if target.ndim == 1 else inputs @ target.T
    noise = jax.random.normal(for_labels, labels.shape, dtype)
    return inputs, labels + jnp.sqrt(label_variance(task, labels)) * noise


EXAMPLES = (
    mode_drift,
    mode_diffusion,
    mode_ito_drift,
    mode_signal_to_noise,
    sampled_mode_diffusion,
)
