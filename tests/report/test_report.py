"""The report of a small paper: complete, self-contained, honest, and careful of what was there."""

import dataclasses
import html.parser
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dlnlab import papers, report
from dlnlab.claims import Claim, Verdict
from dlnlab.errors import InputError
from dlnlab.papers import load
from dlnlab.papers.kim2026 import fig5
from dlnlab.report import figures, interactive
from dlnlab.simulate import Interrupted

SMALL = {"edge_ratio": [1.9, 2.4], "start": [0.5, 0.85, 0.9, 0.95]}


@pytest.fixture
def small(monkeypatch):
    """kim2026 with figure 5 alone, on a few starts, and with a claim that fails."""
    entry = load("kim2026/fig5")
    experiment = dataclasses.replace(entry.experiment, coords=SMALL)
    false = Claim(
        "kim2026.0",
        "The moon is made of σ_1.",
        lambda m, p: Verdict.at_most(2.0, 1.0, sample_size=4),
    )
    tiny = dataclasses.replace(
        entry, experiment=experiment, claims=(*entry.claims, false), plot=None
    )
    monkeypatch.setattr(papers, "figure_ids", lambda key: ["kim2026/fig5"])
    monkeypatch.setattr(papers, "load", lambda figure: tiny)
    return tiny


class Page(html.parser.HTMLParser):
    """What a page refers to, its ids, its headings and pictures without words."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.loads, self.wordless, self.headings, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        for name in ("src", "data", "poster"):
            if name in found and tag != "a":
                self.loads.append(found[name])
        if tag == "link":
            self.loads.append(found.get("href", ""))
        if tag == "img" and not found.get("alt"):
            self.wordless.append(found)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))


def test_a_report_is_complete_and_needs_no_network(small, tmp_path):
    (index,) = report.reproduce(["kim2026"], out=tmp_path)
    folder = tmp_path / "kim2026"
    assert index == folder / "index.html"
    manifest = json.loads((folder / "manifest.json").read_text())
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {item["path"] for item in manifest["files"]} == written - {"manifest.json"}
    assert {"figures/fig5.svg", "figures/fig5.png", "data/fig5.nc", "claims.json"} < written
    text = index.read_text()
    page = Page(text)
    assert [load for load in page.loads if not load.startswith("data:")] == []
    assert re.findall(r"url\(\s*['\"]?(?!data:)[^)]", text.split("<script")[0]) == []
    assert len(set(page.ids)) == len(page.ids) and page.wordless == []
    assert page.headings[0] == 1 and all(
        b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False)
    )
    assert text.count("/**\n* plotly.js v") <= 1


def test_a_failing_claim_is_said_at_the_top(small, tmp_path):
    (index,) = report.reproduce(["kim2026"], out=tmp_path)
    body = index.read_text().split("<main", 1)[-1]
    assert "kim2026.0" in body[: body.index("Figure 5")]
    claims = json.loads((index.parent / "claims.json").read_text())
    keys = {
        "id",
        "paper",
        "sentence",
        "verdict",
        "statistic",
        "expected",
        "uncertainty",
        "sample_size",
    }
    assert all(keys <= set(claim) for claim in claims)
    assert [c["verdict"] for c in claims] == ["holds", "fails"]


def test_its_own_report_is_replaced_and_a_foreign_directory_is_not(small, tmp_path):
    report.reproduce(["kim2026"], out=tmp_path)
    (tmp_path / "kim2026" / "notes.txt").write_text("mine")
    stale = tmp_path / "kim2026" / "index.html"
    stale.write_text("old")
    report.reproduce(["kim2026"], out=tmp_path)
    assert stale.read_text() != "old"
    assert (tmp_path / "kim2026" / "notes.txt").read_text() == "mine"
    foreign = tmp_path / "other" / "kim2026"
    foreign.mkdir(parents=True)
    (foreign / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="did not write; choose another"):
        report.reproduce(["kim2026"], out=foreign.parent)
    assert [p.name for p in foreign.iterdir()] == ["thesis.txt"]
    assert list(foreign.parent.iterdir()) == [foreign]


def test_an_interrupt_leaves_the_earlier_report(small, tmp_path, monkeypatch):
    (index,) = report.reproduce(["kim2026"], out=tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def stopped(*args, **kwargs):
        raise Interrupted(None)

    monkeypatch.setattr(figures, "_reproduced", stopped)
    with pytest.raises(Interrupted):
        report.reproduce(["kim2026"], out=tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert index.exists()


@pytest.mark.parametrize("stop", [InputError("no."), Interrupted(None), ZeroDivisionError()])
def test_what_was_finished_before_it_stopped_is_kept(small, tmp_path, monkeypatch, stop):
    (index,) = report.reproduce(["kim2026"], out=tmp_path)
    before = {p: p.read_bytes() for p in index.parent.rglob("*") if p.is_file()}
    other, once = dataclasses.replace(small, id="kim2026/fig6"), figures._reproduced
    monkeypatch.setattr(papers, "figure_ids", lambda key: [small.id, other.id])
    monkeypatch.setattr(papers, "load", lambda figure: small if figure == small.id else other)

    def stopped(entry, *args):
        if entry is other:
            raise stop
        return once(entry, *args)

    monkeypatch.setattr(figures, "_reproduced", stopped)
    with pytest.raises(type(stop)) as caught:
        report.reproduce(["kim2026"], out=tmp_path)
    assert {p: p.read_bytes() for p in index.parent.rglob("*") if p.is_file()} == before
    left = tmp_path / "kim2026-unfinished"
    at = ["This was at kim2026/fig6."] if isinstance(stop, InputError) else []
    assert caught.value.__notes__ == [*at, f"What was finished is in {left}."]
    assert json.loads((left / "manifest.json").read_text())["figures"] == [small.id]
    assert (left / "data" / "fig5.nc").is_file()
    assert "This report holds only" in (left / "index.html").read_text()


def test_places_that_cannot_be_written_are_refused_before_computing(small, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "_reproduced", None)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "no" / "such" / "place"):
        with pytest.raises(InputError):
            report.reproduce(["kim2026"], out=place)


def test_unknown_papers_and_figures_are_named():
    with pytest.raises(InputError, match="kim2026"):
        report.reproduce(["kim2025"])
    with pytest.raises(InputError, match="no figure fig99"):
        report.reproduce(["kim2026"], only=["fig99"])


def test_judging_is_the_same_without_a_report(small):
    assert [v["verdict"] for v in report.judge("kim2026")] == ["holds", "fails"]
    assert fig5.CLAIMS[0].id == "kim2026.7"


def test_only_computes_what_is_asked_and_keeps_the_rest(small, tmp_path, monkeypatch):
    ids = ["kim2026/fig5", "kim2026/fig6"]
    monkeypatch.setattr(papers, "figure_ids", lambda key: ids)
    monkeypatch.setattr(papers, "load", lambda figure: dataclasses.replace(small, id=figure))
    announced: list[str] = []
    report.reproduce(["kim2026"], out=tmp_path, announce=announced.append)
    (index,) = report.reproduce(["kim2026"], out=tmp_path, only=["fig6"], announce=announced.append)
    assert announced == [*ids, "kim2026/fig6"]
    manifest = json.loads((index.parent / "manifest.json").read_text())
    assert manifest["figures"] == ids
    assert index.read_text().count("kept from") == 1
    assert len(json.loads((index.parent / "claims.json").read_text())) == 4
    # Of another length of runs, or after a change of its file, nothing is kept.
    (index,) = report.reproduce(["kim2026"], out=tmp_path, only=["fig6"], full=True)
    assert json.loads((index.parent / "manifest.json").read_text())["figures"] == ids[1:]


def test_the_long_form_overrides_coordinates_and_steps(small, monkeypatch):
    longer = dataclasses.replace(small, claims=(), full={"edge_ratio": [1.9], "steps": 1})
    (found,) = figures.carry_out([longer], full=True)
    assert found.measured.sizes["edge_ratio"] == 1 and found.measured.step[-1] == 1
    (found,) = figures.carry_out([longer])
    assert found.measured.sizes["edge_ratio"] == 2 and found.measured.step[-1] == 2


def test_what_the_long_form_sweeps_beyond_a_figure_is_data_and_not_in_its_claims(
    small, monkeypatch
):
    seen = []
    claim = Claim(
        "kim2026.0",
        "The moon is round.",
        lambda m, p: (
            seen.append((dict(m.sizes), dict(p.sizes))) or Verdict.at_most(0.0, 1.0, sample_size=1)
        ),
    )
    depth = small.experiment.parameters["depth"].default
    bare = dataclasses.replace(small, claims=(claim,), full={"depth": (depth + 1, depth)})
    (whole,) = figures.carry_out([bare], full=True)
    (own,) = figures.carry_out([bare])
    assert whole.measured.sizes["depth"] == 2
    assert whole.at == {"depth": depth}
    assert seen[0] == seen[1]
    assert own.at == {}


def test_the_monitor_sees_the_share_of_all_figures(small, monkeypatch):
    seen: list[float] = []

    def carried(entry, full, threads, monitor):
        monitor(0.5, None)
        return entry

    monkeypatch.setattr(figures, "_reproduced", carried)
    list(figures.carry_out([small, small], monitor=lambda share, left: seen.append(share)))
    assert seen == [0.25, 0.75]


def test_what_the_interactive_plot_draws_is_bounded_and_named_by_the_file(small):
    named = dataclasses.replace(small, interactive=("layer_value@1",))
    (found,) = figures.carry_out([named])
    (quantity,) = interactive.plot_data(found)["quantities"]
    assert quantity["at"] == 1 and quantity["theory"][0]["name"] == "map value"
    wide = dict.fromkeys(["edge_ratio", "start", "step"], 2000)
    long = found.measured.isel({d: [0] * n for d, n in wide.items() if d == "step"})
    kept = interactive._kept(long, ["layer_value"])
    assert len(kept["step"]) <= interactive.MOST_POINTS and kept["step"][-1] == 1999


def chromium(address, profile, *flags):
    """The page as a browser without network leaves it, and what it complained of."""
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=8000",
        "--enable-logging=stderr",
        "--v=0",
        "--dump-dom",
        *flags,
    ]
    return subprocess.run(
        ["chromium", *arguments, f"--user-data-dir={profile}", address],
        capture_output=True,
        text=True,
        timeout=120,
    )


in_a_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")


@pytest.mark.browser
@in_a_browser
def test_the_page_draws_itself_in_a_browser(small, tmp_path):
    (index,) = report.reproduce(["kim2026"], out=tmp_path)
    ran = chromium(index.as_uri(), tmp_path / "profile")
    assert "CONSOLE" not in ran.stderr, ran.stderr
    assert "main-svg" in ran.stdout  # plotly has drawn


@pytest.mark.browser
@in_a_browser
@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_the_page_never_scrolls_sideways(small, tmp_path, width):
    report.reproduce(["kim2026"], out=tmp_path)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<iframe id=f src='kim2026/index.html' style='width:{width}px;height:9000px;border:0'>"
        "</iframe><script>onload = () => setTimeout(() => { document.title = 'wide ' +"
        "document.querySelector('#f').contentDocument.documentElement.scrollWidth }, 2000)</script>"
    )
    ran = chromium(frame.as_uri(), tmp_path / "profile", "--allow-file-access-from-files")
    assert f"<title>wide {width}</title>" in ran.stdout


def test_the_template_and_its_parts_are_installed():
    here = Path(report.__file__).parent
    assert {"page.html.j2", "page.css", "page.js"} <= {p.name for p in here.iterdir()}
