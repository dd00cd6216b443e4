"""The distance of paths, against curves whose distance is known and a walk over all couplings."""

import functools

import numpy as np
import pytest

from dlnlab.errors import InputError
from dlnlab.frechet import evenly, frechet_distance


def brute(one, two):
    """The definition, by recursion over the last step of both walkers."""

    @functools.cache
    def reach(i, j):
        here = float(np.linalg.norm(one[i] - two[j]))
        if i == j == 0:
            return here
        before = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        return max(here, min(reach(a, b) for a, b in before if a >= 0 and b >= 0))

    return reach(len(one) - 1, len(two) - 1)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_over_all_couplings(seed):
    rng = np.random.default_rng(seed)
    one, two = (rng.normal(size=(rng.integers(1, 12), 2, 3)) for _ in range(2))
    assert frechet_distance(one, two) == pytest.approx(brute(one, two), rel=1e-12)
    assert frechet_distance(one, two) == frechet_distance(two, one)


def test_time_does_not_matter():
    """One curve run through at two paces: no more than the longest edge apart, though points of
    equal index are far."""
    at = np.linspace(0, 1, 400)
    curve = lambda s: np.stack([np.cos(5 * s), np.sin(5 * s), s], -1)  # noqa: E731
    one, two = curve(at), curve(at**3)
    edge = max(np.linalg.norm(np.diff(x, axis=0), axis=1).max() for x in (one, two))
    assert frechet_distance(one, two) <= edge
    assert np.linalg.norm(one - two, axis=1).max() > 20 * edge


def test_known_distances():
    at = np.linspace(0, 2 * np.pi, 721)
    circle = np.stack([np.cos(at), np.sin(at)], -1)
    assert frechet_distance(circle, 3 * circle) == pytest.approx(2, rel=1e-12)
    # Run through backwards, a segment's walkers must pass each other from end to end.
    segment = np.linspace([0.0, 0], [1, 0], 50)
    assert frechet_distance(segment, segment[::-1]) == pytest.approx(1, rel=1e-12)
    # Walking back and forth is seen, which as sets of points (Hausdorff) is no difference.
    forth = evenly([[0.0], [1.0]], 101)
    back = evenly([[0.0], [1.0], [0.0], [1.0]], 301)
    assert frechet_distance(forth, back) == pytest.approx(0.5, abs=0.01)


def test_resampling_keeps_the_polygon():
    corner = np.array([[0.0, 0], [1, 0], [1, 1]])
    assert evenly(corner, 5).tolist() == [[0, 0], [0.5, 0], [1, 0], [1, 0.5], [1, 1]]
    assert frechet_distance(corner, evenly(corner, 9), points=201) < 1e-12


def test_bad_paths_are_refused():
    with pytest.raises(InputError, match="coordinates"):
        frechet_distance(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(InputError, match="not finite"):
        frechet_distance([[np.nan]], [[0.0]])
    with pytest.raises(InputError, match="pairs"):
        frechet_distance(np.zeros((20_000, 1)), np.zeros((20_000, 1)))
    with pytest.raises(InputError, match="2 points"):
        evenly([[0.0], [1.0]], 1)
