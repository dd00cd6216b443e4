"""Where gradient flow would end if it took over at this state."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab import solve
from dlnlab.observables.base import observable
from dlnlab.observables.curvature import sharpness
from dlnlab.problem import Problem
from dlnlab.typing import Params, Scalar


class FlowEndSharpness(NamedTuple):
    """The sharpness where the flow ends, and ‖∇ℓ‖/‖θ‖ there: how far it came to rest."""

    value: Scalar
    speed: Scalar


@observable(symbol="λ(θ_∞)", formula="λ_max of ∇²ℓ where θ̇ = −∇ℓ ends from this state; else NaN")
def flow_end_sharpness(
    problem: Problem, params: Params, rtol: float = 1e-8, rest: float = 1e-8
) -> FlowEndSharpness:
    """The sharpness of the minimum that gradient flow reaches from this state.

    Along a run of large steps this follows the zero-loss sharpness of where the run is, free of
    its oscillation (Damian et al. 2022, Cohen et al. 2025). `rtol` bounds the error of each step,
    and the flow rests where ‖∇ℓ‖ ≤ `rest` ‖θ‖; `bind(…)` others. NaN where it does not come to rest
    within 20,000 steps of the integrator.
    """

    def velocity(at: Params) -> Params:
        return jax.tree.map(jnp.negative, problem.gradient(at))

    rest = rest if params[0][0].dtype == jnp.float64 else max(rest, 1e-4)
    end = solve.flow_end(velocity, params, rtol=rtol, atol=rtol / 100, rest=rest)
    found = sharpness(problem, end.state)
    return FlowEndSharpness(jnp.where(end.speed <= rest, found.value, jnp.nan), end.speed)


EXAMPLES = (flow_end_sharpness,)
