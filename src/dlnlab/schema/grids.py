"""The points of a sweep, in groups of one compilation each."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnlab.errors import InputError, nearest
from dlnlab.schema.signature import Parameter
from dlnlab.schema.values import check, check_all, shown

_DEPTH = {"ints": 1, "floats": 1, "table": 2}


@dataclass(frozen=True, eq=False)
class Group:
    """Points that share one compilation.

    `static` holds the values of the static parameters, and of a tuple of floats the shape;
    `indices` are the points' flat indices in the grid, ascending. For a part of the group, a tile,
    take `dataclasses.replace(group, indices=…)`.
    """

    static: dict[str, Any]
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The points of a sweep, in C order over `axes`; `grid` makes it.

    >>> sweep = grid({"rate": Parameter("rate", "float")}, {"rate": [0.1, 0.2, 0.4]})
    >>> sweep.shape, sweep.size, sweep.point(2)
    ((3,), 3, {'rate': 0.4})
    """

    parameters: dict[str, Parameter]
    fixed: dict[str, Any]
    axes: dict[str, tuple[Any, ...]]

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(map(len, self.axes.values()))

    @property
    def size(self) -> int:
        """The number of points, without building any: `groups` needs memory for each."""
        return math.prod(self.shape)

    def label(self, name: str, value: Any) -> str:
        """A value as text: the coordinate of an axis of tuples.

        >>> sweep = grid({"widths": Parameter("widths", "ints")}, {"widths": [(3, 5), (4,)]})
        >>> sweep.label("widths", (3, 5))
        '3,5'
        """
        return self.parameters[name].text(value)

    def point(self, index: int) -> dict[str, Any]:
        """The arguments of `build` at one flat index."""
        if not 0 <= index < self.size:
            raise InputError(
                f"point {index} was asked for in a grid of {self.size}; they are counted from 0."
            )
        values = dict(self.fixed)
        for name, axis in reversed(self.axes.items()):
            index, position = divmod(int(index), len(axis))
            values[name] = axis[position]
        return {name: values[name] for name in self.parameters}

    def points(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        """The arguments of `build` at several flat indices."""
        return [self.point(index) for index in indices]

    def groups(self) -> list[Group]:
        """One group for each combination of static values that occurs.

        >>> both = {"rate": Parameter("rate", "float"), "depth": Parameter("depth", "int")}
        >>> for group in grid(both, {"rate": [0.1, 0.2], "depth": [3, 4]}).groups():
        ...     print(group.static, group.indices)
        {'depth': 3} [0 2]
        {'depth': 4} [1 3]
        """
        classes = [_classes(self.parameters[name], axis) for name, axis in self.axes.items()]
        return [self._group(picked) for picked in itertools.product(*(c.items() for c in classes))]

    def columns(self, group: Group) -> dict[str, NDArray[Any]]:
        """The traced values of a group's points, each `(lanes, ...)`; seeds are uint32, all else
        float64. What does not vary is a read-only view of one value.

        >>> sweep = grid({"seed": Parameter("seed", "int")}, {"seed": range(3)})
        >>> sweep.columns(sweep.groups()[0])
        {'seed': array([0, 1, 2], dtype=uint32)}
        """
        lanes = len(group.indices)
        columns = {}
        for name, parameter in self.parameters.items():
            if not parameter.traced:
                continue
            if name in self.axes:
                rows = self._rows(name, group.static.get(name))
                columns[name] = rows[self._positions(name, group.indices)]
            else:
                value = _asarray(parameter, self.fixed[name], group.static.get(name))
                columns[name] = np.broadcast_to(value, (lanes, *value.shape))
        return columns

    def _group(self, picked: tuple[tuple[Hashable, NDArray[np.int64]], ...]) -> Group:
        indices = np.zeros(1, dtype=np.int64)
        for (_, positions), length in zip(picked, self.shape, strict=True):
            indices = np.add.outer(indices * length, positions).ravel()
        keys = {n: self.parameters[n].static_key(value) for n, value in self.fixed.items()}
        keys |= {name: key for name, (key, _) in zip(self.axes, picked, strict=True)}
        return Group({n: keys[n] for n in self.parameters if keys[n] is not None}, indices)

    def _positions(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the points lie on one axis."""
        place = list(self.axes).index(name)
        return indices // math.prod(self.shape[place + 1 :]) % self.shape[place]

    def _rows(self, name: str, shape: tuple[int, ...] | None) -> NDArray[Any]:
        """The values of a traced axis as an array; those of another shape are left zero."""
        if shape is None:
            return self._scalars[name]
        parameter, axis = self.parameters[name], self.axes[name]
        rows = np.zeros((len(axis), *shape))
        for row, value in zip(rows, axis, strict=True):
            if parameter.static_key(value) == shape:
                row[...] = _asarray(parameter, value, shape)
        return rows

    @functools.cached_property
    def _scalars(self) -> dict[str, NDArray[Any]]:
        """The axes of traced scalars as arrays, made once for all tiles."""
        traced = {n: p for n, p in self.parameters.items() if p.traced and p.kind not in _DEPTH}
        return {n: _asarray(p, self.axes[n], None) for n, p in traced.items() if n in self.axes}


def grid(parameters: Mapping[str, Parameter], coords: Mapping[str, Any]) -> Grid:
    """The grid of `coords`, values or sweeps by name; the others take their defaults.

    For a scalar parameter a list, tuple, range or array is a sweep. For a tuple parameter a list
    (or array) of values is one. All values are checked here, before anything is traced.

    >>> widths = {"widths": Parameter("widths", "ints", default=(2,))}
    >>> grid(widths, {}).fixed, grid(widths, {"widths": [(3, 5), (4,)]}).axes
    ({'widths': (2,)}, {'widths': ((3, 5), (4,))})
    >>> grid(widths, {"width": (3,)})
    Traceback (most recent call last):
    dlnlab.errors.InputError: width is not a parameter; did you mean widths?
    """
    for name in coords:
        if name not in parameters:
            raise InputError(f"{name} is not a parameter; {nearest(name, parameters)}")
    _nothing_missing(parameters, coords)
    fixed, axes = {}, {}
    for name, parameter in parameters.items():
        if name not in coords:
            fixed[name] = parameter.default
        elif _swept(parameter, coords[name]):
            axes[name] = _axis(parameter, coords[name])
        else:
            fixed[name] = check(parameter, coords[name])
    return Grid(dict(parameters), fixed, axes)


def _nothing_missing(parameters: Mapping[str, Parameter], coords: Mapping[str, Any]) -> None:
    """Refuse, all at once, what has no default and was not given."""
    missing = [p for name, p in parameters.items() if p.required and name not in coords]
    if len(missing) == 1:
        raise InputError(
            f"{missing[0].name} has no default, and no value was given; add {missing[0].flag}."
        )
    if missing:
        raise InputError(
            f"{_listed([p.name for p in missing])} have no default, and no values were given; add "
            f"{_listed([p.flag for p in missing])}."
        )


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _swept(parameter: Parameter, value: Any) -> bool:
    if parameter.kind not in _DEPTH:
        array = isinstance(value, np.ndarray) and value.ndim > 0
        return array or isinstance(value, list | tuple | range)
    if not isinstance(value, list | np.ndarray) or _depth(value) == 0:
        return False
    # The rows of a table are never empty, so a list of nothing but empty tuples is a sweep.
    empty = all(isinstance(inner, list | tuple) and not inner for inner in value)
    return empty or _depth(value) > _DEPTH[parameter.kind]


def _depth(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.ndim
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list | tuple) else 0


def _axis(parameter: Parameter, values: Any) -> tuple[Any, ...]:
    if len(values) == 0:
        raise InputError(f"{parameter.name} was given an empty sweep; give at least one value.")
    axis = check_all(parameter, values)
    if _distinct(parameter, axis) < len(axis):
        twice, _ = Counter(axis).most_common(1)[0]
        raise InputError(
            f"{parameter.name} has {shown(twice)} more than once on its axis; give each value once."
        )
    return axis


def _distinct(parameter: Parameter, axis: tuple[Any, ...]) -> int:
    if parameter.kind in ("float", "int"):
        return np.unique(np.asarray(axis)).size  # less memory than a set
    return len(set(axis))


def _classes(parameter: Parameter, axis: tuple[Any, ...]) -> dict[Hashable, NDArray[np.int64]]:
    """The positions on an axis, by what they compile to."""
    if parameter.traced and parameter.kind not in _DEPTH:
        return {None: np.arange(len(axis))}
    found: dict[Hashable, list[int]] = {}
    for position, value in enumerate(axis):
        found.setdefault(parameter.static_key(value), []).append(position)
    return {key: np.asarray(positions) for key, positions in found.items()}


def _asarray(parameter: Parameter, value: Any, shape: Any) -> NDArray[Any]:
    array = np.asarray(value, dtype=np.uint32 if parameter.name == "seed" else np.float64)
    return array if shape is None else array.reshape(shape)
