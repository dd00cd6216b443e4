"""W5: ensembles of the Langevin equation of batches, each lane with its own noise."""

import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.bench import peers
from dlnlab.bench.measure import Case, Contender
from dlnlab.dynamics import Langevin
from dlnlab.experiment import Experiment
from dlnlab.networks import square
from dlnlab.observables import loss
from dlnlab.problem import Problem
from dlnlab.randomness import normals, symmetric, words
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.tasks import Whitened
from dlnlab.typing import Any, Array

DIMENSION, DEPTH = 5, 4
RATE, BATCH, LABEL_NOISE = 0.01, 10.0, 0.5
_TILE = 32


def w5() -> Iterator[Case]:
    """The Langevin equation of batches: 4,096 lanes of 5,000 steps."""
    lanes, steps = 4096, 5000
    work, few = lanes * steps / 1e6, 64 * 500 / 1e6
    for noisy in (False, True):
        yield Case(
            "W5",
            f"d={DIMENSION}, L={DEPTH}, {'noisy' if noisy else 'clean'} labels, {lanes:,} lanes",
            "Mls/s",
            (
                Contender("dlnlab", lambda n=noisy: ours(lanes, steps, n), work),  # type: ignore[misc]
                Contender(
                    "bare loop by hand",
                    lambda n=noisy: bare(lanes, steps, n),  # type: ignore[misc]
                    work,
                ),
                Contender(
                    "its random numbers alone",
                    lambda n=noisy: randomness(lanes, steps, n),  # type: ignore[misc]
                    work,
                ),
                Contender(
                    "diffrax Euler, VirtualBrownianTree, 64 lanes, 500 steps",
                    lambda n=noisy: diffrax(64, 500, n),  # type: ignore[misc]
                    few,
                ),
            ),
        )


def _start() -> tuple[Array, ...]:
    return tuple(jnp.asarray(w) for w in peers.start(DIMENSION, DEPTH))


def _build(noisy: bool = False, seed: int = 0) -> Run:
    basis = (jnp.eye(DIMENSION), jnp.eye(DIMENSION))
    task = Whitened(jnp.eye(DIMENSION), LABEL_NOISE if noisy else 0.0, basis)
    problem = Problem(square(DIMENSION, (DEPTH,)), task)
    return Run(problem, Langevin(RATE, BATCH), (_start(),), jax.random.key(seed))


def ours(lanes: int, steps: int, noisy: bool) -> Callable[[], float]:
    """The mean loss after all steps, by an experiment over seeds."""
    experiment = Experiment(
        _build, "benchmark", steps=steps, schedule=Schedule(), observe=(loss,), statistics=()
    )

    def run() -> float:
        return float(experiment.measure(noisy=noisy, seed=range(lanes)).loss[..., -1].mean())

    return run


# --- by hand ----------------------------------------------------------------------------------


def _dot(one: Array, two: Array) -> Array:
    """A product of small matrices, the lanes in the last axis."""
    return sum(one[:, k, None] * two[None, k] for k in range(DIMENSION))  # type: ignore[return-value]


def _drawn(keys: Array, step: Array, noisy: bool) -> tuple[Array, Array | float]:
    """The numbers of a step: those of the inputs, and of the labels."""
    size = DIMENSION
    by_lane = functools.partial(jax.vmap, in_axes=-1, out_axes=-1)
    inputs = by_lane(lambda k: symmetric(k, step, size, "float64", 0, 2**0.5))(keys)
    if not noisy:
        return inputs, 0.0
    first = -(-size * (size + 1) // 4)
    labels = by_lane(lambda k: normals(k, step, (size, size), "float64", first))(keys)
    return inputs, LABEL_NOISE * labels


def _gradients(weights: tuple[Array, ...], cotangent: Callable[[Array], Array]) -> list[Array]:
    befores = list(itertools.accumulate(weights, lambda made, w: _dot(w, made)))
    back, found = cotangent(befores[-1] - jnp.eye(DIMENSION)[..., None]), []
    for index in reversed(range(DEPTH)):
        found.append(_dot(back, jnp.swapaxes(befores[index - 1], 0, 1)) if index else back)
        back = _dot(jnp.swapaxes(weights[index], 0, 1), back) if index else back
    return found[::-1]


def bare(lanes: int, steps: int, noisy: bool) -> Callable[[], float]:
    """The same arithmetic on the same random numbers in a scan, and nothing else."""
    spread = RATE / BATCH**0.5

    def run(keys: Array, start: tuple[Array, ...]) -> Array:
        def step(weights: tuple[Array, ...], index: Array) -> tuple[tuple[Array, ...], None]:
            inputs, labels = _drawn(keys, index, noisy)

            def cotangent(gap: Array) -> Array:
                return RATE * gap + spread * (_dot(gap, inputs) - labels)

            pairs = zip(weights, _gradients(weights, cotangent), strict=True)
            return tuple(w - g for w, g in pairs), None

        weights, _ = jax.lax.scan(step, start, jnp.arange(steps))
        made = functools.reduce(lambda made, w: _dot(w, made), weights)
        return jnp.sum((made - jnp.eye(DIMENSION)[..., None]) ** 2) / 2

    return _in_tiles(run, lanes)


def randomness(lanes: int, steps: int, noisy: bool) -> Callable[[], float]:
    """The random numbers of all steps, added up: what share of the time they take."""

    def run(keys: Array, start: tuple[Array, ...]) -> Array:
        def step(total: Array, index: Array) -> tuple[Array, None]:
            inputs, labels = _drawn(keys, index, noisy)
            return total + inputs + labels, None

        return jnp.sum(jax.lax.scan(step, jnp.zeros_like(start[0]), jnp.arange(steps))[0])

    return _in_tiles(run, lanes)


def _in_tiles(run: Callable[..., Array], lanes: int) -> Callable[[], float]:
    """The mean over lanes of what `run` sums over each tile of them, on two threads."""
    with jax.enable_x64(True):
        keys = jax.vmap(lambda seed: words(jax.random.key(seed)))(jnp.arange(lanes)).T
        tiles = np.split(np.asarray(keys), lanes // _TILE, axis=1)
        start = tuple(jnp.repeat(w[..., None], _TILE, axis=-1) for w in _start())
        compiled = jax.jit(run).lower(tiles[0], start).compile()

    def whole() -> float:
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda tile: float(compiled(tile, start)), tiles)) / lanes

    return whole


# --- diffrax ----------------------------------------------------------------------------------


def diffrax(lanes: int, steps: int, noisy: bool) -> Callable[[], Any]:
    """Its Euler solver on its virtual Brownian tree: the mean loss and its standard error."""
    import diffrax as dfx
    import lineax

    size = DIMENSION

    def product(weights: Any) -> Array:
        return functools.reduce(lambda made, w: w @ made, weights) - jnp.eye(size)

    def drift(time: Any, weights: Any, arguments: Any) -> Any:
        return jax.grad(lambda w: -jnp.sum(product(w) ** 2) / 2)(weights)

    def kick(weights: Any, normal: Any) -> Any:
        gap, pull = jax.vjp(product, weights)
        noise = gap @ (normal[0] + normal[0].T) / 2**0.5
        if noisy:
            noise = noise - LABEL_NOISE * normal[1]
        return jax.tree.map(lambda v: (RATE / BATCH) ** 0.5 * v, pull(noise)[0])

    def lane(key: Array) -> Array:
        shapes = (jax.ShapeDtypeStruct((size, size), jnp.float64),) * (1 + noisy)
        tree = dfx.VirtualBrownianTree(0.0, RATE * steps, tol=RATE / 2, shape=shapes, key=key)

        def spread(time: Any, weights: Any, arguments: Any) -> Any:
            return lineax.FunctionLinearOperator(functools.partial(kick, weights), shapes)

        control = dfx.ControlTerm(spread, tree)
        found = dfx.diffeqsolve(
            dfx.MultiTerm(dfx.ODETerm(drift), control),
            dfx.Euler(),
            0.0,
            RATE * steps,
            RATE,
            _start(),
            max_steps=steps + 2,
        )
        return jnp.sum(product(jax.tree.map(lambda w: w[-1], found.ys)) ** 2) / 2

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), lanes)
        compiled = jax.jit(jax.vmap(lane)).lower(keys).compile()

    def run() -> tuple[float, float]:
        losses = np.asarray(compiled(keys))
        return float(losses.mean()), float(losses.std() / lanes**0.5)

    return run
