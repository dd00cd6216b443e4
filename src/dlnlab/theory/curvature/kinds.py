"""The modes of an aligned point, those that cannot be told apart taken once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, LayerValues, at_least_zero, finite, whole_numbers

MOST_BYTES = 2**30
"""Memory that a spectrum may take."""

Widths = Sequence[Sequence[int]]


class Kinds(NamedTuple):
    """Modes by kind: `layers` [layer, kind] of each pathway, `residual` and `counts` [kind].

    `outward` and `inward` [n, kind] say whether a layer has that row, that column at all.
    """

    layers: tuple[Array, ...]
    residual: Array
    outward: NDArray[np.bool_]
    inward: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def columns(self, which: NDArray[np.intp]) -> tuple[Array, ...]:
        return tuple(layers[:, which] for layers in self.layers)


def _vectors(layer_values: LayerValues) -> list[list[Array]]:
    made = [[finite("layer_values", layer) for layer in pathway] for pathway in layer_values]
    shapes = sorted({layer.shape for pathway in made for layer in pathway})
    if not made or not all(made) or any(len(shape) != 1 for shape in shapes):
        raise InputError(
            f"layer_values has layers of shapes {shapes} in pathways of "
            f"{[len(pathway) for pathway in made]} layers, and at least one layer in each pathway, "
            "a list over modes, is needed; nest them [pathway][layer][mode]."
        )
    return made


def _checked_widths(widths: Widths | None, values: list[list[Array]], modes: int) -> Widths:
    """Widths [pathway](n_0, …, n_L); by default all layers are square with one row for a mode."""
    if widths is None:
        return [[modes] * (len(pathway) + 1) for pathway in values]
    made = [whole_numbers("widths", pathway) for pathway in widths]
    if [len(w) - 1 for w in made] != [len(pathway) for pathway in values]:
        raise InputError(
            f"widths has {[len(w) for w in made]} entries for pathways of "
            f"{[len(pathway) for pathway in values]} layers, and one more than layers is needed in "
            "each pathway; write them from the inputs to the outputs."
        )
    if len({(w[0], w[-1]) for w in made}) > 1:
        raise InputError(
            f"widths lead from {[w[0] for w in made]} inputs to {[w[-1] for w in made]} outputs, "
            "and the same is needed in every pathway, whose maps are summed; make them alike."
        )
    return made


def _fits(widths: Widths, values: list[list[Array]], target: Array, exactly: bool) -> None:
    for pathway, around in zip(values, widths, strict=True):
        for layer, *sides in zip(pathway, around, around[1:], strict=False):
            if len(layer) > min(sides) or (exactly and len(layer) != sides[0]):
                raise InputError(
                    f"layer_values has a layer of {len(layer)} modes, and one value for each of "
                    f"{min(sides)} modes is needed; pad with zeros, or give the widths."
                )
    if target.ndim != 1 or len(target) > min(widths[0][0], widths[0][-1]):
        raise InputError(
            f"targets has shape {target.shape}, and one target for each mode is needed, at most "
            f"{min(widths[0][0], widths[0][-1])} of them; cut them, or widen inputs and outputs."
        )


def _fits_memory(size: int, bytes_needed: int, what: str) -> None:
    if bytes_needed > MOST_BYTES:
        raise InputError(
            f"{what} takes {bytes_needed / 2**30:.3g} GiB with {size} layers in all, and "
            f"{MOST_BYTES / 2**30:g} GiB are allowed; take fewer modes, or fewer layers."
        )


def kinds_of(layer_values: LayerValues, targets: ArrayLike, widths: Widths | None = None) -> Kinds:
    """The kinds of modes of a point; layer values and targets are padded with zeros."""
    values, target = _vectors(layer_values), at_least_zero("targets", targets)
    around = _checked_widths(widths, values, target.size)
    _fits(around, values, target, exactly=widths is None)
    size, modes = sum(map(len, values)), max(map(max, around))
    _fits_memory(size, 8 * (4 * size + 1) * modes, f"a list of {modes} modes")
    layers = [np.stack([np.pad(w, (0, modes - len(w))) for w in pathway]) for pathway in values]
    index = np.arange(modes)
    outward = np.concatenate([np.less.outer(index, w[1:]).T for w in around])
    inward = np.concatenate([np.less.outer(index, w[:-1]).T for w in around])
    goal = np.pad(target, (0, modes - len(target)))
    table = np.concatenate([*layers, goal[None], outward, inward]) + 0.0  # no zero is negative
    _, first, counts = np.unique(table, axis=1, return_index=True, return_counts=True)
    with np.errstate(over="ignore", invalid="ignore"):
        residual = np.sum([w[:, first].prod(axis=0) for w in layers], axis=0) - goal[first]
    return Kinds(
        tuple(w[:, first] for w in layers), residual, outward[:, first], inward[:, first], counts
    )


def count_first(size: int, several: int) -> None:
    """Refuse what would not fit into memory: eigenvalues, or blocks, of `several` kinds of modes.

    `size` n is the number of layers of all pathways.
    """
    eigenvalues = size * several * (several + 1)
    _fits_memory(
        size,
        64 * eigenvalues + 8 * 6 * (2 * size) ** 2,
        f"a spectrum of {eigenvalues} eigenvalues in blocks of up to {2 * size}",
    )
