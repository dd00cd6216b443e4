"""The saddles of a whitened task: which there are, their losses, and what curvature they have."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, shown, whole, whole_numbers
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.escape.direction import LARGEST, checked_depth

Kind: TypeAlias = Literal["minimum", "strict saddle", "non-strict saddle"]

_MOST_POINTS = 2**16


class CriticalPoint(NamedTuple):
    """A critical point `W = P_S M` and the signature of its Hessian; see `critical_point`."""

    learned: tuple[int, ...]
    loss: float
    kind: Kind
    negative: int
    zero: int
    positive: int
    lowest: float


def checked_targets(targets: ArrayLike) -> Array:
    """Singular values [mode], at or above zero, one of them above."""
    goals = np.atleast_1d(at_least_zero("targets", targets))
    if goals.ndim > 1 or not goals.any() or goals.max() > LARGEST:
        raise InputError(
            f"targets is {shown(targets)}, and a list of numbers from 0 to {LARGEST:g}, one of "
            "them above 0, is needed: where nothing is to be learned the origin is the minimum; "
            "name the singular values of the target, say 3,2,1."
        )
    return goals


def learning_order(targets: ArrayLike) -> tuple[tuple[int, ...], ...]:
    """The modes in the order in which they are learned from equal small starts, ties together.

    The strongest first; modes of zero are never learned and left out.

    `targets` s_i [mode] at or above zero, one above. Returns groups of indices, counted from 0, of
    equal strength. With different starts see `learning_times`. Raises InputError for targets out
    of range. Source: jacot2021.3.

    >>> learning_order([1.0, 3.0, 0.0, 1.0])
    ((1,), (0, 3))
    """
    goals = checked_targets(targets)
    return tuple(
        tuple(np.flatnonzero(goals == strength).tolist())
        for strength in np.unique(goals[goals > 0])[::-1]
    )


@prediction("loss", dims=("learned",), symbol="ℓ_k", source="jacot2021.3")
def plateau_loss(targets: ArrayLike) -> Array:
    """The losses at which learning from a small start rests, from the start's to the last.

    `ℓ_k = ½ Σ_{i>k} s_i²`, the loss with the k strongest modes learned.

    `targets` s_i [mode] at or above zero, in any order, one above. Returns the losses for k = 0 and
    at the end of each group of `learning_order`: modes of equal strength are learned at once, and
    there is no rest between them. Assumes the half-square loss of white inputs.
    Raises InputError for targets out of range. Source: jacot2021.3.

    >>> plateau_loss([1.0, 3.0, 2.0]).tolist()
    [7.0, 2.5, 0.5, 0.0]
    >>> plateau_loss([3.0, 3.0, 1.0]).tolist()
    [9.5, 0.5, 0.0]
    """
    strengths, counts = np.unique(checked_targets(targets), return_counts=True)
    return np.asarray(np.cumsum(np.append(0.0, (counts * strengths**2)[strengths > 0]))[::-1] / 2)


def _checked_point(
    targets: ArrayLike, widths: Sequence[int], learned: Sequence[int]
) -> tuple[Array, tuple[int, ...], tuple[int, ...]]:
    goals, sizes = checked_targets(targets), whole_numbers("widths", widths)
    checked_depth(len(sizes) - 1)
    if len(goals) > min(sizes[0], sizes[-1]):
        raise InputError(
            f"targets has {len(goals)} modes for {sizes[0]} inputs and {sizes[-1]} outputs, and "
            "at most as many as either is needed; widen the ends, or leave modes out."
        )
    chosen = tuple(sorted({whole("learned", mode, 0) for mode in learned}))
    if any(mode >= len(goals) or goals[mode] == 0 for mode in chosen) or len(chosen) > min(sizes):
        raise InputError(
            f"learned is {shown(learned)}, and at most {min(sizes)} indices of modes above 0, "
            f"counted from 0 up to {len(goals) - 1}, are needed; leave the others out."
        )
    return goals, sizes, chosen


def critical_point(
    targets: ArrayLike, widths: Sequence[int], learned: Sequence[int]
) -> CriticalPoint:
    """The critical point that has learned the modes S and no other, with its Hessian's signature.

    `W = P_S M`, `W_l = Σ_{a∈S} s_a^{1/L} q_{l,a} q_{l−1,a}ᵀ`; loss `½ Σ_{a∉S} s_a²`.

    `learned`: S, ascending. `loss`: the half-square loss.
    `kind`: "minimum" where no map of the width has a smaller loss; "strict saddle" with negative
    curvature; "non-strict saddle" without.
    `negative`, `zero`, `positive`: how many eigenvalues of the Hessian are so; `negative` is the
    index. `lowest`: the smallest eigenvalue.

    With k = |S|, r modes above zero and hidden width h (the narrowest), counted by entries: a pair
    a ∈ S, j ∉ S has the eigenvalues `s_a^{1−2/L}(s_a ± s_j)`, in the last and the first layer; k²
    entries within S have a positive one each, and for L = 2 alone each of h − k free hidden units
    has `±s_j`. All others are zero. So

    `negative = #{(a, j): a ∈ S, j ∉ S, s_j > s_a} + [L = 2](h − k)(r − k)`,

    and beyond two layers a balanced saddle has negative curvature only where a mode is learned
    before a stronger one. The saddles on the way from a small start, with the strongest modes
    learned, have none, nor has the origin: they are left by the order L, and slowly.

    `targets` s [mode]; `widths` n_0, …, n_L from inputs to outputs, at least three; `learned`
    indices of modes above zero, at most as many as the narrowest layer has units. Assumes balanced
    layers (others of the same product may have negative curvature), the half-square loss and white
    inputs. Raises InputError for arguments out of range. Source: jacot2021.3.

    >>> critical_point([2.0, 1.0], (2, 2, 2, 2), [0])[2:6]
    ('non-strict saddle', 0, 9, 3)
    >>> critical_point([2.0, 1.0], (2, 2, 2, 2), [1])[2:6]
    ('strict saddle', 1, 9, 2)
    """
    goals, sizes, chosen = _checked_point(targets, widths, learned)
    deep, hidden, rank = len(sizes) - 1, min(sizes[1:-1]), len(chosen)
    inside, outside = goals[list(chosen)], np.delete(goals, chosen)
    outside = outside[outside > 0]
    free = (hidden - rank) * len(outside) if deep == 2 else 0
    gaps = inside[:, None] - outside
    negative = int(np.count_nonzero(gaps < 0)) + free
    crossing = rank * (sizes[0] + sizes[-1] - 2 * rank) - int(np.count_nonzero(gaps <= 0))
    above = rank**2 + crossing + free
    parameters = math.fsum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
    least = math.fsum(np.sort(goals)[::-1][hidden:] ** 2) / 2
    loss = math.fsum(np.sort(outside) ** 2) / 2
    saddle: Kind = "strict saddle" if negative else "non-strict saddle"
    return CriticalPoint(
        learned=chosen,
        loss=loss,
        kind="minimum" if loss <= least else saddle,
        negative=negative,
        zero=int(parameters) - negative - above,
        positive=above,
        lowest=_lowest(inside, outside, deep, free, above == int(parameters)),
    )


def _lowest(inside: Array, outside: Array, depth: int, free: int, definite: bool) -> float:
    pairs = inside[:, None] ** (1 - 2 / depth) * (inside[:, None] - outside)
    others = [-float(outside.max())] if free else []
    return min([*pairs.ravel().tolist(), *others, *([] if definite else [0.0])])


def critical_points(targets: ArrayLike, widths: Sequence[int]) -> Iterator[CriticalPoint]:
    """Every critical point `W = P_S M` that fits through the layers, by the number of its modes.

    Arguments as those of `critical_point`; of modes of equal strength each choice is listed, one
    of a continuum. Raises InputError for more than 2¹⁶ of them. Source: jacot2021.3.

    >>> [(point.learned, point.loss) for point in critical_points([2.0, 1.0], (2, 2, 2))]
    [((), 2.5), ((0,), 0.5), ((1,), 2.0), ((0, 1), 0.0)]
    """
    goals, sizes, _ = _checked_point(targets, widths, ())
    modes = np.flatnonzero(goals > 0).tolist()
    most = min(len(modes), *sizes)
    count = sum(math.comb(len(modes), k) for k in range(most + 1))
    if count > _MOST_POINTS:
        raise InputError(
            f"targets and widths have {count} critical points, and at most {_MOST_POINTS} are "
            "listed; ask critical_point for single ones."
        )
    return (
        critical_point(goals, sizes, chosen)
        for k in range(most + 1)
        for chosen in combinations(modes, k)
    )


PREDICTIONS: tuple[Prediction, ...] = (plateau_loss,)
