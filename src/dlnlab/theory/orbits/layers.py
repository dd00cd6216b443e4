"""Cycles of descent on one chain whose layers are free, balanced or not."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, finite, positive_number, shown, whole
from dlnlab.theory.modes.descent import exclusive_products

_EPSILON = float(np.finfo(np.float64).eps)
_MOST_ITERATIONS = 50
_MOST_UNKNOWNS = 2000


class LayerCycle(NamedTuple):
    """A cycle of one chain with free layers; see `layer_cycle`.

    `values` [step, layer] in the order visited, `end_to_end` [step], `multipliers` [layer] the
    complex eigenvalues of the monodromy matrix, the largest in magnitude first, `balance_factors`
    [layer, layer] what one period multiplies `w_i² − w_j²` by, `residual` the largest
    `|F(w_t) − w_{t+1}|` in units of s^{1/L}.
    """

    learning_rate: float
    values: Array
    end_to_end: Array
    multipliers: NDArray[np.complex128]
    balance_factors: Array
    stable: bool
    residual: float


def _pair_products(layers: Array) -> Array:
    """Products of all layers but two, `Π_{m≠i,j} w_m` [layer, layer]; zero on the diagonal."""
    count = len(layers)
    without = np.where(np.eye(count, dtype=bool), 1.0, layers[:, None])
    pairs = exclusive_products(without).T
    pairs[np.diag_indices(count)] = 0
    return pairs


def layer_step(layers: Array, target: float, learning_rate: float) -> Array:
    """One step of descent on a chain: `w_l ← w_l − η r Π_{m≠l} w_m`, `r = Π_m w_m − s`; [layer]."""
    residual = layers.prod() - target
    return np.asarray(layers - learning_rate * residual * exclusive_products(layers))


def step_jacobian(layers: Array, target: float, learning_rate: float) -> Array:
    """`I − η(G Gᵀ + r H)`, `G_l = Π_{m≠l} w_m`, `H_ij = Π_{m≠i,j} w_m`; [layer, layer]."""
    slopes, residual = exclusive_products(layers), layers.prod() - target
    hessian = np.outer(slopes, slopes) + residual * _pair_products(layers)
    return np.asarray(np.eye(len(layers)) - learning_rate * hessian)


def _start(guess: ArrayLike, target: float, rate: float, period: int) -> Array:
    """All points of the guess [step, layer]: as given, or iterated from the first."""
    points = finite("guess", guess)
    given = points.ndim == 1 or (points.ndim == 2 and len(points) == period)
    if not given or points.shape[-1] < 2:
        raise InputError(
            f"guess is {shown(guess)} of shape {points.shape}, and layer values [layer] of two "
            f"layers or more are needed, or such a row for each of the {period} steps; nest them "
            "[step][layer]."
        )
    if points.size * (period if points.ndim == 1 else 1) > _MOST_UNKNOWNS:
        raise InputError(
            f"guess has {points.shape[-1]} layers and period is {period}, and at most "
            f"{_MOST_UNKNOWNS} layer values along the cycle are solved for; shorten one of them."
        )
    if points.ndim == 2:
        return points
    rows = [points]
    with np.errstate(all="ignore"):
        while len(rows) < period:
            rows.append(layer_step(rows[-1], target, rate))
    return np.stack(rows)


def _residual(points: Array, target: float, rate: float) -> Array:
    made = np.stack([layer_step(row, target, rate) for row in points])
    return made - np.roll(points, -1, axis=0)


def _newton_step(points: Array, target: float, rate: float) -> Array:
    """The least move that solves the linearised cycle: minima are not alone, but a manifold."""
    period, count = points.shape
    matrix = np.zeros((period, count, period, count))
    for index, row in enumerate(points):
        matrix[index, :, index] += step_jacobian(row, target, rate)
        matrix[index, :, (index + 1) % period] -= np.eye(count)
    right = -_residual(points, target, rate).ravel()
    size = period * count
    move = np.linalg.lstsq(matrix.reshape(size, size), right, rcond=None)[0]
    return np.asarray(move.reshape(points.shape), dtype=np.float64)


def _refined(points: Array, target: float, rate: float, unit: float) -> Array | None:
    """Newton's method until its step is rounding; None where it finds nothing."""
    last = np.inf
    with np.errstate(all="ignore"):
        for _ in range(_MOST_ITERATIONS):
            if not np.isfinite(points).all() or np.abs(points).max() > 1e3 * unit:
                return None
            move = _newton_step(points, target, rate)
            points = points + move
            size = float(np.abs(move).max()) / unit
            if size <= 8 * _EPSILON or last <= size < np.sqrt(_EPSILON):
                return points
            last = size
    return None


def _least_period(points: Array, unit: float) -> int:
    near = np.sqrt(_EPSILON) * unit
    lags = [lag for lag in range(1, len(points) + 1) if len(points) % lag == 0]
    return next(lag for lag in lags if np.abs(points - np.roll(points, lag, axis=0)).max() <= near)


def layer_cycle(
    guess: ArrayLike, target: float, learning_rate: float, period: int = 2
) -> LayerCycle:
    """The cycle of descent on one chain with free layers, near a guess.

    `w_l ← w_l − η r Π_{m≠l} w_m`, `r = Π_m w_m − s`. Along one period the gap of two layers,
    `b_ij = w_i² − w_j²`, is multiplied by `Π_t (1 − η² r_t² Π_{m≠i,j} w_m²)`: on a cycle each pair
    is balanced, or its factor is 1. Across a balanced cycle the multipliers are these factors.

    `guess` is one point [layer], iterated for the others, or all of them [step, layer]; `target`
    s > 0, `learning_rate` η. Newton's method on all points together, each step the least that
    solves the linear equations, for the minima of period 1 form a manifold, along which L − 1
    multipliers are 1 and which `stable` leaves aside. Assumes aligned layers, no balance. Raises
    InputError where no cycle is found near the guess or one of a shorter period, and for arguments
    out of range. Source: ghosh2025.2, ghosh2025.4.

    >>> found = layer_cycle([1.9, 1.95, 1.92], 10.0, 0.0345)
    >>> found.end_to_end.round(5).tolist(), found.stable
    ([7.11288, 12.03346], True)
    """
    steps, goal = whole("period", period), positive_number("target", target)
    rate = positive_number("learning_rate", learning_rate)
    points = _start(guess, goal, rate, steps)
    unit = goal ** (1 / points.shape[1])
    found = _refined(points, goal, rate, unit)
    least = 0 if found is None else _least_period(found, unit)
    if found is None or least != steps:
        ended = f"found one of period {least}" if found is not None else "found none"
        raise InputError(
            f"guess is {shown(guess)}, and Newton's method {ended} where a cycle of period {steps} "
            "was asked for; begin nearer to it, for example from the end of a long run."
        )
    return _described(found, goal, rate, unit)


def _described(points: Array, target: float, rate: float, unit: float) -> LayerCycle:
    monodromy = np.eye(points.shape[1])
    factors = np.ones_like(monodromy)
    for row in points:
        monodromy = step_jacobian(row, target, rate) @ monodromy
        factors *= 1 - (rate * (row.prod() - target) * _pair_products(row)) ** 2
    multipliers = np.linalg.eigvals(monodromy).astype(np.complex128)
    multipliers = multipliers[np.argsort(-np.abs(multipliers))]
    across = multipliers
    if len(points) == 1:
        across = multipliers[np.argsort(np.abs(multipliers - 1))][-1:]
    return LayerCycle(
        learning_rate=rate,
        values=points,
        end_to_end=points.prod(axis=1),
        multipliers=multipliers,
        balance_factors=factors,
        stable=bool((np.abs(across) < 1).all()),
        residual=float(np.abs(_residual(points, target, rate)).max() / unit),
    )
