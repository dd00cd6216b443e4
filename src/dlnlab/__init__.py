"""A laboratory for the training dynamics of deep linear networks.

The names below are what most programs need; everything else stands in the submodules. A name is
looked up when it is first used, so that `import dlnlab` alone wakes neither JAX nor a device.
"""

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlnlab.claims import Claim, Verdict
    from dlnlab.dynamics import (
        Dynamics,
        Flow,
        GradientDescent,
        GradientFlow,
        GreedyGrowth,
        Langevin,
        Map,
        Optax,
        StochasticGradientDescent,
        Switched,
    )
    from dlnlab.errors import InputError
    from dlnlab.experiment import Bound, Experiment
    from dlnlab.initialization import balanced, gaussian, scaled_identity, zero_last_layer
    from dlnlab.networks import (
        BalancedModes,
        LinearNetwork,
        Modes,
        Network,
        Pathways,
        Perceptrons,
        chain,
        square,
    )
    from dlnlab.observables import Observable, observable
    from dlnlab.problem import Problem
    from dlnlab.reduction import narrow, reduce
    from dlnlab.run import Run
    from dlnlab.schedule import Schedule, last, linear, logarithmic
    from dlnlab.schema import Coordinate
    from dlnlab.state import Status, Step
    from dlnlab.statistics import Statistic
    from dlnlab.tasks import Completion, Convex, Samples, Whitened
    from dlnlab.theory.base import Assumption, BrokenAssumption, Prediction, prediction

_HOMES = MappingProxyType(
    {
        "dlnlab.claims": ("Claim", "Verdict"),
        "dlnlab.dynamics": (
            "Dynamics",
            "Flow",
            "GradientDescent",
            "GradientFlow",
            "GreedyGrowth",
            "Langevin",
            "Map",
            "Optax",
            "StochasticGradientDescent",
            "Switched",
        ),
        "dlnlab.errors": ("InputError",),
        "dlnlab.experiment": ("Bound", "Experiment"),
        "dlnlab.initialization": ("balanced", "gaussian", "scaled_identity", "zero_last_layer"),
        "dlnlab.networks": (
            "BalancedModes",
            "LinearNetwork",
            "Modes",
            "Network",
            "Pathways",
            "Perceptrons",
            "chain",
            "square",
        ),
        "dlnlab.observables": ("Observable", "observable"),
        "dlnlab.problem": ("Problem",),
        "dlnlab.reduction": ("narrow", "reduce"),
        "dlnlab.run": ("Run",),
        "dlnlab.schedule": ("Schedule", "last", "linear", "logarithmic"),
        "dlnlab.schema": ("Coordinate",),
        "dlnlab.state": ("Status", "Step"),
        "dlnlab.statistics": ("Statistic",),
        "dlnlab.tasks": ("Completion", "Convex", "Samples", "Whitened"),
        "dlnlab.theory.base": ("Assumption", "BrokenAssumption", "Prediction", "prediction"),
    }
)

# `simulate` is not among them: the package of that name would hide the function as soon as
# anything imports it. It is `dlnlab.simulate.simulate`.
__all__ = [
    "Assumption",
    "BalancedModes",
    "Bound",
    "BrokenAssumption",
    "Claim",
    "Completion",
    "Convex",
    "Coordinate",
    "Dynamics",
    "Experiment",
    "Flow",
    "GradientDescent",
    "GradientFlow",
    "GreedyGrowth",
    "InputError",
    "Langevin",
    "LinearNetwork",
    "Map",
    "Modes",
    "Network",
    "Observable",
    "Optax",
    "Pathways",
    "Perceptrons",
    "Prediction",
    "Problem",
    "Run",
    "Samples",
    "Schedule",
    "Statistic",
    "Status",
    "Step",
    "StochasticGradientDescent",
    "Switched",
    "Verdict",
    "Whitened",
    "balanced",
    "chain",
    "gaussian",
    "last",
    "linear",
    "logarithmic",
    "narrow",
    "observable",
    "prediction",
    "reduce",
    "scaled_identity",
    "square",
    "zero_last_layer",
]

_OWNERS = {name: home for home, names in _HOMES.items() for name in names}

_SUBMODULES = frozenset(
    {
        "claims",
        "critical",
        "dynamics",
        "experiment",
        "frechet",
        "initialization",
        "linalg",
        "networks",
        "observables",
        "papers",
        "plateaus",
        "reduction",
        "results",
        "schedule",
        "simulate",
        "statistics",
        "tasks",
        "theory",
    }
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("dlnlab")
    if name in _OWNERS:
        return getattr(importlib.import_module(_OWNERS[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"dlnlab.{name}")
    raise AttributeError(f"module 'dlnlab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
