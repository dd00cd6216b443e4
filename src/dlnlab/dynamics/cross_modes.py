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
from collections.abc import Callable

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
    slopes = [_product(layers, lambda m, l=index: m != l) for index in range(len(layers))]
    stretch = functools.reduce(jnp.add, [slope**2 for slope in slopes])
    return _free(layers, residual) / stretch


def _balanced(value: Array, depth: int, residual: Array) -> Array:
    found = jnp.zeros_like(value)
    for k in range(1, depth):
        given = _others(residual * value ** (depth + 2 * k - 2))
        found = found + (depth - k) * value ** (2 * (depth - k - 1)) * given
    return residual * found


def _free(layers: tuple[Array, ...], residual: Array) -> Array:
    found = jnp.zeros_like(residual)
    for m, l in itertools.combinations(range(len(layers)), 2):
        own = _product(layers, lambda n, m=m, l=l: n < m or n > l)
        there = _product(layers, lambda n, l=l: n < l) * _product(layers, lambda n, m=m: n > m)
        between = _product(layers, lambda n, m=m, l=l: m < n < l)
        # W_{<l}, what lies between, and W_{>m}: each layer between stands in it three times.
        found = found + own**2 * _others(residual * there * between)
    return residual * found


def _others(values: Float[Array, " mode"]) -> Float[Array, " mode"]:
    """The sum over all other modes."""
    return jnp.sum(values) - values


def _product(layers: tuple[Array, ...], wanted: Callable[[int], bool]) -> Array:
    kept = [layer for index, layer in enumerate(layers) if wanted(index)]
    return functools.reduce(jnp.multiply, kept, jnp.ones_like(layers[0]))
