"""Newton's method on all points of a cycle together, and along a branch of cycles.

The unknowns are u of every point and κ; the equations are `f(u_i) = u_{i+1}` around the cycle and
one more, which holds either κ or the multiplier `Π f'(u_i)`. No step of the map is ever iterated,
so a long unstable cycle is as well conditioned as a short stable one; and with the multiplier held
the system is regular where two cycles are born together, at multiplier 1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array
from dlnlab.theory.modes.descent import exclusive_products
from dlnlab.theory.orbits.scaled_map import step

_EPSILON = float(np.finfo(np.float64).eps)
_MOST_ITERATIONS = 12
_LEAST_STRIDE = 1e-12

Held: TypeAlias = Literal["rate", "multiplier"]


class Point(NamedTuple):
    """A cycle in scaled units: u of its points in the order visited [period], and κ."""

    logs: Array
    rate: float


def multiplier(point: Point, depth: int) -> float:
    """The derivative of the map along one period, signed: `Π f'(u_i)`."""
    with np.errstate(over="ignore"):
        return float(step(point.logs, point.rate, depth).slope.prod())


def held_value(point: Point, depth: int, held: Held) -> float:
    """κ or the multiplier of a cycle."""
    return point.rate if held == "rate" else multiplier(point, depth)


def _system(point: Point, depth: int, held: Held, goal: float) -> tuple[Array, Array]:
    """Residuals [period + 1] and their derivatives by (u, κ) [period + 1, period + 1]."""
    made, period = step(point.logs, point.rate, depth), len(point.logs)
    matrix = np.zeros((period + 1, period + 1))
    index = np.arange(period)
    matrix[index, index] = made.slope
    matrix[index, (index + 1) % period] -= 1
    matrix[:-1, -1] = made.by_rate
    residual = np.append(made.value - np.roll(point.logs, -1), 0.0)
    if held == "rate":
        residual[-1], matrix[-1, -1] = point.rate - goal, 1
    else:
        others = exclusive_products(made.slope)
        residual[-1] = made.slope.prod() - goal
        matrix[-1, :-1] = made.curvature * others
        matrix[-1, -1] = (made.slope_by_rate * others).sum()
    return residual, matrix


def _solve(matrix: Array, right: Array) -> Array | None:
    """The solution, None where there is none in finite numbers."""
    if not (np.isfinite(matrix).all() and np.isfinite(right).all()):
        return None
    try:
        solved: Array = np.linalg.solve(matrix, right).astype(np.float64)
    except np.linalg.LinAlgError:
        return None
    return solved if np.isfinite(solved).all() else None


def corrected(guess: Point, depth: int, held: Held, goal: float) -> Point | None:
    """The cycle near `guess` at which κ or the multiplier is `goal`; None without convergence.

    Converged where Newton's step is some roundings of the unknowns, or shrinks no more below the
    square root of that (rounding is all that is left).
    """
    point, last = guess, np.inf
    for _ in range(_MOST_ITERATIONS):
        residual, matrix = _system(point, depth, held, goal)
        move = _solve(matrix, -residual)
        if move is None:
            return None
        point = Point(point.logs + move[:-1], point.rate + float(move[-1]))
        size = float(np.abs(move).max())
        if size <= 8 * _EPSILON or last <= size < np.sqrt(_EPSILON):
            return point
        last = size
    return None


def _same_branch(one: Point, other: Point) -> bool:
    """Points of a cycle never pass each other along a branch, so their order is the branch's."""
    return bool((np.argsort(one.logs) == np.argsort(other.logs)).all())


def follow(
    start: Point,
    depth: int,
    held: Held,
    goal: float,
    allowed: Callable[[Point], bool] = lambda point: True,
) -> Point:
    """The cycle of the same branch at which κ or the multiplier is `goal`.

    Predictor along the tangent, corrector by Newton, and a stride that doubles where the corrector
    converges to the same branch and is halved where it doesn't. `allowed` says which cycles belong
    to the branch besides the order of their points.
    """
    point, now = start, held_value(start, depth, held)
    stride = goal - now
    while now != goal:
        reach = goal if abs(stride) >= abs(goal - now) else now + stride
        found = _advanced(point, depth, held, now, reach)
        if found is not None and _same_branch(start, found) and allowed(found):
            point, now, stride = found, reach, 2 * stride
            continue
        stride /= 2
        if abs(stride) < _LEAST_STRIDE * max(1.0, abs(now)):
            raise InputError(
                f"the cycle of period {len(start.logs)} is lost at ηS = {point.rate:.12g}, where "
                "rounding no longer tells its points apart; ask for another step size, or a "
                "shorter period."
            )
    return point


def _advanced(point: Point, depth: int, held: Held, now: float, reach: float) -> Point | None:
    _, matrix = _system(point, depth, held, now)
    tangent = _solve(matrix, np.eye(len(matrix))[-1])
    if tangent is None:
        return None
    ahead = (reach - now) * tangent
    return corrected(
        Point(point.logs + ahead[:-1], point.rate + float(ahead[-1])), depth, held, reach
    )
