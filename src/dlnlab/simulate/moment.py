"""Where a loop over steps pauses, and what loops over maps and flows share."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.run import Run
from dlnlab.state import Lane, Step
from dlnlab.statistics.base import Statistic
from dlnlab.typing import Any, Array, Int

Statistics = tuple[Statistic, ...]


class Moment(NamedTuple):
    """Where a loop is to pause: a recorded step (map) or time (flow), and when to stop at latest.

    `position` counts steps (of a map) or attempted steps (of a flow), `stop` bounds it, and
    `horizon` is the lane's last step or time.
    """

    until: Array
    position: Int[Array, ""]
    stop: Int[Array, ""]
    horizon: Array


def updated(run: Run, statistics: Statistics, lane: Lane, step: Step) -> tuple[Any, ...]:
    """The memories of all statistics after one more step."""
    pairs = zip(statistics, lane.statistics, strict=True)
    return tuple(s.update(run.problem, memory, step) for s, memory in pairs)


def choose(condition: Array, yes: Any, no: Any) -> Any:
    """One tree or the other, leaf by leaf, in the dtypes of the second."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b).astype(jnp.result_type(b)), yes, no)
