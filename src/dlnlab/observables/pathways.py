"""What each pathway carries, and how it is divided between pathways and layers."""

import functools
from collections.abc import Callable

import jax.numpy as jnp

from dlnlab.networks import require_linear
from dlnlab.networks.products import dot
from dlnlab.observables.base import observable
from dlnlab.problem import Problem
from dlnlab.typing import Array, Float, Params


def coefficients(problem: Problem, params: Params) -> Float[Array, "pathway mode"]:
    """`σ_{h,i} = u_iᵀ K_h v_i`, the plain function behind `mode_values`."""
    task, maps = problem.task, problem.pathway_maps(params)
    if task.left is None or task.right is None:
        return jnp.stack(maps)
    left, right = jnp.asarray(task.left), jnp.asarray(task.right)
    return jnp.stack([jnp.sum(left * dot(made, right), axis=0) for made in maps])


@observable(dims=("pathway", "mode"), symbol="σ_{h,i}", formula="u_iᵀ Ω_h v_i")
def mode_values(problem: Problem, params: Params) -> Float[Array, "pathway mode"]:
    """The part of target mode i that pathway h carries, `σ_{h,i} = u_iᵀ Ω_h v_i`.

    On samples Ω_h is the mean map `K_h = E[f_h(x) xᵀ]`, for any network.
    """
    return coefficients(problem, params)


@observable(
    dims=("pathway", "mode"), symbol="|σ_{h,i}|/Σ_h|σ_{h,i}|", formula="|u_iᵀΩ_hv_i| / Σ_h|·|"
)
def shares(problem: Problem, params: Params) -> Float[Array, "pathway mode"]:
    """The share of each pathway in each mode, `|u_iᵀΩ_hv_i| / Σ_h |u_iᵀΩ_hv_i|`."""
    values = jnp.abs(coefficients(problem, params))
    total = jnp.sum(values, axis=0)
    return values / jnp.where(total > 0, total, 1)


@observable(dims=("pathway",), symbol="‖Ω_h‖_F", formula="Frobenius norm of W_{h,L_h}⋯W_{h,1}")
def pathway_norms(problem: Problem, params: Params) -> Float[Array, " pathway"]:
    """The Frobenius norm of each pathway's map, of its product for white inputs."""
    return jnp.stack([jnp.linalg.norm(made) for made in problem.pathway_maps(params)])


@observable(
    dims=("pathway",),
    symbol="max_l‖B_{h,l}‖_F",
    formula="B_{h,l} = W_{h,l+1}ᵀW_{h,l+1} − W_{h,l}W_{h,l}ᵀ",
)
def balance_gap(problem: Problem, params: Params) -> Float[Array, " pathway"]:
    """The largest imbalance of adjacent layers; gradient flow conserves every `B_{h,l}`."""
    network = require_linear(problem.network)

    def gap(earlier: Array, later: Array) -> Array:
        inner = network.compose(network.transpose(later), later)
        return jnp.linalg.norm(inner - network.compose(earlier, network.transpose(earlier)))

    return jnp.stack([_largest(gap, pathway) for pathway in network.expand(params)])


@observable(
    dims=("pathway",),
    symbol="ε_bal",
    formula="max_l ‖X − Y‖_F/√(‖X‖²_F + ‖Y‖²_F), X = W_{h,l+1}ᵀW_{h,l+1}, Y = W_{h,l}W_{h,l}ᵀ",
)
def balance_error(problem: Problem, params: Params) -> Float[Array, " pathway"]:
    """The largest relative imbalance of adjacent layers: 0 balanced, 1 where they share nothing.

    `balance_gap` over the size of what is compared. Since X and Y are positive semidefinite,
    `‖X − Y‖² ≤ ‖X‖² + ‖Y‖²`, with equality where one layer reads nothing of what the other writes.
    """
    network = require_linear(problem.network)

    def error(earlier: Array, later: Array) -> Array:
        reads = network.compose(network.transpose(later), later)
        writes = network.compose(earlier, network.transpose(earlier))
        size = jnp.sqrt(jnp.sum(reads**2) + jnp.sum(writes**2))
        return jnp.linalg.norm(reads - writes) / jnp.where(size > 0, size, 1)

    return jnp.stack([_largest(error, pathway) for pathway in network.expand(params)])


def _largest(gap: Callable[[Array, Array], Array], pathway: tuple[Array, ...]) -> Array:
    """The largest over pairs of adjacent layers."""
    gaps = [gap(earlier, later) for earlier, later in zip(pathway, pathway[1:], strict=False)]
    return functools.reduce(jnp.maximum, gaps, jnp.zeros((), pathway[0].dtype))


@observable(
    dims=("pathway", "mode"),
    symbol="z_{0h}",
    formula="w_0^{2−L} − w_h^{2−L}, w = |σ|^{1/L}; F_0 − F_h with F = w^{2−L}/(2−L), ln w at L=2, "
    "where depths differ or are below 3",
)
def conserved_z(problem: Problem, params: Params) -> Float[Array, "pathway mode"]:
    """What gradient flow conserves between pathways on the balanced set (kim2026.3)."""
    depths = problem.network.depths
    values = jnp.abs(coefficients(problem, params))
    equal = len(set(depths)) == 1 and depths[0] > 2

    def charge(value: Array, depth: int) -> Array:
        layer = value ** (1 / depth)
        if depth == 2:
            return jnp.log(layer)
        return layer ** (2 - depth) / (1 if equal else 2 - depth)

    charges = jnp.stack([charge(v, depth) for v, depth in zip(values, depths, strict=True)])
    return charges[:1] - charges


EXAMPLES = (mode_values, shares, pathway_norms, balance_gap, balance_error, conserved_z)
