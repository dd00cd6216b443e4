"""How cost and memory grow with the size of the work: exponents with intervals, and cliffs."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from dlnlab.bench.measure import exponent
from dlnlab.bench.workloads import ALL_STATISTICS, LANES, _matrices, _modes, _ours
from dlnlab.typing import Any


@dataclass(frozen=True)
class Growth:
    """One axis along which work grows.

    **Arguments:** `prepare(size)` returns a function that does the work of that size, and how many
    units of it one call does (of what should cost the same at any size, were growth linear: the
    exponent is then that of the cost of all units at that size).
    """

    name: str
    axis: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], tuple[Callable[[], Any], float]]
    idle: Callable[[], Any] | None = None
    """The same with nothing to do: what it takes is no growth, and is taken off."""


@dataclass(frozen=True)
class Grown:
    """What was found: seconds for each size (medians over rounds), the exponent of their growth
    (median, least and largest over the rounds), the largest cost of a unit over the smallest, and
    the peak of memory that a process of its own needed for each size, in MiB, above an idle one."""

    name: str
    axis: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: tuple[float, float, float]
    cliff: float
    memory: tuple[float, ...]


def _sweep(steps: int, lanes: int, **coords: Any) -> Callable[[], Any]:
    rates = tuple(np.linspace(0.01, 1.2, lanes).tolist())
    return _ours(_modes, steps, ALL_STATISTICS, learning_rate=rates, **coords)


def _chains(steps: int, lanes: int, dimension: int, depth: int = 3) -> Callable[[], Any]:
    seeds = tuple(range(lanes)) if lanes > 1 else 0
    return _ours(_matrices, steps, (), dimension=dimension, depth=depth, seed=seeds)


def _by_steps(steps: int) -> tuple[Callable[[], Any], float]:
    return _sweep(steps, 1000), 1.0


def _by_lanes(lanes: int) -> tuple[Callable[[], Any], float]:
    steps = int(1e9 / lanes)
    return _sweep(steps, lanes), float(steps)


def _by_depth(depth: int) -> tuple[Callable[[], Any], float]:
    steps = int(2e5 / depth)
    return _sweep(steps, 128, depth=depth, balanced=False), float(steps)


def _by_width(width: int) -> tuple[Callable[[], Any], float]:
    steps = max(20, int(2e8 / width**3 / 64))
    return _chains(steps, 64, width), float(steps)


GROWTHS: Mapping[str, Growth] = {
    growth.axis: growth
    for growth in (
        Growth(
            "modes, L=3, all statistics, 1,000 lanes",
            "steps",
            (250_000, 500_000, 1_000_000, 2_000_000),
            _by_steps,
            _sweep(0, 1000),
        ),
        Growth("modes, L=3, all statistics, a step of all lanes", "lanes", LANES, _by_lanes),
        Growth(
            "modes, layers apart, all statistics, a step", "depth", (2, 4, 8, 16, 32), _by_depth
        ),
        Growth("matrices, L=3, 64 lanes, a step", "width", (4, 8, 16, 32, 64), _by_width),
    )
}


def grow(growth: Growth, rounds: int) -> Grown:
    """Time all sizes in turn, round after round."""
    ready = [growth.prepare(size) for size in growth.sizes]
    for run, _ in ready:
        run()
    idle = growth.idle or (lambda: None)
    idle()
    seconds = np.array([_round(ready, idle) for _ in range(rounds)])
    slopes = [exponent(growth.sizes, row)[0] for row in seconds]
    middle = np.median(seconds, axis=0)
    unit = middle / np.array(growth.sizes)
    return Grown(
        growth.name,
        growth.axis,
        growth.sizes,
        tuple(middle.tolist()),
        (float(np.median(slopes)), min(slopes), max(slopes)),
        float(unit.max() / unit.min()),
        tuple(_memory(growth.axis, size) for size in growth.sizes),
    )


def _round(ready: list[tuple[Callable[[], Any], float]], idle: Callable[[], Any]) -> list[float]:
    least = _seconds(idle)
    return [(_seconds(run) - least) / unit for run, unit in ready]


def _seconds(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


_PEAK = """
import sys
from dlnlab.bench.growth import GROWTHS

def peak():  # of this process alone, in KiB; what getrusage tells includes its parent's
    with open("/proc/self/status") as table:
        return next(int(line.split()[1]) for line in table if line.startswith("VmHWM"))

idle = peak()
run, _ = GROWTHS[sys.argv[1]].prepare(int(sys.argv[2]))
run()
print((peak() - idle) / 1024)
"""


def _memory(axis: str, size: int) -> float:
    """The peak of a fresh process above what it took before it computed; NaN where unknown."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, axis, str(size)],
        env={**os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout) if done.returncode == 0 else float("nan")


def markdown(found: Iterable[Grown]) -> str:
    """The table."""
    lines = [
        "## Growth",
        "",
        "Seconds are medians over rounds of the cell's unit (with steps, above those of a run of",
        "none). The exponent is that of a power law through them, with the least and the largest",
        "over the rounds; the cliff is the largest cost per unit of size over the smallest. Memory",
        "is the peak of a process of its own above an idle one, compiler included.",
        "",
        "| what | grows with | sizes | seconds | exponent | cliff | memory, MiB |",
        "|---|---|---|---|---:|---:|---|",
    ]
    for row in found:
        sizes, seconds, memory = (
            ", ".join(f"{value:{form}}" for value in values)
            for values, form in ((row.sizes, ",d"), (row.seconds, ".3g"), (row.memory, ".0f"))
        )
        slope = "{:.3f} ({:.3f} … {:.3f})".format(*row.exponent)
        lines.append(
            f"| {row.name} | {row.axis} | {sizes} | {seconds} | {slope} | {row.cliff:.2f} "
            f"| {memory} |"
        )
    return "\n".join(lines) + "\n"
