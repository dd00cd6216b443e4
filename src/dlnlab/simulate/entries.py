"""Few numbers in many lanes: every entry of every array is a vector along the lanes of its own.

`jax.vmap` leaves an array of a few numbers in one piece. Loops over arrays of different shapes
are never joined, and each pass over the lanes costs more than its arithmetic. Here a function of
one lane is taken apart into operations on single numbers, so that all of them have one shape,
`[lane]`, and the compiler joins them. What is computed stays the same function, traced from the
same source; only functions made of the operations below can be taken apart, and not too long ones.
"""

import functools
import math
import os
from collections.abc import Callable, Sequence
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters import partial_eval

from dlnlab.simulate.lanes import by_axis
from dlnlab.typing import Any, Array, PyTree

MOST_OPERATIONS = 4096
"""Functions of more operations on single numbers take the compiler longer than they gain."""

_NAMES = """
abs add add_any and atan2 ceil clamp convert_element_type copy cos div eq erf exp expm1 floor ge gt
integer_pow is_finite le log log1p logistic lt max min mul ne neg not or pow rem round rsqrt
select_n sign sin sqrt square sub tanh xor
"""
_ELEMENTWISE = frozenset(_NAMES.split())
_REDUCTIONS = {
    "reduce_and": jax.lax.bitwise_and,
    "reduce_max": jax.lax.max,
    "reduce_min": jax.lax.min,
    "reduce_or": jax.lax.bitwise_or,
    "reduce_prod": jax.lax.mul,
    "reduce_sum": jax.lax.add,
}
_WIDEST_DOT = 2
"""Larger matrices are faster in one piece."""

_INLINED = {"jit": "jaxpr", "pjit": "jaxpr", "custom_jvp_call": "call_jaxpr"}

Grid = np.ndarray[Any, Any]


@jax.tree_util.register_pytree_node_class
class Entries:
    """An array `[…, lane]` as a grid of vectors `[lane]`."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    @classmethod
    def of(cls, array: Array) -> Self:
        return cls(_grid(lambda index: array[index], array.shape[:-1]))

    def joined(self) -> Array:
        return jnp.stack(list(self.grid.flat)).reshape(*self.grid.shape, -1)

    def tree_flatten(self) -> tuple[list[Array], tuple[int, ...]]:
        return list(self.grid.flat), self.grid.shape

    @classmethod
    def tree_unflatten(cls, shape: tuple[int, ...], vectors: Sequence[Any]) -> Self:
        vectors = iter(vectors)  # type: ignore[assignment]
        return cls(_grid(lambda _: next(vectors), shape))  # type: ignore[call-overload]


def apart(tree: PyTree, axes: PyTree = -1) -> PyTree:
    """The same tree with every array `[…, lane]` taken apart.

    **Arguments:** `axes` as the `in_axes` of `jax.vmap`: -1, or None for what all lanes share.
    """
    return by_axis(lambda leaf, axis: leaf if axis is None else Entries.of(leaf), tree, axes)


def together(tree: PyTree) -> PyTree:
    """The inverse of `apart`."""
    return jax.tree.map(Entries.joined, tree, is_leaf=lambda leaf: isinstance(leaf, Entries))


class Entrywise:
    """A function of one lane's arrays that can be called on lanes taken apart.

    **Arguments:** `function` and the shapes of its arguments, of one lane each.

    >>> lanes = apart(jnp.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> norm = Entrywise(lambda v: jnp.sqrt(jnp.sum(v**2)), jax.ShapeDtypeStruct((2,), "float32"))
    >>> norm.possible
    True
    >>> [f"{value:.3f}" for value in together(norm(lanes))]
    ['3.162', '4.472']
    """

    def __init__(self, function: Callable[..., PyTree], *shapes: PyTree) -> None:
        # Compiled by itself it is traced once, and what calls it refers to what was traced.
        self._function = jax.jit(function)
        strong = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype), shapes)
        traced = self._function.trace(*strong)
        closed: ClosedJaxpr = traced.jaxpr
        wanted = [True] * len(closed.jaxpr.outvars)
        # What is traced but never used, such as how a start is drawn, needs no rule.
        jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, wanted, instantiate=True)
        self._closed, self.made = ClosedJaxpr(jaxpr, closed.consts), traced.out_info
        """Shapes and dtypes of what the function makes of one lane."""

    @property
    def possible(self) -> bool:
        """Whether every operation has a rule, they are few enough, and the compiler joins them."""
        joins = "xla_cpu_use_multi_output_fusion" in os.environ.get("XLA_FLAGS", "")
        jaxpr = self._closed.jaxpr
        whole = all(math.prod(v.aval.shape) for v in (*jaxpr.invars, *jaxpr.outvars))
        return joins and whole and _operations(jaxpr) <= MOST_OPERATIONS

    def alone(self, *arguments: PyTree) -> PyTree:
        """The function on the arrays of one lane, without tracing it again."""
        made: PyTree = self._function(*arguments)
        return made

    def __call__(self, *arguments: PyTree) -> PyTree:
        """The function on arguments taken apart; arrays among them are shared by all lanes."""
        is_entries = lambda leaf: isinstance(leaf, Entries)  # noqa: E731
        leaves = jax.tree.leaves(arguments, is_leaf=is_entries)
        lanes = next(len(leaf.grid.flat[0]) for leaf in leaves if is_entries(leaf))
        inputs = [leaf.grid if is_entries(leaf) else leaf for leaf in leaves]
        outputs = _evaluate(self._closed.jaxpr, self._closed.consts, inputs)
        dtypes = [leaf.dtype for leaf in jax.tree.leaves(self.made)]
        vectors = [
            Entries(_map(functools.partial(_vector, lanes=lanes, dtype=dtype), _entries(value)))
            for value, dtype in zip(outputs, dtypes, strict=True)
        ]
        return jax.tree.unflatten(jax.tree.structure(self.made), vectors)


def _operations(jaxpr: Jaxpr) -> float:
    """How many operations on single numbers, infinitely many where one has no rule."""
    count = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if not all(map(math.prod, _shapes(equation))):
            return math.inf  # Of no entries at all there is no first one.
        if name in _INLINED:
            count += _operations(_inner(equation).jaxpr)
        elif name == "cond":
            count += sum(_operations(branch.jaxpr) for branch in equation.params["branches"])
        elif name == "scan":
            count += equation.params["length"] * _operations(equation.params["jaxpr"].jaxpr)
        elif name == "small_dot" and max(map(max, _shapes(equation))) > _WIDEST_DOT:
            return math.inf
        elif name in _ELEMENTWISE or name in _REDUCTIONS or name in _RULES or name == "unstack":
            count += max(map(math.prod, _shapes(equation)))
        elif any(not isinstance(v, Literal) for v in equation.invars):
            return math.inf
    return count


def _shapes(equation: Any) -> list[tuple[int, ...]]:
    return [variable.aval.shape for variable in (*equation.invars, *equation.outvars)]


def _inner(equation: Any) -> ClosedJaxpr:
    return equation.params[_INLINED[equation.primitive.name]]


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """The values of a jaxpr's outputs: grids of vectors, or arrays where no lane has a say."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    for equation in jaxpr.eqns:
        read = [v.val if isinstance(v, Literal) else values[v] for v in equation.invars]
        values.update(zip(equation.outvars, _outputs(equation, read), strict=True))
    return [v.val if isinstance(v, Literal) else values[v] for v in jaxpr.outvars]


def _outputs(equation: Any, inputs: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name in _INLINED:
        inner = _inner(equation)
        return _evaluate(inner.jaxpr, inner.consts, inputs)
    if name == "scan":
        return _unroll(params, inputs)
    if name == "cond":
        return _choose(params["branches"], *inputs)
    if not any(_is_grid(value) for value in inputs):
        found = equation.primitive.bind(*inputs, **params)
        return list(found) if equation.primitive.multiple_results else [found]
    grids = [_entries(value) for value in inputs]
    shape = equation.outvars[0].aval.shape
    if name in _ELEMENTWISE:
        grids = [np.broadcast_to(grid, shape) for grid in grids]
        return [_grid(lambda index: _apply(equation, [g[index] for g in grids]), shape)]
    if name in _REDUCTIONS:
        axes = params["axes"]
        parts = np.moveaxis(grids[0], axes, range(len(axes))).reshape(-1, *shape)
        fold = functools.partial(functools.reduce, _REDUCTIONS[name])
        turns = range(len(parts))
        return [_grid(lambda index: fold([parts[k, *index] for k in turns]), shape)]
    if name == "unstack":
        return [_as_grid(part) for part in np.moveaxis(grids[0], params["axis"], 0)]
    return [_RULES[name](grids, params, shape)]


def _unroll(params: Any, inputs: list[Any]) -> list[Any]:
    """A scan, turn by turn."""
    body, constants, carried = params["jaxpr"], params["num_consts"], params["num_carry"]
    fixed, carry = inputs[:constants], inputs[constants : constants + carried]
    turns = range(params["length"])
    made: list[list[Any]] = [[] for _ in turns]
    for turn in reversed(turns) if params["reverse"] else turns:
        slices = [_entries(value)[turn] for value in inputs[constants + carried :]]
        found = _evaluate(body.jaxpr, body.consts, [*fixed, *carry, *map(_as_grid, slices)])
        carry, made[turn] = found[:carried], [_entries(value) for value in found[carried:]]
    return [*carry, *(np.stack(values) for values in zip(*made, strict=True))]


def _choose(branches: Sequence[ClosedJaxpr], index: Any, *inputs: Any) -> list[Any]:
    """Each lane takes the branch of its own: all are computed."""
    made = [_evaluate(branch.jaxpr, branch.consts, inputs) for branch in branches]
    which = _entries(index)[()]

    def chosen(variable: Any, values: Sequence[Any]) -> Grid:
        grids = [_entries(value) for value in values]

        def entry(at: tuple[int, ...]) -> Array:
            vectors = [jnp.asarray(grid[at], variable.aval.dtype) for grid in grids]
            lanes = jnp.broadcast_shapes(jnp.shape(which), *[v.shape for v in vectors])
            return jax.lax.select_n(which, *(jnp.broadcast_to(v, lanes) for v in vectors))

        return _grid(entry, grids[0].shape)

    outputs = zip(branches[0].jaxpr.outvars, zip(*made, strict=True), strict=True)
    return [chosen(variable, values) for variable, values in outputs]


def _apply(equation: Any, numbers: list[Any]) -> Any:
    """One operation on single numbers, along the lanes if any of them differs between lanes."""
    lanes = jnp.broadcast_shapes(*[jnp.shape(number) for number in numbers])
    dtypes = [variable.aval.dtype for variable in equation.invars]
    cast = [jnp.asarray(value, dtype) for value, dtype in zip(numbers, dtypes, strict=True)]
    vectors = [jnp.broadcast_to(value, lanes) for value in cast]
    return equation.primitive.bind(*vectors, **equation.params)


def _vector(value: Any, lanes: int, dtype: Any) -> Array:
    return jnp.broadcast_to(jnp.asarray(value, dtype), (lanes,))


def _broadcast(grids: list[Grid], params: Any, shape: tuple[int, ...]) -> Grid:
    kept = [1] * len(shape)
    for axis, to in enumerate(params["broadcast_dimensions"]):
        kept[to] = grids[0].shape[axis]
    return np.broadcast_to(grids[0].reshape(kept), shape)


def _slice(grids: list[Grid], params: Any, shape: tuple[int, ...]) -> Grid:
    steps = params["strides"] or (1,) * grids[0].ndim
    cuts = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return grids[0][tuple(slice(*cut) for cut in cuts)]


def _turned(grids: list[Grid], params: Any) -> list[Grid]:
    return [grid.T if turn else grid for grid, turn in zip(grids, params["turned"], strict=True)]


_RULES: dict[str, Callable[[list[Grid], Any, tuple[int, ...]], Grid]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda grids, params, shape: np.concatenate(grids, params["dimension"]),
    "reshape": lambda grids, params, shape: grids[0].reshape(shape),
    "slice": _slice,
    "small_dot": lambda grids, params, shape: np.dot(*_turned(grids, params)),
    "squeeze": lambda grids, params, shape: grids[0].reshape(shape),
    "stack": lambda grids, params, shape: np.stack(grids, params["axis"]),
    "transpose": lambda grids, params, shape: grids[0].transpose(params["permutation"]),
}


def _is_grid(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object


def _as_grid(entry: Any) -> Grid:
    """A slice of a grid, which NumPy unwraps where it is a single entry."""
    return entry if _is_grid(entry) else _grid(lambda _: entry, ())


def _entries(value: Any) -> Grid:
    return value if _is_grid(value) else _grid(lambda i: value[i] if i else value, np.shape(value))


def _grid(entry: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...]) -> Grid:
    grid = np.empty(shape, object)
    for index in np.ndindex(*shape):
        grid[index] = entry(index)
    return grid


def _map(function: Callable[[Any], Any], grid: Grid) -> Grid:
    return _grid(lambda index: function(grid[index]), grid.shape)
