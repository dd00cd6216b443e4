"""Where runs start: scales, balance and moments as they are promised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.errors import InputError
from dlnlab.initialization import balanced, gaussian, scaled_identity, zero_last_layer
from dlnlab.networks import BalancedModes, Modes, Pathways, chain, pathway_products, square
from dlnlab.observables import balance_gap, mode_values, svs_error
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened


def rectangular():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(3, 4))
    return Problem(Pathways(((4, 6, 3), (4, 5, 7, 3), (4, 3))), Whitened(jnp.asarray(target)))


def test_scaled_identity_carries_alpha_in_every_mode_of_every_pathway():
    with jax.enable_x64(True):
        problem = rectangular()
        params = scaled_identity(problem, (0.04, 0.027, 0.5))
        values = mode_values(problem, params)
        np.testing.assert_allclose(values, np.outer([0.04, 0.027, 0.5], np.ones(3)), rtol=1e-13)
        assert float(svs_error(problem, params)) < 1e-14
        np.testing.assert_allclose(np.linalg.norm(params[0][0], 2), 0.2)


def test_scaled_identity_needs_one_alpha_for_each_pathway():
    with pytest.raises(InputError, match="2 values and the network has 3 pathways"):
        scaled_identity(rectangular(), (0.1, 0.1))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_gaussian_variance_is_width_to_the_minus_gamma(gamma):
    with jax.enable_x64(True):
        ((first, second),) = gaussian(chain((400, 100, 300)), jax.random.key(0), gamma=gamma)
    for layer, width in ((first, 400), (second, 100)):
        scaled = np.asarray(layer) * width ** (gamma / 2)
        # Relative standard error of a variance from n entries: √(2/n); five of them.
        assert abs(scaled.var() - 1) < 5 * np.sqrt(2 / layer.size)
        assert abs(scaled.mean()) < 5 / np.sqrt(layer.size)


def test_gaussian_takes_one_scale():
    for scales in ({}, {"std": 1.0, "gamma": 1.0}):
        with pytest.raises(InputError, match="one of std and gamma"):
            gaussian(square(2, (2,)), jax.random.key(0), **scales)


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        ({"std": -1.0}, "std is -1.0, and a finite number of 0 or more is needed"),
        ({"std": float("nan")}, "std is nan"),
        ({"std": jnp.array(-1.0)}, "std is -1"),
        ({"gamma": float("inf")}, "gamma is inf, and a finite number is needed"),
    ],
)
def test_gaussian_refuses_what_is_no_scale(scale, told):
    with pytest.raises(InputError, match=told):
        gaussian(square(2, (2,)), jax.random.key(0), **scale)


def test_gaussian_takes_scales_that_are_traced():
    network = square(2, (2,))
    many = jax.vmap(lambda std: gaussian(network, jax.random.key(0), std=std))
    ((first, _),) = many(jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(2 * first[0], first[1])


def test_layers_and_pathways_draw_apart():
    params = gaussian(square(3, (2, 2)), jax.random.key(0), std=1.0)
    layers = [np.asarray(layer) for pathway in params for layer in pathway]
    assert len({layer.tobytes() for layer in layers}) == 4


def test_balanced_layers_are_in_balance_and_their_product_is_the_gaussian():
    with jax.enable_x64(True):
        problem = rectangular()
        params = balanced(problem, jax.random.key(1), 0.3)
        assert float(balance_gap(problem, params).max()) < 1e-14
        problem.network.check(params)
        wholes = jnp.stack(
            pathway_products(problem.network, balanced(problem, jax.random.key(2), 1.0))
        )
        modes = Problem(Modes((3,), 4), Whitened(jnp.ones(4)))
        (layers,) = balanced(modes, jax.random.key(0), 0.5)
    assert 0.2 < np.asarray(wholes).std() < 2.5
    assert all(bool((layer == layers[0]).all()) for layer in layers)


def test_a_balanced_start_does_not_fit_through_a_narrow_layer():
    problem = Problem(chain((3, 2, 3)), Whitened(np.eye(3)))
    with pytest.raises(InputError, match="width 2; widen"):
        balanced(problem, jax.random.key(0), 1.0)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(
        InputError, match="maps of shape \\(3, 3\\) and the target has shape \\(2, 2\\)"
    ):
        Problem(square(3, (2,)), Whitened(np.eye(2)))
    with pytest.raises(InputError, match="one axis"):
        Whitened(np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="same input and output"):
        Pathways(((2, 3), (2, 4)))
    with pytest.raises(InputError, match="at most 2000"):
        Modes((1001, 1000), 1)
    with pytest.raises(InputError, match="the network needs"):
        square(2, (2,)).check(((np.eye(2),),))


def test_a_last_layer_of_zeros_starts_at_zero_and_moves_in_the_basis_of_the_target():
    with jax.enable_x64(True):
        problem = Problem(Pathways(((4, 6, 3), (4, 5, 7, 3))), rectangular().task)
        params = zero_last_layer(problem, 0.3)
        for pathway in params:
            assert not np.any(pathway[-1])
            for layer in pathway[1:-1]:
                np.testing.assert_allclose(layer, 0.3 * np.eye(*layer.shape), atol=1e-15)
        assert np.all(np.asarray(problem.end_to_end(params)) == 0)
        last = problem.gradient(params)[0][-1]
        task = problem.task
        turned = np.asarray(task.left.T @ last)[:, :3]
        np.testing.assert_allclose(turned, np.diag(np.diag(turned)), atol=1e-14)
        assert np.all(np.abs(np.diag(turned)) > 0)


def test_a_last_layer_of_zeros_needs_layers_of_its_own():
    with pytest.raises(InputError, match="layers of their own"):
        zero_last_layer(Problem(BalancedModes((3,), 1), Whitened(jnp.array([1.0]))), 0.1)
