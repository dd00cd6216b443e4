"""What the noise of batches makes modes of one chain add to each other in the mean.

Two layers l > m that are kicked by one batch change the product by the product of their kicks:
mode b passes on to mode a and back. On the aligned set the mean of it is, for a batch of one,

`c_a = r_a Σ_{l>m} (w_{>l,a} w_{<m,a})² Σ_{b≠a} r_b w_{<l,b} w_{m<·<l,b} w_{>m,b}`,

r the residuals, and for equal layers w = λ^L, with k = l − m,
`c_a = r_a Σ_{k=1}^{L−1} (L−k) λ_a^{2(L−k−1)} Σ_{b≠a} r_b λ_b^{L+2k−2}`; whatever the law of inputs
and labels. Source: corlouer2026.2.
"""

import functools
import itertools

import jax.numpy as jnp

from dlnlab.errors import InputError
from dlnlab.networks import BalancedModes, Network, require_linear
from dlnlab.typing import Array, Float, Params


def force(
    network: Network, params: Params, residual: Float[Array, " mode"]
) -> Float[Array, " mode"]:
    """`c_a / ‖∂w_a/∂θ‖²`: pulled back to the parameters it moves the end-to-end value by c_a.

    **Raises:** `InputError` where there are several pathways.
    """
    if len(params) > 1:
        raise InputError(
            f"the cross-mode drift is known for one chain, and {len(params)} pathways were given; "
            "pass cross_modes=False."
        )
    (layers,) = require_linear(network).expand(params)
    if isinstance(network, BalancedModes):
        depth, value = len(layers), layers[0]
        return _balanced(value, depth, residual) / (depth * value ** (2 * depth - 2))
    slopes = [_product((*layers[:k], *layers[k + 1 :]), residual) for k in range(len(layers))]
    stretch = functools.reduce(jnp.add, [slope**2 for slope in slopes])
    return _free(layers, residual) / stretch


def _balanced(value: Array, depth: int, residual: Array) -> Array:
    found = jnp.zeros_like(value)
    for k in range(1, depth):
        given = _others(residual * value ** (depth + 2 * k - 2))
        found = found + (depth - k) * value ** (2 * (depth - k - 1)) * given
    return residual * found


def _free(layers: tuple[Array, ...], residual: Array) -> Array:
    found, prod = jnp.zeros_like(residual), functools.partial(_product, like=residual)
    for early, late in itertools.combinations(range(len(layers)), 2):
        before, between, after = layers[:early], layers[early + 1 : late], layers[late + 1 :]
        own = prod((*before, *after))
        given = prod(layers[:late]) * prod(between) * prod(layers[early + 1 :])
        found = found + own**2 * _others(residual * given)
    return residual * found


def _others(values: Float[Array, " mode"]) -> Float[Array, " mode"]:
    """The sum over all other modes."""
    return jnp.sum(values) - values


def _product(layers: tuple[Array, ...], like: Array) -> Array:
    return functools.reduce(jnp.multiply, layers, jnp.ones_like(like))
