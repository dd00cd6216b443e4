"""The papers that the laboratory covers: one package each, one file for each figure or study.

A figure's file holds `EXPERIMENT`, and if wished `CLAIMS`, `plot(measured, predicted)`, `FULL` (the
coordinates, steps or time of its long form) and `INTERACTIVE` (names of the variables worth an
interactive plot, with `@3` where step 3 is the one to compare); a paper's `__init__` holds `PAPER`.
Nothing else knows which papers there are.
"""

import difflib
import importlib
import importlib.util
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError, nearest
from dlnlab.experiment import Experiment
from dlnlab.papers.paper import Paper
from dlnlab.typing import Any


@dataclass(frozen=True)
class Entry:
    """A figure, or an experiment of one's own: what its file holds."""

    id: str
    experiment: Experiment
    claims: tuple[Claim, ...] = ()
    plot: Callable[[xr.Dataset, xr.Dataset], Any] | None = None
    caption: str = ""
    full: Mapping[str, Any] = field(default_factory=dict)
    interactive: tuple[str, ...] = ()


def papers() -> dict[str, Paper]:
    """All papers by key."""
    return {key: importlib.import_module(f"{__name__}.{key}").PAPER for key in paper_keys()}


def paper_keys() -> list[str]:
    """The keys of all papers, without importing them."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if found.ispkg)


def figure_ids(key: str) -> list[str]:
    """The ids of a paper's figures, `key/name`, in the order of their numbers; studies follow."""
    if key not in paper_keys():
        raise InputError(f"there is no paper {key}; {nearest(key, paper_keys())}")
    folder = Path(__path__[0]) / key
    names = [found.name for found in pkgutil.iter_modules([str(folder)])]
    return [
        f"{key}/{name}"
        for name in sorted(names, key=lambda name: (not name.startswith("fig"), _natural(name)))
    ]


def all_ids() -> list[str]:
    """The ids of all figures of all papers."""
    return [figure for key in paper_keys() for figure in figure_ids(key)]


def load(reference: str) -> Entry:
    """The entry of an id such as `kim2026/fig1`, or of a path to an experiment file (`*.py`).

    **Raises:** `InputError` where there is no such figure or file, where the file cannot be run,
    or where it holds no `EXPERIMENT`.
    """
    if reference.endswith(".py"):
        return _entry(Path(reference).stem, _load_file(Path(reference)))
    if reference not in all_ids():
        raise InputError(f"there is no experiment {reference}; {_nearest_id(reference)}")
    return _entry(reference, importlib.import_module(f"{__name__}.{reference.replace('/', '.')}"))


def _nearest_id(reference: str) -> str:
    """The ids nearest to what was given; a figure may lack its paper."""
    ids = all_ids()
    alike = [figure for figure in ids if figure.rpartition("/")[2] == reference]
    if alike:
        return f"did you mean {' or '.join(alike)}?"
    return nearest(reference, ids) if "/" in reference else "name one of `dln list`, or a file.py."


def _entry(name: str, module: ModuleType) -> Entry:
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise InputError(
            f"{module.__file__} holds no EXPERIMENT; define EXPERIMENT = Experiment(build, …), or "
            "start from `dln new FILE.py`."
        )
    doc = (module.__doc__ or "").strip()
    plot = getattr(module, "plot", None)
    claims, full = tuple(getattr(module, "CLAIMS", ())), dict(getattr(module, "FULL", {}))
    shown = tuple(getattr(module, "INTERACTIVE", ()))
    return Entry(name, experiment, claims, plot, doc, full, shown)


def _load_file(path: Path) -> ModuleType:
    if not _is_file(path):
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")])
        mend = f"did you mean {' or '.join(near)}?" if near else f"`dln new {path}` makes one."
        raise InputError(f"there is no file {path}; {mend}")
    name = f"dlnlab_experiment_{re.sub(r'[^0-9A-Za-z]', '_', str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a script may end by itself
        raise InputError(f"{path} cannot be run: {_told(error, path)}; mend that line.") from error
    return module


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def _told(error: BaseException, path: Path) -> str:
    """An error of a user's file in a few words, with the line of the file that it came from."""
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        frames = traceback.extract_tb(error.__traceback__)
        line = next(
            (
                f.lineno
                for f in reversed(frames)
                if Path(f.filename) == path.absolute() or f.filename == str(path)
            ),
            None,
        )
    words = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}{f' in line {line}' if line else ''} ({words})"


def _natural(name: str) -> list[Any]:
    """fig2 before fig10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
