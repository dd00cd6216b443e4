"""What a statistic is: a measurement that needs more than one state."""

import abc
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from dlnlab.problem import Problem
from dlnlab.state import Step
from dlnlab.typing import Any, Array, Params


@dataclass(frozen=True)
class Statistic(abc.ABC):
    """A triple of pure functions: `init`, `update` at every step, `read` at any recorded one.

    A statistic's fields are its plain, hashable parameters (equal ones share a compiled program);
    what changes is in the memory that the functions hand on, a pytree of fixed shapes.
    """

    dims: ClassVar[tuple[str, ...]] = ()
    flags: ClassVar[tuple[str, ...]] = ()
    """For a statistic that is a category: the meanings of 0, 1, 2, …"""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The name of the variable in the results."""

    @abc.abstractmethod
    def init(self, problem: Problem, params: Params) -> Any:
        """The memory before the first step."""

    @abc.abstractmethod
    def update(self, problem: Problem, memory: Any, step: Step) -> Any:
        """The memory after one more step."""

    @abc.abstractmethod
    def read(self, problem: Problem, memory: Any, params: Params, status: Array) -> Any:
        """The value so far: an array, or a NamedTuple of arrays as for an observable.

        `params` are those of the moment: what follows from them need not be remembered.
        """


def like(params: Params) -> jnp.dtype:
    """The floating dtype of the parameters, for the memories of statistics."""
    return jax.tree.leaves(params)[0].dtype
