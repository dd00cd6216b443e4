"""The cost of a linear map, on the host: its minimum, and the maps of critical points.

Where the layers stand at a critical point that is no global minimum, the map W' = W(θ') is
critical among the maps of its rank (or better), and the gradient G = ∇C(W') is not zero.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import scipy.optimize

from dlnlab.errors import InputError
from dlnlab.networks import chain
from dlnlab.problem import Problem
from dlnlab.tasks import Convex, Samples, Whitened
from dlnlab.typing import Any, Array, Float

Matrix = Float[np.ndarray, "rows columns"]
Vector = Float[np.ndarray, " entries"]

NEGLIGIBLE = 1e-10
"""Singular values below this share of the largest are taken for rounding."""


class MapCost(NamedTuple):
    """`C`, `∇C` and `∇²C` (of the entries row by row) as functions of a map, in float64."""

    value: Callable[[Matrix], float]
    gradient: Callable[[Matrix], Matrix]
    hessian: Callable[[Matrix], Matrix]
    shape: tuple[int, int]
    quadratic: bool


class CriticalMap(NamedTuple):
    """A map W at which layers can be critical without being minimal, and `G = ∇C(W) ≠ 0`."""

    made: Float[np.ndarray, "out in"]
    gradient: Float[np.ndarray, "out in"]


def map_cost(problem: Problem) -> MapCost:
    """The cost of the problem as a function of the end-to-end map.

    >>> cost = map_cost(Problem(chain((2, 2)), Whitened(np.diag([2.0, 1.0]))))
    >>> cost.gradient(np.zeros((2, 2))).tolist()
    [[-2.0, 0.0], [0.0, -1.0]]
    """
    rows, columns = problem.task.target.shape
    # One layer in place of the network: what is compiled then serves all widths.
    exact = Problem(chain((columns, rows)), jax.tree.map(_double, problem.task))

    def asked(function: Callable[[Problem, Any], Any], made: Matrix) -> Any:
        with jax.enable_x64(True):
            return np.asarray(function(exact, made))

    return MapCost(
        lambda made: float(asked(_value, made)),
        lambda made: asked(_slope, made),
        lambda made: asked(_bend, made).reshape(made.size, made.size),
        (rows, columns),
        not isinstance(problem.task, Convex),
    )


@jax.jit
def _value(problem: Problem, made: Array) -> Array:
    return problem.cost(made)


@jax.jit
def _slope(problem: Problem, made: Array) -> Array:
    return jax.grad(problem.cost)(made)


@jax.jit
def _bend(problem: Problem, made: Array) -> Array:
    return jax.hessian(problem.cost)(made)


def _double(leaf: Any) -> Any:
    values = np.asarray(leaf)
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def minimum(cost: MapCost) -> Float[np.ndarray, "out in"]:
    """The minimiser that Newton's method with damping reaches from 0; of a quadratic, the least.

    **Raises:** `InputError` where the cost has no minimum that is reached in 200 steps.
    """
    made = np.zeros(cost.shape)
    first = np.linalg.norm(cost.gradient(made))
    damping = 0.0 if cost.quadratic else 1e-3
    for _ in range(200):
        slope = cost.gradient(made)
        if np.linalg.norm(slope) <= 1e-12 * first:
            # A cost that falls for ever is as flat, far out, but Newton's steps stay long.
            if np.linalg.norm(_newton(cost, made, 0.0)) <= 1e-3 * (1 + np.linalg.norm(made)):
                return made
            break
        move = _newton(cost, made, damping)
        if cost.quadratic:
            return made + move
        lower = cost.value(made + move) <= cost.value(made)
        made = made + move if lower else made
        damping = damping / 10 if lower else 10 * damping
    raise InputError(
        "no minimum of the cost was found within 200 steps of Newton's method, and a nearest one "
        "was asked for; a cost that falls for ever (logistic, say) needs a penalty on W."
    )


def _newton(cost: MapCost, made: Matrix, damping: float) -> Matrix:
    bend = cost.hessian(made) + damping * np.eye(made.size)
    return np.linalg.lstsq(bend, -cost.gradient(made).ravel(), NEGLIGIBLE)[0].reshape(made.shape)


def determined(cost: MapCost, made: Matrix) -> Float[np.ndarray, "entries m"]:
    """An orthonormal basis of the directions in which the cost is not flat.

    For a quadratic cost the range of its Hessian: a map is a minimum if and only if it agrees with
    one there. Otherwise the joint range at the origin, the given map and half-way, from which
    follows no more than that agreement suffices where the rest is flat.
    """
    shares = (1.0,) if cost.quadratic else (0.0, 0.5, 1.0)
    bend = np.sum([cost.hessian(share * made) for share in shares], axis=0)
    values, vectors = np.linalg.eigh((bend + bend.T) / 2)
    return vectors[:, values > NEGLIGIBLE * values[-1]]


def critical_maps(problem: Problem, cost: MapCost) -> list[CriticalMap]:
    """Maps of critical points that are not minima, the origin first.

    White inputs and samples: `W = P_S Y Σ⁺`, with Y = E[yxᵀ], Σ = E[xxᵀ] and P_S the projection on
    left singular vectors S of `Y Σ^{+1/2}` (jacot2021.3; Σ = I for white inputs): those that keep
    the leading k, and those that leave out one. Other costs: the minima of each rank below that
    of the minimum, from two starts each.
    """
    if isinstance(problem.task, (Whitened, Samples)):
        found = _kept_modes(problem, cost)
    else:
        found = _rank_minima(cost)
    maps = [CriticalMap(made, cost.gradient(made)) for made in (np.zeros(cost.shape), *found)]
    largest = np.linalg.norm(maps[0].gradient)
    return [found for found in maps if np.linalg.norm(found.gradient) > 1e-7 * largest]


def _kept_modes(problem: Problem, cost: MapCost) -> list[Matrix]:
    target = np.asarray(problem.task.target, np.float64)
    covariance = np.eye(target.shape[1])
    if isinstance(problem.task, Samples):
        inputs = np.asarray(problem.task.inputs, np.float64)
        covariance = inputs.T @ inputs / len(inputs)
    values, vectors = np.linalg.eigh(covariance)
    some = values > NEGLIGIBLE * values[-1]
    inverse = (vectors[:, some] / values[some]) @ vectors[:, some].T
    root = (vectors[:, some] / np.sqrt(values[some])) @ vectors[:, some].T
    left, strengths, _ = np.linalg.svd(target @ root)
    rank = int(np.sum(strengths > NEGLIGIBLE * strengths[0]))
    leading = [range(k) for k in range(1, rank - 1)]
    without = [[i for i in range(rank) if i != out] for out in range(rank)] if rank > 1 else []
    return [
        left[:, list(kept)] @ left[:, list(kept)].T @ target @ inverse
        for kept in (*leading, *without)
    ]


def _rank_minima(cost: MapCost) -> list[Matrix]:
    """Minima of the cost over the maps of rank k, until they are minima of all maps."""
    first, found = -cost.gradient(np.zeros(cost.shape)), []
    for rank in range(1, min(cost.shape)):
        reached = [_rank_minimum(cost, rank, start) for start in (first, minimum(cost))]
        found += [made for made in reached if made is not None]
        slopes = [np.linalg.norm(cost.gradient(made)) for made in reached if made is not None]
        if slopes and min(slopes) <= 1e-7 * np.linalg.norm(first):
            break
    return found


def _rank_minimum(cost: MapCost, rank: int, start: Matrix) -> Matrix | None:
    """A minimum of `C(AB)` in two factors of a rank, or None where no solver settles."""
    rows, columns = cost.shape
    left, values, right = np.linalg.svd(start)
    root = np.sqrt(values[:rank])
    factors = np.concatenate(
        [(left[:, :rank] * root).ravel(), (root[:, None] * right[:rank]).ravel()]
    )

    def parts(flat: Vector) -> tuple[Matrix, Matrix]:
        return flat[: rows * rank].reshape(rows, rank), flat[rows * rank :].reshape(rank, columns)

    def slope(flat: Vector) -> Vector:
        a, b = parts(flat)
        gradient = cost.gradient(a @ b)
        return np.concatenate([(gradient @ b.T).ravel(), (a.T @ gradient).ravel()])

    def bend(flat: Vector) -> Matrix:
        a, b = parts(flat)
        jacobian = np.hstack([np.kron(np.eye(rows), b.T), np.kron(a, np.eye(columns))])
        whole = jacobian.T @ cost.hessian(a @ b) @ jacobian
        mixed = np.einsum("ij,ab->iabj", cost.gradient(a @ b), np.eye(rank))
        whole[: rows * rank, rows * rank :] += mixed.reshape(rows * rank, rank * columns)
        whole[rows * rank :, : rows * rank] = whole[: rows * rank, rows * rank :].T
        return whole

    def value(flat: Vector) -> float:
        a, b = parts(flat)
        return cost.value(a @ b)

    flat = scipy.optimize.minimize(
        value, factors, jac=slope, hess=bend, method="trust-exact", options={"gtol": 1e-9}
    ).x
    for _ in range(4):  # Newton's last steps, along what the factors determine.
        flat = flat - np.linalg.lstsq(bend(flat), slope(flat), 1e-9)[0]
    a, b = parts(flat)
    settled = np.linalg.norm(slope(flat)) <= 1e-9 * np.linalg.norm(
        cost.gradient(np.zeros(cost.shape))
    )
    return a @ b if settled and np.isfinite(flat).all() else None
