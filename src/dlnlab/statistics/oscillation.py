"""In which directions of parameter space a run oscillates."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.errors import InputError
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Array, Float, Params, Scalar


class OscillationShares(NamedTuple):
    """Shares of the k leading eigenvectors together, for k = 1, 2, …; and the largest residual
    `‖Hv − λv‖` of any of them, in units of the largest eigenvalue."""

    value: Float[Array, " eigenvalue"]
    residual: Scalar


class OscillationMemory(NamedTuple):
    """The last step, the squares summed so far, and the worst residual."""

    moved: Float[Array, " n"]
    along: Float[Array, " eigenvalue"]
    whole: Scalar
    residual: Scalar


@dataclass(frozen=True)
class HessianShares(Statistic):
    """The share of the oscillation of the parameters in the span of the leading Hessian vectors.

    `Σ_t Σ_{i≤k} (v_i·o_t)² / Σ_t ‖o_t‖²` for each k up to the given one, over the last `window`
    steps. The oscillation is the second difference `o_t = θ_{t+1} − 2θ_t + θ_{t−1}`, in which a
    steady drift has no part; v_1, v_2, … are eigenvectors of the Hessian at its centre
    `θ_t + o_t/4`, the largest algebraic eigenvalue first (θ_t itself lies now on this side, now on
    the other, and curvature may differ by much between them). NaN before the window, and where
    there are fewer parameters.

    Raises InputError for k or a window below 1.
    """

    k: int = 5
    window: int = 50

    dims: ClassVar[tuple[str, ...]] = ("eigenvalue",)

    def __post_init__(self) -> None:
        for name in ("k", "window"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} is {getattr(self, name)}, and a whole number of at least 1 is needed; "
                    "raise it."
                )

    @property
    def name(self) -> str:
        return "hessian_shares"

    def init(self, problem: Problem, params: Params) -> OscillationMemory:
        flat = ravel_pytree(params)[0]
        zero = jnp.zeros((), flat.dtype)
        count = min(self.k, flat.size)
        return OscillationMemory(jnp.zeros_like(flat), jnp.zeros(count, flat.dtype), zero, zero)

    def update(self, problem: Problem, memory: OscillationMemory, step: Step) -> OscillationMemory:
        (before, unravel), (after, _) = ravel_pytree(step.before), ravel_pytree(step.after)
        moved = after - before
        swing = moved - memory.moved

        def counted() -> OscillationMemory:
            pairs = _top(problem, unravel(before + swing / 4), len(memory.along))
            worst = jnp.max(pairs.residuals) / jnp.max(jnp.abs(pairs.values))
            return OscillationMemory(
                moved,
                memory.along + (pairs.vectors @ swing) ** 2,
                memory.whole + jnp.sum(swing**2),
                jnp.maximum(memory.residual, worst),
            )

        inside = (step.remaining < self.window) & (step.index > 1)
        return jax.lax.cond(inside, counted, lambda: memory._replace(moved=moved))

    def read(
        self, problem: Problem, memory: OscillationMemory, params: Params, status: Array
    ) -> OscillationShares:
        swings = memory.whole > 0
        shares = jnp.cumsum(memory.along) / jnp.where(swings, memory.whole, 1)
        missing = (0, self.k - shares.size)
        shares = jnp.pad(jnp.where(swings, shares, jnp.nan), missing, constant_values=jnp.nan)
        return OscillationShares(shares, memory.residual)


def _top(problem: Problem, params: Params, k: int) -> linalg.Eigenpairs:
    flat, unravel = ravel_pytree(params)

    def matvec(vector: Array) -> Array:
        return ravel_pytree(problem.hessian_vector(params, unravel(vector)))[0]

    start = jax.random.normal(jax.random.key(0), flat.shape, like(params))
    return linalg.largest(matvec, start, k)


EXAMPLES = (HessianShares(k=2),)
