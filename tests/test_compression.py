"""Compression to width 2r: exact under descent and flow, refused in words, lifted back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.compression import compress
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.networks import Modes, Pathways, chain, square
from dlnlab.problem import Problem
from dlnlab.reduction import NotReducible
from dlnlab.tasks import Whitened

EPS = np.finfo(np.float64).eps


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def low_rank(rng, size, strengths):
    rank = len(strengths)
    return orthogonal(rng, size)[:, :rank] * strengths @ orthogonal(rng, size)[:, :rank].T


def start(rng, size, scales):
    return (tuple(scale * orthogonal(rng, size) for scale in scales),)


def descend(problem, params, rate, steps):
    dynamics = GradientDescent(rate)

    def step(_, p):
        return dynamics.step(problem, p, ())[0]

    started = jax.tree.map(jnp.asarray, params)
    return jax.jit(lambda p: jax.lax.fori_loop(0, steps, step, p))(started)


def worst(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("size", "scales", "strengths"),
    [
        (9, (0.6, 0.6, 0.6), np.array([2.0, 1.0])),
        (7, (0.9, 0.5, 0.7, 0.6), np.array([1.5, 1.5, 1.0])),  # unequal scales, equal strengths
        (5, (0.3, 0.3), np.array([3.0])),
        (4, (0.5,), np.array([1.0])),
        (6, (0.8, 0.8, 0.0), np.array([2.0, 1.0])),  # a last layer of zero
    ],
)
def test_compressed_and_full_descent_agree(size, scales, strengths):
    rng = np.random.default_rng(size)
    problem = Problem(square(size, (len(scales),)), Whitened(low_rank(rng, size, strengths)))
    params, steps, rate = start(rng, size, scales), 500, 0.05
    made = compress(problem, params)
    rank = len(strengths)
    assert made.problem.network == chain((2 * rank,) * (len(scales) + 1))
    assert made.multiplicity == size - 2 * rank
    full = descend(problem, params, rate, steps)
    small = descend(made.problem, made.params, rate, steps)
    rest = descend(made.rest, made.rest_params, rate, steps)
    # Every step rounds some products of entries of order one, and does not amplify.
    assert worst(made.lift(small, rest), full) < steps * len(scales) * 16 * EPS
    parts = made.problem.loss(small) + made.multiplicity * made.rest.loss(rest)
    assert float(problem.loss(full)) == pytest.approx(float(parts), rel=1e-9, abs=1e-20)
    assert float(problem.loss(full)) < 0.5 * float(problem.loss(params))
    assert max(made.certificate.target, made.certificate.layers) < 1e-14


def test_the_scalar_obeys_its_law_and_no_other():
    rng, depth, rate, steps, scale = np.random.default_rng(1), 3, 0.05, 500, 0.6
    problem = Problem(square(7, (depth,)), Whitened(low_rank(rng, 7, np.array([2.0]))))
    params = start(rng, 7, (scale,) * depth)
    made = compress(problem, params)
    full = descend(problem, params, rate, steps)
    small = descend(made.problem, made.params, rate, steps)

    def lifted(power):
        value = scale
        for _ in range(steps):
            value *= 1 - rate * value**power
        return made.lift(small, ((np.array([value]),) * depth,))

    assert worst(lifted(2 * (depth - 1)), full) < 1e-12
    assert worst(lifted(2 * depth - 1), full) > 1e-3
    assert worst(made.lift(small, made.rest_params), full) > 1e-2  # and it does move
    # The singular values of every layer: d − 2r of them are the scalar.
    value = descend(made.rest, made.rest_params, rate, steps)[0][0].item()
    for layer in full[0]:
        found = np.abs(np.linalg.svd(np.asarray(layer), compute_uv=False) - value)
        assert np.sum(found < 1e-12) >= made.multiplicity


def test_a_compression_at_the_start_is_its_own_lift():
    rng = np.random.default_rng(2)
    problem = Problem(square(6, (3,)), Whitened(low_rank(rng, 6, np.array([2.0, 1.0]))))
    params = start(rng, 6, (0.3, 0.2, 0.4))
    made = compress(problem, params)
    for a, b in zip(made.lift(made.params, made.rest_params)[0], params[0], strict=True):
        np.testing.assert_array_equal(a, b)
    for w, scale in zip(made.params[0], (0.3, 0.2, 0.4), strict=True):
        np.testing.assert_allclose(w, scale * np.eye(4), atol=8 * EPS)
    for before, behind in zip(made.kept, made.left_out, strict=True):
        frame = np.hstack([before, behind])
        np.testing.assert_allclose(frame.T @ frame, np.eye(6), atol=16 * EPS)


def test_coinciding_singular_vectors_fill_up():
    """Identity layers and a symmetric target: the two spans are one, and 2r holds it twice."""
    target = np.diag([2.0, 1.0, 0.0, 0.0, 0.0])
    target[0, 1] = 1e-9  # nearly parallel, too
    problem = Problem(square(5, (3,)), Whitened(target))
    params = ((0.5 * np.eye(5),) * 3,)
    made = compress(problem, params)
    full = descend(problem, params, 0.05, 500)
    small, rest = (
        descend(p, w, 0.05, 500)
        for p, w in ((made.problem, made.params), (made.rest, made.rest_params))
    )
    assert worst(made.lift(small, rest), full) < 500 * 3 * 16 * EPS


def test_a_higher_rank_and_a_target_of_zero_are_exact_too():
    rng = np.random.default_rng(3)
    for strengths, rank in ((np.array([1.0]), 2), (np.array([0.0]), None)):
        problem = Problem(square(6, (2,)), Whitened(low_rank(rng, 6, strengths)))
        params = start(rng, 6, (0.5, 0.5))
        made = compress(problem, params, rank=rank)
        assert made.problem.network.widths[0][0] == 2 * (rank or 1)
        full = descend(problem, params, 0.05, 200)
        small = descend(made.problem, made.params, 0.05, 200)
        rest = descend(made.rest, made.rest_params, 0.05, 200)
        assert worst(made.lift(small, rest), full) < 200 * 2 * 16 * EPS


def test_what_breaks_a_condition_is_refused_with_its_size():
    rng = np.random.default_rng(4)
    problem = Problem(square(6, (2,)), Whitened(low_rank(rng, 6, np.array([2.0, 1.0]))))
    params = start(rng, 6, (0.5, 0.5))
    with pytest.raises(NotReducible, match=r"rank 1 leaves out a relative 0\.447"):
        compress(problem, params, rank=1)
    with pytest.raises(NotReducible, match="nothing to compress"):
        compress(problem, params, rank=3)
    bent = ((params[0][0] + 1e-3 * rng.normal(size=(6, 6)), params[0][1]),)
    with pytest.raises(NotReducible, match=r"no multiple of an orthogonal matrix.* 0\.00"):
        compress(problem, bent)
    loose = compress(problem, bent, tolerance=0.1)
    assert 1e-4 < loose.certificate.layers < 1e-1
    with pytest.raises(InputError, match="at least 1 is needed"):
        compress(problem, params, rank=0)
    with pytest.raises(InputError, match="finite ones are needed"):
        compress(problem, ((params[0][0] * np.nan, params[0][1]),))


@pytest.mark.parametrize("network", [Modes((2,), 4), Pathways(((4, 4), (4, 4))), chain((4, 5, 4))])
def test_only_one_chain_of_square_layers_is_compressed(network):
    target = np.ones(4) if isinstance(network, Modes) else np.eye(4)
    params = tuple(tuple(np.ones(s) for s in pathway) for pathway in network.shapes)
    with pytest.raises(InputError, match="only a single chain of square layers"):
        compress(Problem(network, Whitened(target)), params)
