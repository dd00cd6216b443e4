"""Gradient descent on mini-batches."""

from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.dynamics.base import Map, require_key, require_whole
from dlnlab.dynamics.phases import Phase
from dlnlab.errors import InputError
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Task, Whitened, teacher_samples
from dlnlab.typing import Array, Float, Int, Key, Params, Scalar

Replacement = Literal["epochs", "with"]


class Noise(NamedTuple):
    """The raw bits of the run's key, the number of steps taken, and the velocity."""

    key: Array
    steps: Int[Array, ""]
    velocity: Params | tuple[()]


class StochasticGradientDescent(Map):
    """`θ⁺ = θ − ηv⁺`, `v⁺ = βv + ∇ℓ_B(θ)`: descent on the loss of a batch drawn at each step.

    On samples a batch is `batch_size` of them: in epochs, a fresh random order each, of which an
    incomplete last batch is dropped, or each drawn with replacement. On a whitened task a batch is
    fresh: x of the task's law of inputs, `y = Mx + ξ` (online). The loss is half the mean squared
    error over the batch, so that its mean gradient is that of the task.

    **Arguments:** `learning_rate` is η > 0, `batch_size` B, a whole number, `momentum` is β between
    −1 and 1 (0 keeps no velocity), `replacement` is `"epochs"` or `"with"`.

    **Raises:** `InputError` for arguments that are none of these, and where the run has no key, or
    a batch is larger than the sample that it is taken from in epochs.
    """

    learning_rate: Scalar | float
    batch_size: int = eqx.field(static=True, default=1)
    momentum: float = eqx.field(static=True, default=0.0)
    replacement: Replacement = eqx.field(static=True, default="epochs")

    def __check_init__(self) -> None:
        require_whole("batch_size", self.batch_size, 1)
        if not -1 < self.momentum < 1:
            raise InputError(
                f"momentum must lie between -1 and 1, and {self.momentum:g} was given; at 1 and "
                "beyond velocities never decay: lower it."
            )

    @property
    def phases(self) -> tuple[Phase, ...]:
        told = {"learning_rate": self.learning_rate, "batch_size": self.batch_size}
        return (Phase(0, self.learning_rate, told),)

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> Noise:
        key = require_key(key)
        count = len(problem.task.inputs) if isinstance(problem.task, Samples) else np.inf
        if self.replacement == "epochs" and self.batch_size > count:
            raise InputError(
                f"a batch of {self.batch_size} does not fit into a sample of {count}; lower "
                "batch_size, or pass replacement='with'."
            )
        velocity = jax.tree.map(jnp.zeros_like, params) if self.momentum else ()
        return Noise(jax.random.key_data(key), jnp.asarray(0), velocity)

    def step(self, problem: Problem, params: Params, memory: Noise) -> tuple[Params, Noise]:
        gradient = self.batch(problem, memory).gradient(params)
        velocity = memory.velocity
        if self.momentum:
            velocity = jax.tree.map(lambda v, g: self.momentum * v + g, velocity, gradient)
        move = velocity if self.momentum else gradient
        after = jax.tree.map(lambda w, v: w - self.learning_rate * v, params, move)
        return after, Noise(memory.key, memory.steps + 1, velocity)

    def batch(self, problem: Problem, memory: Noise) -> Problem:
        """The problem of the next batch alone."""
        key, task = jax.random.wrap_key_data(memory.key), problem.task
        if isinstance(task, Samples):
            return Problem(problem.network, task.take(self._rows(key, memory.steps, task)))
        return Problem(problem.network, _fresh(jax.random.fold_in(key, memory.steps), task, self))

    def _rows(self, key: Key[Array, ""], steps: Array, task: Samples) -> Int[Array, " batch"]:
        count = len(task.inputs)
        if self.replacement == "with":
            drawn = jax.random.fold_in(key, steps)
            return jax.random.randint(drawn, (self.batch_size,), 0, count)
        batches = count // self.batch_size
        order = jax.random.permutation(jax.random.fold_in(key, steps // batches), count)
        return jax.lax.dynamic_slice(
            order, (steps % batches * self.batch_size,), (self.batch_size,)
        )


def _fresh(key: Key[Array, ""], task: Task, dynamics: StochasticGradientDescent) -> Samples:
    if not isinstance(task, Whitened):
        raise InputError(
            f"a batch is drawn from samples or a white target, and a {type(task).__name__} task "
            "was given; take GradientDescent, or pass Samples."
        )
    if task.left is None or task.right is None:
        raise InputError(
            "a batch of fresh samples mixes modes, and the network is one of modes; simulate the "
            "matrices themselves."
        )
    made: Float[Array, ...] = jnp.asarray(task.target)
    return teacher_samples(
        key,
        made,
        dynamics.batch_size,
        task.label_noise,
        basis=(task.left, task.right),
        law=task.inputs,
    )


EXAMPLES = (
    StochasticGradientDescent(0.01, batch_size=4),
    StochasticGradientDescent(0.01, batch_size=2, momentum=0.9),
)
