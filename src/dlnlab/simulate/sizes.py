"""What the shapes of a run decide: how many lanes stand side by side, how much work a step is."""

import math
from collections.abc import Sequence

from dlnlab.networks.products import SMALL
from dlnlab.run import Run
from dlnlab.tasks import Samples


def tile_size(params: Sequence[tuple[int, ...]], is_map: bool = True) -> int:
    """How many lanes are computed side by side, a power of 2, from the shapes of the parameters.

    Measured on two cores with 1 MiB of cache each (`make bench`). Vectors and small matrices go
    along the lanes: many of them fill the machine, as long as the tile stays in the cache; for
    larger matrices one lane fills it. A single run is padded to a tile, so none is larger than
    what costs about as much as one lane alone.
    """
    vectors = all(len(shape) == 1 for shape in params)
    if not is_map and not vectors:
        return 1  # Each flow takes steps of its own length, and would wait for the slowest.
    if vectors:
        most, scalars = 128, 1 << 12
    elif max(size for shape in params for size in shape) <= SMALL:
        total = sum(map(math.prod, params))
        most, scalars = (64 if total <= 32 else 32 if total <= 256 else 16), 1 << 18
    else:
        most, scalars = 64, 1 << 12
    fits = max(1, scalars // sum(map(math.prod, params)))
    return int(min(most, 1 << (fits.bit_length() - 1)))


def tiles_at_once(params: Sequence[tuple[int, ...]]) -> int:
    """How many tiles one call computes at most: many of a few vectors, which are soon done."""
    return 16 if all(len(shape) == 1 for shape in params) and tile_size(params) > 1 else 1


def operations(run: Run) -> float:
    """Floating-point operations of one gradient, to an order of magnitude: three products of each
    layer with its neighbour (or with the samples), forwards and backwards."""
    layers = [leaf.shape for pathway in run.params for leaf in pathway]
    samples = len(run.problem.task.inputs) if isinstance(run.problem.task, Samples) else 0
    return float(
        sum(
            6 * math.prod(shape) * (samples or (shape[-1] if len(shape) > 1 else 1))
            for shape in layers
        )
    )
