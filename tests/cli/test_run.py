import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dlnlab import results
from dlnlab.experiment import Experiment
from dlnlab.papers import load
from dlnlab.simulate import Interrupted


@pytest.fixture
def answer(dln, tiny):
    def call(*argv: str) -> dict[str, Any]:
        said = dln("run", tiny, *argv, "--json")
        assert said.status == 0, said.err
        assert said.err == ""
        assert said.out.count("\n") == 1
        return json.loads(said.out)

    return call


def test_one_run_adds_no_axis(answer):
    found = answer()
    parts = {"coords", "final", "statistics", "theory", "outcome", "status", "provenance"}
    assert set(found) == parts
    assert found["coords"] == {
        "learning_rate": 0.1,
        "depth": 2,
        "strengths": [1.0, 0.5],
        "shift": 0.0,
        "doubled": False,
        "kind": "plain",
        "seed": 0,
    }
    assert set(found["final"]) == {"loss", "mode_values"}
    assert np.shape(found["final"]["mode_values"]) == (1, 2)
    assert found["statistics"] == {"first_rise": None, "first_rise_step": None}
    assert found["outcome"] == "undecided"
    assert found["status"] == "ran_to_end"
    assert found["provenance"]["versions"]["jax"]


def test_the_numbers_are_the_library_s_own_to_the_last_digit(answer, tiny):
    measured = load(tiny).experiment.measure(learning_rate=0.07)
    found = answer("--learning-rate", "0.07")["final"]
    assert found["loss"] == float(measured.loss[-1])
    assert found["mode_values"] == measured.mode_values[-1].values.tolist()


def test_swept_axes_come_first_in_the_order_of_the_signature(answer):
    found = answer("--seed", "0,1,2", "--learning-rate", "0.1", "--learning-rate", "0.2")
    assert found["coords"]["learning_rate"] == [0.1, 0.2]
    assert found["coords"]["seed"] == [0, 1, 2]
    assert np.shape(found["final"]["loss"]) == (2, 3)
    assert np.shape(found["final"]["mode_values"]) == (2, 3, 1, 2)
    assert np.shape(found["outcome"]) == np.shape(found["status"]) == (2, 3)


def test_a_diverged_lane_is_null_and_its_neighbours_are_not(answer):
    found = answer("--learning-rate", "0.1,1e6")
    assert found["outcome"][1] == found["status"][1] == "diverged"
    assert found["final"]["mode_values"][1] == [[None, None]]
    assert found["final"]["loss"][1] is None
    assert found["final"]["loss"][0] > 0
    assert found["statistics"]["first_rise_step"] == [None, 1]
    assert answer("--learning-rate", "1e6")["final"] == {
        "loss": None,
        "mode_values": [[None, None]],
    }


def test_ragged_sweeps_are_padded_with_null(answer):
    found = answer("--strengths", "1,0.5", "--strengths", "1")
    assert found["coords"]["strengths"] == [[1.0, 0.5], [1.0]]
    assert found["final"]["mode_values"][1][0][1] is None


def test_an_experiment_without_an_outcome_has_none(answer, monkeypatch, tiny):
    bare = load(tiny).experiment
    monkeypatch.setattr(
        "dlnlab.papers.load",
        lambda _: type(load(tiny))("bare", Experiment(bare.build, title="", steps=3)),
    )
    found = answer()
    assert found["outcome"] is None
    assert found["final"] == found["statistics"] == {}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--learning-rate=0.3"], {"learning_rate": 0.3}),
        (["--learning_rate", "0.3"], {"learning_rate": 0.3}),
        (["--shift", "-0.25"], {"shift": -0.25}),
        (["--shift=-0.25,.5"], {"shift": [-0.25, 0.5]}),
        (["--shift", "-0.25:0.25:3"], {"shift": [-0.25, 0.0, 0.25]}),
        (["--doubled"], {"doubled": True}),
        (["--doubled", "true"], {"doubled": True}),
        (["--doubled", "--no-doubled"], {"doubled": [True, False]}),
        (["--no-doubled"], {"doubled": False}),
        (["--doubled=false,true"], {"doubled": [False, True]}),
        (["--kind", "fancy"], {"kind": "fancy"}),
        (["--depth", "1:3:3"], {"depth": [1, 2, 3]}),
        (["--seeds", "3"], {"seed": [0, 1, 2]}),
        (["--seeds", "1"], {"seed": [0]}),
    ],
)
def test_a_flag_means_its_coordinate(answer, given, meant):
    coords = answer("--steps", "5", *given)["coords"]
    assert {name: coords[name] for name in meant} == meant


@pytest.mark.parametrize(
    "before",
    [["--doubled"], ["--steps", "5"], ["--learning-rate", "0.1"], ["--json", "--seeds", "2"]],
)
def test_flags_may_come_before_the_experiment(dln, tiny, before):
    assert dln("run", *before, tiny).status == 0


def test_steps_and_time(answer):
    assert answer("--steps", "5")["final"] == answer("--time", "0.5")["final"]


def test_the_summary_says_what_was_found_and_writes_nothing(dln, tiny, place):
    said = dln("run", tiny)
    for words in ("tiny · A tiny chain", "learning_rate 0.1", "loss", "σ_{h,i}", "undecided"):
        assert words in said.out
    assert said.status == 0
    assert said.err == ""
    assert list(place.iterdir()) == []


def test_the_summary_of_a_sweep_is_short(dln, tiny):
    said = dln("run", tiny, "--learning-rate", "0.01:0.2:40", "--steps", "10")
    assert "… and 28 more points" in said.out
    assert "40 undecided" in said.out
    assert len(said.out.splitlines()) < 25


def test_the_summary_says_when_a_run_diverged(dln, tiny):
    assert "diverged · step 10" in dln("run", tiny, "--learning-rate", "50").out


def test_the_summary_says_that_seeds_change_nothing(dln, tiny):
    said = dln("run", tiny, "--seeds", "3", "--steps", "5")
    assert "every seed gave the same numbers" in said.out
    assert "every seed" not in dln("run", tiny, "--depth", "1,2", "--steps", "5").out


def test_the_summary_of_a_sweep_has_theory_beside_and_names_what_is_left_out(dln):
    line = "run jacot2021/escape --scale 1e-2,1e-3 --start ray --time 1 --depth 2 --width 3"
    said = dln(*line.split()).out
    assert "escape_time" in said
    assert said.count("(theory)") == 2
    assert re.search(r"not shown: .*maximum_escape_alignment.*; see --json", said)


def test_what_is_examined_is_shown_beside_what_is_predicted(dln):
    said = dln("run", "jacot2021/saddles", "--depth", "2").out
    assert "ℓ 2.5 · n_− 6 · n_0 7 · n_+ 11 · λ_min -2 · k 1" in said
    found = json.loads(dln("run", "jacot2021/saddles", "--depth", "2", "--json").out)["final"]
    assert [found[name] for name in ("negative", "zero", "positive", "rank")] == [6, 7, 11, 1]


def test_the_losses_of_plateaus_are_data(dln):
    line = "run jacot2021/plateaus --representation modes --targets 3,3,1 --layer-scale 1e-4"
    found = json.loads(dln(*line.split(), "--json").out)["statistics"]
    assert found["plateau"][:3] == pytest.approx([9.5, 0.5, 0], abs=1e-4)
    assert found["plateau_rank"] == [0, 2, 3, None, None, None, None, None]
    said = dln(*line.split()).out
    assert re.search(r"^plateau +\[9\.5 0\.49", said, re.MULTILINE)
    assert "[9.5 0.5 0]" in said


def test_the_summary_of_a_sweep_shows_short_lists(dln, tiny):
    said = dln("run", tiny, "--learning-rate", "0.1,0.2", "--steps", "5")
    assert "mode_values" in said.out


@pytest.mark.parametrize("name", ["a.nc", "a.zarr"])
def test_out_holds_all_that_was_recorded(dln, tiny, place, name):
    for argv in ([], ["--force"]):
        said = dln("run", tiny, "--learning-rate", "0.1,0.2", "--out", name, *argv)
        assert said.status == 0
        assert f"written to {name}" in said.out
    engine = "h5netcdf" if name.endswith(".nc") else "zarr"
    options = {} if engine == "h5netcdf" else {"consolidated": False}
    with xr.open_dataset(place / name, engine=engine, **options) as found:
        assert found.mode_values.dims == ("learning_rate", "step", "pathway", "mode")
        assert found.sizes["step"] == 3
        assert "interrupted" not in found.attrs
    assert [item.name for item in place.iterdir()] == [name]


def test_an_interrupt_keeps_what_is_finished(dln, tiny, place, monkeypatch):
    measured = load(tiny).experiment.measure().assign_attrs(interrupted=1)

    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted(measured)

    monkeypatch.setattr(Experiment, "measure", interrupted)
    said = dln("run", tiny, "--out", "a.nc")
    assert (said.status, said.out) == (130, "")
    assert "a.nc" in said.err
    with xr.open_dataset(place / "a.nc", engine="h5netcdf") as found:
        assert found.attrs["interrupted"] == 1
    said = dln("run", tiny)
    assert said.status == 130
    assert "nothing was written" in said.err


def test_a_failing_write_leaves_nothing_behind(dln, tiny, place, monkeypatch):
    def full(self: xr.Dataset, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(xr.Dataset, "to_netcdf", full)
    with pytest.raises(OSError, match="No space"):
        dln("run", tiny, "--out", "a.nc")
    assert list(place.iterdir()) == []


def test_an_internal_error_is_not_made_a_sentence(dln, tiny, monkeypatch):
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(results, "label", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        dln("run", tiny)


def test_help_shows_the_coordinates(dln, tiny):
    said = dln("run", tiny, "--help")
    assert said.status == 0
    for words in ("--learning-rate", "η; above 0; default 0.1", "plain|fancy", "--seeds", "layers"):
        assert words in said.out
    assert math.isclose(float(dln("run", "--help").status), 0)


CRITICAL = """
import jax.numpy as jnp
from dlnlab import Experiment, GradientDescent, GradientFlow, Modes, Problem, Run, Whitened
from dlnlab.observables import loss


def build(scale: float = 0.0, flow: bool = False) -> Run:
    problem = Problem(Modes((2,), 1), Whitened(jnp.array([1.0])))
    start = (scale * jnp.ones(1), scale * jnp.ones(1))
    return Run(problem, GradientFlow() if flow else GradientDescent(0.1), (start,))


EXPERIMENT = Experiment(build=build, title="zero", time=1.0, observe=(loss,))
"""


@pytest.mark.parametrize("flow", [(), ("--flow",)], ids=["descent", "flow"])
def test_a_start_at_a_critical_point_is_said_so(dln, tmp_path, flow):
    path = tmp_path / "zero.py"
    path.write_text(CRITICAL, encoding="utf-8")
    said = dln("run", str(path), *flow)
    assert said.status == 2
    assert "critical point" in said.err
    assert said.err.count("\n") == 1
    assert dln("run", str(path), "--scale", "0.1", *flow).status == 0
