"""The nearest layers whose product is given: descent of the distance on that surface.

The product is linearised by `J δ = Σ_l W_{>l} δ_l W_{<l}`, and its normal equations by
`K = J Jᵀ = Σ_l W_{>l}W_{>l}ᵀ ⊗ W_{<l}ᵀW_{<l}`, a matrix of the size of the map alone, however wide
the hidden layers are.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from dlnlab.critical.cuts import Cut, Layers, applied
from dlnlab.critical.maps import Matrix, Vector
from dlnlab.typing import Float

PRECISION = 1e-13
"""Relative to the size of the task's minimum, what may be left of a product's misfit."""

FARTHEST = 1e3
"""Newton's method is given up where the misfit grows to so many times that size and its first."""


class Goal(NamedTuple):
    """The product is to agree with `made` in the `equations`, an orthonormal basis of entries, up
    to rounding of maps of the size `scale`."""

    made: Float[np.ndarray, "out in"]
    equations: Float[np.ndarray, "entries m"]
    scale: float


class Linearised(NamedTuple):
    """The product at some layers: partial products `W_{>l}`, `W_{<l}`, misfit, and `K`."""

    after: Layers
    before: Layers
    misfit: Float[np.ndarray, " m"]
    kernel: Float[np.ndarray, "m m"]


def distance(one: Layers, other: Layers) -> float:
    """The Euclidean distance in all parameters.

    >>> distance((np.zeros((1, 1)),) * 2, (np.array([[3.0]]), np.array([[4.0]])))
    5.0
    """
    return float(np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(one, other, strict=True))))


def within(goal: Goal, where: Cut) -> Goal:
    """The same goal, asked of what the cut leaves: the entries on U and V are met by cutting."""
    shape = goal.made.shape
    block = goal.equations.T.reshape(-1, *shape)
    block = block - where.left @ (where.left.T @ block)
    block = block - (block @ where.right) @ where.right.T
    left, values, _ = np.linalg.svd(block.reshape(len(block), -1).T, full_matrices=False)
    return Goal(goal.made, left[:, values > 1e-9], goal.scale)


def partial_products(layers: Layers) -> tuple[list[Matrix], list[Matrix]]:
    """`W_{>l}` and `W_{<l}` of every layer."""
    after, before = [np.eye(len(layers[-1]))], [np.eye(layers[0].shape[1])]
    for layer in layers[:0:-1]:
        after.insert(0, after[0] @ layer)
    for layer in layers[:-1]:
        before.append(layer @ before[-1])
    return after, before


def linearise(layers: Layers, goal: Goal, where: Cut) -> Linearised:
    """The product and its derivative, along moves that respect the cut."""
    after, before = partial_products(layers)
    misfit = goal.equations.T @ (after[0] @ layers[0] - goal.made).ravel()
    # The layers next to the ends move only where Q is not.
    if where.outer.shape[1]:
        after[-2] = after[-2] - (after[-2] @ where.outer) @ where.outer.T
    if where.inner.shape[1]:
        before[1] = before[1] - where.inner @ (where.inner.T @ before[1])
    # Kronecker products, summed; np.kron itself takes longer than all else here.
    outputs, inputs = np.stack([a @ a.T for a in after]), np.stack([b.T @ b for b in before])
    kernel = np.einsum("lij,lab->iajb", outputs, inputs).reshape(goal.made.size, -1)
    return Linearised(
        tuple(after), tuple(before), misfit, goal.equations.T @ kernel @ goal.equations
    )


def _lifted(at: Linearised, goal: Goal, wanted: Vector) -> Layers:
    """The least move with `J δ` as wanted."""
    solved = _solved(at.kernel, wanted)
    turned = (goal.equations @ solved).reshape(goal.made.shape)
    return tuple(a.T @ turned @ b.T for a, b in zip(at.after, at.before, strict=True))


def _solved(kernel: Matrix, wanted: Vector) -> Vector:
    """`K⁻¹` of what is wanted; on the range of K, where it is singular."""
    if not wanted.size:
        return wanted
    factor, failed = scipy.linalg.lapack.dpotrf(kernel)
    if not failed and np.diag(factor).min() > 1e-7 * np.diag(factor).max():
        return scipy.linalg.cho_solve((factor, False), wanted)
    values, vectors = np.linalg.eigh(kernel)
    some = values > 1e-14 * values.max(initial=0)
    return vectors[:, some] @ ((vectors[:, some].T @ wanted) / values[some])


def _pushed(at: Linearised, goal: Goal, move: Layers) -> Vector:
    """`J δ` in the equations."""
    parts = zip(at.after, move, at.before, strict=True)
    return goal.equations.T @ np.sum([a @ d @ b for a, d, b in parts], axis=0).ravel()


def linear_step(layers: Layers, goal: Goal, where: Cut) -> Layers:
    """The least move that meets the goal to first order."""
    at = linearise(layers, goal, where)
    return _lifted(at, goal, -at.misfit)


def retract(layers: Layers, goal: Goal, where: Cut, most: int = 30) -> Layers | None:
    """Cut layers of the wanted product, by Newton's method of least moves; None where it fails."""
    before, first = np.inf, 0.0
    for _ in range(most):
        at = linearise(layers, goal, where)
        left = float(np.linalg.norm(at.misfit))
        first = first or left
        stays = left > before / 2 and left <= 1000 * PRECISION * goal.scale  # at its rounding
        if left <= PRECISION * goal.scale or stays:
            return layers
        if not left <= FARTHEST * max(goal.scale, first):
            return None
        before = left
        layers = _plus(layers, _lifted(at, goal, -at.misfit), 1.0)
    return None


def fit(
    at: Layers, anchor: Layers, goal: Goal, where: Cut, tolerance: float = 1e-4, most: int = 100
) -> Layers:
    """A locally nearest point to the anchor among the cut layers of the wanted product.

    Descent of half the squared distance along the surface, from a point on it, with step sizes of
    Barzilai and Borwein and halving. It ends when what of the way to the anchor lies along the
    surface is `tolerance` of it: the distance is then near its local minimum to about the square
    of that.
    """
    anchor = applied(anchor, where)
    slope, step, length = _along(at, anchor, goal, where), 1.0, distance(at, anchor)
    for _ in range(most):
        if _norm(slope) <= tolerance * length:
            break
        found = _shorter(at, anchor, slope, step, length, goal, where)
        if found is None:
            break
        next_slope = _along(found, anchor, goal, where)
        moved, turned = _plus(found, at, -1.0), _plus(next_slope, slope, -1.0)
        curvature = _dot(moved, turned)
        step = float(np.clip(_dot(moved, moved) / curvature, 0.05, 20)) if curvature > 0 else 2.0
        at, slope, length = found, next_slope, distance(found, anchor)
    return at


def _shorter(
    at: Layers, anchor: Layers, slope: Layers, step: float, length: float, goal: Goal, where: Cut
) -> Layers | None:
    """A point down the slope, on the surface, that is nearer to the anchor; None where none is."""
    for _ in range(8):
        found = retract(_plus(at, slope, -step), goal, where)
        if found is not None and distance(found, anchor) < length * (1 - 1e-13):
            return found
        step /= 4
    return None


def _along(layers: Layers, anchor: Layers, goal: Goal, where: Cut) -> Layers:
    """The gradient of half the squared distance, along the surface."""
    at, away = linearise(layers, goal, where), _plus(layers, anchor, -1.0)
    return _plus(away, _lifted(at, goal, _pushed(at, goal, away)), -1.0)


def _plus(one: Layers, other: Layers, factor: float) -> Layers:
    return tuple(a + factor * b for a, b in zip(one, other, strict=True))


def _dot(one: Layers, other: Layers) -> float:
    return float(sum(np.vdot(a, b) for a, b in zip(one, other, strict=True)))


def _norm(layers: Layers) -> float:
    return _dot(layers, layers) ** 0.5
