"""`dln reproduce` and `dln claims`: what they hand to the report, and what they read from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from dlnlab import report
from dlnlab.cli.claims import KEYS
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
        "monitor": None,
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


def test_an_interrupt_exits_with_130(dln, monkeypatch):
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(report, "judge", interrupted)
    assert dln("claims", "kim2026")[::2] == (130, "dln: interrupted.\n")
