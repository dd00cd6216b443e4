"""The Hessians of the curvature benchmark: one network at four states, and the judge of answers."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.networks import chain
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Array

TOLERANCE = 1e-6
"""Of all contenders: the relative residual, where they ask for one."""

TRACKED_STEPS = 400


class Found(NamedTuple):
    """An answer: the eigenvalue, its error against the dense one, the residual of the eigenvector
    (each relative to ‖H‖), and the products with a vector that it took."""

    value: float
    error: float
    residual: float
    products: float

    def __str__(self) -> str:
        return (
            f"{self.value:.7g}, error {self.error:.0e}, residual {self.residual:.0e}, "
            f"{self.products:.3g} products"
        )


class Bench(NamedTuple):
    """A network at one state, as a vector of parameters."""

    problem: Problem
    flat: Array
    depth: int
    unravel: Callable[[Array], Any]

    def product(self, flat: Array, vector: Array) -> Array:
        return ravel_pytree(self.problem.hessian_vector(self.unravel(flat), self.unravel(vector)))[
            0
        ]

    def judged(self, value: float, vector: Any, products: float) -> Found:
        with jax.enable_x64(True):
            size, dtype = self.flat.size, self.flat.dtype
            whole = np.asarray(linalg.dense(lambda v: self.product(self.flat, v), size, dtype))
        spectrum = np.linalg.eigvalsh(whole)
        norm = np.abs(spectrum).max()
        unit = np.asarray(vector) / np.linalg.norm(vector)
        residual = np.linalg.norm(whole @ unit - value * unit) / norm
        return Found(value, abs(value - spectrum[-1]) / norm, float(residual), products)


Answer: TypeAlias = tuple[float, Any, float]
"""An eigenvalue, its eigenvector and the products."""


# --- where ------------------------------------------------------------------------------------


def sharpening(dimension: int, depth: int) -> Bench:
    """In mid-training, while the sharpness rises."""
    return _at(dimension, depth, _near_identity(dimension, depth), 0.01, 30)


def minimum(dimension: int, depth: int) -> Bench:
    """Where gradient descent has converged."""
    return _at(dimension, depth, _near_identity(dimension, depth), 0.02, 40_000)


def two_cycle(dimension: int, depth: int) -> Bench:
    """On the orbit of period 2, at 1.1 times the edge of the strongest mode."""
    edge = 2 / (depth * 2.0 ** (2 - 2 / depth))
    return _at(dimension, depth, [0.5 * np.eye(dimension)] * depth, 1.1 * edge, 4_001)


def saddle(dimension: int, depth: int) -> Bench:
    """Where the weakest mode alone has been learned: as far up as down."""
    weak = np.zeros((dimension, dimension))
    weak[-1, -1] = 0.5 ** (1 / depth)
    return _at(dimension, depth, [weak] * depth, 0.0, 0)


STATES = {
    "a saddle": saddle,
    "sharpening": sharpening,
    "a minimum": minimum,
    "the 2-cycle": two_cycle,
}


def _near_identity(dimension: int, depth: int) -> list[Any]:
    rng = np.random.default_rng(0)
    shape = (dimension, dimension)
    noise = 0.05 / dimension**0.5
    return [0.5 * np.eye(dimension) + noise * rng.normal(size=shape) for _ in range(depth)]


def _at(dimension: int, depth: int, start: Any, rate: float, steps: int) -> Bench:
    with jax.enable_x64(True):
        target = jnp.diag(jnp.linspace(2, 0.5, dimension))
        problem = Problem(chain((dimension,) * (depth + 1)), Whitened(target))
        flat, unravel = ravel_pytree((tuple(jnp.asarray(w) for w in start),))
        bench = Bench(problem, flat, depth, unravel)
        if steps:
            flat = jax.jit(lambda f: descended(bench, f, rate, steps))(flat)
        return bench._replace(flat=flat)


def descended(bench: Bench, flat: Array, rate: float, steps: int) -> Array:
    """The parameters after so many steps of gradient descent."""
    return jax.lax.fori_loop(0, steps, lambda _, f: step(bench, f, rate), flat)


def step(bench: Bench, flat: Array, rate: float) -> Array:
    """The parameters after one step of gradient descent."""
    return flat - rate * ravel_pytree(bench.problem.gradient(bench.unravel(flat)))[0]
