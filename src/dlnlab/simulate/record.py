"""The pure core: one run, from its start through all recorded moments."""

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.observables.base import Observable
from dlnlab.run import Run, as_arrays
from dlnlab.simulate.advance import advance, begin, present
from dlnlab.simulate.moment import Moment, Statistics
from dlnlab.state import Lane, Status
from dlnlab.typing import Any, Array, PyTree

Observe = tuple[Observable, ...]


def record(
    run: Run, moments: np.ndarray[Any, Any], observe: Observe = (), statistics: Statistics = ()
) -> PyTree:
    """The observables and statistics of a run at its recorded moments, a pure function.

    It can be jitted, vmapped and differentiated like any other, and keeps the dtype of the run's
    parameters; `simulate` is the same with tiles, progress, interrupts and labels.

    **Arguments:** `moments` are ascending steps (of a map) or times (of a flow), concrete numbers;
    `dlnlab.schedule` makes them.

    **Returns:** a dict from names to arrays whose first axis is the moment; see `look`.

    >>> from dlnlab.dynamics import GradientDescent
    >>> from dlnlab.networks import Modes
    >>> from dlnlab.observables import loss
    >>> from dlnlab.problem import Problem
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(Modes((1,), 1), Whitened(jnp.array([1.0])))
    >>> run = Run(problem, GradientDescent(0.5), ((jnp.array([0.0]),),))
    >>> record(run, np.array([0, 1, 2]), observe=(loss,))["loss"].tolist()
    [0.5, 0.125, 0.03125]
    """
    run = as_arrays(run)
    times = jnp.asarray(moments)
    limit = jnp.asarray(2**31 - 1)  # of steps, whatever the width of integers

    def to(carry: tuple[Lane, Array], until: Array) -> tuple[tuple[Lane, Array], PyTree]:
        lane, position, _ = advance(
            run, statistics, carry[0], Moment(until, carry[1], limit, times[-1])
        )
        return (lane, position), look(run, lane, until, observe, statistics)

    start = (begin(run, statistics), jnp.asarray(0))
    return jax.lax.scan(to, start, times)[1]


def look(
    run: Run, lane: Lane, moment: Array, observe: Observe, statistics: Statistics
) -> dict[str, Array]:
    """What is recorded of a lane at one moment, by name.

    A lane that has diverged shows NaN for every observable, one whose solver's steps are used up
    for every later moment, and no factorisation sees anything that is not finite.
    """
    params = present(run, lane, moment)
    finite = (lane.status != Status.DIVERGED) & jnp.isfinite(run.problem.loss(params))
    known = ~((lane.status == Status.EXHAUSTED) & (moment > lane.time))

    # In place of what is not finite, observables are shown a network of zeros, and nobody else is.
    shown = jax.tree.map(lambda leaf: jnp.where(finite, leaf, jnp.zeros_like(leaf)), params)
    named = [fields(o.name, o(run.problem, shown)) for o in observe]
    seen = {
        name: jnp.where(finite & known, value, jnp.full_like(value, jnp.nan))
        for part in named
        for name, value in part.items()
    }
    status = jnp.where(finite, lane.status, Status.DIVERGED)
    for statistic, memory in zip(statistics, lane.statistics, strict=True):
        seen.update(fields(statistic.name, statistic.read(run.problem, memory, params, status)))
    return {"status": status.astype(jnp.int8), **seen}


def fields(name: str, value: Any) -> dict[str, Array]:
    """The arrays of a value by name: a NamedTuple's field `value` bears the name itself."""
    if not hasattr(value, "_asdict"):
        return {name: jnp.asarray(value)}
    return {
        name if field == "value" else f"{name}_{field}": jnp.asarray(array)
        for field, array in value._asdict().items()
    }
