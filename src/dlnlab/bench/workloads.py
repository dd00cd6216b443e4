"""The workloads: what is computed, by us and by others."""

from collections.abc import Callable, Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.bench import curvature, equation, native, peers, wide
from dlnlab.bench.measure import Case, Contender
from dlnlab.dynamics import GradientDescent, GradientFlow
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import BalancedModes, Modes, square
from dlnlab.observables import loss
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.statistics import Lyapunov, Maximum, Outcome, Period
from dlnlab.tasks import Whitened
from dlnlab.typing import Any

ALL_STATISTICS = (Outcome(), Period(), Lyapunov(), Maximum(loss))
W1_WORK, W2_FLOPS, W3_FLOPS = 4e8, 1.2e10, 2e11
"""How much one timed call does: some tenths of a second for whoever is fast."""

LANES = (1000, 10_000, 100_000, 1_000_000)


def _modes(learning_rate: float = 0.1, depth: int = 3, balanced: bool = True) -> Run:
    layers = (depth, depth)
    network = BalancedModes(layers, 1) if balanced else Modes(layers, 1)
    problem = Problem(network, Whitened(jnp.ones(1)))
    return Run(problem, GradientDescent(learning_rate), scaled_identity(problem, (0.02, 0.01)))


def _matrices(dimension: int = 5, depth: int = 3, pathways: int = 1, seed: int = 0) -> Run:
    basis = (jnp.eye(dimension), jnp.eye(dimension))
    task = Whitened(jnp.eye(dimension), basis=basis)
    problem = Problem(square(dimension, (depth,) * pathways), task)
    start = gaussian(problem.network, jax.random.key(seed), std=0.5 / dimension**0.5)
    return Run(problem, GradientDescent(0.01), start)


def _measured(build: Callable[..., Run], steps: int, statistics: Any, **coords: Any) -> xr.Dataset:
    experiment = Experiment(
        build,
        "benchmark",
        steps=steps,
        schedule=Schedule(),
        observe=(loss,),
        statistics=statistics,
    )
    return experiment.measure(**coords)


def _ours(
    build: Callable[..., Run], steps: int, statistics: Any, **coords: Any
) -> Callable[[], Any]:
    def run() -> float:
        return float(_measured(build, steps, statistics, **coords).loss[..., -1].mean())

    return run


def w1() -> Iterator[Case]:
    """Reduced lanes: two pathways of one mode at many learning rates."""
    for lanes in LANES:
        yield Case(
            "W1",
            f"L=3, {lanes:,} lanes, {_w1_steps(lanes):,} steps",
            "Mls/s",
            tuple(_w1_contenders(lanes, _w1_steps(lanes))),
        )


def _w1_steps(lanes: int) -> int:
    return max(1000, int(W1_WORK / lanes))


def _w1_contenders(lanes: int, steps: int) -> Iterator[Contender]:
    rates = tuple(np.linspace(0.01, 1.2, lanes).tolist())
    work = lanes * steps / 1e6
    few, fewer = max(1, steps // 20), max(1, steps // 400)

    def ours(statistics: Any, **coords: Any) -> Callable[[], Any]:
        return _ours(_modes, steps, statistics, learning_rate=rates, **coords)

    yield Contender("dlnlab, all statistics", lambda: ours(ALL_STATISTICS), work)
    for statistic in ALL_STATISTICS:
        yield Contender(
            f"dlnlab, {statistic.name.replace('_', ' ')} only",
            lambda s=statistic: ours((s,)),  # type: ignore[misc]
            work,
        )
    yield Contender("dlnlab, no statistics", lambda: ours(()), work)
    yield Contender(
        "dlnlab, layers apart, all statistics", lambda: ours(ALL_STATISTICS, balanced=False), work
    )
    yield Contender(
        "plain JAX, weights stacked, no statistics",
        lambda: peers.stacked_jax(lanes, few),
        lanes * few / 1e6,
    )
    yield Contender(
        "NumPy over lanes, no statistics",
        lambda: peers.numpy_modes(lanes, fewer),
        lanes * fewer / 1e6,
    )
    yield Contender("C, one core, no statistics (limit)", lambda: native.bare(lanes, steps), work)
    yield Contender(
        "C, one core, all statistics (limit)",
        lambda: native.with_statistics(lanes, max(1, steps // 4)),
        lanes * max(1, steps // 4) / 1e6,
    )


def w2() -> Iterator[Case]:
    """Full matrices from Gaussian starts."""
    for dimension, depth, pathways in ((5, 3, 1), (10, 3, 1), (20, 3, 1), (10, 5, 2)):
        flops = 2 * dimension**3 * 3 * (depth - 1) * pathways
        lanes = 1024
        steps = max(50, int(W2_FLOPS / flops / lanes))
        yield Case(
            "W2",
            f"d={dimension}, L={depth}, H={pathways}, {lanes:,} lanes",
            "Mls/s",
            tuple(_w2_contenders(dimension, depth, pathways, lanes, steps)),
        )


def _w2_contenders(
    dimension: int, depth: int, pathways: int, lanes: int, steps: int
) -> Iterator[Contender]:
    sizes = (dimension, depth, pathways)
    coords = {"dimension": dimension, "depth": depth, "pathways": pathways}
    seeds = tuple(range(lanes))

    def ours(count: int, statistics: Any) -> Callable[[], Any]:
        return _ours(_matrices, count, statistics, **coords, seed=seeds)

    work, few = lanes * steps / 1e6, max(2, steps // 20)
    fewer = max(10, steps // 8)
    yield Contender("dlnlab, no statistics", lambda: ours(steps, ()), work)
    yield Contender(
        "dlnlab, all statistics", lambda: ours(fewer, ALL_STATISTICS), lanes * fewer / 1e6
    )
    yield Contender(
        "PyTorch bmm", lambda: peers.torch_batched(*sizes, lanes, few), lanes * few / 1e6
    )
    yield Contender(
        "NumPy matmul", lambda: peers.numpy_matrices(*sizes, lanes, few), lanes * few / 1e6
    )
    yield Contender("PyTorch eager, a lane", lambda: peers.torch_eager(*sizes, 300), 300 / 1e6)


def w3() -> Iterator[Case]:
    """One large network: the rate of its matrix products."""
    for dimension in (512, 768, 1024):
        depth = 4
        flops = 2 * dimension**3 * 3 * (depth - 1)
        steps = max(3, int(W3_FLOPS / flops))
        coords = {"dimension": dimension, "depth": depth, "seed": 0}
        yield Case(
            "W3",
            f"d={dimension}, L={depth}",
            "GFLOP/s",
            (
                Contender(
                    "dlnlab",
                    lambda c=coords, s=steps: _ours(_matrices, s, (), **c),  # type: ignore[misc]
                    flops * steps / 1e9,
                ),
                Contender(
                    "PyTorch",
                    lambda d=dimension, s=steps: peers.torch_batched(d, 4, 1, 1, s),  # type: ignore[misc]
                    flops * steps / 1e9,
                ),
                Contender(
                    "matrix product alone (limit)",
                    lambda d=dimension, s=steps: peers.matrix_product(d, 9 * s),  # type: ignore[misc]
                    flops * steps / 1e9,
                ),
            ),
        )


def flow() -> Iterator[Case]:
    """Gradient flow of one network to a relative error of 1e-8 a step."""
    dimension, depth, time = 5, 4, 20.0
    yield Case(
        "flow",
        f"d={dimension}, L={depth}, to time {time:g}",
        "runs/s",
        (
            Contender("dlnlab", lambda: _flow(dimension, depth, time), 1),
            Contender(
                "SciPy DOP853", lambda: peers.scipy_flow(dimension, depth, time, "DOP853"), 1
            ),
            Contender("SciPy RK45", lambda: peers.scipy_flow(dimension, depth, time, "RK45"), 1),
            Contender("torchdiffeq dopri8", lambda: peers.torch_flow(dimension, depth, time), 1),
        ),
    )


def _flowing(dimension: int = 5, depth: int = 4) -> Run:
    problem = _matrices(dimension, depth).problem
    start = (tuple(jnp.asarray(w) for w in peers.start(dimension, depth)),)
    return Run(problem, GradientFlow(rtol=1e-8, atol=1e-10, arrival=0.0), start)


def _flow(dimension: int, depth: int, time: float) -> Callable[[], float]:
    experiment = Experiment(
        _flowing, "benchmark", time=time, schedule=Schedule(), observe=(loss,), statistics=()
    )
    return lambda: float(experiment.measure(dimension=dimension, depth=depth).loss[..., -1])


WORKLOADS: Mapping[str, Callable[[], Iterator[Case]]] = {
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4": curvature.w4,
    "W5": equation.w5,
    "W6": wide.w6,
    "flow": flow,
}
