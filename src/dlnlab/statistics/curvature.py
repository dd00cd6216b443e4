"""The top of the Hessian's spectrum, followed from step to step."""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.errors import InputError
from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.statistics.base import Statistic, like
from dlnlab.typing import Any, Array, Float, Int, Params


class TrackedEigenvalues(NamedTuple):
    """Hessian eigenvalues with residuals, NaN for those not followed, and what they cost.

    `products` are the Hessian-vector products of the last step, `products_per_step` their mean
    over all steps so far, probes included; `following` is how many pairs are followed.
    """

    value: Float[Array, " eigenvalue"]
    residual: Float[Array, " eigenvalue"]
    following: Int[Array, ""]
    products: Int[Array, ""]
    products_per_step: Float[Array, ""]


class TrackerMemory(NamedTuple):
    """What is tracked, the products so far, and the steps."""

    track: linalg.Track
    products: Int[Array, ""]
    steps: Int[Array, ""]


@dataclass(frozen=True)
class CurvatureTracker(Statistic):
    """The k largest algebraic Hessian eigenvalues after every step, each with its residual.

    Each step begins with a guess from the eigenvectors of the last five (a line or a parabola; the
    orbit beyond the edge of stability has period 2) and, every `probe_every` steps, with a random
    vector; a pair is accepted when its residual `‖Hv − λv‖` is at most `tolerance` times the
    largest eigenvalue in magnitude. With `threshold` set, only those are followed that lie above
    threshold/η, and the first below: 1.5 counts what is near the edge 2/η. `end="smallest"` follows
    the other end of the spectrum, ascending. Works for any network; at all times on all of its
    Hessian.

    A step that is not finite is not looked at. NaN for pairs beyond the number of parameters.

    Raises InputError for k or `probe_every` that are no whole numbers of at least 1, and for a
    tolerance that is not in (0, 0.1).
    """

    k: int = 1
    tolerance: float = 1e-6
    threshold: float | None = None
    probe_every: int = 10
    end: Literal["largest", "smallest"] = "largest"

    dims: ClassVar[tuple[str, ...]] = ("eigenvalue",)

    def __post_init__(self) -> None:
        for name in ("k", "probe_every"):
            given = getattr(self, name)
            if not isinstance(given, int) or given < 1:
                raise InputError(
                    f"{name} is {given}, and a whole number of at least 1 is needed; round it."
                )
        if not 0 < self.tolerance < 0.1:
            raise InputError(
                f"tolerance is {self.tolerance:g}, and a relative residual between 0 and 0.1 is "
                "needed; 1e-6 is the default."
            )

    @property
    def name(self) -> str:
        return "tracked_eigenvalues" if self.end == "largest" else "tracked_smallest_eigenvalues"

    def init(self, problem: Problem, params: Params) -> TrackerMemory:
        matvec, size = self._operator(problem, params)
        dtype = like(params)
        track = linalg.begin(
            matvec,
            jax.random.key(0),
            size,
            min(self.k, size),
            tolerance=self.tolerance,
            dtype=dtype,
        )
        return TrackerMemory(track, track.products * 0, jnp.asarray(0))

    def update(self, problem: Problem, memory: TrackerMemory, step: Step) -> TrackerMemory:
        finite = jnp.isfinite(sum(jnp.sum(leaf) for leaf in jax.tree.leaves(step.after)))
        params = jax.tree.map(lambda a, b: jnp.where(finite, a, b), step.after, step.before)
        matvec, size = self._operator(problem, params)
        key = jax.random.fold_in(jax.random.key(1), step.index)
        probe = step.index % self.probe_every == 0
        drawn = jax.random.normal(key, (size,), like(params))
        track = linalg.follow(
            matvec,
            memory.track,
            drawn,
            probe=probe,
            threshold=-jnp.inf if self.threshold is None else self.threshold / step.learning_rate,
            tolerance=self.tolerance,
        )
        products = memory.products + track.products + track.probes
        return TrackerMemory(track, products, memory.steps + 1)

    def read(
        self, problem: Problem, memory: TrackerMemory, params: Params, status: Array
    ) -> TrackedEigenvalues:
        track = memory.track
        sign = 1 if self.end == "largest" else -1
        followed = jnp.arange(track.pairs.values.size) < track.following
        missing = (0, self.k - track.pairs.values.size)
        value, residual = (
            jnp.pad(jnp.where(followed, some, jnp.nan), missing, constant_values=jnp.nan)
            for some in (sign * track.pairs.values, track.pairs.residuals)
        )
        mean = memory.products / jnp.maximum(memory.steps, 1).astype(value.dtype)
        return TrackedEigenvalues(value, residual, track.following, track.products, mean)

    def _operator(self, problem: Problem, params: Params) -> tuple[Any, int]:
        flat, unravel = ravel_pytree(params)
        sign = 1 if self.end == "largest" else -1

        def matvec(vector: Array) -> Array:
            return sign * ravel_pytree(problem.hessian_vector(params, unravel(vector)))[0]

        return matvec, flat.size


EXAMPLES = (
    CurvatureTracker(k=2),
    CurvatureTracker(k=3, threshold=1.5),
    CurvatureTracker(end="smallest"),
)
