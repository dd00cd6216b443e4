"""`dln run --figure`: the picture of a run, by the figure of its experiment or by none."""

from pathlib import Path

import pytest

PNG = b"\x89PNG"
PLOT = """

def plot(measured, predicted):
    from dlnlab.plotting import panels
    figure, (ax,) = panels()
    ax.plot(measured.step, measured.loss.sel({%s}))
    ax.set_title("of its own")
    return figure
"""


@pytest.fixture
def own(tiny: str, tmp_path: Path):
    """The tiny experiment with a figure that asks for these coordinates."""

    def make(asked: str) -> str:
        path = tmp_path / "own.py"
        path.write_text(Path(tiny).read_text() + PLOT % asked)
        return str(path)

    return make


def test_an_experiment_without_a_figure_is_drawn_by_its_quantities(dln, tiny, place):
    said = dln("run", tiny, "--learning-rate", "0.1,0.2", "--figure", "a.png")
    assert (said.status, said.err) == (0, "")
    assert "written to a.png" in said.out
    assert (place / "a.png").read_bytes().startswith(PNG)


def test_a_figure_of_one_s_own_is_drawn(dln, own, place):
    said = dln("run", own(""), "--figure", "a.svg", "--out", "a.nc")
    assert (said.status, said.err) == (0, "")
    assert "written to a.nc and a.svg" in said.out
    assert "<svg" in (place / "a.svg").read_text()


def test_the_figure_of_a_paper_is_drawn(dln, place):
    line = "run jacot2021/saddles --depth 2 --learned 1,0,0 --json --figure a.png"
    said = dln(*line.split())
    assert (said.status, said.err) == (0, "")
    assert (place / "a.png").read_bytes().startswith(PNG)


def test_a_figure_that_needs_another_sweep_says_so(dln, own, place):
    said = dln("run", own('"depth": 7'), "--figure", "a.png")
    assert said.status == 0
    assert "the figure of own cannot be drawn from these coordinates" in said.err
    assert (place / "a.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("a.pdf", "a figure is a file ending in .png or .svg, and a.pdf was given"),
        ("nowhere/a.png", "the directory nowhere"),
        ("there.png", "there.png exists already; choose another name, or add --force"),
        ("folder.png --force", "folder.png is a directory"),
    ],
)
def test_a_place_that_will_not_do_is_refused_before_computing(dln, tiny, place, given, words):
    (place / "there.png").write_text("kept")
    (place / "folder.png").mkdir()
    said = dln("run", tiny, "--figure", *given.split())
    assert said.status == 2
    assert words in said.err
    assert (place / "there.png").read_text() == "kept"


def test_force_replaces_a_figure(dln, tiny, place):
    (place / "there.png").write_text("gone")
    assert dln("run", tiny, "--figure", "there.png", "--force").status == 0
    assert (place / "there.png").read_bytes().startswith(PNG)
