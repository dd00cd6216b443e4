"""W6: one wide chain, whole and narrowed to what training reaches."""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.bench.measure import Case, Contender
from dlnlab.dynamics import GradientDescent
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import chain
from dlnlab.observables import loss
from dlnlab.problem import Problem
from dlnlab.reduction import narrow
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.tasks import Whitened
from dlnlab.typing import Any

WIDTH, STEPS, RATE = 1000, 1000, 2e-3
TARGETS = (5.0, 4.0, 3.0, 2.0, 1.0)
WHOLE = 10**6
"""An order at which nothing is narrowed."""


def w6() -> Iterator[Case]:
    """Descent from entries of variance w^{−3/2}; making and narrowing the start belong to it."""
    for depth in (3, 4):
        yield Case(
            "W6",
            f"L={depth}, maps of 5 by 5, width {WIDTH:,}, one lane, {STEPS:,} steps",
            "steps/s",
            tuple(
                Contender(name, functools.partial(prepare, depth, *order), STEPS)
                for name, prepare, *order in CONTENDERS
            ),
        )


def _start(depth: int) -> tuple[Problem, Any]:
    modes = len(TARGETS)
    network = chain((modes, *[WIDTH] * (depth - 1), modes))
    params = gaussian(network, jax.random.key(0), std=WIDTH**-0.75)
    return Problem(network, Whitened(jnp.diag(jnp.array(TARGETS)))), params


def _build(depth: int = 4, order: int = 9) -> Run:
    near = narrow(*_start(depth), order)
    return Run(near.problem, GradientDescent(RATE), near.params)


def _ours(depth: int, order: int) -> Callable[[], float]:
    experiment = Experiment(
        _build, "benchmark", steps=STEPS, schedule=Schedule(), observe=(loss,), statistics=()
    )
    return lambda: float(experiment.measure(depth=depth, order=order).loss[-1])


def _torch(depth: int) -> Callable[[], float]:
    """The paper script: autograd and a Python loop over steps, in float64."""
    import torch

    with jax.enable_x64(True):
        (layers,) = jax.tree.map(np.array, _start(depth)[1])
    target = torch.diag(torch.tensor(TARGETS, dtype=torch.float64))

    def run() -> float:
        weights = [torch.from_numpy(w).clone().requires_grad_() for w in layers]
        optimizer = torch.optim.SGD(weights, lr=RATE)
        for _ in range(STEPS):
            optimizer.zero_grad()
            made = functools.reduce(lambda p, w: w @ p, weights)
            (((made - target) ** 2).sum() / 2).backward()
            optimizer.step()
        with torch.no_grad():
            made = functools.reduce(lambda p, w: w @ p, weights)
            return float(((made - target) ** 2).sum() / 2)

    return run


CONTENDERS: tuple[tuple[Any, ...], ...] = (
    ("dlnlab, narrowed at order 9", _ours, 9),
    ("dlnlab, narrowed at order 6", _ours, 6),
    ("dlnlab, whole", _ours, WHOLE),
    ("PyTorch eager", _torch),
)
