"""Ranks, and along what training leaves a saddle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab import observables
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, chain, product, square
from dlnlab.problem import Problem
from dlnlab.tasks import Completion, Convex, Samples, Whitened, huber

EPS = np.finfo(float).eps


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def modes(*values):
    return Problem(Modes((1,), len(values)), Whitened(np.ones(len(values)))), ((np.array(values),),)


@pytest.mark.parametrize(
    ("values", "effective", "stable"),
    [
        ((2.0, 0.0, 0.0), 1.0, 1.0),
        ((2.0, -2.0, 0.0), 2.0, 2.0),
        ((1.0, 1.0, 1.0), 3.0, 3.0),
        # p = (¾, ¼): exp of its entropy is 4/3^{3/4}.
        ((3.0, 1.0), 4 / 3**0.75, 10 / 9),
        ((0.0, 0.0), 0.0, 0.0),
    ],
)
def test_ranks_of_known_singular_values(values, effective, stable):
    problem, params = modes(*values)
    assert float(observables.effective_rank(problem, params)) == pytest.approx(effective, abs=1e-14)
    assert float(observables.stable_rank(problem, params)) == pytest.approx(stable, abs=1e-14)


def test_ranks_do_not_depend_on_scale():
    problem = Problem(square(4, (2,)), Whitened(np.eye(4)))
    params = gaussian(problem.network, jax.random.key(0), std=1.0)
    tiny = jax.tree.map(lambda w: 1e-60 * w, params)
    for rank in (observables.effective_rank, observables.stable_rank):
        assert float(rank(problem, tiny)) == pytest.approx(float(rank(problem, params)), rel=1e-12)


def test_the_parameter_norm_is_a_length():
    problem, params = modes(3.0, 4.0)
    assert float(observables.parameter_norm(problem, params)) == 5.0


def outer(*vectors):
    return tuple(np.outer(b, a) for a, b in zip(vectors, vectors[1:], strict=False))


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_optimal_direction_of_escape_is_aligned(depth):
    """W_l = q_l q_{l−1}ᵀ between the top pair of −∇C(0), small: Ẇ is along u_1v_1ᵀ; but a single
    layer moves along all of the gradient."""
    rng = np.random.default_rng(0)
    target = rng.normal(size=(3, 3))
    left, values, right = np.linalg.svd(target)
    frames = [np.linalg.qr(rng.normal(size=(4, 1)))[0][:, 0] for _ in range(depth - 1)]
    layers = outer(right[0], *frames, left[:, 0])
    problem = Problem(chain((3, *[4] * (depth - 1), 3)), Whitened(target))
    found = float(observables.escape_alignment(problem, (tuple(1e-3 * w for w in layers),)))
    if depth == 1:  # M − W has W = 1e-3 u_1v_1ᵀ less.
        assert found == pytest.approx(values[0] / np.linalg.norm(values), abs=2e-3)
    else:
        assert found == pytest.approx(1, abs=100 * EPS)


TASKS = {
    "white": Whitened(np.diag([3.0, 2.0, 1.0]) + 0.1),
    "samples": Samples(np.random.default_rng(0).normal(size=(6, 3)), np.eye(6, 3)),
    "completion": Completion(np.diag([3.0, 2.0, 1.0]) + 0.5, np.eye(3) + np.eye(3, k=1) > 0),
    "huber": Convex(huber, np.eye(3), np.diag([3.0, 2.0, 1.0])),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_velocity_of_the_map_is_that_of_a_short_flow(task):
    problem = Problem(square(3, (3,)), TASKS[task])
    params = gaussian(problem.network, jax.random.key(1), std=0.5)
    gradient, step = problem.gradient(params), 1e-5

    def after(h):
        moved = jax.tree.map(lambda w, g: w - h * g, params, gradient)
        return np.asarray(product(problem.network, moved))

    ahead, behind = after(step), after(-step)
    velocity = (ahead - behind) / (2 * step)
    made = np.asarray(product(problem.network, params))
    slope = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):
        unit = np.zeros((3, 3))
        unit[i, j] = 1e-6
        slope[i, j] = (float(problem.cost(made + unit)) - float(problem.cost(made - unit))) / 2e-6
    left, _, right = np.linalg.svd(-slope)
    wanted = abs(left[:, 0] @ velocity @ right[0]) / np.linalg.norm(velocity)
    found = float(observables.escape_alignment(problem, params))
    assert found == pytest.approx(wanted, abs=1e-6)
    assert 0 <= found <= 1 + 4 * EPS


def test_nothing_moves_at_the_origin():
    problem = Problem(square(2, (2,)), Whitened(np.eye(2)))
    zero = ((np.zeros((2, 2)),) * 2,)
    assert float(observables.escape_alignment(problem, zero)) == 0
    np.testing.assert_array_equal(observables.layer_rank_one(problem, zero), [[0, 0]])


def test_layers_of_rank_one_are_known():
    problem = Problem(square(2, (1, 3)), Whitened(np.eye(2)))
    one, both = np.outer([1.0, 2.0], [0.5, 1.0]), np.diag([2.0, 1.0])
    found = np.asarray(observables.layer_rank_one(problem, ((both,), (one, both, np.eye(2)))))
    np.testing.assert_allclose(found[0, 0], 0.8, rtol=1e-14)
    assert np.isnan(found[0, 1:]).all()
    np.testing.assert_allclose(found[1], [1, 0.8, 0.5], rtol=1e-14)


def test_a_flow_from_a_small_start_escapes_along_the_top_pair():
    """jacot2021.2: the smaller the start, the nearer Ẇ is to rank one when it leaves."""
    problem = Problem(square(3, (2,)), Whitened(np.diag([3.0, 1.0, 0.5])))
    aligned = []
    for size in (1e-2, 1e-4, 1e-6):
        params = gaussian(problem.network, jax.random.key(0), std=size)

        @jax.jit
        def descend(at):
            def step(_, at):
                return jax.tree.map(lambda w, g: w - 0.01 * g, at, problem.gradient(at))

            return jax.lax.fori_loop(0, 10, step, at)

        while float(observables.parameter_norm(problem, params)) < 0.3:
            params = descend(params)
        aligned.append(float(observables.escape_alignment(problem, params)))
    assert aligned == sorted(aligned)
    # The next mode's share is left behind as size^{1 − s_2/s_1} in the layers, squared in the map.
    assert 1 - aligned[-1] < 1e-6
    assert jnp.isfinite(jnp.asarray(aligned)).all()
