"""Gradient noise against one sample's gradient: differentiated and averaged, never our formula.

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
from dlnlab.dynamics import StochasticGradientDescent
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
    return Problem(problem.network, Whitened(task.target, label_noise, basis, task.inputs))


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


@functools.partial(jax.jit, static_argnames="unravel")
def per_sample(unravel, vector, inputs, labels):
    """Row by row the gradient of `½‖Wx − y‖²`, by reverse mode."""

    def loss(flat, x, y):
        return jnp.sum((end_to_end(unravel(flat)) @ x - y) ** 2) / 2

    return jax.vmap(jax.grad(loss), (None, 0, 0))(vector, inputs, labels)


def per_sample_gradients(params, inputs, labels):
    vector, unravel = ravel_pytree(params)
    return np.asarray(per_sample(unravel, vector, inputs, labels))


def mode_derivatives(problem, params, moment=None):
    """Gradient and Hessian of `w_a = u_aᵀ W E[xxᵀ] v_a` in the flat parameters."""
    vector, unravel = ravel_pytree(params)
    left, right = np.asarray(problem.task.left), np.asarray(problem.task.right)
    right = right if moment is None else moment @ right

    def values(flat):
        return jnp.sum(left * (end_to_end(unravel(flat)) @ right), axis=0)

    both = laws.compiled(lambda flat: (jax.jacrev(values)(flat), jax.hessian(values)(flat)))
    return [np.asarray(made) for made in both(vector)]


def truth(problem, params, inputs, labels, weights, moment=None):
    gradients = per_sample_gradients(params, inputs, labels)
    mean = weights @ gradients
    centred = gradients - mean
    covariance = (centred * weights[:, None]).T @ centred
    slopes, curvatures = mode_derivatives(problem, params, moment)
    diffusion = np.einsum("ai,ij,aj->a", slopes, covariance, slopes)
    ito = np.einsum("aij,ij->a", curvatures, covariance) / 2
    return Truth(-slopes @ mean, diffusion, ito, covariance)


_LEGENDRE = np.polynomial.legendre.leggauss(3)
RULES = {
    "gaussian": np.polynomial.hermite_e.hermegauss(3),
    "rademacher": (np.array([-1.0, 1.0]), np.ones(2)),
    "uniform": (3**0.5 * _LEGENDRE[0], _LEGENDRE[1]),
}
"""Nodes and weights that are exact to degree five in a number of each law."""


def by_quadrature(problem, params):
    outputs, inputs = problem.task.target.shape
    rules = [RULES[problem.task.inputs]] * inputs + [RULES["gaussian"]] * outputs
    drawn = np.array(list(itertools.product(*(nodes for nodes, _ in rules))))
    each = itertools.product(*(weights / weights.sum() for _, weights in rules))
    x, noise = drawn[:, :inputs], problem.task.label_noise * drawn[:, inputs:]
    labels = x @ np.asarray(problem.task.target).T + noise
    return truth(problem, params, x, labels, np.prod(list(each), axis=1))


OF_MODES = (mode_drift, mode_diffusion, mode_ito_drift, mode_signal_to_noise)
OF_PARAMETERS = (
    gradient_covariance,
    gradient_covariance_spectrum,
    gradient_covariance_trace,
    noise_anisotropy,
)


def measured(problem, params, observables, label_noises=(0.0,)):
    """The observables at each level of label noise: one program for all."""

    @laws.compiled
    def look(params, noise):
        return [one(noisy(problem, noise), params) for one in observables]

    return [look(params, noise) for noise in label_noises]


def agree(made, wanted):
    """All observables against the covariance."""
    scale = np.abs(wanted.covariance).max()
    ratio = wanted.drift**2 / wanted.diffusion
    for one, other in zip(made, (wanted.drift, wanted.diffusion, wanted.ito), strict=False):
        laws.assert_near(one, other, scale=scale)
    laws.assert_near(made[3], ratio)
    if len(made) > 4:
        agree_on_the_covariance(*made[4:], wanted.covariance)


def agree_on_the_covariance(covariance, spectrum, trace, anisotropy, wanted):
    scale, size = np.abs(wanted).max(), len(wanted)
    laws.assert_near(covariance, wanted, scale=scale)
    laws.assert_near(trace, np.asarray(np.trace(wanted)))
    values = np.linalg.eigvalsh(wanted)[::-1]
    laws.assert_near(spectrum, values[: len(spectrum)])
    np.testing.assert_allclose(values[len(spectrum) :], 0, atol=1e-12 * values[0])
    laws.assert_near(anisotropy, np.asarray(size * np.sum(wanted**2) / np.trace(wanted) ** 2))
    assert 1 <= anisotropy <= size


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_white_noise_is_exact_at_any_weights(network):
    problem, params = some(network)
    noises = (0.0, 0.7)
    all_of_them = measured(problem, params, (*OF_MODES, *OF_PARAMETERS), noises)
    for made, noise in zip(all_of_them, noises, strict=True):
        agree(made, by_quadrature(noisy(problem, noise), params))


@pytest.mark.parametrize("law", ["rademacher", "uniform"])
@pytest.mark.parametrize("network", NETWORKS[2:4], ids=str)
def test_inputs_of_any_kurtosis_are_exact(network, law):
    problem, params = some(network)
    task = problem.task
    basis = (task.left, task.right)
    problem = Problem(network, Whitened(task.target, 0.7, basis, law))
    wanted = by_quadrature(problem, params)
    drift, diffusion, ito, _, covariance, spectrum, trace = measured(
        problem, params, (*OF_MODES, *OF_PARAMETERS[:3]), (0.7,)
    )[0]
    scale = np.abs(wanted.covariance).max()
    laws.assert_near(drift, wanted.drift, scale=scale)
    laws.assert_near(diffusion, wanted.diffusion, scale=scale)
    laws.assert_near(ito, wanted.ito, scale=scale)
    laws.assert_near(covariance, wanted.covariance, scale=scale)
    laws.assert_near(trace, np.asarray(np.trace(wanted.covariance)))
    values = np.linalg.eigvalsh(wanted.covariance)[::-1]
    laws.assert_near(spectrum, values[: len(spectrum)])
    with pytest.raises(InputError, match="known for Gaussian inputs"):
        noise_anisotropy(problem, params)


@pytest.mark.parametrize("law", ["rademacher", "uniform"])
def test_modes_of_any_kurtosis_are_their_matrices_in_the_basis_of_the_inputs(law):
    target, values = np.array([3.0, 1.0]), np.array([[0.4, 1.1], [0.9, 0.7], [0.5, 1.3]])
    eye = np.eye(2)
    full = Problem(chain((2,) * 4), Whitened(np.diag(target), 0.7, (eye, eye), law))
    wanted = by_quadrature(full, (tuple(map(np.diag, values)),))
    reduced = Problem(Modes((3,), 2), Whitened(target, 0.7, None, law))
    drift, diffusion, ito = measured(reduced, (tuple(values),), OF_MODES[:3], (0.7,))[0]
    for made, other in ((drift, wanted.drift), (diffusion, wanted.diffusion), (ito, wanted.ito)):
        laws.assert_near(made, other, scale=np.abs(wanted.covariance).max())


@pytest.mark.parametrize("depths", [(2,), (4,), (2, 3)], ids=str)
def test_aligned_modes_are_their_matrices(depths):
    (reduced, values), (full, lifted) = aligned(depths, 2, 0.7)
    wanted = by_quadrature(full, lifted)
    agree(measured(full, lifted, OF_MODES, (0.7,))[0], wanted)
    agree(measured(reduced, values, OF_MODES, (0.7,))[0], wanted)


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
    agree_on_the_covariance(*measured(problem, params, OF_PARAMETERS, (0.7,))[0], wanted)


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
    drift, diffusion, ito = measured(problem, params, OF_MODES[:3], (noise,))[0]
    laws.assert_near(drift, depth * w ** (2 - 2 / depth) * (s - w))
    laws.assert_near(diffusion, depth**2 * w ** (4 - 4 / depth) * heat)
    laws.assert_near(ito, alone + between)


@pytest.mark.parametrize("network", NETWORKS[2::3], ids=str)
def test_noise_of_samples_is_exact(network):
    problem, params = laws.some_samples(network), laws.random_params(network)
    task = problem.task
    weights = np.full(len(task.inputs), 1 / len(task.inputs))
    moment = task.inputs.T @ (weights[:, None] * task.inputs)
    wanted = truth(problem, params, task.inputs, task.outputs, weights, moment)
    look = laws.compiled(lambda p: [one(problem, p) for one in OF_MODES + OF_PARAMETERS])
    agree(look(params), wanted)


def test_perceptrons_without_a_nonlinearity_are_linear():
    widths = ((2, 4, 3), (2, 3, 1, 3))
    linear, params = laws.some_samples(Pathways(widths)), laws.random_params(Pathways(widths))
    same = Problem(Perceptrons(widths, "identity"), linear.task)
    both = (mode_drift, mode_diffusion, *OF_PARAMETERS)
    made, wanted = (
        laws.compiled(lambda p, of=of: [one(of, p) for one in both])(params)
        for of in (same, linear)
    )
    laws.assert_near(made, wanted)


def test_the_drift_is_the_slope_of_the_modes():
    problem, params = some(Pathways(((2, 4, 3), (2, 3, 1, 3))))
    step = 1e-6

    @jax.jit
    def after(h):
        moved = jax.tree.map(lambda w, g: w - h * g, params, problem.gradient(params))
        return mode_values(problem, moved).sum(axis=0)

    slope = (after(step) - after(-step)) / (2 * step)
    # Rounding of the difference, and the third derivative, which is of the size of the values.
    drift = measured(problem, params, (mode_drift,))[0][0]
    np.testing.assert_allclose(drift, slope, rtol=1e-8, atol=1e-8)


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
    gradients = per_sample_gradients(params, x, y)
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


@pytest.mark.parametrize(
    ("networks", "count"),
    [(NETWORKS[5:], 30_000), pytest.param(NETWORKS[1:], 1_000_000, marks=pytest.mark.science)],
    ids=["quick", "all"],
)
def test_monte_carlo_agrees(networks, count):
    found = []
    for number, network in enumerate(networks):
        problem, params = some(network)
        first, second, centred = second_order_changes(problem, params, count, number)
        exact = measured(problem, params, (*OF_MODES[1:3], gradient_covariance), (0.7,))[0]
        found += [*z_scores(first**2, exact[0]), *z_scores(second, exact[1])]
        for column in range(4):
            products = centred * centred[:, column, None]
            found += list(z_scores(products, exact[2][:, column]))
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


def test_a_step_of_sgd_moves_modes_by_drift_and_ito_drift():
    """Two layers: the mean step ends with second order, and has a part that no batch size changes.

    `E[Δw] = η drift + η² (ito/B + ½∇²w[∇ℓ, ∇ℓ])`, `Var Δw → (η²/B) D` as η → 0.
    """
    problem, params = some(chain((3, 4, 2)), 0.5)
    drift, diffusion, ito = measured(problem, params, OF_MODES[:3], (0.5,))[0]
    slope = np.asarray(ravel_pytree(problem.gradient(params))[0])
    both = np.einsum("i,aij,j->a", slope, mode_derivatives(problem, params)[1], slope) / 2
    batch, count, keys = 2, 40_000, jax.random.split(jax.random.key(5), 40_000)

    @jax.jit
    def changes(rate):
        dynamics = StochasticGradientDescent(rate, batch_size=batch)

        def change(key):
            after = dynamics.step(problem, params, dynamics.init(problem, params, key))[0]
            return (mode_values(problem, after) - mode_values(problem, params)).sum(axis=0)

        return jax.vmap(change)(keys)

    made = np.asarray(changes(0.1))
    wanted = 0.1 * drift + 0.01 * (ito / batch + both)
    without, of_the_mean = wanted - 0.01 * ito / batch, wanted + 0.01 * both / batch
    assert np.abs(z_scores(made, wanted)).max() < bound(4)
    assert np.abs(z_scores(made, without)).max() > 10
    assert np.abs(z_scores(made, of_the_mean)).max() > bound(4)
    small = np.asarray(changes(1e-6)) * (batch**0.5 / 1e-6)
    squares = (small - small.mean(axis=0)) ** 2 * count / (count - 1)
    assert np.abs(z_scores(squares, diffusion)).max() < bound(4)


@pytest.mark.parametrize("network", [chain((3, 2, 4, 2)), Modes((2, 3), 3)], ids=str)
def test_the_estimate_from_samples_finds_the_exact_one(network):
    problem, params = some(network)
    estimates = [sampled_mode_diffusion.bind(count=30_000, seed=seed) for seed in range(3)]
    wanted, *found = measured(problem, params, (mode_diffusion, *estimates), (0.7,))[0]
    scores = [float(z) for one in found for z in (one.value - wanted) / one.error]
    assert np.abs(scores).max() < bound(len(scores))
    assert len(set(scores)) == len(scores)
    assert all((one.error < 0.05 * one.value).all() for one in found)


# --- sizes and refusals -----------------------------------------------------------------------


def test_wide_networks_need_no_matrix_of_their_parameters():
    network = chain((6, 40, 40, 5))
    problem, params = some(network)
    spectrum, trace, found = measured(problem, params, OF_PARAMETERS[1:], (0.7,))[0]
    spectrum = np.asarray(spectrum)
    size = sum(layer.size for layer in params[0])
    assert spectrum.shape == (30,)
    assert (np.diff(spectrum) <= 0).all()
    laws.assert_near(trace, spectrum.sum())
    laws.assert_near(found, size * np.sum(spectrum**2) / spectrum.sum() ** 2)
    with pytest.raises(InputError, match="there are 2040"):
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
    assert measured(problem, params, (noise_anisotropy,))[0][0] >= 1


def test_noise_along_one_direction_has_the_largest_anisotropy():
    problem = Problem(Modes((3,), 1), Whitened(np.array([2.0])))
    params = laws.random_params(problem.network)
    laws.assert_near(noise_anisotropy(problem, params), np.asarray(3.0))
