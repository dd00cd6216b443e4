"""The shape of the house: who imports whom, what an import does, one place for each addition."""

import ast
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import dlnlab
from dlnlab import dynamics, networks, observables, papers, statistics, tasks
from dlnlab.theory.base import Prediction
from dlnlab.theory.catalogue import PREDICTIONS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "dlnlab"
NOTATION = ROOT / "docs" / "notation.md"

# Who may never reach whom, by any chain of imports.
NEVER = {
    "theory": {
        "dynamics",
        "initialization",
        "reduction",
        "critical",
        "compression",
        "statistics",
        "run",
        "simulate",
    },
    "dynamics": {"observables", "statistics", "theory"},
}
KNOW_PAPERS = {"papers", "report", "cli", "__main__"}


# --- the direction of imports, by a walk over the syntax trees ---------------------------------


def sources():
    """The text of every module, by its dotted name."""
    return {dotted(path): path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")}


def dotted(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(text):
    """The dotted names that a module imports when it runs, wherever in the file."""
    for node in running(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def running(tree):
    """All nodes but those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")):
            yield node
            yield from running(node)


def unit(name):
    """The part of the house that a dotted name lies in, or None outside it."""
    parts = name.split(".")
    return parts[1] if parts[0] == "dlnlab" and len(parts) > 1 else None


def arrows(texts):
    """What each unit imports, as a dict from unit to units."""
    found = {unit(name): set() for name in texts if unit(name)}
    for name, text in texts.items():
        if unit(name):
            targets = {unit(target) for target in imported(text)} - {None, unit(name)}
            found[unit(name)] |= targets & set(found)
    return found


def layers():
    """The layers of the house from the top, as import-linter is given them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (c for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    return [[name.strip(" ()") for name in layer.split("|")] for layer in contract["layers"]]


def against_direction(texts):
    """Sentences about arrows that point upwards or sideways, and units that stand nowhere."""
    rank = {name: -depth for depth, layer in enumerate(layers()) for name in layer}
    found = arrows(texts)
    for name in found:
        if name not in rank:
            yield f"{name} stands in no layer"
    for name, targets in found.items():
        for target in sorted(targets & set(rank)):
            if name in rank and rank[target] >= rank[name]:
                yield f"{name} imports {target}"


def against_rules(texts):
    """Sentences about what theory, dynamics and those who know no papers must never reach."""
    found = arrows(texts)
    rules = {**NEVER, **{name: {"papers"} for name in set(found) - KNOW_PAPERS}}
    for name in NEVER:
        rules[name] = NEVER[name] | {"papers"}
    for name, never in rules.items():
        for target in sorted(never & reachable(found, name)):
            yield f"{name} reaches {target}"


def reachable(found, start):
    seen, ahead = set(), [start]
    while ahead:
        for target in found.get(ahead.pop(), ()):
            if target not in seen:
                seen.add(target)
                ahead.append(target)
    return seen


def test_imports_point_downwards():
    assert list(against_direction(sources())) == []


def test_theory_dynamics_and_papers_keep_to_themselves():
    assert list(against_rules(sources())) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("dlnlab.theory.wrong", "from dlnlab.dynamics import GradientDescent"),
        ("dlnlab.theory.wrong", "from dlnlab import run"),
        ("dlnlab.observables.wrong", "import dlnlab.simulate.record"),
        ("dlnlab.dynamics.wrong", "def late():\n    from dlnlab.observables import loss"),
        ("dlnlab.observables.wrong", "from dlnlab.statistics.base import Statistic"),
        ("dlnlab.simulate.wrong", "from dlnlab.papers import load"),
        ("dlnlab.tasks.wrong", "from dlnlab import networks"),
        ("dlnlab.nowhere", "import math"),
    ],
)
def test_the_walk_can_say_no(module, line):
    texts = {**sources(), module: line}
    assert [*against_direction(texts), *against_rules(texts)]


def test_the_rules_see_detours():
    texts = {**sources(), "dlnlab.theory.wrong": "from dlnlab.experiment import Experiment"}
    assert "theory reaches dynamics" in list(against_rules(texts))
    harmless = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dlnlab import run"
    assert not list(against_rules({**sources(), "dlnlab.theory.typed": harmless}))


def test_no_module_is_a_drawer():
    names = {part for name in sources() for part in name.split(".")}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "core"}


def test_what_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    # What the benchmark compares with is an extra, and asked for only when a contender runs; so is
    # arbitrary precision.
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["bench"], *extras["precision"]]
    declared = {re.match(r"[\w.-]+", entry)[0] for entry in listed}
    used = {target.split(".")[0] for text in sources().values() for target in imported(text)}
    homes = {
        "sklearn": "scikit-learn",
        "hessian_eigenthings": "hessian-eigenthings",
        "curvlinops": "curvlinops-for-pytorch",
    }
    used = {homes.get(name, name) for name in used}
    assert used - set(sys.stdlib_module_names) - {"dlnlab"} <= declared


# --- what an import does -----------------------------------------------------------------------


def run_python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light():
    heavy = "{'jax', 'numpy', 'xarray', 'scipy', 'matplotlib', 'equinox', 'diffrax'}"
    assert run_python(f"import dlnlab, sys; print({heavy} & set(sys.modules))") == "set()\n"


def test_importing_everything_changes_no_setting_and_wakes_no_device():
    code = """
import locale, os, pkgutil, importlib, warnings
import jax, jax.numpy as jnp, numpy as np
def settings():
    return dict(jax.config.values), dict(os.environ), np.geterr(), np.get_printoptions(), \\
        locale.setlocale(locale.LC_ALL), np.random.get_state()[1].tolist()
before = settings()
import dlnlab
for found in pkgutil.walk_packages(dlnlab.__path__, 'dlnlab.'):
    importlib.import_module(found.name)
assert settings() == before
assert not jax.config.jax_enable_x64
os.environ.pop('JAX_PLATFORMS'), jax.config.update('jax_platforms', 'cpu')
assert jnp.zeros(1).dtype == jnp.float32
"""
    # No device bears this name: whoever touches one on import fails.
    run_python(code, JAX_PLATFORMS="nowhere")


def test_public_names_stand_in_one_table():
    tree = ast.parse((SOURCE / "__init__.py").read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, alias.name) for node in typed.body for alias in node.names}
    assert seen == {(home, name) for home, names in dlnlab._HOMES.items() for name in names}
    assert dlnlab.__all__ == sorted(name for _, name in seen)
    for home, name in seen:
        assert getattr(dlnlab, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="no_such_name"):
        dlnlab.no_such_name
    assert dlnlab.observables is observables
    assert {"Experiment", "observables"} <= set(dir(dlnlab))


# --- nothing is forgotten ----------------------------------------------------------------------


def modules():
    names = [found.name for found in pkgutil.walk_packages(dlnlab.__path__, "dlnlab.")]
    return [importlib.import_module(name) for name in names if name != "dlnlab.__main__"]


def defined(kind):
    """All instances of a kind that modules define at their top level, experiment files apart."""
    return {
        value
        for module in modules()
        if not module.__name__.startswith(("dlnlab.papers.", "dlnlab.cli."))
        for value in vars(module).values()
        if isinstance(value, kind) and value.function.__module__ == module.__name__
    }


def final_classes(base):
    """The package's classes below a base that are not abstract."""
    found, ahead = set(), [base]
    while ahead:
        for cls in ahead.pop().__subclasses__():
            ahead.append(cls)
            final = not getattr(cls, "__abstractmethods__", None)
            # A figure may have a dynamics of its own, which its own tests hold to account.
            shared = cls.__module__.startswith("dlnlab.") and ".papers." not in cls.__module__
            if final and shared:
                found.add(cls)
    return found


def missing(base, examples):
    return {cls.__name__ for cls in final_classes(base)} - {type(e).__name__ for e in examples}


@pytest.mark.parametrize(
    ("base", "examples"),
    [
        (networks.Network, networks.EXAMPLES),
        (dynamics.Map, dynamics.EXAMPLES),
        (dynamics.Flow, dynamics.EXAMPLES),
        (statistics.Statistic, statistics.EXAMPLES),
    ],
)
def test_every_final_class_is_an_example(base, examples):
    modules()
    assert final_classes(base)
    assert missing(base, examples) == set()
    assert missing(base, ()) == {cls.__name__ for cls in final_classes(base)}


def test_every_task_is_an_example():
    here = {
        value
        for value in vars(tasks).values()
        if isinstance(value, type) and value.__module__.startswith(tasks.__name__)
    }
    assert here == {type(example) for example in tasks.EXAMPLES}


def test_every_observable_is_an_example():
    assert defined(observables.Observable) == set(observables.EXAMPLES)


def test_every_prediction_is_listed():
    assert defined(Prediction) == set(PREDICTIONS)


def test_a_final_class_inherits_from_abstract_ones_only():
    modules()
    for base in (networks.Network, dynamics.Map, dynamics.Flow, statistics.Statistic):
        for cls in final_classes(base):
            assert not [c for c in cls.__subclasses__() if c.__module__.startswith("dlnlab.")]


# --- one place for each addition ---------------------------------------------------------------

THEIRS = '''
"""Somebody else's study: how far the layers of a chain are from each other."""

from typing import Annotated

import jax
import jax.numpy as jnp

from dlnlab import Coordinate, Experiment, GradientDescent, Problem, Run, Whitened, chain, gaussian
from dlnlab.observables import loss, observable


@observable(dims=("pathway",), symbol="δ", formula="max_l ‖W_l‖_F − min_l ‖W_l‖_F")
def spread(problem, params):
    """How unequal the norms of the layers of each pathway are."""

    def of_one(pathway):
        norms = jnp.stack([jnp.linalg.norm(layer) for layer in pathway])
        return jnp.max(norms) - jnp.min(norms)

    return jnp.stack([of_one(pathway) for pathway in params])


def build(
    learning_rate: Annotated[float, Coordinate(above=0)] = 0.05, depth: int = 2, seed: int = 0
) -> Run:
    problem = Problem(chain((3,) * (depth + 1)), Whitened(jnp.diag(jnp.array([2.0, 1.0, 0.5]))))
    start = gaussian(problem.network, jax.random.key(seed), std=0.3)
    return Run(problem, GradientDescent(learning_rate), start)


EXPERIMENT = Experiment(build, "Spread of layers", steps=50, observe=(loss, spread))
'''


def test_an_experiment_of_somebody_elses_is_one_file(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(THEIRS, encoding="utf-8")
    experiment = papers.load(str(path)).experiment
    measured = experiment.measure(learning_rate=(0.02, 0.05), seed=(0, 1))
    assert measured.spread.dims == ("learning_rate", "seed", "step", "pathway")
    assert measured.spread.attrs["symbol"] == "δ"
    assert np.isfinite(measured.spread).all()
    assert (measured.loss[..., -1] < measured.loss[..., 0]).all()
    assert measured.loss.dtype == np.float64


# --- the notation is the code's ----------------------------------------------------------------


def identifiers():
    """Every name that the package defines: functions, classes, arguments, fields, variables."""
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.FunctionDef() | ast.ClassDef():
                    yield node.name
                case ast.arg():
                    yield node.arg
                case ast.Name(ctx=ast.Store()):
                    yield node.id


def notation():
    """The names in the second column of the tables of the notation."""
    cells = re.findall(r"^\|[^|]*\|([^|]*)\|", NOTATION.read_text(encoding="utf-8"), re.M)
    return [name for cell in cells for name in re.findall(r"`([\w.]+)`", cell)]


def test_the_notation_uses_names_of_the_code():
    named = {*(s.name for s in statistics.EXAMPLES), *(p.of for p in PREDICTIONS)}
    known = {*identifiers(), *named}
    assert len(notation()) > 40
    for name in notation():
        if "." in name:
            home, *path = name.split(".")
            value = importlib.import_module(f"dlnlab.{home}")
            for part in path:
                value = getattr(value, part)
        else:
            assert name in known, name


def test_the_notation_has_every_observable_and_statistic():
    listed = set(notation())
    general = {"first_loss_below_1e-06", "first_rise", "maximum_loss", "loss", "gradient_norm"}
    named = {e.name for e in (*observables.EXAMPLES, *statistics.EXAMPLES)} - general
    assert named <= listed
