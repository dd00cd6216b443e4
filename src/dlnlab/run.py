"""One point: a problem, a dynamics, where it starts, and its source of randomness."""

import equinox as eqx
import jax
import jax.numpy as jnp

from dlnlab.dynamics.base import Dynamics, Map
from dlnlab.errors import InputTypeError
from dlnlab.problem import Problem
from dlnlab.typing import Array, Key, Params


class Run(eqx.Module):
    """What is simulated, complete and immutable.

    **Arguments:** `key` is for the dynamics' own noise, split from that of the initialisation;
    dynamics without noise ignore it.
    """

    problem: Problem
    dynamics: Dynamics
    params: Params
    key: Key[Array, ""] | None = None

    def __check_init__(self) -> None:
        self.problem.network.check(self.params)

    @property
    def is_map(self) -> bool:
        """Whether the run moves in steps (else it flows in time)."""
        return isinstance(self.dynamics, Map)


def as_arrays(run: Run) -> Run:
    """The run with every leaf an array of the parameters' dtype where it is a real number."""
    if not isinstance(run, Run):
        raise InputTypeError(
            f"build returned {type(run).__name__} and a Run was needed; end it with "
            "`return Run(problem, dynamics, params)`."
        )
    dtype = jnp.result_type(*jax.tree.leaves(run.params))

    def convert(leaf: object) -> object:
        array = jnp.asarray(leaf)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(convert, run)
