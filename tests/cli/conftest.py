import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from dlnlab import papers
from dlnlab.cli.app import execute

TINY = Path(__file__).with_name("tiny.py")


class Said(NamedTuple):
    status: int
    out: str
    err: str


Dln = Callable[..., Said]


@pytest.fixture(scope="session", autouse=True)
def _loaded_once() -> Iterator[None]:
    """A file that is loaded anew is compiled anew; here one compilation is enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(papers, "_load_file", functools.cache(papers._load_file))
        yield


@pytest.fixture
def dln(capsys: pytest.CaptureFixture[str]) -> Dln:
    """Carry out a command line in this process."""

    def call(*argv: str) -> Said:
        capsys.readouterr()
        status = execute(argv)
        return Said(status, *capsys.readouterr())

    return call


@pytest.fixture
def tiny() -> str:
    return str(TINY)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where whatever is written can be seen."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here
