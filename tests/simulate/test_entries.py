"""Functions taken apart into operations on single numbers are the functions that they were."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlnlab.dynamics import GradientDescent, Optax
from dlnlab.experiment import Experiment
from dlnlab.initialization import scaled_identity
from dlnlab.networks import BalancedModes, Modes, square
from dlnlab.networks.products import dot
from dlnlab.observables import loss, mode_values, shares
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule
from dlnlab.simulate import lanes, program
from dlnlab.simulate.entries import Entrywise, apart, together
from dlnlab.simulate.lanes import alone, at_lane, over_lanes, side_by_side
from dlnlab.statistics import FirstTime, Lyapunov, Maximum, Outcome, Period
from dlnlab.tasks import Whitened


def scanned(a, b):
    return jax.lax.scan(lambda c, x: (c * x[0] + 1, c + jnp.sum(x)), b[0], a, reverse=True)


FUNCTIONS = [
    lambda a, b: a * b - jnp.sum(a, axis=0) / 3,
    lambda a, b: jnp.where(a > 0, jnp.sqrt(jnp.abs(a)), b),
    lambda a, b: (jnp.max(a), jnp.min(a, axis=1), jnp.prod(b), jnp.any(a > 1), jnp.all(b > -9)),
    lambda a, b: jnp.stack([a[0], b]),
    lambda a, b: jnp.concatenate([a.T.ravel()[1:5:2], b]),
    lambda a, b: dot(a[:, :2], a[:, :2].T),
    lambda a, b: (jnp.sum(jnp.concatenate([b, jnp.ones(2)])), jnp.max(jnp.stack([b[0], 2.0]))),
    lambda a, b: jnp.any(jnp.stack([b[0] > 1, jnp.asarray(True)])),
    lambda a, b: jax.lax.cond(b[0] > 0, lambda: a, lambda: -a),
    lambda a, b: jnp.linalg.norm(a) + jnp.clip(b, -0.5, 0.5) ** 3,
    lambda a, b: jax.grad(lambda c: jnp.sum(jnp.tanh(c * b) ** 2))(a),
    scanned,
    lambda a, b: (jnp.eye(3)[:2] + a, 7, jnp.isfinite(b), b.astype(jnp.int8)),
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_taken_apart_is_the_function(function):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        a, b = jnp.asarray(rng.normal(size=(2, 3, 5))), jnp.asarray(rng.normal(size=(3, 5)))
        entrywise = Entrywise(function, *alone((a, b)))
        assert entrywise.possible
        made = together(jax.jit(entrywise)(*apart((a, b))))
        wanted = jax.vmap(function, -1, -1)(a, b)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-14), made, wanted)
        assert jax.tree.map(lambda x: x.dtype, made) == jax.tree.map(lambda x: x.dtype, wanted)
        one = entrywise.alone(*at_lane((a, b), -1, 2))
        third = at_lane(wanted, -1, 2)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-14), one, third)


def test_what_all_lanes_share_is_handed_over_once():
    with jax.enable_x64(True):
        lanes, shared = jnp.arange(6.0).reshape(2, 3), jnp.array([10.0, 20.0])
        entrywise = Entrywise(lambda x, y: x * y, *alone((lanes, shared), (-1, None)))
        made = together(entrywise(*apart((lanes, shared), (-1, None))))
        np.testing.assert_array_equal(made, lanes * shared[:, None])


@pytest.mark.parametrize(
    "function",
    [
        lambda m: jnp.linalg.eigvalsh(m @ m.T),  # no rule
        lambda m: jnp.sort(m),
        lambda m: dot(m, m),  # larger than what is taken apart
        lambda m: sum(m**k for k in range(600)),  # too long
        lambda m: jnp.sum(m[:0]),  # of nothing
        lambda m: m[:0],
    ],
)
def test_other_functions_are_left_in_one_piece(function):
    assert not Entrywise(function, jax.ShapeDtypeStruct((3, 3), jnp.float32)).possible


def test_without_the_compilers_fusion_nothing_is_taken_apart(monkeypatch):
    number = jax.ShapeDtypeStruct((), jnp.float32)
    assert Entrywise(lambda x: x + 1, number).possible
    monkeypatch.setenv("XLA_FLAGS", "")
    assert not Entrywise(lambda x: x + 1, number).possible


def test_side_by_side_tells_what_lanes_share():
    made, axes = side_by_side(lambda c: (c["x"] * jnp.ones(2), jnp.eye(2)), {"x": jnp.arange(3.0)})
    assert axes == (-1, None)
    np.testing.assert_array_equal(made[0], [[0, 1, 2], [0, 1, 2]])
    np.testing.assert_array_equal(made[1], np.eye(2))


STATISTICS = (Outcome(window=50), Period(), Lyapunov(), Maximum(loss), FirstTime(loss, below=1e-3))


Kind = Literal["balanced", "modes", "matrices"]
Rule = Literal["descent", "momentum"]


def build(learning_rate: float = 0.1, network: Kind = "balanced", rule: Rule = "descent") -> Run:
    made = {
        "balanced": BalancedModes((3, 4), 2),
        "modes": Modes((3, 9), 2),
        "matrices": square(2, (2, 3)),
    }[network]
    target = jnp.array([1.0, 0.5])
    task = Whitened(jnp.diag(target)) if network == "matrices" else Whitened(target)
    problem = Problem(made, task)
    dynamics = (
        GradientDescent(learning_rate)
        if rule == "descent"
        else Optax(optax.sgd, learning_rate, (("momentum", 0.5),))
    )
    return Run(problem, dynamics, scaled_identity(problem, (0.3, 0.2)))


@pytest.mark.parametrize(
    ("rule", "network"),
    [("descent", "balanced"), ("descent", "modes"), ("descent", "matrices"), ("momentum", "modes")],
)
def test_a_run_taken_apart_is_the_run(network, rule, monkeypatch):
    """The same lanes, entry by entry and array by array: equal to the rounding of their steps."""

    def measure():
        program.compiled.cache_clear()
        experiment = Experiment(
            build,
            "both ways",
            steps=300,
            schedule=Schedule(linear=4),
            observe=(loss, mode_values, shares),
            statistics=STATISTICS,
        )
        return experiment.measure(learning_rate=(0.05, 0.2, 0.4, 50.0), network=network, rule=rule)

    seen = []
    possible = Entrywise.possible.fget
    note = lambda self: seen.append(possible(self)) or seen[-1]  # noqa: E731
    monkeypatch.setattr(Entrywise, "possible", property(note))
    taken_apart = measure()
    assert any(seen), "nothing was taken apart"
    monkeypatch.setattr(Entrywise, "possible", property(lambda self: False))
    in_one_piece = measure()
    assert set(taken_apart.data_vars) == set(in_one_piece.data_vars)
    for name in taken_apart.data_vars:
        a, b = taken_apart[name].values, in_one_piece[name].values
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=name)
    program.compiled.cache_clear()


def test_neighbours_leave_every_bit_of_what_is_taken_apart():
    """Alone, and among 300 in another order: two calls of one tile, and one of several batches."""
    experiment = Experiment(
        build, "bits", steps=500, schedule=Schedule(), observe=(loss,), statistics=STATISTICS
    )
    rates = np.random.default_rng(0).permutation(np.linspace(0.01, 0.9, 300))
    many = experiment.measure(learning_rate=tuple(rates.tolist()))
    for index in (0, 131, 299):
        one = experiment.measure(learning_rate=float(rates[index]))
        for name in one.data_vars:
            among = many[name].isel(learning_rate=index)
            np.testing.assert_array_equal(one[name].values, among.values, err_msg=name)


def factorised(jaxpr):
    """The shapes of all that is handed to a singular value decomposition."""
    shapes = [e.invars[0].aval.shape for e in jaxpr.eqns if e.primitive.name == "svd"]
    inside = [inner for equation in jaxpr.eqns for inner in lanes._inside(equation)]
    return shapes + [shape for inner in inside for shape in factorised(inner)]


def test_what_factorises_goes_lane_after_lane():
    """Batched LAPACK calls of two threads wait for each other: no batch reaches the compiler."""

    def norms(matrix, scale):
        return jnp.linalg.svd(scale * matrix, compute_uv=False), scale

    matrices, scale = jnp.arange(24.0).reshape(2, 3, 4), jnp.asarray(2.0)
    axes = (-1, None)
    traced = jax.make_jaxpr(over_lanes(norms, axes, (-1, None)))(matrices, scale)
    assert factorised(traced.jaxpr) == [(2, 3)], "one matrix at a time"
    batched = jax.make_jaxpr(jax.vmap(norms, axes, (-1, None)))(matrices, scale)
    assert factorised(batched.jaxpr) == [(4, 2, 3)], "which is what would stand for ever"
    made, shared = jax.jit(over_lanes(norms, axes, (-1, None)))(matrices, scale)
    assert shared == 2
    wanted = np.linalg.svd(np.moveaxis(2 * matrices, -1, 0), compute_uv=False)
    np.testing.assert_allclose(made.T, wanted, rtol=1e-5, atol=1e-5)
    plain = str(jax.make_jaxpr(over_lanes(lambda m: m @ m.T, -1))(matrices))
    assert "scan" not in plain
