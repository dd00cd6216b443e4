"""What stands before and after each layer of a linear network: of this its derivatives are made.

A layer's gradient is `g_l = W_{>l}ᵀ G W_{<l}ᵀ`, G being the loss's derivative by the map,
`W_{>l} = W_L ⋯ W_{l+1}` and `W_{<l} = W_{l−1} ⋯ W_1`. What moves by `−g` therefore moves the map by
`−Σ_l A_l G B_l`, `A_l = W_{>l}W_{>l}ᵀ` and `B_l = W_{<l}ᵀW_{<l}` (its neural tangent kernel),
and to second order through the way from one layer's gradient to another's.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from dlnlab.networks import LinearNetwork
from dlnlab.networks.products import dot
from dlnlab.observables.pathways import coefficients
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Task
from dlnlab.typing import Any, Array, Float, Params, Scalar

Layers = tuple[Array, ...]


def mode_totals(problem: Problem, params: Params) -> Float[Array, " mode"]:
    """`w_a = Σ_h σ_{h,a}`: of white inputs `u_aᵀWv_a`, of samples `u_aᵀE[f(x)xᵀ]v_a`."""
    return jnp.sum(coefficients(problem, params), axis=0)


def surroundings(network: LinearNetwork, layers: Layers) -> tuple[Layers, Layers]:
    """`W_{>l}` and `W_{<l}` of each layer of one pathway of matrices."""
    (outputs, inputs), dtype = network.map_shape, jnp.result_type(*layers)
    before, after = [jnp.eye(inputs, dtype=dtype)], [jnp.eye(outputs, dtype=dtype)]
    for layer in layers[:-1]:
        before.append(network.compose(layer, before[-1]))
    for layer in reversed(layers[1:]):
        after.append(network.compose(after[-1], layer))
    return tuple(reversed(after)), tuple(before)


def kernels(network: LinearNetwork, params: Params) -> tuple[Array, Array]:
    """`A_l = W_{>l}W_{>l}ᵀ` and `B_l = W_{<l}ᵀW_{<l}` of all layers of all pathways of matrices.

    Stacked, `[layer, out, out]` and `[layer, in, in]`.
    """
    left, right = [], []
    for layers in network.expand(params):
        after, before = surroundings(network, layers)
        left += [network.compose(later, network.transpose(later)) for later in after]
        right += [network.compose(network.transpose(earlier), earlier) for earlier in before]
    return jnp.stack(left), jnp.stack(right)


def mode_rates(network: LinearNetwork, params: Params) -> Float[Array, " mode"]:
    """What the kernel is of aligned modes, `Σ_{h,l} Π_{m≠l} w_{h,m,a}²`."""

    def rate(layers: Layers) -> Array:
        values = jnp.stack(layers)
        around = products_before(values) * products_before(values[::-1])[::-1]
        return jnp.sum(around**2, axis=0)

    return functools.reduce(jnp.add, [rate(layers) for layers in network.expand(params)])


def connections(network: LinearNetwork, layers: Layers) -> Iterator[tuple[int, int, Array]]:
    """`(l, m, C)` for each pair of layers l > m of one pathway, numbered from 0.

    `C = W_{<l}ᵀ W_{l−1} ⋯ W_{m+1} W_{>m}ᵀ`, `[in, out]`: the second derivative of the map along
    the gradients of two layers is `Σ_{l>m} 2 W_{>l}W_{>l}ᵀ G C G W_{<m}ᵀW_{<m}`.
    """
    after, before = surroundings(network, layers)
    for m, later in enumerate(after):
        carried = network.transpose(later)
        for at in range(m + 1, len(layers)):
            yield at, m, network.compose(network.transpose(before[at]), carried)
            carried = network.compose(layers[at], carried)


def mode_sides(
    problem: Problem, network: LinearNetwork, layers: Layers
) -> tuple[list[Array], list[Array]]:
    """`a_l = A_l U` and `b_l = B_l V` of each layer of one pathway of matrices.

    `[out, mode]` and `[in, mode]`. On samples `E[xxᵀ]V` stands for V, since a mode is counted in
    `E[f(x)xᵀ]`.
    """
    left, right = (jnp.asarray(side) for side in _basis(problem.task))
    after, before = surroundings(network, layers)
    ahead = [dot(later, dot(later.T, left)) for later in after]
    return ahead, [dot(earlier.T, dot(earlier, right)) for earlier in before]


def _basis(task: Any) -> tuple[Any, Any]:
    if not isinstance(task, Samples):
        return task.left, task.right
    inputs = jnp.asarray(task.inputs)
    return task.left, dot(inputs.T, dot(inputs, jnp.asarray(task.right))) / len(inputs)


def products_before(values: Array, axis: int = 0) -> Array:
    """The product of all entries before each, along an axis."""
    ones = jnp.ones_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    rest = jax.lax.slice_in_dim(values, 0, values.shape[axis] - 1, axis=axis)
    return jnp.cumprod(jnp.concatenate([ones, rest], axis=axis), axis=axis)


def label_variance(task: Task, like: Array) -> Scalar:
    """ς² in the precision of what it is added to."""
    return jnp.asarray(getattr(task, "label_noise", 0.0), like.dtype) ** 2


def map_covariance(problem: Problem, residual: Array, direction: Array) -> Array:
    """`𝒞[A]`: the covariance of the derivative by the map with its component along A."""
    noise = label_variance(problem.task, residual)
    if residual.ndim == 1:
        return (2 * residual**2 + noise) * direction
    inner = residual.T @ direction
    return residual @ (inner + inner.T) + noise * direction
