"""The reduction to modes: exact on the SVS set, refused off it, and lifted back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, Pathways, chain, square
from dlnlab.problem import Problem
from dlnlab.reduction import NotReducible, reduce
from dlnlab.tasks import Whitened


def orthogonal(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def aligned(rng, widths, targets, outputs, inputs):
    """Random matrices on the SVS set of a rectangular target, hidden bases and excess included."""
    modes = len(targets)
    left, right = orthogonal(rng, outputs)[:, :modes], orthogonal(rng, inputs)[:, :modes]
    params, values = [], []
    for pathway in widths:
        frames = [orthogonal(rng, n) for n in pathway]
        frames[0][:, :modes], frames[-1][:, :modes] = right, left
        layers, numbers = [], []
        for before, after in zip(frames, frames[1:], strict=False):
            w = rng.uniform(0.2, 1.5, modes)
            layer = (after[:, :modes] * w) @ before[:, :modes].T
            if after is not frames[-1] and before is not frames[0]:  # what no mode ever reads
                layer = layer + 0.3 * after[:, modes : modes + 1] @ before[:, modes : modes + 1].T
            layers.append(layer)
            numbers.append(w)
        params.append(tuple(layers))
        values.append(tuple(numbers))
    return (left * targets) @ right.T, tuple(params), tuple(values), left, right


def descend(problem, params, rate, steps):
    dynamics = GradientDescent(rate)

    def step(_, p):
        return dynamics.step(problem, p, ())[0]

    return jax.jit(lambda p: jax.lax.fori_loop(0, steps, step, p))(params)


@pytest.mark.parametrize("known_basis", [True, False])
def test_reduced_and_full_descent_agree(known_basis):
    rng = np.random.default_rng(0)
    widths = ((4, 6, 5, 3), (4, 5, 3))
    target, params, _, left, right = aligned(rng, widths, np.array([2.0, 1.0, 0.5]), 3, 4)
    with jax.enable_x64(True):
        basis = (jnp.asarray(left), jnp.asarray(right)) if known_basis else None
        problem = Problem(Pathways(widths), Whitened(jnp.asarray(target), basis=basis))
        made = reduce(problem, params)
        assert isinstance(made.problem.network, Modes)
        full = descend(problem, jax.tree.map(jnp.asarray, params), 0.02, 500)
        modes = descend(made.problem, jax.tree.map(jnp.asarray, made.params), 0.02, 500)
        lifted = made.lift(modes)
    pairs = zip(jax.tree.leaves(full), jax.tree.leaves(lifted), strict=True)
    worst = max(float(abs(np.asarray(a) - b).max()) for a, b in pairs)
    # 500 steps of 4 products of entries of order one round by some 500 × 4 × ε at most.
    assert worst < 500 * 4 * 8 * np.finfo(float).eps
    assert max(made.certificate.target, made.certificate.layers) < 1e-14


def test_reduction_at_the_start_is_its_own_lift():
    rng = np.random.default_rng(1)
    target, params, _, _, _ = aligned(rng, ((3, 4, 3),), np.array([1.0, 0.3]), 3, 3)
    with jax.enable_x64(True):
        problem = Problem(chain((3, 4, 3)), Whitened(jnp.asarray(target)))
        with pytest.raises(NotReducible):
            # The third pair of singular vectors is not where the weights have it.
            reduce(problem, ((params[0][0] + 0.1 * rng.normal(size=(4, 3)), params[0][1]),))
        made = reduce(problem, params)
        for a, b in zip(
            jax.tree.leaves(made.lift(made.params)), jax.tree.leaves(params), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("layers", [(0.0, 0.5), (0.5, 0.0), (0.0, 0.0)])
def test_layers_that_extinguish_modes(layers):
    """W_L = 0 and the like: bases come from the other end, or are free."""
    rng = np.random.default_rng(2)
    left, right = orthogonal(rng, 3), orthogonal(rng, 3)
    target = (left * np.array([3.0, 2.0, 1.0])) @ right.T
    first, last = layers
    params = ((first * np.eye(3) @ right.T, 0.4 * np.eye(3), last * left),)
    with jax.enable_x64(True):
        problem = Problem(square(3, (3,)), Whitened(jnp.asarray(target)))
        made = reduce(problem, params)
        full = descend(problem, jax.tree.map(jnp.asarray, params), 0.02, 200)
        modes = descend(made.problem, jax.tree.map(jnp.asarray, made.params), 0.02, 200)
        for a, b in zip(jax.tree.leaves(made.lift(modes)), jax.tree.leaves(full), strict=True):
            np.testing.assert_allclose(a, b, atol=200 * 64 * np.finfo(float).eps)


def test_degenerate_target_takes_the_weights_basis():
    """A target with equal singular values is diagonal in any basis; the weights are not."""
    rng = np.random.default_rng(3)
    left, right = orthogonal(rng, 3), orthogonal(rng, 3)
    target = (left * np.array([1.0, 0.0, 0.0])) @ right.T
    params = (
        ((np.array([0.3, 0.2, 0.1]) * np.eye(3)) @ right.T, left * np.array([0.1, 0.3, 0.2])),
    )
    with jax.enable_x64(True):
        made = reduce(Problem(square(3, (2,)), Whitened(jnp.asarray(target))), params)
    products = np.sort(np.prod(np.stack(made.params[0]), axis=0))
    np.testing.assert_allclose(np.abs(products), np.sort([0.03, 0.06, 0.02]), rtol=1e-12)
    assert made.certificate.layers < 1e-14


def test_mixing_is_refused_with_its_size():
    with jax.enable_x64(True):
        problem = Problem(square(2, (2,)), Whitened(jnp.diag(jnp.array([2.0, 1.0]))))
        params = ((np.array([[0.5, 1e-3], [0.0, 0.4]]), np.eye(2)),)
        with pytest.raises(NotReducible, match="mixes singular vectors by a relative 0.00"):
            reduce(problem, params)
        loose = reduce(problem, params, tolerance=0.01)
    assert 1e-4 < loose.certificate.layers < 1e-2


def test_only_matrices_are_reduced():
    problem = Problem(Modes((2,), 1), Whitened(np.array([1.0])))
    with pytest.raises(InputError, match="a Modes was given"):
        reduce(problem, ((np.ones(1), np.ones(1)),))


def test_scaled_identity_reduces_to_its_own_modes():
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        left, right = orthogonal(rng, 3), orthogonal(rng, 3)
        task = Whitened(
            jnp.asarray((left * np.array([1.0, 0.9, 0.0])) @ right.T),
            basis=(jnp.asarray(left), jnp.asarray(right)),
        )
        problem = Problem(square(3, (5, 3)), task)
        made = reduce(problem, scaled_identity(problem, (0.02, 0.01)))
        direct = scaled_identity(made.problem, (0.02, 0.01))
        for a, b in zip(jax.tree.leaves(made.params), jax.tree.leaves(direct), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)
