"""How long the steps of a map take, and what else holds for a stretch of them."""

import functools
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp

from dlnlab.typing import Array, Scalar


class Phase(eqx.Module):
    """A stretch of a run in which every step takes the same time: from step `start` on (from 0)."""

    start: int = eqx.field(static=True)
    rate: Scalar | float
    settings: dict[str, Scalar | float | int] = eqx.field(default_factory=dict)
    """What holds in this phase, such as a batch size: told beside the steps if phases change."""


def times(phases: Sequence[Phase], index: Array) -> Array:
    """The time after `index` steps: the sum of what each took.

    >>> float(times((Phase(0, 0.5), Phase(10, 0.1)), jnp.asarray(20)))
    6.0
    """
    if len(phases) == 1:
        return index * jnp.asarray(phases[0].rate)
    ends = [phase.start for phase in phases[1:]]
    taken = [jnp.clip(index - phase.start, 0) for phase in phases]
    inside = [jnp.minimum(t, e - p.start) for t, e, p in zip(taken, ends, phases, strict=False)]
    lengths = [t * jnp.asarray(p.rate) for t, p in zip((*inside, taken[-1]), phases, strict=True)]
    return functools.reduce(jnp.add, lengths)


def rate(phases: Sequence[Phase], index: Array) -> Array:
    """The time that step `index` takes, counted from 0.

    >>> float(rate((Phase(0, 0.5), Phase(10, 0.25)), jnp.asarray(10)))
    0.25
    """
    return held(phases, [phase.rate for phase in phases], index)


def held(phases: Sequence[Phase], values: Sequence[Scalar | float | int], index: Array) -> Array:
    """Which of the phases' values holds for step `index`, counted from 0."""
    found = jnp.asarray(values[0])
    for phase, value in zip(phases[1:], values[1:], strict=True):
        found = jnp.where(index >= phase.start, value, found)
    return found
