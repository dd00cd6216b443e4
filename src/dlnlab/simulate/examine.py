"""What is found of the starts of a sweep in NumPy, a start for each thread at a time."""

import threading
from collections.abc import Callable, Iterator

import jax
import numpy as np
import xarray as xr

from dlnlab.run import Run
from dlnlab.schema import Grid
from dlnlab.simulate.workers import Monitor, execute


class Examination:
    """Work for `execute`: each point of a sweep is a batch of its own."""

    def __init__(
        self, build: Callable[..., Run], examine: Callable[[Run], xr.Dataset], points: Grid
    ) -> None:
        self._build, self._examine, self._points = build, examine, points
        self.found: dict[int, xr.Dataset] = {}
        self.progress = np.zeros(points.size)

    def batches(self) -> Iterator[int]:
        return iter(range(self._points.size))

    def compute(self, batch: int, stopped: threading.Event) -> None:
        with jax.enable_x64(True):  # of which each thread has its own
            self.found[batch] = self._examine(self._build(**self._points.point(batch)))
        self.progress[batch] = 1.0


def examined(
    build: Callable[..., Run],
    examine: Callable[[Run], xr.Dataset],
    points: Grid,
    threads: int | None = None,
    monitor: Monitor | None = None,
) -> xr.Dataset:
    """What is found of every start, over the axes of the sweep."""
    work = Examination(build, examine, points)
    execute([work], threads, monitor)
    found = [work.found[index] for index in range(points.size)]
    return xr.Dataset(
        {
            name: (
                (*points.axes, *one.dims),
                np.stack([each[name].values for each in found]).reshape(points.shape + one.shape),
                one.attrs,
            )
            for name, one in found[0].data_vars.items()
        }
    )
