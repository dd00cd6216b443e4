"""The distance between two paths, free of time."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.typing import Any

Path = np.ndarray[Any, np.dtype[np.float64]]

MOST_PAIRS = 100_000_000
"""Pairs of points whose distances are looked at: n points of one path times m of the other."""


def frechet_distance(path: ArrayLike, other: ArrayLike, points: int | None = None) -> float:
    """The discrete Fréchet distance of two paths, whatever the times at which they are run through.

    The least, over all ways to walk both paths from begin to end without turning back, of the
    largest distance (Frobenius norm) between the two walkers. By the recurrence of Eiter and
    Mannila (1994), anti-diagonal by anti-diagonal: O(nm) time, O(nm) memory for the distances.

    `path` and `other` are arrays whose first axis runs along the path, say `end_to_end` over time,
    [time, output, input]; all other axes are coordinates. It is at least the Fréchet distance of
    the polygons through these points and larger by no more than their longest edge; with `points`
    both polygons are first walked in that many steps of equal length.

    **Raises:** `InputError` for paths of different spaces, without points, with numbers that are
    not finite, or of too many pairs of points.

    >>> frechet_distance([[0.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.3, 1.0], [1.0, 1.0]])
    1.044030650891055
    """
    one, two = _flat(path), _flat(other)
    if one.shape[1] != two.shape[1]:
        raise InputError(
            f"the points of the paths have {one.shape[1]} and {two.shape[1]} coordinates, and as "
            "many of each are needed; record the same observable of both."
        )
    if points is not None:
        one, two = evenly(one, points), evenly(two, points)
    if len(one) * len(two) > MOST_PAIRS:
        raise InputError(
            f"the paths have {len(one):,} and {len(two):,} points, whose pairs are more than "
            f"{MOST_PAIRS:,}; pass points=2000 or record fewer."
        )
    return _coupled(_distances(one, two))


def evenly(path: ArrayLike, points: int) -> Path:
    """Points at equal distances along the polygon through a path's points, its ends included.

    >>> evenly([[0.0], [1.0], [4.0]], 5).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    flat = _flat(path)
    if points < 2:
        raise InputError(f"a path is walked by 2 points or more, and {points} was given; raise it.")
    edges = np.linalg.norm(np.diff(flat, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(edges)])
    at = np.linspace(0, length[-1], points)
    return np.stack([np.interp(at, length, column) for column in flat.T], axis=1)


def _flat(path: ArrayLike) -> Path:
    made = np.asarray(path, dtype=float)
    if made.ndim < 1 or not len(made) or not np.isfinite(made).all():
        raise InputError(
            f"a path is an array of finite points along its first axis, and one of shape "
            f"{made.shape} with {np.count_nonzero(~np.isfinite(made))} entries that are not "
            "finite was given; leave out moments that were not reached."
        )
    return made.reshape(len(made), -1)


def _distances(one: Path, two: Path) -> Path:
    """Row by row: the square expanded into products would cancel where paths are close."""
    return np.stack([np.linalg.norm(two - point, axis=1) for point in one])


def _coupled(distances: Path) -> float:
    """`c[i,j] = max(d[i,j], min(c[i−1,j], c[i,j−1], c[i−1,j−1]))`, along lines of equal i + j.

    A line is kept by its row index i, with infinity where there is no such point.
    """
    rows, columns = distances.shape
    before = last = np.full(rows + 1, np.inf)  # entry i + 1 for row i
    for line in range(rows + columns - 1):
        i = np.arange(max(0, line - columns + 1), min(rows, line + 1))
        reached = np.minimum(np.minimum(last[i], last[i + 1]), before[i])
        reached = np.where(line == 0, -np.inf, reached)
        now = np.full(rows + 1, np.inf)
        now[i + 1] = np.maximum(distances[i, line - i], reached)
        before, last = last, now
    return float(last[rows])


__all__ = ["MOST_PAIRS", "evenly", "frechet_distance"]
