"""Small products along the lanes are matrix products, and so are their derivatives."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.cli.environment import LOOPS, prepare
from dlnlab.networks import pathway_products, square
from dlnlab.networks.products import SETTLED, SMALL, dot


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def matrices(rows, inner, columns, lanes=None):
    rng = np.random.default_rng(0)
    front = () if lanes is None else (lanes,)
    return rng.normal(size=(*front, rows, inner)), rng.normal(size=(*front, inner, columns))


SHAPES = [(1, 1, 1), (2, 3, 4), (SETTLED, SETTLED, SETTLED), (3, SMALL, 2), (2, SMALL + 1, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_lanes_of_products_are_products_of_lanes(shape):
    a, b = matrices(*shape, lanes=5)
    eps = 8 * shape[1] * np.finfo(float).eps * (np.abs(a) @ np.abs(b)).max()
    np.testing.assert_allclose(jax.vmap(dot)(a, b), a @ b, rtol=0, atol=eps)
    np.testing.assert_allclose(jax.vmap(dot, (0, None))(a, b[0]), a @ b[0], rtol=0, atol=eps)
    np.testing.assert_allclose(jax.vmap(dot, (None, 0))(a[0], b), a[0] @ b, rtol=0, atol=eps)
    last = jax.vmap(dot, (-1, 1), -1)(np.moveaxis(a, 0, -1), np.moveaxis(b, 0, 1))
    np.testing.assert_allclose(np.moveaxis(last, -1, 0), a @ b, rtol=0, atol=eps)
    twice = jax.vmap(jax.vmap(dot, (None, 0)), (0, None))(a, b)
    np.testing.assert_allclose(twice, a[:, None] @ b[None], rtol=0, atol=eps)


@pytest.mark.parametrize("shape", SHAPES)
def test_derivatives_are_those_of_the_plain_product(shape):
    a, b = matrices(*shape, lanes=3)

    def value(product, a, b):
        return jnp.sum(jnp.sin(product(product(a, b), product(a, b).T)))

    for order in (jax.grad, lambda f: jax.hessian(f)):
        if order is not jax.grad and shape[1] > 4:
            continue
        ours = jax.jit(jax.vmap(order(lambda a, b: value(dot, a, b))))(a, b)
        plain = jax.jit(jax.vmap(order(lambda a, b: value(jnp.matmul, a, b))))(a, b)
        scale = float(np.abs(plain).max())
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12 * max(1.0, scale))


@pytest.mark.parametrize(("layers", "settled"), [(4, 0), (20, 17)])
def test_products_of_long_chains_are_finished_one_by_one(layers, settled):
    """Else the compiler computes each anew for every entry of the next: ruin at 20 layers."""
    network = square(3, (layers,))
    params = (tuple(np.zeros((5, 3, 3)) for _ in range(layers)),)
    traced = str(jax.make_jaxpr(jax.vmap(lambda p: pathway_products(network, p)))(params))
    assert traced.count("cond[") == settled


def test_a_lane_that_is_not_finite_leaves_its_neighbours_alone():
    a, b = matrices(SETTLED, SETTLED, SETTLED, lanes=3)
    spoilt = a.copy()
    spoilt[0] = np.nan
    np.testing.assert_array_equal(jax.vmap(dot)(spoilt, b)[1:], jax.vmap(dot)(a, b)[1:])


CODE = """
import jax
from dlnlab import Experiment, GradientDescent, Problem, Run, Whitened, gaussian, square
from dlnlab.observables import end_to_end
from dlnlab.statistics import Outcome

def build(learning_rate: float, seed: int = 0) -> Run:
    problem = Problem(square(3, (3, 3)), Whitened(jax.numpy.diag(jax.numpy.array([1, 0.5, 0.25]))))
    params = gaussian(problem.network, jax.random.key(seed), std=0.4)
    return Run(problem, GradientDescent(learning_rate), params)

experiment = Experiment(build, "", steps=200, observe=(end_to_end,), statistics=(Outcome(),))
m = experiment.measure(learning_rate=(0.5, 1.5), seed=tuple(range(40)))
print(m.end_to_end.isel(step=-1).values.tobytes().hex())
print(m.outcome.isel(step=-1).values.tobytes().hex())
"""


def test_fusion_changes_nothing_but_rounding():
    """The command's flag is experimental: what it computes is what is computed without it."""
    printed = []
    for flags in ("", LOOPS):
        environment = {**os.environ, "XLA_FLAGS": flags}
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed.append([bytes.fromhex(line) for line in done.stdout.split()])
    plain, fused = (np.frombuffer(lines[0]) for lines in printed)
    calm = plain.reshape(2, 40, -1)[0]
    np.testing.assert_allclose(fused.reshape(2, 40, -1)[0], calm, rtol=1e-9)
    outcomes = [np.frombuffer(lines[1], np.int8).reshape(2, 40)[0] for lines in printed]
    np.testing.assert_array_equal(*outcomes)


def test_the_flag_is_set_once_and_leaves_the_users_own():
    for given in ("", "--xla_cpu_enable_fast_math=false"):
        environment = {"XLA_FLAGS": given, "DLNLAB_CACHE": "off"}
        prepare(environment)
        prepare(environment)
        assert environment["XLA_FLAGS"].split() == [*given.split(), LOOPS]
    chosen = {"XLA_FLAGS": "--xla_backend_extra_options=something", "DLNLAB_CACHE": "off"}
    prepare(chosen)
    assert chosen["XLA_FLAGS"] == "--xla_backend_extra_options=something"
