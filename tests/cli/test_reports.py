"""`dln reproduce` and `dln claims`: what they hand to the report, and what they read from it."""

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from dlnlab import report
from dlnlab.cli.claims import KEYS
from dlnlab.errors import InputError
from dlnlab.papers import paper_keys

CLAIM = {
    "id": "kim2026.5a",
    "paper": "kim2026",
    "sentence": "Descent stops at the edge.",
    "verdict": "holds",
    "statistic": 0.998,
    "expected": "at least 0.95",
    "uncertainty": 1e-9,
    "sample_size": 3,
    "assumes": ["more than the array holds"],
}
FAILS = {**CLAIM, "id": "kim2026.5b", "verdict": "fails", "statistic": None, "uncertainty": None}


@pytest.fixture
def asked(monkeypatch) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def reproduce(keys: list[str], **options: Any) -> list[Path]:
        found.update(keys=keys, **options)
        return [Path("results") / key / "index.html" for key in keys]

    monkeypatch.setattr(report, "reproduce", reproduce)
    return found


def test_reproduce_ends_with_the_path_of_the_report(dln, asked):
    said = dln("reproduce", "kim2026")
    assert said.status == 0
    assert said.out.splitlines()[-1] == "results/kim2026/index.html"
    assert said.err == ""
    assert asked == {
        "keys": ["kim2026"],
        "out": None,
        "only": None,
        "full": False,
        "force": False,
        "threads": None,
        "monitor": ANY,
    }


@pytest.mark.parametrize(
    "argv",
    [
        ["kim2026", "--only", "fig1", "fig2"],
        ["kim2026", "--only", "fig1", "--only", "fig2"],
        ["kim2026", "--only", "fig1,fig2"],
        ["--only", "fig1", "fig2", "kim2026"],
    ],
)
def test_reproduce_hands_on_what_is_asked(dln, asked, argv):
    assert dln("reproduce", *argv, "--full", "--force", "--out", "there").status == 0
    assert asked["keys"] == ["kim2026"]
    assert asked["only"] == ["fig1", "fig2"]
    assert asked["full"]
    assert asked["force"]
    assert asked["out"] == Path("there")


def test_claims_are_computed(dln, monkeypatch):
    monkeypatch.setattr(report, "judge", lambda paper, monitor: [CLAIM, FAILS])
    said = dln("claims", "kim2026")
    for words in ("kim2026.5a", "✓ holds", "✗ fails", "0.998 ± 1e-09 (3)", "at least 0.95"):
        assert words in said.out
    assert said.out.rstrip().endswith("2 claims: 1 holds, 1 fails")
    rows = json.loads(dln("claims", "--json").out)
    assert [tuple(row) for row in rows] == [KEYS, KEYS] * len(paper_keys())
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
    assert {row["verdict"]: row["statistic"] for row in rows}["fails"] is None


@pytest.mark.parametrize("place", ["claims.json", "kim2026/claims.json"])
def test_claims_are_read(dln, tmp_path, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps([CLAIM, FAILS]))
    for argv in ([], ["kim2026"]):
        rows = json.loads(dln("claims", *argv, "--from", str(tmp_path), "--json").out)
        assert [row["id"] for row in rows] == ["kim2026.5a", "kim2026.5b"]


def test_single_claims_and_figures_are_computed_once_and_alone(dln, monkeypatch):
    asked = []

    def judged(entries, monitor):
        asked.append([entry.id for entry in entries])
        made = [(entry, claim) for entry in entries for claim in entry.claims]
        return [{**CLAIM, "id": claim.id, "figure": entry.id} for entry, claim in made]

    monkeypatch.setattr(report, "judge_entries", judged)
    names = ["kim2026.5", "kim2026.5a", "jacot2021/saddles"]
    rows = json.loads(dln("claims", *names, "--json").out)
    ids = ["jacot2021.3d", "jacot2021.3e", "kim2026.5", "kim2026.5a"]
    assert sorted(row["id"] for row in rows) == ids
    assert asked == [["kim2026/fig1", "jacot2021/saddles"]]


def test_single_claims_are_read(dln, tmp_path):
    told = [{**CLAIM, "figure": "kim2026/fig6"}, {**FAILS, "figure": "kim2026/fig7"}]
    (tmp_path / "claims.json").write_text(json.dumps(told))
    for name, ids in {"kim2026.5b": ["kim2026.5b"], "kim2026/fig6": ["kim2026.5a"]}.items():
        rows = json.loads(dln("claims", name, "--from", str(tmp_path), "--json").out)
        assert [row["id"] for row in rows] == ids


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["kim2026.5z"], "kim2026 has no claim kim2026.5z; did you mean kim2026.5"),
        (["kim2027.5"], "there is no paper kim2027; did you mean kim2026?"),
        (["kim2026.1", "--from", "."], "holds no claims.json"),
    ],
)
def test_a_claim_that_is_not_there_is_refused(dln, argv, words):
    said = dln("claims", *argv)
    assert said.status == 2
    assert words in said.err


def test_an_interrupt_exits_with_130(dln, monkeypatch):
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "judge", interrupted)
    assert dln("claims", "kim2026")[::2] == (130, "dln: interrupted.\n")


@pytest.mark.parametrize(
    ("stop", "status", "words"),
    [(InputError("No."), 2, "No."), (KeyboardInterrupt(), 130, "interrupted.")],
)
def test_what_was_kept_is_said(dln, monkeypatch, stop, status, words):
    def stopped(*_: Any, **__: Any) -> None:
        stop.add_note("Something was kept.")
        raise stop

    monkeypatch.setattr(report, "reproduce", stopped)
    assert dln("reproduce", "kim2026")[::2] == (status, f"dln: {words} Something was kept.\n")
