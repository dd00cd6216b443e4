"""How fast a run escapes from the saddle at the origin."""

from dataclasses import dataclass

import jax.numpy as jnp

from dlnlab.networks import LinearNetwork
from dlnlab.observables.escape import radial_rate
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Array, Params, Scalar


@dataclass(frozen=True)
class EscapeRate(Statistic):
    """The largest `ṙ/r^{L−1}` so far, which tends to `s* = L^{−(L−2)/2} s_1` as the start shrinks.

    Beyond depth 2 the largest value over the run is that of the first escape. At depth 2 all
    modes escape exponentially, each at its own rate, and states count where every layer has come
    to rank one: the other singular values, together (root of the sum of squares), below the share
    `purity` of the largest, judged by `tr (AᵀA)² / (tr AᵀA)²`; and where the map is still below
    the same share of the target, since `ṙ/r` falls by as much. NaN where no state has counted,
    because the start is too large for modes to part before the fit.

    Source: jacot2021.2.

    >>> EscapeRate().name
    'first_escape_rate'
    """

    purity: float = 0.01

    @property
    def name(self) -> str:
        return "first_escape_rate"

    def init(self, problem: Problem, params: Params) -> Scalar:
        return self._rate(problem, params)

    def update(self, problem: Problem, memory: Scalar, step: Step) -> Scalar:
        return jnp.fmax(memory, self._rate(problem, step.after))

    def read(self, problem: Problem, memory: Scalar, params: Params, status: Array) -> Scalar:
        return memory

    def _rate(self, problem: Problem, params: Params) -> Scalar:
        rate = radial_rate(problem, params)
        network = problem.network
        if min(network.depths) > 2 or not isinstance(network, LinearNetwork):
            return rate
        layers = [layer for pathway in network.expand(params) for layer in pathway]
        pure = jnp.stack([self._is_pure(network, layer) for layer in layers]).all()
        made, target = problem.end_to_end(params), jnp.asarray(problem.task.target)
        pure &= jnp.sum(made**2) <= self.purity**2 * jnp.sum(target**2)
        return jnp.where(pure, rate, jnp.full((), jnp.nan, like(params)))

    def _is_pure(self, network: LinearNetwork, layer: Array) -> Array:
        """With x_i = σ_i²/Σσ², Σx_i² ≥ (1 + p⁴)/(1 + p²)² where Σ_{i>1} σ_i² ≤ p²σ_1²."""
        size = jnp.max(jnp.abs(layer))
        scaled = layer / jnp.where(size > 0, size, 1)
        gram = network.compose(network.transpose(scaled), scaled)
        share = jnp.sum(gram**2) / jnp.sum(scaled**2) ** 2
        return share >= 1 / (1 + self.purity**2) ** 2


EXAMPLES = (EscapeRate(),)
