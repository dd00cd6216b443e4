"""Gradient noise against what one sample's gradient is: differentiated, averaged, never our formula.

Two judges. A tensor grid of Gauss-Hermite nodes, three for each Gaussian number, is exact for
polynomials of degree five in each, and products of two gradients have degree four: expectations to
rounding. And Monte Carlo, with standard errors, which knows no grid.
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from scipy import stats

import laws
from dlnlab.errors import InputError
from dlnlab.networks import BalancedModes, Modes, Pathways, Perceptrons, chain
from dlnlab.observables import (
    gradient_covariance,
    gradient_covariance_spectrum,
    gradient_covariance_trace,
    mode_diffusion,
    mode_drift,
    mode_ito_drift,
    mode_signal_to_noise,
    mode_values,
    noise_anisotropy,
    sampled_mode_diffusion,
)
from dlnlab.problem import Problem
from dlnlab.tasks import Samples, Whitened

FALSE_ALARM = 1e-3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


NETWORKS = (
    chain((3, 2)),
    chain((2, 3, 2)),
    chain((3, 2, 4, 2)),
    chain((2, 2, 3, 2, 3)),
    chain((2, 3, 2, 2, 3, 2)),
    Pathways(((2, 4, 3), (2, 3, 1, 3))),
)


def noisy(problem, label_noise):
    """The same problem with noise on its labels."""
    task = problem.task
    basis = None if task.left is None else (task.left, task.right)
    return Problem(problem.network, Whitened(task.target, label_noise, basis))


def some(network, label_noise=0.7):
    return noisy(laws.some_problem(network), label_noise), laws.random_params(network)


def aligned(depths, modes, label_noise):
    """The same weights as modes and as matrices in random bases."""
    pairs = laws.aligned_pair(depths, modes)
    return [(noisy(problem, label_noise), params) for problem, params in pairs]


class Truth(NamedTuple):
    """The covariance of one sample's gradient, and what follows from it by differentiating w_a."""

    drift: np.ndarray
    diffusion: np.ndarray
    ito: np.ndarray
    covariance: np.ndarray


def end_to_end(params):
    """`Σ_h W_{h,L} ⋯ W_{h,1}`, by plain products."""
    return sum(functools.reduce(lambda x, y: y @ x, layers) for layers in params)


def per_sample_gradients(params, inputs, labels):
    """Row by row the gradient of `½‖Wx − y‖²`, by reverse mode, and the flat parameters."""
    vector, unravel = ravel_pytree(params)

    def loss(flat, x, y):
        return jnp.sum((end_to_end(unravel(flat)) @ x - y) ** 2) / 2

    each = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))
    return np.asarray(each(vector, inputs, labels)), vector, unravel


def mode_derivatives(problem, params, moment=None):
    """Gradient and Hessian of `w_a = u_aᵀ W E[xxᵀ] v_a` in the flat parameters."""
    vector, unravel = ravel_pytree(params)
    left, right = np.asarray(problem.task.left), np.asarray(problem.task.right)
    right = right if moment is None else moment @ right

    def values(flat):
        return jnp.sum(left * (end_to_end(unravel(flat)) @ right), axis=0)

    return np.asarray(jax.jacrev(values)(vector)), np.asarray(jax.hessian(values)(vector))


def truth(problem, params, inputs, labels, weights, moment=None):
    gradients, *_ = per_sample_gradients(params, inputs, labels)
    mean = weights @ gradients
    centred = gradients - mean
    covariance = (centred * weights[:, None]).T @ centred
    slopes, curvatures = mode_derivatives(problem, params, moment)
    diffusion = np.einsum("ai,ij,aj->a", slopes, covariance, slopes)
    ito = np.einsum("aij,ij->a", curvatures, covariance) / 2
    return Truth(-slopes @ mean, diffusion, ito, covariance)


def by_quadrature(problem, params):
    outputs, inputs = problem.task.target.shape
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    drawn = np.array(list(itertools.product(nodes, repeat=inputs + outputs)))
    each = itertools.product(weights / weights.sum(), repeat=inputs + outputs)
    x, noise = drawn[:, :inputs], problem.task.label_noise * drawn[:, inputs:]
    labels = x @ np.asarray(problem.task.target).T + noise
    return truth(problem, params, x, labels, np.prod(list(each), axis=1))


def agree(problem, params, wanted):
    """All observables against the covariance."""
    scale = np.abs(wanted.covariance).max()
    laws.assert_near(mode_drift(problem, params), wanted.drift)
    laws.assert_near(mode_diffusion(problem, params), wanted.diffusion, scale=scale)
    laws.assert_near(mode_ito_drift(problem, params), wanted.ito, scale=scale)
    ratio = wanted.drift**2 / wanted.diffusion
    laws.assert_near(mode_signal_to_noise(problem, params), ratio)
    agree_on_the_covariance(problem, params, wanted.covariance)


def agree_on_the_covariance(problem, params, wanted):
    scale, size = np.abs(wanted).max(), len(wanted)
    laws.assert_near(gradient_covariance(problem, params), wanted, scale=scale)
    trace = np.trace(wanted)
    laws.assert_near(gradient_covariance_trace(problem, params), np.asarray(trace))
    spectrum = np.asarray(gradient_covariance_spectrum(problem, params))
    values = np.linalg.eigvalsh(wanted)[::-1]
    laws.assert_near(spectrum, values[: len(spectrum)])
    np.testing.assert_allclose(values[len(spectrum) :], 0, atol=1e-12 * values[0])
    anisotropy = size * np.sum(wanted**2) / trace**2
    laws.assert_near(noise_anisotropy(problem, params), np.asarray(anisotropy))
    assert 1 <= anisotropy <= size


@pytest.mark.parametrize("label_noise", [0.0, 0.7])
@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_white_noise_is_exact_at_any_weights(network, label_noise):
    problem, params = some(network, label_noise)
    agree(problem, params, by_quadrature(problem, params))


@pytest.mark.parametrize("depths", [(2,), (4,), (2, 3)], ids=str)
def test_aligned_modes_are_their_matrices(depths):
    (reduced, values), (full, lifted) = aligned(depths, 2, 0.7)
    wanted = by_quadrature(full, lifted)
    agree(full, lifted, wanted)
    for observable, value in (
        (mode_drift, wanted.drift),
        (mode_diffusion, wanted.diffusion),
        (mode_ito_drift, wanted.ito),
    ):
        laws.assert_near(observable(reduced, values), value)


def test_the_covariance_of_modes_is_the_block_of_the_diagonals():
    problem = noisy(laws.some_problem(Modes((2, 3), 2)), 0.7)
    params = laws.random_params(problem.network)
    full = Problem(
        Pathways(((2, 2, 2), (2, 2, 2, 2))),
        Whitened(np.diag(problem.task.target), 0.7, (np.eye(2), np.eye(2))),
    )
    lifted = jax.tree.map(np.diag, params)
    on = np.flatnonzero(ravel_pytree(jax.tree.map(lambda w: np.eye(len(w)), params))[0])
    wanted = by_quadrature(full, lifted).covariance[np.ix_(on, on)]
    agree_on_the_covariance(problem, params, wanted)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
def test_balanced_modes_have_the_closed_forms(depth):
    """corlouer2026.2, mode by mode, and its term between modes."""
    s, w, noise = np.array([3.0, 2.0, 1.0]), np.array([0.4, 1.1, 0.7]), 0.3
    network = BalancedModes((depth,), 3)
    problem = Problem(network, Whitened(s, noise))
    params = ((depth**0.5 * w ** (1 / depth),),)
    heat = 2 * (s - w) ** 2 + noise**2
    alone = depth * (depth - 1) * w ** (3 - 4 / depth) * heat / 2
    between = np.zeros(3)
    for a, k in itertools.product(range(3), range(1, depth)):
        others = [(w[b] - s[b]) * w[b] ** ((depth + 2 * k - 2) / depth) for b in range(3) if b != a]
        power = w[a] ** (2 * (depth - k - 1) / depth)
        between[a] += (w[a] - s[a]) * (depth - k) * power * sum(others)
    laws.assert_near(mode_drift(problem, params), depth * w ** (2 - 2 / depth) * (s - w))
    laws.assert_near(mode_diffusion(problem, params), depth**2 * w ** (4 - 4 / depth) * heat)
    laws.assert_near(mode_ito_drift(problem, params), alone + between)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_noise_of_samples_is_exact(network):
    problem, params = laws.some_samples(network), laws.random_params(network)
    task = problem.task
    weights = np.full(len(task.inputs), 1 / len(task.inputs))
    moment = task.inputs.T @ (weights[:, None] * task.inputs)
    agree(problem, params, truth(problem, params, task.inputs, task.outputs, weights, moment))


def test_perceptrons_without_a_nonlinearity_are_linear():
    widths = ((2, 4, 3), (2, 3, 1, 3))
    linear, params = laws.some_samples(Pathways(widths)), laws.random_params(Pathways(widths))
    same = Problem(Perceptrons(widths, "identity"), linear.task)
    for observable in (
        mode_drift,
        mode_diffusion,
        gradient_covariance,
        gradient_covariance_spectrum,
        gradient_covariance_trace,
        noise_anisotropy,
    ):
        laws.assert_near(observable(same, params), observable(linear, params))


def test_the_drift_is_the_slope_of_the_modes():
    problem, params = some(Pathways(((2, 4, 3), (2, 3, 1, 3))))
    step = 1e-6

    def after(h):
        moved = jax.tree.map(lambda w, g: w - h * g, params, problem.gradient(params))
        return np.asarray(mode_values(problem, moved)).sum(axis=0)

    slope = (after(step) - after(-step)) / (2 * step)
    # Rounding of the difference, and the third derivative, which is of the size of the values.
    np.testing.assert_allclose(mode_drift(problem, params), slope, rtol=1e-8, atol=1e-8)


def test_one_mode_without_label_noise_has_a_signal_to_noise_of_a_half():
    problem = Problem(Modes((3,), 2), Whitened(np.array([3.0, 2.0])))
    params = laws.random_params(problem.network)
    laws.assert_near(mode_signal_to_noise(problem, params), np.full(2, 0.5))
    assert np.isnan(mode_signal_to_noise(problem, ((jnp.zeros(2),) * 3,))).all()


# --- Monte Carlo ------------------------------------------------------------------------------


def draw(problem, count, seed):
    """Samples of `y = Mx + ξ`."""
    outputs, inputs = problem.task.target.shape
    one, two = jax.random.split(jax.random.key(seed))
    x = jax.random.normal(one, (count, inputs))
    noise = problem.task.label_noise * jax.random.normal(two, (count, outputs))
    return x, x @ jnp.asarray(problem.task.target).T + noise


def second_order_changes(problem, params, count, seed):
    """`w_a(θ − ĝ)` to first and to second order in the centred gradient ĝ of each sample."""
    x, y = draw(problem, count, seed)
    gradients, *_ = per_sample_gradients(params, x, y)
    centred = gradients - np.asarray(ravel_pytree(problem.gradient(params))[0])
    slopes, curvatures = mode_derivatives(problem, params)
    second = [np.sum((centred @ curvature) * centred, axis=1) / 2 for curvature in curvatures]
    return centred @ slopes.T, np.stack(second, axis=1), centred


def z_scores(draws, wanted):
    error = draws.std(axis=0) / len(draws) ** 0.5
    return (draws.mean(axis=0) - np.asarray(wanted)) / error


def bound(tests):
    """What the largest of so many z exceeds with probability `FALSE_ALARM` at most."""
    return stats.norm.isf(FALSE_ALARM / (2 * tests))


def test_monte_carlo_agrees():
    found = []
    for number, network in enumerate(NETWORKS[1:]):
        problem, params = some(network)
        first, second, centred = second_order_changes(problem, params, 40_000, number)
        found += [
            *z_scores(first**2, mode_diffusion(problem, params)),
            *z_scores(second, mode_ito_drift(problem, params)),
        ]
        products = centred[:, :, None] * centred[:, None, :4]
        wanted = np.asarray(gradient_covariance(problem, params))[:, :4]
        found += list(z_scores(products, wanted).ravel())
    assert np.abs(found).max() < bound(len(found))


def test_monte_carlo_sees_the_drift_between_modes():
    """Independent modes lack the trace over all others, and are found out."""
    (reduced, values), (full, lifted) = aligned((3,), 3, 0.2)
    _, second, _ = second_order_changes(full, lifted, 100_000, 0)
    together = np.asarray(mode_ito_drift(reduced, values))
    alone = []
    for mode in range(3):
        one = Problem(Modes((3,), 1), Whitened(reduced.task.target[mode : mode + 1], 0.2))
        own = jax.tree.map(lambda w, mode=mode: w[mode : mode + 1], values)
        alone.append(float(mode_ito_drift(one, own)[0]))
    assert np.abs(z_scores(second, together)).max() < bound(3)
    assert np.abs(z_scores(second, np.array(alone))).max() > 10


@pytest.mark.parametrize("network", [chain((3, 2, 4, 2)), Modes((2, 3), 3)], ids=str)
def test_the_estimate_from_samples_finds_the_exact_one(network):
    problem, params = some(network)
    wanted, scores = mode_diffusion(problem, params), []
    for seed in range(3):
        found = sampled_mode_diffusion.bind(count=30_000, seed=seed)(problem, params)
        scores += list(np.asarray((found.value - wanted) / found.error))
    assert np.abs(scores).max() < bound(len(scores))
    assert len(set(scores)) == len(scores)
    assert (found.error < 0.05 * found.value).all()


# --- sizes and refusals -----------------------------------------------------------------------


def test_wide_networks_need_no_matrix_of_their_parameters():
    network = chain((6, 40, 40, 5))
    problem, params = some(network)
    spectrum = np.asarray(gradient_covariance_spectrum(problem, params))
    size = sum(layer.size for layer in params[0])
    assert spectrum.shape == (30,)
    assert (np.diff(spectrum) <= 0).all()
    laws.assert_near(gradient_covariance_trace(problem, params), spectrum.sum())
    anisotropy = size * np.sum(spectrum**2) / spectrum.sum() ** 2
    laws.assert_near(noise_anisotropy(problem, params), anisotropy)
    with pytest.raises(InputError, match="2040 parameters|there are 2040"):
        gradient_covariance(problem, params)


def test_what_is_too_large_is_refused():
    many = np.random.default_rng(0).normal(size=(1001, 2))
    problem = Problem(chain((2, 1, 2)), Samples(many, many))
    params = laws.random_params(problem.network)
    for observable in (noise_anisotropy, gradient_covariance_spectrum):
        with pytest.raises(InputError, match="1001"):
            observable(problem, params)
    problem, params = some(chain((40, 1, 40)))
    with pytest.raises(InputError, match="1600"):
        gradient_covariance_spectrum(problem, params)
    assert noise_anisotropy(problem, params) >= 1


def test_noise_along_one_direction_has_the_largest_anisotropy():
    problem = Problem(Modes((3,), 1), Whitened(np.array([2.0])))
    params = laws.random_params(problem.network)
    laws.assert_near(noise_anisotropy(problem, params), np.asarray(3.0))
