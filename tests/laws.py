"""What any network, dynamics, observable, statistic and prediction must obey.

Each function takes one instance and asserts; `test_laws.py` runs them over all `EXAMPLES`. Write
your own class, call its law. Tolerances are a multiple of the machine precision of what is
compared, `SLACK` standing for the number of roundings.
"""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import Flow, GradientDescent, Map
from dlnlab.errors import InputError
from dlnlab.networks import (
    BalancedModes,
    LinearNetwork,
    Modes,
    Network,
    Pathways,
    pathway_products,
    product,
    square,
)
from dlnlab.observables import Observable
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.simulate import record
from dlnlab.state import Status, Step
from dlnlab.statistics import Statistic
from dlnlab.tasks import Samples, Whitened
from dlnlab.theory.base import BrokenAssumption, Prediction
from dlnlab.typing import Array, Params

SLACK = 2000
PAPERS = ("kim2026", "ghosh2025", "corlouer2026", "jacot2021")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one program, whose machine code is not polished: a law calls it a few times
    on a few numbers, and polishing takes half of the time of compiling.

    What JAX and XLA make of the function, which is what the laws are about, is the same.
    """
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


# --- something to try them on -----------------------------------------------------------------


def random_params(network: Network, seed: int = 0, dtype: Any = np.float64) -> Params:
    """Layers of operator norm about one, so that no product vanishes or explodes; plain NumPy."""
    rng = np.random.default_rng(seed)

    def layer(shape: tuple[int, ...]) -> Any:
        spread = 1 / np.sqrt(shape[-1]) if len(shape) == 2 else 0.3
        centre = 0.0 if len(shape) == 2 else 0.9
        return (centre + spread * rng.normal(size=shape)).astype(dtype)

    return tuple(tuple(layer(shape) for shape in pathway) for pathway in network.shapes)


def some_problem(network: Network, dtype: Any = np.float64) -> Problem:
    """The network with a random target of the shape of its maps."""
    shape = network.map_shape
    rng = np.random.default_rng(1)
    if not isinstance(network, LinearNetwork):
        return some_samples(network, dtype)
    if len(shape) == 1:
        return Problem(network, Whitened((1 + rng.uniform(size=shape)).astype(dtype)))
    left, right = (np.linalg.qr(rng.normal(size=(n, min(shape))))[0].astype(dtype) for n in shape)
    strengths = (1 + rng.uniform(size=min(shape))).astype(dtype)
    return Problem(network, Whitened(left * strengths @ right.T, 0.0, (left, right)))


def some_samples(network: Network, dtype: Any = np.float64) -> Problem:
    """The network with a few random samples, and as many held out."""
    outputs, inputs = network.map_shape
    rng = np.random.default_rng(4)
    tables = [rng.normal(size=(7, n)).astype(dtype) for n in (inputs, outputs, inputs, outputs)]
    return Problem(network, Samples(*tables[:2], held_out=(tables[2], tables[3])))


def aligned_pair(depths: tuple[int, ...], modes: int) -> tuple[Any, Any]:
    """A network of modes, and the same as matrices in random bases: (problem, params) of each."""
    rng = np.random.default_rng(2)
    strengths = np.sort(rng.uniform(1, 2, modes))[::-1].copy()
    reduced = Modes(depths, modes)
    values = random_params(reduced, seed=3)

    def rotation() -> Any:
        return np.linalg.qr(rng.normal(size=(modes, modes)))[0]

    left, right = rotation(), rotation()
    lifted = []
    for pathway in values:
        bases = [right, *(rotation() for _ in pathway[1:]), left]
        lifted.append(
            tuple(b * w @ a.T for w, a, b in zip(pathway, bases, bases[1:], strict=False))
        )
    task = Whitened(left * strengths @ right.T, 0.0, (left, right))
    full = Problem(square(modes, depths), task)
    return (Problem(reduced, Whitened(strengths)), values), (full, tuple(lifted))


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree in one vector."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def same_bits(one: Any, other: Any) -> bool:
    """Whether two trees agree to the last bit, NaN included."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def assert_near(given: Any, wanted: Any, scale: float = 1.0, accuracy: float = 0.0) -> None:
    """Equal up to `SLACK` roundings of the larger of the two and of `scale`, or to `accuracy`."""
    assert jax.tree.structure(given) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(given), jax.tree.leaves(wanted), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape
        if a.dtype.kind == "f":
            finite = np.abs(b[np.isfinite(b)])
            rounding = max(SLACK * np.finfo(a.dtype).eps, accuracy)
            tolerance = rounding * max(scale, finite.max(initial=0))
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def shapes_and_dtypes(tree: Any) -> Any:
    """The shape and dtype of every leaf, with the tree's structure."""
    return jax.tree.map(lambda a: (jnp.shape(a), jnp.result_type(a)), tree)


def sealed(module: eqx.Module) -> None:
    """An immutable pytree that survives being taken apart."""
    leaves, structure = jax.tree.flatten(module)
    again = jax.tree.unflatten(structure, leaves)
    assert type(again) is type(module)
    assert jax.tree.structure(again) == structure
    for field in module.__dataclass_fields__:
        with pytest.raises(AttributeError):
            setattr(module, field, None)


# --- networks ---------------------------------------------------------------------------------


def network(network: Network) -> None:
    """What any network must obey, in float64; one call for the whole law."""
    problem, params = some_problem(network), random_params(network)
    sealed(network)
    network_knows_its_shapes(network, params)
    if not isinstance(network, (Modes, BalancedModes)):
        network_sums_its_pathways(network, params)
        sampled = some_samples(network)
        problem_has_half_the_mean_squared_error(sampled, params)
        gradient_is_the_slope(sampled, params)
    if not isinstance(network, LinearNetwork):
        return
    if network.expand(params) is not params:
        network_embeds_its_layers(network, params)
        return
    network_composes(network, params)
    network_has_adjoints(network, params)
    network_products_are_linear_in_each_layer(network, params)
    network_spectrum_is_consistent(problem, params)
    problem_has_the_half_square_loss(problem, params)
    gradient_is_exact(problem, params)
    hessian_is_exact(problem, params)


def network_knows_its_shapes(network: Network, params: Params) -> None:
    """`shapes` are what `check` takes, and anything else is refused in words."""
    assert network.check(params) is params
    layers = network.expand(params) if isinstance(network, LinearNetwork) else params
    assert network.depths == tuple(len(pathway) for pathway in layers)
    wrong = ((jnp.zeros((7, 7, 7)), *params[0][1:]), *params[1:])
    with pytest.raises(InputError, match="the network needs"):
        network.check(wrong)


def network_composes(network: Network, params: Params) -> None:
    """Composition is associative, and the whole is the sum of the pathways' products."""
    products = compiled(lambda p: pathway_products(network, p))(params)
    whole = sum(_fold(network, pathway) for pathway in params)
    assert_near(compiled(lambda p: product(network, p))(params), whole)
    for pathway, made in zip(params, products, strict=True):
        assert_near(made, _fold(network, pathway))
        from_the_end = functools.reduce(network.compose, reversed(pathway))
        assert_near(made, from_the_end)


def network_embeds_its_layers(network: LinearNetwork, params: Params) -> None:
    """Shared parameters move on a set of layers that descent does not leave, without stretching:
    a step of descent and the layers of it is the layers and a step of descent."""
    free, problem = Modes(network.depths, network.map_shape[0]), some_problem(network)
    whole = Problem(free, problem.task)
    layers = network.expand(params)
    assert_near(pathway_products(free, layers), network.products(params))
    assert_near(problem.loss(params), whole.loss(layers))
    moved = jax.tree.map(lambda w, g: w - 0.1 * g, params, problem.gradient(params))
    wanted = jax.tree.map(lambda w, g: w - 0.1 * g, layers, whole.gradient(layers))
    assert_near(network.expand(moved), wanted)
    lengths = [sum(float(np.sum(np.square(w))) for w in pathway) for pathway in layers]
    assert_near(np.array([np.sum(np.square(v)) for (v,) in params]), np.array(lengths))
    direction = random_params(network, seed=7)
    across = flat(problem.hessian_vector(params, direction)) @ flat(direction)
    lifted = network.expand(direction)
    assert_near(across, flat(whole.hessian_vector(layers, lifted)) @ flat(lifted), scale=10)


def network_sums_its_pathways(network: Network, params: Params) -> None:
    """Samples know nothing of each other, nor do pathways; a linear one is its product."""
    inputs = np.random.default_rng(6).normal(size=(5, network.map_shape[1]))
    made = network.outputs(params, inputs)
    assert len(made) == len(params)
    alone = [network.outputs(params, inputs[k : k + 1]) for k in range(5)]
    assert_near(made, jax.tree.map(lambda *rows: np.concatenate(rows), *alone))
    other = (*params[:-1], jax.tree.map(lambda w: 2 * w, params[-1]))
    assert_near(network.outputs(other, inputs)[:-1], made[:-1])
    if isinstance(network, LinearNetwork):
        assert_near(sum(made), inputs @ np.asarray(product(network, params)).T)


def problem_has_half_the_mean_squared_error(problem: Problem, params: Params) -> None:
    """`(1/2n) Σ_k ‖f(x_k) − y_k‖²`, sample by sample, on those trained on and those held out."""
    task = problem.task
    pairs = ((problem.loss, (task.inputs, task.outputs)), (problem.test_loss, task.held_out))
    for loss, (inputs, outputs) in pairs:
        total = 0.0
        for x, y in zip(inputs, outputs, strict=True):
            made = sum(problem.network.outputs(params, x[None]))[0]
            total += float(np.sum((np.asarray(made) - y) ** 2)) / 2
        assert_near(loss(params), np.asarray(total / len(inputs)))
    maps = [
        sum(np.outer(f, x) for f, x in zip(np.asarray(made), task.inputs, strict=True))
        for made in problem.network.outputs(params, task.inputs)
    ]
    assert_near(problem.pathway_maps(params), tuple(m / len(task.inputs) for m in maps))


def gradient_is_the_slope(problem: Problem, params: Params) -> None:
    """Gradient and Hessian against central differences, in Richardson's extrapolation.

    Steps h and h/2 leave an error of order h⁴ and of rounding ε/h² (of the second difference).
    """
    direction = random_params(problem.network, seed=7)
    line = compiled(lambda t: problem.loss(jax.tree.map(lambda w, v: w + t * v, params, direction)))

    def differences(h: float) -> np.ndarray:
        above, middle, below = (float(line(t)) for t in (h, 0.0, -h))
        return np.array([(above - below) / (2 * h), (above - 2 * middle + below) / h**2])

    h = np.finfo(np.float64).eps ** (1 / 6)
    found = (4 * differences(h / 2) - differences(h)) / 3
    error = np.abs(found - (4 * differences(h / 4) - differences(h / 2)) / 3)
    slope = flat(problem.gradient(params)) @ flat(direction)
    curvature = flat(problem.hessian_vector(params, direction)) @ flat(direction)
    rounding = SLACK * np.finfo(np.float64).eps / h**2 * float(line(0.0))
    assert (np.abs(found - [slope, curvature]) <= 2 * error + rounding).all()


def _fold(network: Network, layers: tuple[Array, ...]) -> Array:
    return functools.reduce(lambda earlier, later: network.compose(later, earlier), layers)


def network_has_adjoints(network: Network, params: Params) -> None:
    """`(AB)ᵀ = BᵀAᵀ`, `Aᵀᵀ = A`, and `⟨AB, C⟩ = ⟨B, AᵀC⟩` for the sum of products of entries."""
    for pathway in params:
        for earlier, later in itertools.pairwise(pathway):
            both = network.compose(later, earlier)
            turned = network.compose(network.transpose(earlier), network.transpose(later))
            assert_near(network.transpose(both), turned)
            assert_near(network.transpose(network.transpose(later)), later)
            other = np.cos(np.arange(both.size)).reshape(both.shape)
            moved = network.compose(network.transpose(later), other)
            assert_near(np.sum(both * other), np.sum(earlier * moved), scale=both.size)


def network_products_are_linear_in_each_layer(network: Network, params: Params) -> None:
    """A pathway's product is linear in each of its layers: gradients and flows rest on it."""
    other = random_params(network, seed=5)
    for h, pathway in enumerate(params):
        for index, layer in enumerate(pathway):

            def made(new: Array, h: int = h, index: int = index) -> Array:
                layers = list(params[h])
                layers[index] = new
                return _fold(network, tuple(layers))

            mixed = made(2 * layer - 3 * other[h][index])
            assert_near(mixed, 2 * made(layer) - 3 * made(other[h][index]), scale=10)


def network_spectrum_is_consistent(problem: Problem, params: Params) -> None:
    """Singular values are those of the map as a matrix."""
    network = problem.network
    whole = product(network, params)
    matrix = np.diag(whole) if whole.ndim == 1 else np.asarray(whole)
    assert_near(np.asarray(network.singular_values(whole)), np.linalg.svd(matrix, compute_uv=False))


def problem_has_the_half_square_loss(problem: Problem, params: Params) -> None:
    """`½‖W − M‖²`, by plain NumPy."""
    whole = np.asarray(product(problem.network, params))
    wanted = 0.5 * np.sum((whole - np.asarray(problem.task.target)) ** 2)
    assert_near(problem.loss(params), wanted)
    assert_near(problem.residual(params), whole - np.asarray(problem.task.target))


def gradient_is_exact(problem: Problem, params: Params) -> None:
    """`∂ℓ/∂W_l = W_{>l}ᵀ (W − M) W_{<l}ᵀ`, layer by layer, and the slope of the loss on a line."""
    network, residual = problem.network, np.asarray(problem.residual(params))
    made = compiled(lambda p: problem.gradient(p))(params)
    assert shapes_and_dtypes(made) == shapes_and_dtypes(params)
    for pathway, gradients in zip(params, made, strict=True):
        for index, gradient in enumerate(gradients):
            wanted = residual
            if index:
                below = network.transpose(_fold(network, pathway[:index]))
                wanted = network.compose(wanted, below)
            if index + 1 < len(pathway):
                above = network.transpose(_fold(network, pathway[index + 1 :]))
                wanted = network.compose(above, wanted)
            assert_near(gradient, wanted)
    direction = random_params(network, seed=7)
    slope, _, error = _line(problem, params, direction)
    assert abs(float(flat(made) @ flat(direction)) - slope) <= error


def hessian_is_exact(problem: Problem, params: Params) -> None:
    """Symmetric, the derivative of the gradient, and the curvature of the loss on a line."""
    one, other = (random_params(problem.network, seed=seed) for seed in (8, 9))
    apply = compiled(lambda v: problem.hessian_vector(params, v))
    made = apply(one)
    twice = compiled(lambda v: jax.jvp(jax.grad(problem.loss), (params,), (v,))[1])
    assert_near(made, twice(one))
    across = flat(apply(other)) @ flat(one)
    scale = float(np.linalg.norm(flat(made)) * np.linalg.norm(flat(other)))
    assert_near(flat(made) @ flat(other), across, scale=scale)
    _, curvature, error = _line(problem, params, one)
    assert abs(float(flat(made) @ flat(one)) - curvature) <= error


def _line(problem: Problem, params: Params, direction: Params) -> tuple[float, float, float]:
    """Slope and curvature of the loss along a line, and a bound of their error.

    On a line the loss is a polynomial of degree 2L, so that as many finite differences determine
    it but for rounding, which the Vandermonde matrix multiplies by its condition.
    """
    degree, reach = 2 * max(problem.network.depths), 0.5
    nodes = reach * np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    moved = [jax.tree.map(lambda w, v: w + t * v, params, direction) for t in nodes]  # noqa: B023
    values = np.asarray(jax.vmap(problem.loss)(jax.tree.map(lambda *ws: np.stack(ws), *moved)))
    vandermonde = np.vander(nodes / reach, increasing=True)
    found = np.linalg.solve(vandermonde, values)
    rounding = np.finfo(np.float64).eps * degree * np.linalg.cond(vandermonde)
    return found[1] / reach, 2 * found[2] / reach**2, 8 * rounding * np.abs(values).max() / reach**2


# --- dynamics ---------------------------------------------------------------------------------


def dynamics(dynamics: Map | Flow, *, descends: bool = True) -> None:
    """What any dynamics must obey; `descends` unless noise or design may raise the loss."""
    sealed(dynamics)
    law = map_moves if isinstance(dynamics, Map) else flow_moves
    law(dynamics, descends)
    runs_are_pure(dynamics)


def _start(dtype: Any = np.float64) -> tuple[Problem, Params]:
    network = Pathways(((2, 3, 2), (2, 2, 3, 2)))
    return some_problem(network, dtype), random_params(network, dtype=dtype)


def map_moves(dynamics: Map, descends: bool) -> None:
    """A step is pure, keeps shapes and dtypes, may be compiled and batched, and goes downhill."""
    for dtype in (np.float32, np.float64):
        problem, params = _start(dtype)
        typed = jax.tree.map(dtype, dynamics)
        key = jax.random.key(0)
        memory = compiled(lambda d, p, problem=problem: d.init(problem, p, key))(typed, params)  # noqa: B023
        move = lambda d, p, m, problem=problem: d.step(problem, p, m)  # noqa: E731
        step = compiled(move)
        after, remembered = step(typed, params, memory)
        assert same_bits(step(typed, params, memory), (after, remembered))
        assert shapes_and_dtypes(after) == shapes_and_dtypes(params)
        assert shapes_and_dtypes(remembered) == shapes_and_dtypes(memory)
        both = jax.tree.map(lambda a: np.stack([a, a / 2]), params)
        start = lambda p, problem=problem, typed=typed, key=key: typed.init(problem, p, key)  # noqa: E731
        one = lambda p, move=move, typed=typed, start=start: move(typed, p, start(p))[0]  # noqa: E731
        together = compiled(jax.vmap(one))(both)
        assert_near(jax.tree.map(lambda a: a[0], together), after)
    rates = np.array([0.0, 1e-6, 1e-1])
    swept = jax.tree.map(lambda a: jnp.stack([a] * 3), dynamics)
    swept = eqx.tree_at(lambda d: d.learning_rate, swept, rates)
    moved = compiled(jax.vmap(lambda d: move(d, params, memory)[0]))(swept)
    still, near, far = ([leaf[k] for leaf in jax.tree.leaves(moved)] for k in range(3))
    assert same_bits(still, params)
    assert not same_bits(near, still)
    assert not same_bits(far, near)
    near = jax.tree.unflatten(jax.tree.structure(params), near)
    assert not descends or problem.loss(near) < problem.loss(params)


def flow_moves(dynamics: Flow, descends: bool) -> None:
    """A velocity is pure, of the shapes and dtypes of the parameters, and points downhill."""
    for dtype in (np.float32, np.float64):
        problem, params = _start(dtype)
        alone = functools.partial(dynamics.velocity, problem)
        velocity = compiled(alone)
        made = velocity(params)
        assert same_bits(velocity(params), made)
        assert shapes_and_dtypes(made) == shapes_and_dtypes(params)
        both = jax.tree.map(lambda a: np.stack([a, a / 2]), params)
        together = compiled(jax.vmap(alone))(both)
        assert_near(jax.tree.map(lambda a: a[0], together), made)
    slope = compiled(lambda p, v: jax.jvp(problem.loss, (p,), (v,))[1])
    assert not descends or slope(params, made) < 0


def runs_are_pure(dynamics: Map | Flow) -> None:
    """The same run gives the same bits and keeps the dtype, whatever was asked for in between."""
    for dtype in (np.float32, np.float64):
        problem, params = _start(dtype)
        run = Run(problem, dynamics, params, jax.random.key(0))
        moments = np.array([0, 1, 2, 3]) if run.is_map else np.array([0.0, 0.01, 0.02, 0.03])
        seen = Observable(_parameters, "parameters")
        # A run's bits are promised of the very program that people run.
        go = jax.jit(lambda moments, run=run, seen=seen: record(run, moments, (seen,)))
        whole, ends = go(moments), go(moments[[0, 0, 3, 3]])
        assert whole["parameters"].dtype == dtype
        assert same_bits(go(moments), whole)
        assert same_bits(ends["parameters"][-1], whole["parameters"][-1])
        assert same_bits(whole["parameters"][0], _parameters(problem, params))
        assert (whole["status"] == Status.RUNNING).all()


def _parameters(problem: Problem, params: Params) -> Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)])


# --- observables ------------------------------------------------------------------------------


def observable(
    observable: Observable, problem: Problem, *, plain: bool = True, accuracy: float = 0.0
) -> None:
    """What any observable must obey on one problem (in the dtype of its target).

    `plain` compares with the uncompiled function too, which takes seconds where it factorises.
    `accuracy` is the relative tolerance of an observable that is itself found by a solver.
    """
    dtype = problem.task.target.dtype
    params = random_params(problem.network, dtype=dtype)
    alone = functools.partial(observable, problem)
    look = compiled(alone)
    made = look(params)
    observable_is_labelled(observable, made)
    assert same_bits(look(params), made)
    if plain:
        assert_near(observable(problem, params), made, accuracy=accuracy)
    both = jax.tree.map(lambda a: np.stack([a, a / 2]), params)
    together = compiled(jax.vmap(alone))(both)
    assert_near(jax.tree.map(lambda a: a[0], together), made, accuracy=accuracy)
    observable_has_dtype(observable, made, dtype)


def observable_keeps_dtype(observable: Observable, problem: Problem) -> None:
    """Nothing is made of another precision than the problem's, and nothing overflows in it."""
    dtype = problem.task.target.dtype
    params = random_params(problem.network, dtype=dtype)
    observable_has_dtype(observable, compiled(lambda p: observable(problem, p))(params), dtype)


def observable_has_dtype(observable: Observable, made: Any, dtype: Any) -> None:
    """Finite numbers of one dtype; the words say where there are none."""
    for leaf in jax.tree.leaves(made):
        assert leaf.dtype == dtype
        assert np.isfinite(leaf).all() or "NaN" in f"{observable.formula} {observable.__doc__}"


def observable_is_labelled(observable: Observable, made: Any) -> None:
    """A name, a symbol, a formula, a sentence, and one dimension for each axis."""
    assert observable.name.isidentifier()
    assert observable.symbol
    assert observable.formula
    assert (observable.function.__doc__ or "").strip()
    again = replace(observable)
    assert again == observable
    assert hash(again) == hash(observable)
    assert len(set(observable.dims)) == len(observable.dims)
    fields = made._asdict() if hasattr(made, "_asdict") else {"value": made}
    assert "value" in fields
    for array in fields.values():
        assert isinstance(array, jax.Array)
        assert array.ndim == len(observable.dims)


def observable_ignores_bases(
    observable: Observable, *, equal: bool = True, accuracy: float = 0.0
) -> None:
    """On aligned weights matrices show what their modes show (or at least it, for curvature)."""
    (reduced, values), (full, lifted) = aligned_pair((2, 4), 3)
    wanted = compiled(lambda p: observable(reduced, p))(values)
    made = compiled(lambda p: observable(full, p))(lifted)
    if equal:
        assert_near(made, wanted)
    else:
        made, wanted = (getattr(value, "value", value) for value in (made, wanted))
        rounding = max(SLACK * np.finfo(np.float64).eps, accuracy) * np.abs(wanted).max()
        assert (made >= wanted - rounding).all()


# --- statistics -------------------------------------------------------------------------------


def statistic(statistic: Statistic, network: Network, dtype: Any) -> None:
    """What any statistic must obey along a short descent on one network."""
    problem, params = some_problem(network, dtype), random_params(network, dtype=dtype)
    descent = GradientDescent(jnp.asarray(0.01, dtype))
    memory = compiled(lambda p: statistic.init(problem, p))(params)

    def read(params: Params, memory: Any) -> Any:
        return statistic.read(problem, memory, params, jnp.asarray(Status.RUNNING))

    def update(carry: tuple[Params, Any], index: Array) -> tuple[tuple[Params, Any], Any]:
        before, memory = carry
        step = descent_step(problem, descent, before, index, total=8)
        memory = statistic.update(problem, memory, step)
        return (step.after, memory), read(step.after, memory)

    carried = jax.eval_shape(update, (params, memory), jnp.asarray(1))[0][1]
    assert shapes_and_dtypes(carried) == shapes_and_dtypes(memory)
    go = compiled(lambda p, m: jax.lax.scan(update, (p, m), jnp.arange(1, 9)))
    (end, after), values = go(params, memory)
    assert same_bits(go(params, memory), ((end, after), values))
    assert hash(statistic) == hash(replace(statistic))
    assert statistic == replace(statistic)
    assert re.fullmatch(r"[A-Za-z_][\w.+-]*", statistic.name)
    assert (type(statistic).__doc__ or "").strip()
    last = jax.tree.map(lambda a: a[-1], values)
    assert_near(compiled(read)(end, after), last)  # which the compiler joined with the last step
    assert isinstance(last, jax.Array) or "value" in last._fields
    main = last if isinstance(last, jax.Array) else last.value
    assert main.ndim == len(statistic.dims)
    for leaf in jax.tree.leaves(last):
        assert leaf.dtype.kind != "f" or leaf.dtype == dtype
    if statistic.flags:
        assert main.dtype == np.int8
        assert (np.asarray(values) < len(statistic.flags)).all()


def descent_step(problem: Problem, dynamics: Map, before: Params, index: Array, total: int) -> Step:
    """One step of a dynamics without memory, as the driver hands it to a statistic."""

    def move(params: Params) -> Params:
        return dynamics.step(problem, params, ())[0]

    rate = jnp.asarray(dynamics.learning_rate)
    return Step(
        before,
        move(before),
        index,
        (index * rate).astype(rate.dtype),
        rate,
        jnp.asarray(total),
        lambda tangent: jax.jvp(move, (before,), (tangent,))[1],
        lambda: problem,
    )


# --- predictions ------------------------------------------------------------------------------


class Example(NamedTuple):
    """Arguments that a prediction answers, and for each assumption arguments that break it."""

    answers: dict[str, Any]
    breaks: Mapping[str, dict[str, Any]] = MappingProxyType({})


ONE_MODE_IN_NOISE = {
    "depth": 4,
    "target": 1.0,
    "label_noise": 0.2,
    "learning_rate": 1e-3,
    "batch_size": 1,
}
MODES_IN_NOISE = {**ONE_MODE_IN_NOISE, "values": [0.5, 0.25], "targets": [1.0, 0.5]}
del MODES_IN_NOISE["target"]

PREDICTION_EXAMPLES: dict[str, Example] = {
    "balance_gap_next": Example(
        {"gap": 0.5, "residual": -0.3, "other_values": [0.8], "learning_rate": 0.1}
    ),
    "flow_value": Example(
        {"time": [0.0, 1.0, 2.0], "start": 0.1, "target": 1.0, "depth": 3},
        {"positive_starts": {"start": -0.1}, "positive_target": {"target": 0.0}},
    ),
    "flow_endpoint": Example(
        {"starts": [0.02, 0.01], "depths": [20, 20], "target": 1.0},
        {"positive_starts": {"starts": [0.02, 0.0]}, "positive_target": {"target": 0.0}},
    ),
    "conserved_z_increment": Example(
        {"layer_values": [0.9, 0.5], "depth": 3, "learning_rate": 0.01, "residual": -1.0},
        {"leading_order": {"learning_rate": 1.0}},
    ),
    "sharpness_at_minimum": Example(
        {"values": [[0.5], [0.5]], "depths": [2, 2], "targets": [1.0]},
        {"zero_loss": {"targets": [2.0]}},
    ),
    "unbalanced_chain_sharpness": Example({"layer_values": [1.0, 2.0]}),
    "aligned_sharpness": Example(
        {"layer_values": [[[1.0, 0.5], [0.9, 0.8]]], "targets": [1.0, 0.7], "widths": [(3, 2, 2)]}
    ),
    "aligned_top_eigenvalues": Example(
        {"layer_values": [[[1.0, 0.5], [0.9, 0.8]]], "targets": [1.0, 0.7], "k": 3}
    ),
    "mixing_edge": Example({"depth": 3, "targets": [10.0, 9.5]}),
    "onset": Example({"depth": 3, "targets": (10.0, 9.5)}),
    "fastest_growth": Example({"depth": 3, "targets": (10.0, 9.5), "learning_rate": 0.0325}),
    "own_growth": Example(
        {
            "depth": 3,
            "targets": (10.0, 9.5),
            "learning_rate": 0.0345,
            "values": (11.7, 11.1),
        }
    ),
    "chain_flow_end_sharpness": Example(
        {"layer_values": [1.5, 2.25], "target": 5.0},
        {"reaches_a_minimum": {"layer_values": [1.0, -1.0]}},
    ),
    "partial_balance_gap": Example(
        {"layer_values": [1.5, 2.25], "target": 5.0, "learning_rate": 0.1},
        {"minimum_stable": {"learning_rate": 0.2}},
    ),
    "trusted_gap": Example(
        {"layer_values": [1.5, 2.25], "target": 5.0, "learning_rate": 0.18, "at": (0, 1, 20)},
        {"two_layers": {"layer_values": [1.5, 2.25, 1.0]}, "short": {"at": (0, 5001)}},
    ),
    "first_growth_edge": Example({"target": 2.0, "depth": 3, "layer_scale": 0.5}),
    "edge_sharpness": Example({"learning_rate": 0.1}),
    "flattest_edge": Example({"depths": [3, 5], "target": 1.0}),
    "map_value": Example({"value": 0.5, "learning_rate": 0.1, "target": 1.0, "depth": 3}),
    "stability_edge": Example({"target": 1.0, "depth": 20}),
    "mode_edges": Example({"targets": [10.0, 9.5, 9.0], "depth": 3}),
    "edge_split": Example(
        {"learning_rate": 0.12, "depth": 20, "target": 1.0, "pathways": 2},
        {
            "deep": {"depth": 2, "learning_rate": 0.5},
            "two_pathways": {"pathways": 3},
            "edge_passed": {"learning_rate": 0.05},
            "minimum_stable": {"learning_rate": 0.5},
        },
    ),
    "two_cycle": Example(
        {"depth": 3, "target": 10.0, "learning_rate": 0.0345},
        {"edge_passed": {"learning_rate": 0.03}, "not_doubled": {"learning_rate": 0.04}},
    ),
    "amplitudes": Example(
        {"depth": 3, "targets": [10.0, 9.5, 0.0], "learning_rate": 0.0345},
        {"not_doubled": {"learning_rate": 0.04}},
    ),
    "doubling_edges": Example({"depth": 3, "target": 10.0, "count": 4}),
    "window_edges": Example({"depth": 3, "target": 10.0, "period": 5}),
    "cascade_period": Example(
        {"depth": 3, "target": 10.0, "learning_rate": 0.04},
        {"in_cascade": {"learning_rate": 0.05}},
    ),
    "two_layer_flow": Example(
        {"time": [0.0, 1.0], "first": [[0.1, 0.0]], "second": [[0.2]], "target": [[1.0, 2.0]]},
        {
            "lambda_balanced": {
                "first": [[0.1, 0.0], [0.0, 0.1]],
                "second": [[0.2, 0.1]],
            }
        },
    ),
    "escape_speed": Example({"strength": 3.0, "depth": 4}),
    "escape_time": Example(
        {"strength": 3.0, "depth": 3, "start": 0.01},
        {"starts_below": {"level": 0.005}, "linear": {"level": 2.2}},
    ),
    "learning_times": Example({"targets": [3.0, 2.0], "depth": 3, "starts": 1e-6}),
    "plateau_loss": Example({"targets": [3.0, 2.0, 0.0]}),
    "least_squared_norm": Example({"singular_values": [4.0, 0.0], "depth": 3}),
    "regularised_values": Example({"targets": [1.0, 0.3], "depth": 3, "weight_decay": 0.1}),
    "saddle_distance_exponent": Example({"gamma": 1.5}),
    "minimum_distance_exponent": Example({"gamma": 0.8, "depth": 4}),
    "saddle_distance": Example(
        {"gamma": 1.5, "width": 64, "depth": 3, "strengths": [2.0, 1.0]},
        {"off_one": {"gamma": 1.0}},
    ),
    "minimum_distance": Example(
        {"gamma": 0.8, "width": 64, "depth": 3, "strengths": [2.0, 1.0]},
        {"off_one": {"gamma": 1.0}},
    ),
    "two_layer_value": Example({"time": [0.0, 1.0], "start": 0.1, "target": 1.0, "gap": -0.5}),
    "balanced_values": Example(
        {"layers": [np.diag([1.0, 0.5]), np.diag([1.0, 0.5])], "target": np.diag([3.0, 2.0])},
        {
            "aligned": {"layers": [np.array([[1.0, 0.1], [0.1, 0.5]])] * 2},
            "balanced": {"layers": [np.diag([1.0, 0.5]), np.diag([1.1, 0.5])]},
        },
    ),
    "mode_drift": Example({"values": [0.5, 0.25], "targets": [1.0, 0.5], "depth": 3}),
    "mode_diffusion": Example(MODES_IN_NOISE),
    "ito_drift": Example(MODES_IN_NOISE),
    "noise_peak": Example(
        {"depth": 4, "target": 2.0, "label_noise": 0.2},
        {"little_label_noise": {"label_noise": 2.0}},
    ),
    "peak_lag": Example(
        {"start": 0.01, "target": 2.0, "depth": 4, "label_noise": 0.2},
        {"little_label_noise": {"label_noise": 2.0}},
    ),
    "stationary_mean": Example(
        ONE_MODE_IN_NOISE, {"has_a_law": {"depth": 2, "learning_rate": 2.0}}
    ),
    "stationary_variance": Example(
        ONE_MODE_IN_NOISE, {"has_a_law": {"depth": 2, "learning_rate": 2.0}}
    ),
    "gaussian_variance": Example(
        ONE_MODE_IN_NOISE, {"small_noise": {"label_noise": 5.0, "learning_rate": 0.1}}
    ),
    "expected_balance_gap": Example(
        {
            "gap": 0.5,
            "residual": -0.3,
            "other_values": [0.8],
            "label_noise": 0.2,
            "learning_rate": 0.1,
            "batch_size": 2,
        }
    ),
    "collapse_edge": Example({"target": 2.0, "label_noise": 0.2, "batch_size": 2}),
    "collapse_probability": Example(
        {"start": 0.1, "target": 1.0, "learning_rate": 3.0, "batch_size": 2}
    ),
}


def prediction(
    prediction: Prediction, example: Example, quantities: frozenset[str] | set[str]
) -> None:
    """What any prediction must obey; `quantities` are the measured things that have a name."""
    assert re.fullmatch(rf"({'|'.join(PAPERS)})\.\d+[a-z]?", prediction.source)
    assert prediction.of in quantities
    assert prediction.symbol
    assert (prediction.function.__doc__ or "").strip()
    names = [assumption.name for assumption in prediction.assumes]
    assert len(set(names)) == len(names)
    departures = prediction.departures(**example.answers)
    assert list(departures) == names
    assert not prediction.broken(**example.answers)
    value = prediction(**example.answers)
    assert isinstance(value, np.ndarray)
    assert value.dtype == np.float64
    assert value.ndim <= len(prediction.dims)
    assert np.isfinite(value).all()
    assert same_bits(prediction(**example.answers, stretch=True), value)
    assert set(example.breaks) == set(names)
    for assumption in prediction.assumes:
        arguments = {**example.answers, **example.breaks[assumption.name]}
        prediction_refuses(prediction, assumption, arguments)


def prediction_refuses(prediction: Prediction, assumption: Any, arguments: dict[str, Any]) -> None:
    """Outside an assumption it raises and names it; stretched, it answers wherever it can."""
    assert assumption in prediction.broken(**arguments)
    assert prediction.departures(**arguments)[assumption.name] > assumption.tolerance
    words = "|".join(re.escape(broken.sentence) for broken in prediction.broken(**arguments))
    with pytest.raises(BrokenAssumption, match=words) as refusal:
        prediction(**arguments)
    nowhere = any(broken.nowhere for broken in prediction.broken(**arguments))
    # Only what helps is advised.
    assert ("stretch=True" in str(refusal.value)) is not nowhere
    if nowhere:
        with pytest.raises(InputError):
            prediction(**arguments, stretch=True)
    else:
        assert isinstance(prediction(**arguments, stretch=True), np.ndarray)
    taken = inspect.signature(prediction.function).parameters
    assert set(inspect.signature(assumption.departure).parameters) <= set(taken)
