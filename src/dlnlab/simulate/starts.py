"""Flows that cannot begin, and flows that could not end: each said in one sentence."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.errors import InputError
from dlnlab.run import Run
from dlnlab.simulate.program import Program
from dlnlab.state import Status
from dlnlab.typing import Any, Array, PyTree


def is_critical(run: Run) -> Array:
    """Whether the gradient is exactly zero at the start, and the loss is not."""
    gradient = jax.tree.leaves(run.problem.gradient(run.params))
    still = jnp.stack([jnp.all(leaf == 0) for leaf in gradient]).all()
    return still & (run.problem.loss(run.params) > 0)


def check_starts(programs: Sequence[Program], columns: Sequence[PyTree]) -> None:
    """Refuse a flow that would stay where it starts for ever."""
    for program, values in zip(programs, columns, strict=True):
        critical = np.asarray(_critical(program)(values))
        if critical.any():
            raise InputError(critical_start(int(critical.sum()), len(critical)))


def critical_start(count: int = 1, of: int = 1) -> str:
    """The sentence that says so."""
    runs = "the run starts" if of == 1 else f"{count:,} of {of:,} runs start"
    return (
        f"{runs} at a critical point, where the gradient is exactly zero and the loss is not, and "
        "would stay there for ever; start at a scale above zero, 1e-6 say, or grow from zero by "
        "dlnlab.dynamics.GreedyGrowth."
    )


def stands_still(run: Run) -> bool:
    """Whether descent begins at a critical point and its first step leaves it there.

    Pathways that have not two layers of zeros (nor one that all share) are not looked at: their
    gradient vanishes at minima only, or by chance.
    """
    zeros = [sum(not np.any(leaf) for leaf in pathway) for pathway in run.params]
    layers = [min(2, len(pathway)) for pathway in run.params]
    if any(zero < least for zero, least in zip(zeros, layers, strict=True)):
        return False
    if not run.is_map:
        return bool(is_critical(run))
    memory = run.dynamics.init(run.problem, run.params, run.key)  # type: ignore[union-attr]
    after = run.dynamics.step(run.problem, run.params, memory)[0]  # type: ignore[union-attr]
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(run.params), strict=True)
    return bool(is_critical(run)) and all(bool((a == b).all()) for a, b in pairs)


@functools.lru_cache(maxsize=64)
def _critical(program: Program) -> Callable[[PyTree], Any]:
    # Lane after lane: what `build` factorises must not be factorised in a batch.
    return jax.jit(lambda lanes: jax.lax.map(lambda c: is_critical(program.run(c)), lanes))


def told_exhausted(measured: xr.Dataset) -> xr.Dataset:
    """The Dataset with a sentence on the runs whose solver used up its steps, if there are any."""
    count = int((measured.status == Status.EXHAUSTED).sum())
    if not count or "time" not in measured.dims:
        return measured
    reached = _reached(measured)
    whole = float(measured.time[-1])
    runs = "the run" if measured.status.size == 1 else f"{count:,} of {measured.status.size:,} runs"
    return measured.assign_attrs(
        exhausted=(
            f"{runs} used up the steps that a flow's solver may take before time {whole:.6g}"
            f"{reached}; learned modes limit a step to about 6/λ_max, so that a plateau that lasts "
            "T costs T λ_max/6 steps, and from layers of size α at depth L ≥ 3 it lasts about "
            "1/α^{L−2}: start larger, take fewer layers or modes (dlnlab.reduce), or raise "
            "GradientFlow(most_steps=…)."
        )
    )


def _reached(measured: xr.Dataset) -> str:
    """The last moment that was reached by all, from what is recorded."""
    over = [v for v in measured.data_vars.values() if "time" in v.dims and v.dtype.kind == "f"]
    if not over:
        return ""
    shown = over[0].notnull()
    shown = shown.any([d for d in shown.dims if d not in measured.status.dims and d != "time"])
    last = measured.time.where(shown).max("time").where(measured.status == Status.EXHAUSTED)
    return f" and ended at {float(last.min()):.6g}" if last.notnull().any() else ""


__all__ = ["check_starts", "critical_start", "is_critical", "stands_still", "told_exhausted"]
