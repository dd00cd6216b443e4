"""What is compiled for a tile of lanes: how it begins, and how it goes from moment to moment.

A tile's size follows from the shapes alone, and a single lane is padded to it, so that a lane's
bits depend on nothing but its own coordinates.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dlnlab.run import Run, as_arrays
from dlnlab.simulate import limits
from dlnlab.simulate.advance import advance_lanes, begin
from dlnlab.simulate.entries import Entrywise, apart, together
from dlnlab.simulate.lanes import at_lane, over_lanes, side_by_side
from dlnlab.simulate.moment import Moment, Statistics
from dlnlab.simulate.record import Observe, look
from dlnlab.simulate.sizes import operations, tile_size, tiles_at_once
from dlnlab.state import Lane
from dlnlab.typing import Any, Array, PyTree

_CHUNK_MOMENTS = 256
_CHUNK_BYTES = 1 << 25


@dataclass(frozen=True)
class Program:
    """What is compiled: equal programs on equal shapes share one executable.

    `source` makes a lane's run from its columns (the values in which lanes differ) and must be
    hashable; everything else is static.
    """

    source: Callable[[PyTree], Run]
    observe: Observe
    statistics: Statistics

    def run(self, columns: PyTree) -> Run:
        """A lane's run; traced once for each shape of the columns, wherever it is asked for."""
        made: Run = _traced(self.source)(columns)
        return made


@functools.lru_cache(maxsize=64)
def _traced(source: Callable[[PyTree], Run]) -> Callable[[PyTree], Run]:
    return jax.jit(lambda columns: as_arrays(source(columns)), inline=True)


class Shapes(NamedTuple):
    """What a program's shapes decide before anything is computed.

    `seen` is what is recorded of a lane at a moment, as a function of its run, the lane and the
    moment.
    """

    seen: Entrywise
    operations: float
    tile: int
    tiles: int
    chunk: int
    is_map: bool

    def cut(self, moments: int) -> "Shapes":
        """With the number of moments that a segment records at most."""
        fits = int(_CHUNK_BYTES // max(1, self.tiles * self.tile * self.row_bytes))
        return self._replace(chunk=max(1, min(_CHUNK_MOMENTS, moments, fits)))

    @property
    def row(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and dtype of all that is recorded of a lane at a moment, by name."""
        made: dict[str, jax.ShapeDtypeStruct] = self.seen.made
        return made

    @property
    def row_bytes(self) -> int:
        return sum(math.prod(s.shape) * s.dtype.itemsize for s in self.row.values())


def shapes(program: Program, columns: PyTree) -> Shapes:
    """The shapes of a program on one lane's columns; traces `build`, computes nothing."""
    leaves, structure = jax.tree.flatten(columns)
    return _shapes(program, structure, tuple((a.shape[1:], a.dtype) for a in leaves))


@functools.lru_cache(maxsize=64)
def _shapes(program: Program, structure: Any, leaves: tuple[tuple[Any, Any], ...]) -> Shapes:
    columns = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
    run = jax.eval_shape(program.run, columns)
    lane = jax.eval_shape(lambda c: begin(program.run(c), program.statistics), columns)
    moment = jax.ShapeDtypeStruct((), jnp.int64 if run.is_map else jnp.float64)
    scalars = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(lane))
    limits.check_state(8 * 6 * scalars)
    seen = functools.partial(look, observe=program.observe, statistics=program.statistics)
    sizes = [leaf.shape for leaf in jax.tree.leaves(run.params)]
    tiles = tiles_at_once(sizes) if run.is_map else 1
    tile = tile_size(sizes, run.is_map)
    looked = Entrywise(seen, run, lane, moment)
    return Shapes(looked, operations(run), tile, tiles, 1, run.is_map)


@functools.lru_cache(maxsize=64)
def compiled(
    program: Program, chunk: int, seen: Entrywise
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The jitted beginning of some tiles, and their jitted segment.

    The tiles are the first axis of everything; one is computed after the other, so that many short
    ones cost one call. All stand at the same moment, and those without a real lane are left out.
    """

    def start(columns: PyTree) -> Lane:
        last = jax.tree.map(lambda a: jnp.moveaxis(a, 0, -1), columns)
        lanes = over_lanes(lambda c: begin(program.run(c), program.statistics), -1)(last)
        # Weakly typed leaves would compile the first segment apart from all that follow.
        return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), lanes)

    def segment(
        plan: "Plan", columns: PyTree, horizon: Array, lanes: Lane, real: Array
    ) -> tuple[Array, Array, Lane, dict[str, Array]]:
        runs = side_by_side(program.run, columns)
        buffers = {
            name: jnp.zeros((*horizon.shape, chunk, *one.shape), one.dtype)
            for name, one in seen.made.items()
        }

        def going(carry: tuple[Any, ...]) -> Array:
            index, _, _, _, cut = carry
            return (index < plan.real) & ~cut & (real > 0)

        def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            index, position, lanes, buffers, _ = carry
            until = plan.until[index]
            moment = Moment(until, position, plan.stop, until)
            lanes, position, reached = advance_lanes(
                *runs, program.statistics, lanes, horizon, moment
            )
            buffers = jax.lax.cond(
                reached,
                lambda: _record(seen, *runs, lanes, until, index, real, buffers),
                lambda: buffers,
            )
            return index + reached, position, lanes, buffers, ~reached

        begun = (jnp.asarray(0), plan.position, lanes, buffers, jnp.asarray(False))
        index, position, lanes, buffers, _ = jax.lax.while_loop(going, body, begun)
        return index, position, lanes, buffers

    def segments(plan: "Plan", *tiles: PyTree) -> tuple[Array, Array, Lane, dict[str, Array]]:
        indices, positions, lanes, buffers = jax.lax.map(lambda t: segment(plan, *t), tiles)
        return indices[0], positions[0], lanes, buffers

    return (
        jax.jit(lambda columns: jax.lax.map(start, columns)),
        jax.jit(segments, compiler_options=_compiler_options()),
    )


_OPTIONS = {
    # Matrix products one by one, by the faster of XLA's libraries. By default it joins a chain of
    # them with what is made of it, which inside a loop is twenty times slower (jaxlib 0.10.2).
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    # As wide as the machine's registers are: half as fast again where they hold 512 bits.
    "xla_cpu_prefer_vector_width": 512,
}


@functools.cache
def _compiler_options() -> dict[str, Any]:
    """Those of the options above that this version of the compiler knows, for this device."""
    known = {}
    for name, value in _OPTIONS.items():
        try:
            jax.jit(lambda x: x, compiler_options={name: value}).lower(0.0).compile()
        except Exception:  # of another version, or for another device
            continue
        known[name] = value
    return known


class Plan(NamedTuple):
    """The next moments of a segment (`real`, then padding), where it stands and where it stops."""

    until: Any
    real: Any
    position: Any
    stop: Any


def _record(
    seen: Entrywise,
    runs: Run,
    axes: PyTree,
    lanes: Lane,
    until: Array,
    index: Array,
    real: Array,
    buffers: dict[str, Array],
) -> dict[str, Array]:
    """Look at the real lanes of a tile one after the other: padding is never looked at, and what
    a lane shows cannot depend on its neighbours. All at once where that is mere arithmetic."""
    if seen.possible:
        rows = together(seen(*apart((runs, lanes, until), (axes, -1, None))))
        return {k: b.at[:, index].set(jnp.moveaxis(rows[k], -1, 0)) for k, b in buffers.items()}

    def one(k: Array | int, buffers: dict[str, Array]) -> dict[str, Array]:
        run, lane = at_lane((runs, lanes), (axes, -1), k)
        row = seen.alone(run, lane, until)
        return {name: buffer.at[k, index].set(row[name]) for name, buffer in buffers.items()}

    size = jax.tree.leaves(lanes)[0].shape[-1]
    return one(0, buffers) if size == 1 else jax.lax.fori_loop(0, real, one, buffers)
