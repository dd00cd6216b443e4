"""How long the steps of a map take, and what else holds for a stretch of them."""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from dlnlab.typing import Array, Scalar


class Phase(eqx.Module):
    """A stretch of a run in which every step takes the same time: from step `start` on (from 0)."""

    start: int = eqx.field(static=True)
    rate: Scalar | float
    settings: dict[str, Scalar | float | int] = eqx.field(default_factory=dict)
    """What holds in this phase and is told beside its steps, such as a batch size."""


def times(phases: Sequence[Phase], index: Array) -> Array:
    """The time after `index` steps: the sum of what each took.

    >>> float(times((Phase(0, 0.5), Phase(10, 0.1)), jnp.asarray(20)))
    6.0
    """
    if len(phases) == 1:
        return index * jnp.asarray(phases[0].rate)
    starts = [phase.start for phase in phases] + [np.iinfo(np.int32).max]
    lengths = [
        jnp.clip(index - start, 0, end - start) * jnp.asarray(phase.rate)
        for phase, start, end in zip(phases, starts, starts[1:], strict=False)
    ]
    return jnp.sum(jnp.stack(lengths), axis=0)


def rate(phases: Sequence[Phase], index: Array) -> Array:
    """The time that step `index` takes, counted from 0.

    >>> float(rate((Phase(0, 0.5), Phase(10, 0.25)), jnp.asarray(10)))
    0.25
    """
    found = jnp.asarray(phases[0].rate)
    for phase in phases[1:]:
        found = jnp.where(index >= phase.start, phase.rate, found)
    return found
