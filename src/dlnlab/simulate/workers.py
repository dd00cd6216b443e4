"""Threads that take tiles one after the other, and what the caller sees of them meanwhile."""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from dlnlab.typing import Any

Monitor = Callable[[float, float | None], None]
"""Called a few times a second with the finished fraction and the seconds left (or None)."""

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 0.7


class Job(Protocol):
    """Work in batches that do not wait for each other, with the finished share of each."""

    progress: np.ndarray[Any, Any]

    def batches(self) -> Iterable[int]:
        """The numbers of the batches."""

    def compute(self, batch: int, stopped: threading.Event) -> None:
        """Compute one, or what there is time for until `stopped` is set."""


class Interrupted(KeyboardInterrupt):
    """The computation was interrupted; `measured` holds all finished segments, marked so."""

    def __init__(self, measured: Any) -> None:
        super().__init__("interrupted")
        self.measured = measured


def default_threads() -> int:
    """The number of processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def execute(
    works: Sequence[Job], threads: int | None = None, monitor: Monitor | None = None
) -> None:
    """Compute all batches of all works; on an interrupt stop after the current segments.

    **Raises:** what a worker raised; `KeyboardInterrupt` within a second of the interrupt,
    with whatever had been recorded standing in the works.
    """
    # The first batch of each work before the second of any: works compile side by side.
    jobs = sorted(((work, batch) for work in works for batch in work.batches()), key=_batch)
    queue, lock = iter(jobs), threading.Lock()
    stopped, failures = threading.Event(), []

    def labour() -> None:
        while not stopped.is_set():
            with lock:
                job = next(queue, None)
            if job is None:
                return
            try:
                job[0].compute(job[1], stopped)
            except BaseException as failure:
                failures.append(failure)
                stopped.set()

    count = max(1, min(threads or default_threads(), len(jobs)))
    crew = [threading.Thread(target=labour, daemon=True) for _ in range(count)]
    try:
        # A second pool of BLAS threads inside each worker only makes factorisations wait for it.
        with threadpool_limits(1, user_api="blas"):
            for thread in crew:
                thread.start()
            _watch(crew, works, monitor)
    except KeyboardInterrupt:
        stopped.set()
        _join(crew, _GRACE_SECONDS)
        raise
    if failures:
        raise failures[0]


def _batch(job: tuple[Job, int]) -> int:
    return job[1]


def _watch(crew: list[threading.Thread], works: Sequence[Job], monitor: Monitor | None) -> None:
    began, tiles = time.perf_counter(), sum(len(work.progress) for work in works)
    for tick in itertools.count():
        # Short waits at first, so that a run of milliseconds is not held up by its watcher.
        crew[tick % len(crew)].join(min(_POLL_SECONDS, 0.002 * 2 ** min(tick, 6)))
        if not any(thread.is_alive() for thread in crew):
            return
        if monitor is not None:
            fraction = float(sum(work.progress.sum() for work in works)) / max(1, tiles)
            elapsed = time.perf_counter() - began
            monitor(fraction, elapsed * (1 - fraction) / fraction if fraction > 0 else None)


def _join(crew: list[threading.Thread], seconds: float) -> None:
    deadline = time.perf_counter() + seconds
    for thread in crew:
        thread.join(max(0.0, deadline - time.perf_counter()))
