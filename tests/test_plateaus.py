"""Plateaus read off recorded runs: staircases whose levels are known, and real flows."""

import numpy as np
import pytest
import xarray as xr

from dlnlab.errors import InputError
from dlnlab.plateaus import SEPARATED, plateaus

TIMES = np.geomspace(1e-3, 1e7, 1001)


def staircase(heights, times, at=TIMES):
    """A loss that falls by each height at each time: `h/(1 + (t/T)²)` has its steepest descent in
    ln t at t = T exactly."""
    return sum(h / (1 + (at / t) ** 2) for h, t in zip(heights, times, strict=True))


def dataset(loss, **more):
    return xr.Dataset({"loss": ("time", loss), **more}, {"time": TIMES})


def test_levels_and_times_of_a_staircase():
    heights, times = np.array([4.0, 2.0, 1.0]), np.array([1e-1, 1e2, 1e5])
    found = plateaus(dataset(staircase(heights, times)))
    assert found.sizes["plateau"] == 4
    # The norm is least near √(TT'), where a step leaves h T/T' and its neighbour has lost as much.
    np.testing.assert_allclose(found.loss, [7, 3, 1, 0], atol=2 * 4 * 1e-3)
    np.testing.assert_allclose(found.end[:3], times, rtol=0.02)
    np.testing.assert_array_equal(found.begin[1:], found.end[:-1])
    assert "unseparated" not in found.attrs
    assert (found.separation < SEPARATED).all()


def test_an_exact_gradient_norm_is_preferred():
    at = 10.0
    loss = 1 / (1 + (TIMES / at) ** 2)
    slope = 2 * TIMES / at**2 * loss**2
    found = plateaus(dataset(loss, gradient_norm=("time", np.sqrt(slope))))
    # Three moments of a parabola through ln p err by their distance squared, (ln 1e10/1000)².
    np.testing.assert_allclose(found.end[0], at, rtol=1e-3)


def test_ranks_are_those_recorded_and_no_guess():
    strengths, times = np.array([3.0, 2.0]), np.array([1.0, 1e3])
    values = strengths * (1 - 1 / (1 + (TIMES[:, None] / times) ** 2))
    loss = np.sum((strengths - values) ** 2, axis=1) / 2 + 0.1
    ranks = np.sum(values > strengths / 2, axis=1).astype(float)
    found = plateaus(dataset(loss, learned_rank=("time", ranks)))
    assert found["rank"].values.tolist() == [0, 1, 2]
    assert plateaus(dataset(loss))["rank"].isnull().all()


def test_steps_that_do_not_separate_are_one_or_are_named():
    close = plateaus(dataset(staircase([1.0, 1.0], [1.0, 2.0])))
    assert close.sizes["plateau"] == 2
    near = plateaus(dataset(staircase([1.0, 1.0], [1.0, 15.0])))
    assert near.sizes["plateau"] == 3
    assert near.attrs["unseparated"].startswith("1 plateau does not separate")
    three = plateaus(dataset(staircase([1.0, 1.0, 1.0], [1.0, 15.0, 225.0])))
    assert three.attrs["unseparated"].startswith("2 plateaus do not separate")


def test_noise_of_rounding_is_no_escape():
    noise = 1e-15 * np.random.default_rng(0).normal(size=len(TIMES))
    found = plateaus(dataset(staircase([1.0], [1.0]) + 1 + noise))
    assert found.sizes["plateau"] == 2


def test_sweeps_are_padded():
    both = np.stack([staircase([1.0], [1.0]), staircase([1.0, 1.0], [1.0, 1e4])])
    found = plateaus(
        xr.Dataset({"loss": (("alpha", "time"), both)}, {"time": TIMES, "alpha": [1, 2]})
    )
    assert found.loss.dims == ("alpha", "plateau")
    assert np.isnan(found.loss.values).sum() == 1


def test_what_has_no_loss_is_refused():
    with pytest.raises(InputError, match=r"observables\.loss"):
        plateaus(xr.Dataset({"time": TIMES}))
    with pytest.raises(InputError, match="denser"):
        plateaus(xr.Dataset({"loss": ("time", [2.0, 1])}, {"time": [0.0, 1.0]}))
