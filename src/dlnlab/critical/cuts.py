"""Layers through which chosen directions no longer pass, at the least cost.

With the gradient `G = U A Vᵀ` of the cost at the map W' (U, V orthonormal), layers of the product
W' are critical, `W_{>l}ᵀ G W_{<l}ᵀ = 0` for every l, if U is cut off from the hidden layers at the
end of the chain and V at its beginning, by different layers:

    UᵀW_L = 0 or UᵀW_L W_{L−1} = 0,   and   W_1V = 0 or W_2 W_1 V = 0.

Each gradient but those of the layers that cut U contains the product of them, and each but those
that cut V the product of these. Of two layers that cut together, `aB = 0` with a = UᵀW_L and
B = W_{L−1}, the nearest are `aQ` and `(I − Q)B` with Q the projection on the positive eigenvectors
of `aᵀa − BBᵀ`: for a given projection Q the squared distance is tr((I − Q)aᵀa + Q BBᵀ). For
Gaussian layers of large width two layers cost half of what one does. This set of parameters is a
linear space, in which the layers are then fitted to W'.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from dlnlab.critical.maps import NEGLIGIBLE, CriticalMap, Matrix
from dlnlab.typing import Float

Layers = tuple[Matrix, ...]


class Cut(NamedTuple):
    """Directions cut off: U at the output, V at the input, and what is kept of the hidden ones.

    `outer` and `inner` are orthonormal bases of the ranges of Q at either end, empty where a single
    layer cuts and there is no Q.
    """

    left: Float[np.ndarray, "out k"]
    right: Float[np.ndarray, "in k"]
    outer: Float[np.ndarray, "hidden m"]
    inner: Float[np.ndarray, "hidden n"]

    def embedded(self, last: Matrix | None, first: Matrix | None) -> "Cut":
        """The cut of wider hidden layers, in which these bases span the narrow ones; None for all
        of a layer."""
        outer = self.outer if last is None else last @ self.outer
        inner = self.inner if first is None else first @ self.inner
        return self._replace(outer=outer, inner=inner)


def no_cut(layers: Layers) -> Cut:
    """Nothing cut off."""
    first, last = layers[0], layers[-1]
    return Cut(*(np.zeros((n, 0)) for n in (len(last), first.shape[1], last.shape[1], len(first))))


def ways(depth: int) -> list[tuple[bool, bool]]:
    """Which ends may be cut by two layers each, (output, input), in a chain of this depth."""
    joint = [(True, True)] if depth >= 4 else []
    return [(False, False), *([(True, False), (False, True)] if depth >= 3 else []), *joint]


def cut(layers: Layers, at: CriticalMap, way: tuple[bool, bool]) -> Cut:
    """What to cut so that layers of the map become critical, for one of the `ways`."""
    left, values, right = np.linalg.svd(at.gradient)
    rank = int(np.sum(values > 1e-9 * values[0]))
    left, right = left[:, :rank], right[:rank].T
    empty = no_cut(layers)
    outer = _kept(left.T @ layers[-1], layers[-2]) if way[0] else empty.outer
    inner = _kept((layers[0] @ right).T, layers[1].T) if way[1] else empty.inner
    return Cut(left, right, outer, inner)


def _kept(directions: Matrix, layer: Matrix) -> Matrix:
    """Q for `aQ` and `(I − Q)B`: the positive eigenvectors of `aᵀa − BBᵀ`."""
    form = directions.T @ directions - layer @ layer.T
    values, vectors = scipy.linalg.eigh(form)
    return vectors[:, values > NEGLIGIBLE * np.abs(values).max(initial=0)]


def applied(layers: Layers, where: Cut) -> Layers:
    """The nearest layers that are cut."""
    made = list(layers)
    made[-1] = _end(made[-1], where.left, where.outer)
    made[0] = _end(made[0].T, where.right, where.inner).T
    if where.outer.shape[1]:
        made[-2] = made[-2] - where.outer @ (where.outer.T @ made[-2])
    if where.inner.shape[1]:
        made[1] = made[1] - (made[1] @ where.inner) @ where.inner.T
    return tuple(made)


def _end(layer: Matrix, directions: Matrix, kept: Matrix) -> Matrix:
    """`W − UUᵀW(I − Q)`."""
    lost = directions.T @ layer
    return layer - directions @ (lost - (lost @ kept) @ kept.T)
