"""What the documents say is run.

In README, CONTRIBUTING and docs every fenced block is one of these:

    ```python               is executed; blocks of one document share their names, and its lines
                            `# > …` are what it prints
    ```python file=two.py   is written to that file, for the commands below it
    ```console              each `$ dln …` is carried out and ends well; lines below it are what it
                            prints, `…` standing for anything
    ```console not-run      is not carried out (it takes minutes, or changes the machine), but its
                            commands exist
    ```text                 is only shown
    ```{…}                  is a directive of Sphinx, which `make docs` follows
"""

import contextlib
import doctest
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from dlnlab.cli.app import execute

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(?P<kind>\{[\w-]+\}|\w*)(?P<how>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
CHECKER = doctest.OutputChecker()


class Block(NamedTuple):
    """A fenced block: its language, the rest of its first line, its text, where it stands."""

    kind: str
    how: str
    text: str
    line: int


def blocks(document):
    text = document.read_text(encoding="utf-8")
    return [
        Block(m["kind"], m["how"].strip(), m["text"], text.count("\n", 0, m.start()) + 2)
        for m in FENCE.finditer(text)
    ]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_blocks_do_what_they_say(document, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(document):
        where = f"{document.name}:{block.line}"
        match block.kind, block.how:
            case "python", "":
                run_python(block, names, str(document))
            case "python", how if how.startswith("file="):
                Path(how.removeprefix("file=")).write_text(block.text, encoding="utf-8")
            case "console", "":
                run_console(block.text, where)
            case "console", "not-run":
                for command, _ in commands(block.text):
                    check_exists(command, where)
            case "text", "":
                pass
            case kind, "" if kind.startswith("{"):
                pass
            case kind, how:
                pytest.fail(f"{where}: no such block: {kind} {how}")


@pytest.mark.skipif(not importlib.util.find_spec("sphinx"), reason="make docs needs the docs extra")
def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "site").glob("**/*.html"):
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(r'(?:src|href)="(https?://[^"]*\.(?:js|css|woff2?)[^"]*)"', text)
        assert not fetched, f"{page.name} fetches {fetched}"
    reference = (tmp_path / "site" / "reference" / "measuring.html").read_text(encoding="utf-8")
    assert "flow_end_sharpness" in reference
    edge = (tmp_path / "site" / "edge.html").read_text(encoding="utf-8")
    assert "<math" in edge and "\\sigma" not in edge


def run_python(block, names, filename):
    """Execute a block with its own line numbers; compare what it prints with its `# >` lines."""
    printed, padded = io.StringIO(), "\n" * (block.line - 1) + block.text
    with contextlib.redirect_stdout(printed):
        exec(compile(padded, filename, "exec"), names)
    expected = re.findall(r"^ *# > (.*)$", block.text, re.M)
    assert printed.getvalue().splitlines() == expected


def commands(text):
    """The commands of a console block, each with what it is said to print."""
    parts = re.split(r"^\$ ", text, flags=re.M)
    assert not parts[0].strip(), "a console block begins with `$ `"
    for part in parts[1:]:
        command, _, printed = part.partition("\n")
        yield shlex.split(command.split("  #")[0]), printed


def run_console(text, where):
    for command, expected in commands(text):
        assert command[0] == "dln", f"{where}: only dln is carried out; mark the block not-run"
        printed, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(told):
            status = execute(command[1:])
        assert status == 0, f"{where}: {shlex.join(command)} said: {told.getvalue()}"
        pattern = expected.replace("…", "...")
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert not expected or CHECKER.check_output(pattern, printed.getvalue(), flags), (
            f"{where}: {shlex.join(command)} printed\n{printed.getvalue()}"
        )


def check_exists(command, where):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    match command:
        case ["make", *arguments]:
            unknown = {a for a in arguments if "=" not in a} - set(targets)
            assert not unknown, f"{where}: make has no {unknown}"
        case ["dln", subcommand, *_]:
            with contextlib.redirect_stdout(io.StringIO()):
                assert execute([subcommand, "--help"]) == 0, f"{where}: dln has no {subcommand}"
        case ["git" | "cd" | "pip" | ".venv/bin/dln" | ".venv/bin/pytest", *_]:
            pass
        case _:
            pytest.fail(f"{where}: unknown command {command}")


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(document):
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"https?:", target):
            assert (document.parent / target).exists(), target


def test_the_runner_can_say_no():
    with pytest.raises(AssertionError):
        run_python(Block("python", "", "print(1)\n# > 2\n", 1), {}, "wrong")
    with pytest.raises(AssertionError):
        run_console("$ dln no-such-command\n", "wrong")
    with pytest.raises(AssertionError):
        run_console("$ dln list\nnothing like it\n", "wrong")
    with pytest.raises(AssertionError):
        check_exists(["make", "no-such-target"], "wrong")


def test_versions_agree():
    import dlnlab

    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\nversion: {dlnlab.__version__}\n" in citation
    assert re.search(r"^## \[([^\]]+)\]", changes, re.M)[1] == dlnlab.__version__


def test_constraints_pin_what_is_required():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["test"], *extras["docs"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pins)
    assert pins == sorted(pins, key=str.upper)
    pinned = {canonical(pin.partition("==")[0]) for pin in pins}
    assert {canonical(re.match(r"[\w.-]+", name)[0]) for name in needed} <= pinned


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.skipif(sys.platform == "win32", reason="make is no Windows program")
def test_make_names_what_it_can_do():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split())
    assert {"install", "test", "docs", "reproduce", "test-science", "format", "clean"} <= phony
