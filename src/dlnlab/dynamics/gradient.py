"""Gradient flow, gradient descent, and the optimizers of optax."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from dlnlab.dynamics.base import MOST_SOLVER_STEPS, Flow, Map
from dlnlab.problem import Problem
from dlnlab.typing import Any, Array, Key, Params, Scalar


class GradientFlow(Flow):
    """`θ̇ = −∇ℓ(θ)`.

    **Arguments:** `rtol` and `atol` bound the error of each step of the integrator (explicit
    Runge–Kutta of order 8), `atol` in units of the smallest layer of the start, so that plateaus
    of any depth are followed. `arrival`: the flow has arrived where ‖∇ℓ‖ has fallen to this share
    of the largest gradient norm so far; 0, the right choice where there are plateaus, never stops
    it. `most_steps`: the steps that the integrator may try; a run that needs more ends as
    `exhausted`. Learned modes limit a step to about 6/λ_max, so that with full matrices of L ≥ 3
    layers of size α a plateau costs about S_1/α^{L−2} steps (see docs/speed.md).
    """

    rtol: float = 1e-10
    atol: float = 1e-13
    arrival: float = 1e-9
    most_steps: int = MOST_SOLVER_STEPS

    def velocity(self, problem: Problem, params: Params) -> Params:
        return jax.tree.map(jnp.negative, problem.gradient(params))


class GradientDescent(Map):
    """`θ⁺ = θ − η∇ℓ(θ)`.

    **Arguments:** `learning_rate` is η > 0, for the loss `½‖W − M‖²_F`.
    """

    learning_rate: Scalar | float

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> tuple[()]:
        return ()

    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        gradient = problem.gradient(params)
        return jax.tree.map(lambda w, g: w - self.learning_rate * g, params, gradient), memory


class Optax(Map):
    """Any optimizer of optax on the full gradient.

    **Arguments:** `factory` builds the optimizer from a learning rate, say `optax.adam`;
    `learning_rate` is traced, so a sweep over it compiles once; `options` are the factory's other
    arguments, as pairs: `Optax(optax.sgd, 0.1, (("momentum", 0.9),))`.
    """

    factory: Callable[..., optax.GradientTransformation] = eqx.field(static=True)
    learning_rate: Scalar | float = eqx.field()
    options: tuple[tuple[str, Any], ...] = eqx.field(static=True, default=())

    def _optimizer(self) -> optax.GradientTransformation:
        return self.factory(self.learning_rate, **dict(self.options))

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Any:
        return self._optimizer().init(params)

    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        updates, memory = self._optimizer().update(problem.gradient(params), memory, params)
        return optax.apply_updates(params, updates), memory


EXAMPLES: tuple[Flow | Map, ...] = (
    GradientFlow(),
    GradientDescent(0.01),
    Optax(factory=optax.adam, learning_rate=0.01),
    Optax(factory=optax.sgd, learning_rate=0.01, options=(("momentum", 0.9),)),
)
