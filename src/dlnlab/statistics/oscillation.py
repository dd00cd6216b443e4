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
from dlnlab.typing import Any, Array, Float, Params, Scalar


class OscillationShares(NamedTuple):
    """Shares of the k leading eigenvectors together, for k = 1, 2, …; and the largest residual
    `‖Hv − λv‖` of any of them, in units of the largest eigenvalue."""

    value: Float[Array, " eigenvalue"]
    residual: Scalar


class OscillationMemory(NamedTuple):
    """What is tracked of the Hessian, the last step, and the squares summed so far."""

    track: linalg.Track
    moved: Float[Array, " n"]
    along: Float[Array, " eigenvalue"]
    whole: Scalar
    residual: Scalar


@dataclass(frozen=True)
class HessianShares(Statistic):
    """The share of the oscillation of the parameters in the span of the leading Hessian vectors.

    `Σ_t Σ_{i≤k} (v_i·o_t)² / Σ_t ‖o_t‖²` for each k up to the given one, over the last `window`
    steps. The oscillation is the second difference `o_t = θ_{t+1} − 2θ_t + θ_{t−1}`, in which a
    steady drift has no part; v_1, v_2, … are eigenvectors of the Hessian at θ_t, the largest
    algebraic eigenvalue first. NaN before the window, and where there are fewer parameters.

    Raises InputError for k or a window below 1.
    """

    k: int = 5
    window: int = 50
    tolerance: float = 1e-6

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
        matvec, size = _operator(problem, params)
        k, dtype = min(self.k, size), like(params)
        key = jax.random.key(0)
        track = linalg.begin(matvec, key, size, k, tolerance=self.tolerance, dtype=dtype)
        zero = jnp.zeros((), dtype)
        return OscillationMemory(track, jnp.zeros(size, dtype), jnp.zeros(k, dtype), zero, zero)

    def update(self, problem: Problem, memory: OscillationMemory, step: Step) -> OscillationMemory:
        before, after = (ravel_pytree(params)[0] for params in (step.before, step.after))
        moved = after - before
        # Followed for some steps more, so that the window begins with accurate vectors.
        near = step.remaining < self.window + 10
        track = jax.lax.cond(
            near, lambda: self._followed(problem, memory.track, step), lambda: memory.track
        )
        counted = (step.remaining < self.window) & (step.index > 1)
        swing = jnp.where(counted, moved - memory.moved, 0)
        worst = jnp.max(track.pairs.residuals) / jnp.max(jnp.abs(track.pairs.values))
        return OscillationMemory(
            track,
            moved,
            memory.along + (track.pairs.vectors @ swing) ** 2,
            memory.whole + jnp.sum(swing**2),
            jnp.maximum(memory.residual, jnp.where(counted, worst, 0)),
        )

    def _followed(self, problem: Problem, track: linalg.Track, step: Step) -> linalg.Track:
        matvec, size = _operator(problem, step.before)
        key = jax.random.fold_in(jax.random.key(1), step.index)
        drawn = jax.random.normal(key, (size,), like(step.before))
        return linalg.follow(matvec, track, drawn, tolerance=self.tolerance)

    def read(
        self, problem: Problem, memory: OscillationMemory, params: Params, status: Array
    ) -> OscillationShares:
        swings = memory.whole > 0
        shares = jnp.cumsum(memory.along) / jnp.where(swings, memory.whole, 1)
        shares = jnp.where(swings, shares, jnp.nan)
        missing = (0, self.k - shares.size)
        return OscillationShares(jnp.pad(shares, missing, constant_values=jnp.nan), memory.residual)


def _operator(problem: Problem, params: Params) -> tuple[Any, int]:
    flat, unravel = ravel_pytree(params)

    def matvec(vector: Array) -> Array:
        return ravel_pytree(problem.hessian_vector(params, unravel(vector)))[0]

    return matvec, flat.size


EXAMPLES = (HessianShares(k=2),)
