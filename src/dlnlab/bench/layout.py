"""How many lanes should stand side by side: the rate of a few shapes at several sizes of tiles.

What `dlnlab.simulate.sizes` decides by shape was chosen from this table.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from unittest import mock

import numpy as np

from dlnlab.bench.workloads import ALL_STATISTICS, _matrices, _modes, _ours
from dlnlab.simulate import program
from dlnlab.simulate.sizes import tile_size
from dlnlab.typing import Any

TILES = (1, 16, 32, 64, 128)
LANES = 1024
MATRICES = (
    (2, 3, 1),
    (5, 3, 1),
    (5, 20, 1),
    (10, 3, 1),
    (10, 5, 2),
    (20, 3, 1),
    (30, 3, 1),
    (50, 3, 1),
)
_FLOPS, _LANE_STEPS = 2e9, 4e7


@dataclass(frozen=True)
class Cell:
    """A shape, and its rates in million lane-steps a second by the size of its tiles; `chosen` is
    the size that is used."""

    name: str
    chosen: int
    rates: dict[int, float]


def cells() -> Iterator[tuple[str, int, Callable[[], Any], float]]:
    """Name, chosen size, work and million lane-steps of each shape."""
    for depth, balanced in ((3, True), (20, True), (3, False), (20, False)):
        steps = int(_LANE_STEPS / LANES / (1 if balanced else depth))
        rates = tuple(np.linspace(0.01, 1.2, LANES).tolist())
        coords = {"learning_rate": rates, "depth": depth, "balanced": balanced}
        name = f"modes, L={depth}, {'balanced' if balanced else 'layers apart'}, all statistics"
        vector: tuple[int, ...] = (1,)
        layers = 2 if balanced else 2 * depth
        run = _ours(_modes, steps, ALL_STATISTICS, **coords)
        yield name, tile_size([vector] * layers), run, steps * LANES / 1e6
    for dimension, depth, pathways in MATRICES:
        lanes = LANES if dimension <= 20 else 64
        flops = 6 * dimension**3 * (depth - 1) * pathways
        steps = max(10, int(_FLOPS / flops / lanes))
        coords = {"dimension": dimension, "depth": depth, "pathways": pathways}
        run = _ours(_matrices, steps, (), **coords, seed=tuple(range(lanes)))
        layer: tuple[int, ...] = (dimension, dimension)
        name = f"matrices, d={dimension}, L={depth}, H={pathways}"
        yield name, tile_size([layer] * depth * pathways), run, steps * lanes / 1e6


def measure_layout(rounds: int) -> Iterator[Cell]:
    """Each shape at each size that it may have."""
    for name, chosen, run, work in cells():
        sizes = [size for size in TILES if sensible(size, chosen)]
        yield Cell(name, chosen, {size: work / _seconds(run, size, rounds) for size in sizes})


def sensible(size: int, chosen: int) -> bool:
    """Whether a size is near enough to the one that is used to be worth a measurement."""
    return max(size, chosen) <= 16 * min(size, chosen)


def _seconds(run: Callable[[], Any], size: int, rounds: int) -> float:
    program.compiled.cache_clear()
    with mock.patch.object(program, "tile_size", return_value=size):
        run()
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            run()
            found.append(time.perf_counter() - began)
    program.compiled.cache_clear()
    return float(np.median(found))


def markdown(cells: Iterable[Cell], command: str, machine: str) -> str:
    """The table; the size that is used stands in bold."""
    lines = [
        "# Lanes side by side",
        "",
        f"Made by `{command}` on {machine}: million lane-steps a second by the number of lanes in",
        "a tile, medians; in bold the number that the shape decides. A single run costs as much as",
        "one tile.",
        "",
        "| shape | " + " | ".join(f"{size} lanes" for size in TILES) + " |",
        "|---|" + "---:|" * len(TILES),
    ]
    for cell in cells:
        texts = (
            "–" if size not in cell.rates else _text(cell.rates[size], size == cell.chosen)
            for size in TILES
        )
        lines.append(f"| {cell.name} | " + " | ".join(texts) + " |")
    return "\n".join(lines) + "\n"


def _text(rate: float, chosen: bool) -> str:
    return f"**{rate:.3g}**" if chosen else f"{rate:.3g}"
