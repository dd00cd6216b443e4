"""Many lanes at once: padded tiles, cut into segments, in worker threads.

Segments of about half a second are called from Python; between them live progress, interrupts, and
what has been recorded so far.
"""

import math
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from dlnlab.simulate.clock import Clock
from dlnlab.simulate.program import Plan, Program, Shapes, compiled
from dlnlab.typing import Any, PyTree

SEGMENT_SECONDS = 0.4
_FIRST_BUDGET, _MOST_BUDGET = 16, 2**40
_LEAST_BATCHES = 8

Arrays = dict[str, np.ndarray[Any, Any]]


class Tiles(NamedTuple):
    """The columns, the horizons and the number of real lanes of the tiles of a batch."""

    columns: PyTree
    horizon: np.ndarray[Any, Any]
    real: np.ndarray[Any, Any]


class Work:
    """Lanes being computed: the arrays recorded so far, and what is still to do.

    Threads take batches of tiles one after the other. `arrays[name][lane, moment]` fills as
    segments finish; `finished` counts the moments of each lane that are complete.
    """

    def __init__(
        self,
        program: Program,
        columns: PyTree,
        moments: np.ndarray[Any, Any],
        horizon: np.ndarray[Any, Any],
        clock: Clock,
        shape: Shapes,
    ) -> None:
        self.program, self.columns, self.moments, self.horizon = program, columns, moments, horizon
        self.clock, self.shape = clock, shape
        self.lanes = len(horizon)
        self.arrays: Arrays = {
            name: np.full((self.lanes, len(moments), *s.shape), _missing(s.dtype), s.dtype)
            for name, s in shape.row.items()
        }
        self.finished = np.zeros(self.lanes, dtype=np.int64)
        tiles = -(-self.lanes // shape.tile)
        # Few tiles are spread over threads, many are computed as many at once as a call takes.
        self._batch = shape.tile * min(shape.tiles, max(1, tiles // _LEAST_BATCHES))
        self.progress = np.zeros(-(-self.lanes // self._batch))
        self._budget = _FIRST_BUDGET
        self._warm = threading.Lock()
        self._is_warm = False

    def batches(self) -> Iterator[int]:
        return iter(range(len(self.progress)))

    def compute(self, batch: int, stopped: threading.Event) -> None:
        """All segments of one batch of tiles, or those until `stopped` is set."""
        with jax.enable_x64(True):
            start, segment = compiled(self.program, self.shape.chunk, self.shape.seen)
            tiles = self._tiles(batch)
            self._warm_up(start, segment, tiles)
            if not stopped.is_set():
                self._segments(start, segment, batch, tiles, stopped)

    def _tiles(self, batch: int) -> Tiles:
        first, shape = batch * self._batch, (self.shape.tiles, self.shape.tile)
        lanes = first + np.arange(math.prod(shape)).reshape(shape)
        real = lanes < min(first + self._batch, self.lanes)
        take = np.minimum(lanes, self.lanes - 1)
        columns, horizon = jax.tree.map(lambda a: a[take], (self.columns, self.horizon))
        return Tiles(columns, horizon, real.sum(axis=1))

    def _warm_up(self, start: Any, segment: Any, tiles: Tiles) -> None:
        """Compile once, in whichever thread comes first, by a segment of no moments."""
        with self._warm:
            if not self._is_warm:
                plan = self._plan(0, 0, 0)._replace(real=np.int64(0))
                lanes = start(tiles.columns)
                jax.block_until_ready(
                    segment(plan, tiles.columns, tiles.horizon, lanes, tiles.real)
                )
                self._is_warm = True

    def _plan(self, index: int, position: int, budget: int) -> Plan:
        rest = self.moments[index : index + self.shape.chunk]
        until = np.concatenate([rest, np.repeat(rest[-1:], self.shape.chunk - len(rest))])
        return Plan(until, np.int64(len(rest)), np.int64(position), np.int64(position + budget))

    def _segments(
        self, start: Any, segment: Any, batch: int, tiles: Tiles, stopped: threading.Event
    ) -> None:
        columns, horizon, real = tiles
        lanes, index, position = start(columns), 0, 0
        mine = slice(batch * self._batch, batch * self._batch + int(real.sum()))
        while index < len(self.moments) and not stopped.is_set():
            began, budget = time.perf_counter(), self._budget
            plan = self._plan(index, position, budget)
            done, moved, lanes, buffers = segment(plan, columns, horizon, lanes, real)
            done, position = int(done), int(moved)
            for name, array in self.arrays.items():
                seen = np.asarray(buffers[name])
                rows = seen.reshape(-1, *seen.shape[2:])[: mine.stop - mine.start]
                array[mine, index : index + done] = rows[:, :done]
            index += done
            self.finished[mine] = index
            self.progress[batch] = self._fraction(index, position)
            seconds = time.perf_counter() - began
            faster = min(8.0, max(0.1, SEGMENT_SECONDS / seconds))
            # What one batch has learnt serves the next: where one is cut changes no bit of it.
            self._budget = min(_MOST_BUDGET, max(1, int(budget * faster)))

    def _fraction(self, index: int, position: int) -> float:
        if self.shape.is_map and self.moments[-1] > 0:
            return float(position / self.moments[-1])
        return index / len(self.moments)


def _missing(dtype: Any) -> Any:
    return np.nan if np.issubdtype(dtype, np.floating) else -1
