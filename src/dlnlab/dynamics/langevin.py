"""The stochastic differential equation of SGD: Langevin dynamics with the noise of batches."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.dynamics import batch_noise, cross_modes
from dlnlab.dynamics.base import Map, require_at_least, require_key
from dlnlab.dynamics.phases import Phase
from dlnlab.errors import InputError
from dlnlab.networks import BalancedModes, Modes
from dlnlab.problem import Problem
from dlnlab.randomness import words
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Array, Int, Key, Params, Scalar, UInt32

Kind = Literal["gradient", "isotropic"]
Scheme = Literal["euler_maruyama", "weak_2"]


class Walk(NamedTuple):
    """The words of the run's key, and the number of steps taken."""

    key: UInt32[Array, " 2"]
    steps: Int[Array, ""]


class Langevin(Map):
    """`dθ = −∇ℓ dt + √(ηΣ/B) dB`, Σ(θ) the covariance of the gradient of one sample.

    In the time t = η·step it follows descent on batches of B in its first two moments. Noise has
    the law of a Gaussian with exactly that covariance, which depends on the state and is not
    isotropic, and costs no pass of its own: see `dlnlab.dynamics.batch_noise`. Σ is never formed.

    On a network of modes the noise of mode a is `√((κ−1)r_a² + ς²) dB_a` times the derivative of
    its end-to-end value, κ the kurtosis of the inputs: what is left on the aligned set. Matrices
    leave that set, and modes feed each other by the second derivatives of the product. With
    `cross_modes` the mean of that (on the aligned set) is added to each end-to-end value, which is
    singular where one vanishes; left out, modes are independent, as the papers have them.

    **Arguments:** `learning_rate` is η > 0, `batch_size` B ≥ 1. `time_step` is dt, by default η.
    `noise="isotropic"` has the same trace of Σ, spread evenly over all parameters. `scheme` is
    Euler and Maruyama's, of weak order 1, or for modes Platen's explicit one, of weak order 2.

    **Raises:** `InputError` where η, B or dt cannot be used, the run has no key, or the network is
    none for which the scheme or the cross-mode drift is known.

    Source: corlouer2026.1 and corlouer2026.2.

    >>> Langevin(0.01, batch_size=4, time_step=0.002).phases[0].rate
    0.002
    """

    learning_rate: Scalar | float
    batch_size: Scalar | float = 1.0
    time_step: Scalar | float | None = None
    noise: Kind = eqx.field(static=True, default="gradient")
    scheme: Scheme = eqx.field(static=True, default="euler_maruyama")
    cross_modes: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        require_at_least("time_step", self.time_step, 0.0, above=True)
        require_at_least("batch_size", self.batch_size, 1.0)

    @property
    def dt(self) -> Scalar | float:
        """The time that a step takes."""
        return self.learning_rate if self.time_step is None else self.time_step

    @property
    def phases(self) -> tuple[Phase, ...]:
        told = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return (Phase(0, self.dt, told),)

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Walk:
        drawn = words(require_key(key))
        if self.cross_modes or self.scheme == "weak_2":
            self._require_modes(problem)
        if self.scheme == "weak_2" and self.noise == "isotropic":
            raise InputError(
                "scheme='weak_2' needs one noise for each mode, and isotropic noise has one for "
                "each parameter; leave one of them out."
            )
        return Walk(drawn, jnp.asarray(0))

    def _require_modes(self, problem: Problem) -> None:
        network, task = problem.network, problem.task
        if not isinstance(network, Modes | BalancedModes) or not isinstance(task, Whitened):
            asked = "cross_modes" if self.cross_modes else "scheme='weak_2'"
            raise InputError(
                f"{asked} is for networks of modes on white inputs, and a "
                f"{type(network).__name__} on {type(task).__name__} was given; leave it out, or "
                "reduce the network with dlnlab.reduction.reduce."
            )

    def step(self, problem: Problem, params: Params, memory: Walk) -> tuple[Params, Walk]:
        move = self._weak_2 if self.scheme == "weak_2" else self._euler_maruyama
        return move(problem, params, memory), memory._replace(steps=memory.steps + 1)

    @property
    def spread(self) -> Scalar:
        """`√(η dt/B)`, by which the noise of one sample is multiplied in a step."""
        return jnp.sqrt(self.learning_rate * self.dt / self.batch_size)

    def _euler_maruyama(self, problem: Problem, params: Params, memory: Walk) -> Params:
        draw = batch_noise.Draw(memory.key, memory.steps, params)
        residual, pull = jax.vjp(problem.residual, params)
        drift = self.dt * self._force(problem, params, residual)
        if self.noise == "gradient":
            drift = drift + self.spread * batch_noise.cotangent(problem.task, residual, draw)
            return jax.tree.map(jnp.subtract, params, pull(drift)[0])
        (gradient,) = pull(drift)
        size = jnp.sqrt(batch_noise.trace(problem, params) / draw.parameters)
        kick = batch_noise.isotropic(params, draw)
        spread = (self.spread * size).astype(draw.dtype)
        return jax.tree.map(lambda w, g, n: w - g + spread * n, params, gradient, kick)

    def _force(self, problem: Problem, params: Params, residual: Array) -> Array:
        """What is pulled back to make `−θ̇`: the residual, less what other modes add in the mean."""
        if not self.cross_modes:
            return residual
        drift = cross_modes.force(problem.network, params, residual)
        return residual - self.learning_rate / self.batch_size * drift

    def _weak_2(self, problem: Problem, params: Params, memory: Walk) -> Params:
        """Kloeden and Platen 1992, (15.1.3), for noises each of which moves a mode of its own."""
        assert isinstance(problem.task, Whitened)
        task = problem.task
        draw = batch_noise.Draw(memory.key, memory.steps, params)
        normal = draw.normals(task.target.shape)
        root = jnp.sqrt(self.learning_rate / self.batch_size)

        def forces(params: Params) -> tuple[Params, Any]:
            residual, pull = jax.vjp(problem.residual, params)
            size = root * batch_noise.mode_spread(task, residual)
            return pull(-self._force(problem, params, residual))[0], lambda x: pull(size * x)[0]

        dt, wiener = self.dt, jnp.sqrt(self.dt) * normal
        drift, noise = forces(params)
        ahead = _plus(params, (dt, drift))
        kicked = noise(wiener)
        side = noise(jnp.sqrt(self.dt) * jnp.ones_like(normal))
        drift_ahead = forces(_plus(ahead, (1.0, kicked)))[0]
        above, below = (forces(_plus(ahead, (sign, side)))[1] for sign in (1.0, -1.0))
        # Of the increment ΔW: ΔW itself, and (ΔW² − dt)/√dt.
        second = jnp.sqrt(self.dt) * (normal**2 - 1)
        return _plus(
            params,
            (dt / 2, drift),
            (dt / 2, drift_ahead),
            (0.5, kicked),
            (0.25, above(wiener + second)),
            (0.25, below(wiener - second)),
        )


def _plus(params: Params, *moves: tuple[Any, Params]) -> Params:
    for factor, move in moves:
        params = jax.tree.map(lambda w, v: w + factor * v, params, move)  # noqa: B023
    return params


EXAMPLES = (
    Langevin(0.01, batch_size=4.0),
    Langevin(0.01, noise="isotropic"),
)
