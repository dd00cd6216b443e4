"""What the commands that compute nothing say."""

import ast
import json

import pytest

from dlnlab.papers import all_ids, load, papers

COMMANDS = ["list", "show", "run", "compare", "predict", "reproduce", "claims", "new", "doctor"]
COMMANDS += ["cite", "bench"]


def test_help_names_every_command(dln):
    for argv in ([], ["--help"], ["-h"]):
        said = dln(*argv)
        assert said.status == 0
        assert all(f" {command} " in said.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_and_each_option_a_line(dln, command):
    said = dln(command, "--help")
    assert said.status == 0
    options = [line for line in said.out.splitlines() if line.startswith("│") and "--" in line]
    assert all("  " in line.strip("│ ") and line.strip("│ ")[-1] not in "-" for line in options)
    assert "STR" not in said.out


def test_version(dln):
    assert dln("--version").out.startswith("dlnlab ")


def test_list(dln):
    said = dln("list")
    assert all(figure in said.out for figure in all_ids())
    rows = json.loads(dln("list", "--json").out)
    assert [row["id"] for row in rows] == all_ids()
    assert set(rows[0]) == {"id", "title", "paper"}


@pytest.mark.parametrize("figure", all_ids())
def test_show_tells_all_that_an_experiment_holds(dln, figure):
    entry = load(figure)
    said = dln("show", figure)
    assert said.status == 0
    flat = " ".join(said.out.split())
    for words in (
        entry.experiment.title,
        *(p.flag for p in entry.experiment.parameters.values()),
        *(item.name for item in entry.experiment.observe),
        *(item.name for item in entry.experiment.statistics),
        *(bound.variable for bound in entry.experiment.predictions),
        *(claim.id for claim in entry.claims),
        entry.caption.split("\n")[0],
    ):
        assert words in flat


def test_show_tells_assumptions_and_ranges(dln, tiny):
    said = dln("show", tiny)
    for words in ("at least 1, at most 3", "plain|fancy", "layers", "2/η", "kim2026.5", "20 steps"):
        assert words in said.out


def test_show_lists_the_figures_of_a_paper(dln):
    said = dln("show", "ghosh2025")
    assert said.status == 0
    assert "ghosh2025/gap" in said.out
    assert "kim2026" not in said.out


def test_cite(dln, tiny):
    every = dln("cite").out
    assert "dlnlab" in every
    assert all(paper.reference in every for paper in papers().values())
    assert papers()["kim2026"].reference in dln("cite", tiny).out
    assert dln("cite", tiny, "kim2026/fig1", "kim2026").out == dln("cite", tiny).out
    assert dln("cite", "kim2026", "--bibtex").out.count("@") == 2


def test_doctor(dln, monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
    (tmp_path / "jit_f-1-cache").write_bytes(b"12345")
    found = json.loads(dln("doctor", "--json").out)
    assert found["cache"] == {"directory": str(tmp_path), "bytes": 5, "entries": 1}
    assert found["threads"] >= 1
    assert found["devices"]
    assert "5 B, 1 programs" in dln("doctor").out
    monkeypatch.setenv("JAX_ENABLE_COMPILATION_CACHE", "false")
    assert json.loads(dln("doctor", "--json").out)["cache"]["directory"] is None


def test_new_writes_an_experiment_that_runs(dln, place):
    said = dln("new", "mine.py")
    assert said.status == 0
    text = (place / "mine.py").read_text()
    assert ast.get_docstring(ast.parse(text))
    entry = load("mine.py")
    assert entry.claims
    assert entry.experiment.predictions
    found = json.loads(dln("run", "mine.py", "--steps", "400", "--json").out)
    assert found["final"]["loss"] < 1e-2
    assert found["final"]["weight_norm"] > 0
    assert (
        "3 strengths need as many"
        in dln("run", "mine.py", "--strengths", "1,1,1", "--width", "2").err
    )


def test_the_template_s_claim_and_plot_work(dln):
    dln("new", "mine.py")
    entry = load("mine.py")
    measured = entry.experiment.measure(steps=400, seed=[0, 1])
    predicted = entry.experiment.predict(measured, seed=[0, 1])
    assert entry.claims[0].judge(measured, predicted)["verdict"] == "holds"
    assert entry.plot is not None
    entry.plot(measured.isel(seed=0), predicted.isel(seed=0))


def test_new_replaces_a_file_only_with_force(dln, place):
    (place / "mine.py").write_text("kept")
    assert dln("new", "mine.py").status == 2
    assert (place / "mine.py").read_text() == "kept"
    assert dln("new", "mine.py", "--force").status == 0
    assert "EXPERIMENT" in (place / "mine.py").read_text()
