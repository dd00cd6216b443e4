"""Extreme eigenpairs: algebraic, with residuals that bound the error, against ARPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, eigsh

from dlnlab import linalg
from dlnlab.initialization import gaussian
from dlnlab.networks import chain, square
from dlnlab.observables import hessian_density, hessian_trace, sharpness, top_eigenvalues
from dlnlab.observables.curvature import _top
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened


def symmetric(values, seed=0):
    """A dense matrix of a chosen spectrum."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))[0]
    return (basis * values) @ basis.T


SPECTRA = {
    "isolated top": np.concatenate([[10.0, 9.0, 8.5], np.linspace(-1, 1, 297)]),
    "larger negative end": np.concatenate([[5.0], np.linspace(-20, 1, 299)]),
    "symmetric, a saddle": np.concatenate([np.linspace(1, 10, 150), -np.linspace(1, 10, 150)]),
    "degenerate top": np.concatenate([[7.0, 7.0, 7.0], np.linspace(-7, 3, 297)]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("solver", [linalg.largest_dense, linalg.largest_lanczos])
def test_largest_algebraic_value_with_its_residual(name, solver):
    values = SPECTRA[name]
    with jax.enable_x64(True):
        matrix = jnp.asarray(symmetric(values))
        start = jax.random.normal(jax.random.key(1), (len(values),))
        found = jax.jit(lambda v: solver(lambda u: matrix @ u, v, 1))(start)
        value, residual = float(found.values[0]), float(found.residuals[0])
        vector = np.asarray(found.vectors[0])
    scale = np.abs(values).max()
    assert residual <= 1e-8 * scale
    assert abs(value - values.max()) <= max(residual, 1e-12 * scale)
    assert np.linalg.norm(symmetric(values) @ vector - value * vector) <= 1.1e-8 * scale
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_several_pairs_by_lanczos():
    values = SPECTRA["isolated top"]
    with jax.enable_x64(True):
        matrix = jnp.asarray(symmetric(values))
        start = jax.random.normal(jax.random.key(1), (len(values),))
        found = jax.jit(lambda v: linalg.largest_lanczos(lambda u: matrix @ u, v, 3))(start)
    np.testing.assert_allclose(found.values, [10.0, 9.0, 8.5], atol=1e-8)


def test_sharpness_of_a_large_network_against_arpack():
    """Above the dense limit, at a random point, an indefinite Hessian."""
    with jax.enable_x64(True):
        problem = Problem(chain((16, 24, 24, 16)), Whitened(jnp.diag(jnp.linspace(3, 0.1, 16))))
        params = gaussian(problem.network, jax.random.key(2), gamma=1.2)
        size = sum(w.size for w in params[0])
        assert size > linalg.DENSE_LIMIT
        found = jax.jit(lambda p: sharpness(problem, p))(params)
        _, unravel = jax.flatten_util.ravel_pytree(params)
        product = jax.jit(
            lambda v: jax.flatten_util.ravel_pytree(problem.hessian_vector(params, unravel(v)))[0]
        )
        operator = LinearOperator((size, size), lambda v: np.asarray(product(v)), dtype=float)
        oracle = eigsh(operator, k=1, which="LA", tol=1e-12, return_eigenvectors=False)[0]
    assert float(found.value) == pytest.approx(oracle, abs=max(float(found.residual), 1e-9))
    assert float(found.residual) < 1e-7 * oracle


def test_top_eigenvalues_are_those_of_the_whole_hessian():
    with jax.enable_x64(True):
        problem = Problem(square(2, (2, 3)), Whitened(jnp.diag(jnp.array([1.0, 0.5]))))
        params = gaussian(problem.network, jax.random.key(0), std=0.6)
        whole = dense_spectrum(problem, params)
        found, more = jax.jit(
            lambda p: (top_eigenvalues(problem, p), top_eigenvalues.bind(k=25)(problem, p))
        )(params)
        one = jax.eval_shape(lambda p: _top(problem, p, 1), params)
        assert one.vectors.shape == (1, 20)
    np.testing.assert_allclose(found.value, whole[::-1][:5], atol=1e-13)
    np.testing.assert_allclose(more.value[:20], whole[::-1], atol=1e-13)
    assert np.isnan(more.value[20:]).all()


def test_at_the_origin_of_two_layers_the_sign_is_right():
    """The spectrum there is symmetric: ±s_i; magnitude alone would toss a coin."""
    with jax.enable_x64(True):
        problem = Problem(chain((4, 4, 4)), Whitened(jnp.diag(jnp.array([10.0, 3.0, 2.0, 1.0]))))
        params = jax.tree.map(jnp.zeros_like, gaussian(problem.network, jax.random.key(0), std=1.0))
        found = jax.jit(lambda p: sharpness(problem, p))(params)
    assert float(found.value) == pytest.approx(10.0, abs=1e-12)


def random_problem():
    problem = Problem(chain((8, 10, 12, 8)), Whitened(jnp.diag(jnp.linspace(3, 0.1, 8))))
    return problem, gaussian(problem.network, jax.random.key(2), std=0.4)


def dense_spectrum(problem, params):
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    hessian = jax.jit(jax.hessian(lambda v: problem.loss(unravel(v))))
    return np.linalg.eigvalsh(hessian(flat))


def test_the_trace_is_within_its_error_and_exact_where_it_is_dense():
    with jax.enable_x64(True):
        problem, params = random_problem()
        whole = dense_spectrum(problem, params)
        few, many = (
            jax.jit(lambda p, n=n: hessian_trace.bind(probes=n)(problem, p))(params)
            for n in (10, 1000)
        )
        small = Problem(square(2, (3,)), Whitened(jnp.diag(jnp.array([1.0, 0.5]))))
        start = gaussian(small.network, jax.random.key(0), std=0.6)
        exact = jax.jit(lambda p: hessian_trace(small, p))(start)
        small_whole = dense_spectrum(small, start)
        (few, wide), (many, narrow) = ((float(v), float(e)) for v, e in (few, many))
    assert abs(few - whole.sum()) < 5 * wide
    assert abs(many - whole.sum()) < 5 * narrow < 1.5 * wide
    assert float(exact.value) == pytest.approx(small_whole.sum(), rel=1e-12)
    assert float(exact.error) == 0


def test_the_density_has_the_moments_and_the_ends_of_the_spectrum():
    """Moments within five standard errors; the share of eigenvalues above every quartile."""
    with jax.enable_x64(True):
        problem, params = random_problem()
        whole = dense_spectrum(problem, params)
        density = hessian_density.bind(probes=200, nodes=30)
        found = jax.jit(lambda p: density(problem, p))(params)
    nodes, weights = np.asarray(found.value), np.asarray(found.weight)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    for power in (1, 2, 3, 4):
        each = (weights * nodes**power).sum(axis=1)
        error = each.std(ddof=1) / len(each) ** 0.5
        assert abs(each.mean() - (whole**power).mean()) < 5 * error
    assert nodes.max() == pytest.approx(whole[-1], rel=1e-6)
    assert nodes.min() == pytest.approx(whole[0], rel=1e-6)
    for level in np.quantile(whole, [0.1, 0.9]):
        share = np.where(nodes > level, weights, 0).sum(axis=1).mean()
        assert share == pytest.approx((whole > level).mean(), abs=0.05)
