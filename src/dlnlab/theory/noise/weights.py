"""The weights of one chain: their products around each layer, how aligned and balanced they are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, finite
from dlnlab.theory.base import Assumption, Prediction, prediction

Basis = tuple[ArrayLike, ArrayLike]


class Weights(NamedTuple):
    """Checked weights of one chain, with the basis of its modes and the products around layers.

    `before[l]` is W_{<l} [width, d_in], `after[l]` is W_{>l} [d_out, width], l from 0.
    """

    layers: tuple[Array, ...]
    target: Array
    left: Array
    right: Array
    before: tuple[Array, ...]
    after: tuple[Array, ...]

    @property
    def residual(self) -> Array:
        return self.layers[-1] @ self.before[-1] - self.target


def checked_weights(
    layers: Sequence[ArrayLike], target: ArrayLike, basis: Basis | None = None
) -> Weights:
    """Matrices that multiply to the shape of the target, with what stands around each of them."""
    chain = tuple(finite("layers", layer) for layer in layers)
    goal = finite("target", target)
    shapes = [layer.shape for layer in chain]
    joined = all(layer.ndim == 2 for layer in chain) and all(
        after[1] == before[0] for before, after in zip(shapes, shapes[1:], strict=False)
    )
    if not (chain and joined and (shapes[-1][0], shapes[0][1]) == goal.shape):
        raise InputError(
            f"layers have shapes {shapes} and target {goal.shape}, and matrices that multiply to "
            "the target's shape are needed; list them from the input on, layers[0] first."
        )
    if basis is None:
        left, _, rows = np.linalg.svd(goal, full_matrices=False)
        basis = (left, rows.T)
    left, right = (finite("basis", vectors) for vectors in basis)
    before, after = [np.eye(goal.shape[1])], [np.eye(goal.shape[0])]
    for layer in chain[:-1]:
        before.append(layer @ before[-1])
    for layer in chain[:0:-1]:
        after.append(after[-1] @ layer)
    return Weights(chain, goal, left, right, tuple(before), tuple(after[::-1]))


def _off(matrix: Array, left: Array, right: Array) -> float:
    """The share of a matrix that is not on the diagonal of the modes."""
    size = np.linalg.norm(matrix)
    kept = (left * np.sum(left * (matrix @ right), axis=0)) @ right.T
    return float(np.linalg.norm(matrix - kept) / size) if size > 0 else 0.0


def misalignment(
    layers: Sequence[ArrayLike], target: ArrayLike, basis: Basis | None = None
) -> float:
    """How far weights are from the modes' bases: the largest share off the diagonal.

    Of `UᵀWV`, `VᵀW_1ᵀW_1V` and `UᵀW_LW_LᵀU`, in the Frobenius norm. For balanced layers it
    vanishes exactly on the SVS set. Arguments as those of `mode_motion`.

    >>> misalignment([np.diag([2.0, 1.0])], np.diag([3.0, 1.0]))
    0.0
    """
    given = checked_weights(layers, target, basis)
    first, last = given.layers[0], given.layers[-1]
    return max(
        _off(given.residual + given.target, given.left, given.right),
        _off(first.T @ first, given.right, given.right),
        _off(last @ last.T, given.left, given.left),
    )


def imbalance(layers: Sequence[ArrayLike], target: ArrayLike) -> float:
    """How far adjacent layers are from balance, relative to their size.

    `max_l ‖W_{l+1}ᵀW_{l+1} − W_lW_lᵀ‖_F / (‖W_{l+1}‖² + ‖W_l‖²)`; 0 for a single layer.

    >>> imbalance([[[1.0]], [[2.0]]], [[1.0]])
    0.6
    """
    chain = checked_weights(layers, target).layers
    gaps = [
        np.linalg.norm(after.T @ after - before @ before.T) / (np.sum(after**2) + size)
        for before, after in zip(chain, chain[1:], strict=False)
        if (size := np.sum(before**2)) + np.sum(after**2) > 0
    ]
    return float(max(gaps, default=0.0))


@prediction(
    "mode_values",
    dims=("mode",),
    symbol="w_a",
    assumes=(
        Assumption(
            "aligned",
            "the weights are aligned: what lies off the diagonal of the target's singular vectors "
            "is a small share",
            misalignment,
            tolerance=1e-10,
        ),
        Assumption(
            "balanced",
            "the layers are balanced, W_{l+1}ᵀW_{l+1} = W_lW_lᵀ, up to a small share of their size",
            imbalance,
            tolerance=1e-10,
        ),
    ),
    source="corlouer2026.2",
)
def balanced_values(
    layers: Sequence[ArrayLike], target: ArrayLike, basis: Basis | None = None
) -> Array:
    """The values `w_a = u_aᵀWv_a` of weights that are aligned and balanced.

    What every formula of balanced modes begins with, and where other weights are refused, with
    the size of their departure: `mode_diffusion(balanced_values(layers, target), …)`.

    `layers` are matrices [out, in] from the input on, `target` M [d_out, d_in], `basis` (U, V) in
    the place of its singular vectors. Returns w [mode]. Raises InputError for shapes that do not
    fit. Source: corlouer2026.2.

    >>> balanced_values([np.diag([1.0, 0.5]), np.diag([1.0, 0.5])], np.diag([3.0, 2.0])).tolist()
    [1.0, 0.25]
    """
    given = checked_weights(layers, target, basis)
    return np.asarray(np.sum(given.left * ((given.residual + given.target) @ given.right), axis=0))


PREDICTIONS: tuple[Prediction, ...] = (balanced_values,)
