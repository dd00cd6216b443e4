"""`dln compare` and what it stands on."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from dlnlab.cli import compare as summary_of
from dlnlab.compare import _draw_apart, _ratio, _weight_distance, compare
from dlnlab.errors import InputError
from dlnlab.papers import load

PAIRED = str(Path(__file__).with_name("paired.py"))
NAMES = ("descent", "flow", "half", "noise")


@pytest.fixture(scope="module")
def experiment():
    return load(PAIRED).experiment


def test_dynamics_meet_at_the_same_times(experiment):
    found = compare(experiment, NAMES)
    np.testing.assert_allclose(found.time, [0, 0.25, 0.5, 0.75, 1])
    assert found.dynamics.values.tolist() == list(NAMES)
    zero = found.sel(dynamics="descent")
    assert (zero.weight_distance == 0).all()
    assert (zero.loss_ratio == 1).all()
    assert (found.weight_distance.isel(time=0) == 0).all()
    # A step of half the length is twice as near to the flow.
    flow = found.sel(dynamics="flow").loss
    gaps = [float(abs(found.sel(dynamics=n).loss - flow)[-1]) for n in ("descent", "half")]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)
    ends = experiment.measure(dynamics="half", steps=40).loss[-1]
    assert float(found.sel(dynamics="half").loss[-1]) == float(ends)


def test_distances_are_those_of_the_weights_and_maps(experiment):
    """From two dynamics alone, by hand: both layers of a balanced start stay equal."""
    found = compare(experiment, ("descent", "half"))
    maps = [
        compare(experiment, pair).sel(dynamics=pair[1])
        for pair in (("descent", "half"), ("half", "descent"))
    ]
    np.testing.assert_array_equal(maps[0].weight_distance, maps[1].weight_distance)
    np.testing.assert_allclose(maps[0].loss_ratio, 1 / maps[1].loss_ratio, rtol=1e-14)
    values = [np.full(2, 0.3**0.5), np.full(2, 0.3**0.5)]
    strengths = np.array([1.0, 0.5])
    for _ in range(20):
        values[0] = values[0] - 0.05 * (values[0] ** 2 - strengths) * values[0]
    for _ in range(40):
        values[1] = values[1] - 0.025 * (values[1] ** 2 - strengths) * values[1]
    apart = np.sqrt(2 * np.sum((values[0] - values[1]) ** 2))
    maps_apart = np.sqrt(np.sum((values[0] ** 2 - values[1] ** 2) ** 2))
    end = found.sel(dynamics="half").isel(time=-1)
    assert float(end.weight_distance) == pytest.approx(apart, rel=1e-10)
    assert float(end.product_distance) == pytest.approx(maps_apart, rel=1e-10)


def test_one_noise_for_each_seed_and_axes_as_in_a_run(experiment):
    swept = compare(experiment, ("noise", "descent"), seed=[0, 1], batch_size=[10.0, 1e12])
    assert swept.loss.dims == ("dynamics", "batch_size", "seed", "time")
    distance = swept.weight_distance.sel(dynamics="descent").isel(time=-1)
    assert (distance.sel(batch_size=10.0) > 1e-3).all()
    assert (distance.sel(batch_size=1e12) < 1e-5).all()
    assert float(distance[0, 0]) != float(distance[0, 1])
    alone = compare(experiment, ("noise", "descent"), seed=1)
    np.testing.assert_array_equal(
        alone.weight_distance, swept.weight_distance.sel(seed=1, batch_size=10.0)
    )


def test_what_cannot_be_compared_is_told(experiment, tiny):
    for make, told in (
        (lambda: compare(load(tiny).experiment), "no parameter dynamics"),
        (lambda: compare(experiment, ("flow",)), "two different dynamics"),
        (lambda: compare(experiment, ("descent", "third")), "miss the recorded times"),
        (lambda: compare(experiment, NAMES, learning_rate=[0.1, 0.2]), "one learning rate after"),
        (lambda: compare(experiment, ("flow", "sgd")), "sgd"),
    ):
        with pytest.raises(InputError, match=told) as error:
            make()
        assert "\n" not in str(error.value)


def test_the_command_answers_in_a_table_and_in_json(dln, place):
    said = dln("compare", PAIRED, "--dynamics", "descent", "--dynamics", "half", "--seed", "3")
    assert said.status == 0, said.err
    assert "compared to descent, at time 1" in said.out
    assert "weight distance" in said.out
    assert not list(place.iterdir())
    said = dln(
        "compare", PAIRED, "--dynamics", "half", "--dynamics", "noise", "--seeds", "2", "--json",
        "--out", "a.nc",
    )  # fmt: skip
    assert said.status == 0, said.err
    found = json.loads(said.out)
    assert found["compared_to"] == "half"
    assert np.shape(found["final"]["weight_distance"]) == (2, 2)
    assert found["final"]["weight_distance"][0] == [0, 0]
    with xr.open_dataset(place / "a.nc") as written:
        assert written.weight_distance.dims == ("dynamics", "seed", "time")


def test_each_point_of_a_sweep_has_rows_of_its_own():
    rng = np.random.default_rng(0)
    dims = ("dynamics", "batch_size", "seed", "time")
    for batches in ([1.0, 1000.0], range(15)):
        shape = (2, len(batches), 3, 2)
        found = xr.Dataset(
            {name: (dims, rng.normal(size=shape)) for name in summary_of._NUMBERS},
            {"dynamics": ["descent", "noise"], "batch_size": batches, "time": [0.0, 1.0]},
            {"compared_to": "descent"},
        )
        console = Console(width=120)
        with console.capture() as said:
            for part in summary_of.summary(load(PAIRED), found, None):
                console.print(part)
        assert "medians over 3 seeds" in said.get()
        assert ("and 3 more points" in said.get()) is (len(batches) == 15)
        for place, batch in enumerate(batches[:12]):
            apart = found.weight_distance.values[1, place, :, -1]
            (row,) = re.findall(rf"^{batch:g} +noise +(\S+)", said.get(), re.M)
            assert row == f"{np.sort(apart)[1]:.6g}"


def test_a_ratio_of_losses_that_are_rounding_is_not_told():
    """A map of norm 3 is known to 7e-16, and the loss of such a residual is no number."""
    losses = np.array([1.0, 1e-20, 1e-33, 1e-20])
    others = np.array([2.0, 1e-19, 1e-31, 1e-33])
    one, other = (
        xr.Dataset(
            {"loss": ("time", each), "end_to_end": (("time", "mode"), np.tile([2, 2, 1.0], (4, 1)))}
        )
        for each in (losses, others)
    )
    ratio = _ratio(other, one)
    np.testing.assert_allclose(ratio[:2], [2, 10])
    assert np.isnan(ratio[2:]).all()


def test_weights_of_another_number_have_no_distance():
    one, other = (
        xr.Dataset(
            {"loss": ("time", np.ones(2)), "parameters": (("time", "parameter"), np.ones((2, n)))},
            {"parameter": range(n)},
        )
        for n in (1, 2)
    )
    assert np.isnan(_weight_distance(one, other)).all()
    assert (_weight_distance(other, other) == 0).all()


def test_batches_and_their_equation_are_said_to_draw_apart(experiment):
    stationary = load("corlouer2026/stationary").experiment
    assert _draw_apart(stationary, ("sgd", "equation"), {"depth": 2})
    assert not _draw_apart(stationary, ("equation",), {"depth": 2})
    assert not _draw_apart(experiment, ("flow", "noise"), {"seed": [0, 1]})


def test_the_command_refuses_in_a_sentence(dln, tiny):
    said = dln("compare", tiny)
    assert said.status == 2
    assert "no parameter dynamics" in said.err
    assert dln("compare", PAIRED, "--dynamics", "flow").status == 2
    told = " ".join(dln("compare", PAIRED, "--help").out.split())
    assert "--dynamics" in told
    assert "by default all its values are compared" in told
