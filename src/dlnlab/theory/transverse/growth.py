"""How perturbations that mix two singular vectors grow along the descent of aligned modes."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, positive_number, shown, whole
from dlnlab.theory.curvature.blocks import pair_blocks
from dlnlab.theory.transverse.attractor import LONGEST_PERIOD, attractor

_STRETCH = 16  # steps of an orbit between two looks at the growth
_CHUNK = 64  # steps whose maps are in memory at once
_LEAST_STEPS, _WORK = 1024, 2**20  # of an average along an orbit: fewer for deep chains

MOST_DEPTH = 100
"""Layers of a chain whose perturbations are followed."""


def transverse_maps(
    depth: int,
    targets: tuple[float, float],
    learning_rate: float,
    first: Array,
    second: Array,
) -> Array:
    """One step of descent on the entries (i, j), then (j, i), of every layer [step, 2L, 2L].

    `1 − ηH` with the pair's block H of the Hessian; `first` and `second` [step] are the layer
    values of modes i and j of a balanced chain.
    """
    layers = [np.repeat(values[None], depth, axis=0) for values in (first, second)]
    residuals = (first**depth - targets[0], second**depth - targets[1])
    hessian = pair_blocks([layers[0]], [layers[1]], residuals)
    return np.asarray(np.eye(2 * depth) - learning_rate * hessian)


def hidden_rotations(depth: int, first: Array, second: Array) -> Array:
    """The directions [step, 2L, L−1] in which the bases between two layers are turned.

    `δW_k = A W_k`, `δW_{k+1} = −W_{k+1} A`, `A = E_ij − E_ji`: descent carries each into itself at
    the next step, exactly.
    """
    made = np.zeros((len(first), 2 * depth, depth - 1))
    for k in range(depth - 1):
        made[:, k, k], made[:, depth + k, k] = second, -first
        made[:, k + 1, k], made[:, depth + k + 1, k] = -first, second
    return made


def _reduced_maps(
    depth: int, targets: tuple[float, float], learning_rate: float, first: Array, second: Array
) -> Iterator[Array]:
    """The same maps [L+1, L+1] up to hidden rotations, whose multipliers are exactly 1.

    The orbits close: the last map leads back to the first state.
    """
    for start in range(0, len(first), _CHUNK):
        steps = np.arange(start, min(start + _CHUNK, len(first)))
        ahead = np.append(steps, (steps[-1] + 1) % len(first))
        rotations = hidden_rotations(depth, first[ahead], second[ahead])
        across = np.linalg.qr(rotations, mode="complete")[0][:, :, depth - 1 :]
        maps = transverse_maps(depth, targets, learning_rate, first[steps], second[steps])
        yield from np.swapaxes(across[1:], 1, 2) @ maps @ across[:-1]


def _cycle_exponent(maps: Iterable[Array]) -> float:
    """log of the largest multiplier of a whole period, for each step."""
    product, size, count = np.eye(1), 0.0, 0
    for step in maps:
        product = step @ product if count else step
        norm = float(np.linalg.norm(product))
        if norm == 0:
            return -math.inf
        product, size, count = product / norm, size + math.log(norm), count + 1
    largest = float(np.abs(np.linalg.eigvals(product)).max())
    return (size + math.log(largest)) / count if largest > 0 else -math.inf


def _orbit_exponent(
    depth: int, targets: tuple[float, float], learning_rate: float, first: Array, second: Array
) -> float:
    """The mean growth for each step of a generic direction, the first tenth left out.

    Its part along hidden rotations stays there, and is taken out every few steps.
    """
    direction, logs = np.ones(2 * depth), []
    for start in range(0, len(first) - 1, _STRETCH):
        steps = slice(start, start + _STRETCH)
        rotations = hidden_rotations(depth, first[steps][:1], second[steps][:1])[0]
        along = np.linalg.qr(rotations)[0]
        direction = direction - along @ (along.T @ direction)
        norm = float(np.linalg.norm(direction))
        logs.append(math.log(norm))
        direction = direction / norm
        for step in transverse_maps(depth, targets, learning_rate, first[steps], second[steps]):
            direction = step @ direction
    left_out = 1 + len(logs) // 10
    return float(np.sum(logs[left_out:])) / (_STRETCH * (len(logs) - left_out))


def _pair_exponent(
    depth: int, targets: tuple[float, float], learning_rate: float, first: Array, second: Array
) -> float:
    """The largest exponent over the relative phases of two cycles, or along two orbits."""
    longest, exponents = max(len(first), len(second)), []
    if longest > LONGEST_PERIOD:
        steps = np.arange(min(longest, max(_LEAST_STEPS, _WORK // depth**2)))
        pair = first[steps % len(first)], second[steps % len(second)]
        return _orbit_exponent(depth, targets, learning_rate, *pair)
    steps = np.arange(math.lcm(len(first), len(second)))
    for phase in range(math.gcd(len(first), len(second))):
        pair = first[steps % len(first)], second[(steps + phase) % len(second)]
        exponents.append(_cycle_exponent(_reduced_maps(depth, targets, learning_rate, *pair)))
    return max(exponents)


def checked_depth(depth: int) -> int:
    """A depth at which hidden bases exist, and at which the pair's block is not too large."""
    deep = whole("depth", depth, 2)
    if deep > MOST_DEPTH:
        raise InputError(
            f"depth is {deep}, and at most {MOST_DEPTH} is needed, because every step of an orbit "
            "is a matrix of twice that size; lower it."
        )
    return deep


def checked_modes(targets: ArrayLike) -> Array:
    """At least two singular values, at or above zero, within a range whose squares are numbers."""
    goals = at_least_zero("targets", targets)
    if goals.ndim != 1 or len(goals) < 2 or not 1e-100 <= goals.max() <= 1e100:
        raise InputError(
            f"targets is {shown(goals.tolist())}, and at least two singular values are needed, the "
            "largest from 1e-100 to 1e100; add one, or measure them in other units."
        )
    return goals


def growth_exponents(depth: int, targets: ArrayLike, learning_rate: float) -> Array:
    """The growth for each step of what mixes two modes, `log|μ|/p` [mode, mode]; NaN for i = j.

    μ is the largest multiplier over a common period p of `Π_t (1 − ηH_t)`, H the Hessian's block
    on the entries (i, j) and (j, i) of every layer, without the L−1 that are exactly 1 and belong
    to rotations of the hidden bases. Below the first edge both modes rest at minima, where L−1 more
    multipliers are 1 and the exponent is 0 up to rounding until `ηλ_ij > 2`.

    `targets` s [mode], at or above zero, in any order; `depth` L at least 2. Each mode is on the
    attractor that holds its map's top: a minimum, a cycle of period up to 64, or a longer orbit,
    over which the growth is averaged. Of two cycles all relative phases are looked at and the
    largest exponent is given. A mode that diverges has NaN. Assumes aligned modes of one
    depth-balanced chain. Raises InputError for arguments out of range. Source: ghosh2025.6.

    >>> growth_exponents(2, [10.0, 8.0], 0.12).round(4).tolist()
    [[nan, 0.0801], [0.0801, nan]]
    """
    goals, deep = checked_modes(targets), checked_depth(depth)
    step = positive_number("learning_rate", learning_rate)
    orbits = [attractor(deep, float(goal), step) for goal in goals]
    made = np.full((len(goals), len(goals)), np.nan)
    for i, first in enumerate(orbits):
        for j, second in enumerate(orbits[:i]):
            if first is not None and second is not None:
                pair = (float(goals[i]), float(goals[j]))
                made[i, j] = made[j, i] = _pair_exponent(deep, pair, step, first, second)
    return made


def growth_along(
    depth: int, targets: tuple[float, float], learning_rate: float, first: Array, second: Array
) -> float:
    """The growth for each step of what mixes two modes along the cycles given, in their phase.

    As `growth_exponents`, for one pair and one relative phase: `first` and `second` are the layer
    values of the two modes, [phase] each, in their order in time and from the same step on. Two
    2-cycles that are in step grow slower than those that are not, and a run keeps to its own.

    Assumes aligned modes of one depth-balanced chain. Raises InputError for arguments out of range.
    Source: ghosh2025.6.

    >>> from dlnlab.theory.transverse.attractor import attractor
    >>> first, second = (attractor(3, target, 0.0345) for target in (10.0, 9.5))
    >>> in_step = (first[0] > first[1]) == (second[0] > second[1])
    >>> other = np.roll(second, 1)
    >>> pair = (second, other) if in_step else (other, second)
    >>> [round(growth_along(3, (10.0, 9.5), 0.0345, first, made), 4) for made in pair]
    [0.0295, 0.1003]
    """
    deep, (one, other) = checked_depth(depth), checked_modes(targets)[:2]
    step = positive_number("learning_rate", learning_rate)
    steps = np.arange(math.lcm(len(first), len(second)))
    orbits = np.asarray(first)[steps % len(first)], np.asarray(second)[steps % len(second)]
    return _cycle_exponent(_reduced_maps(deep, (float(one), float(other)), step, *orbits))


def growth_exponent(depth: int, targets: ArrayLike, learning_rate: float) -> float | None:
    """The largest of `growth_exponents` over the pairs of modes; None where a mode diverges.

    >>> growth_exponent(2, [10.0, 8.0], 0.105) < 0 < growth_exponent(2, [10.0, 8.0], 0.12)
    True
    """
    exponents = growth_exponents(depth, targets, learning_rate)
    pairs = exponents[np.triu_indices(len(exponents), 1)]
    return None if np.isnan(pairs).any() else float(pairs.max())
