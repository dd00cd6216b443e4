"""The Langevin dynamics of batches: its noise against brute force, its schemes against exact laws.

The noise of a step is linear in its normal numbers. Handed one unit vector after the other in their
place, a step tells the square root of its covariance exactly.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab import randomness
from dlnlab.dynamics import GreedyGrowth, Langevin, StochasticGradientDescent, batch_noise
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.networks import BalancedModes, Modes, Pathways, Perceptrons, product, square
from dlnlab.observables import end_to_end, loss, mode_values
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import Schedule, linear
from dlnlab.simulate import simulate
from dlnlab.tasks import KURTOSIS, Samples, Whitened, teacher_samples


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def start(network, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda shape: jnp.asarray(rng.normal(size=shape) / 2 + 0.5 * (len(shape) == 1)),
        network.shapes,
        is_leaf=lambda s: isinstance(s[0], int),
    )


def step_of(dynamics, problem, params, monkeypatch, numbers):
    """The change of the parameters in one step, with these normal numbers."""

    def given(key, step, places, shape, dtype, first, diagonal=1.0):
        made = numbers[2 * first + np.array(places, int)].reshape(shape)
        scale = np.where(np.eye(*shape, dtype=bool), diagonal, 1.0) if len(shape) == 2 else 1.0
        return jnp.asarray(made * scale, dtype)

    memory = dynamics.init(problem, params, jax.random.key(0))
    with monkeypatch.context() as patch:
        patch.setattr(randomness, "_draw", given)
        after = dynamics.step(problem, params, memory)[0]
    return flat(after) - flat(params)


def noise_root(dynamics, problem, params, monkeypatch, count=120):
    """What each normal number adds to the parameters, `[number, parameter]`; and the drift."""
    drift = step_of(dynamics, problem, params, monkeypatch, np.zeros(count))
    each = [step_of(dynamics, problem, params, monkeypatch, row) for row in np.eye(count)]
    return np.array(each) - drift, drift


def covariance_by_hand(params, target, noise, kurtosis):
    """Σ from `Σ_{l,ij} = Σ_ab A_lai C_ljb …`, the moments of x written out entry by entry."""
    network_maps = []
    for layers in params:
        layers = [np.asarray(w) for w in layers]
        for index in range(len(layers)):
            before, after = np.eye(layers[0].shape[1]), np.eye(target.shape[0])
            for w in layers[:index]:
                before = w @ before
            for w in layers[:index:-1]:
                after = after @ w
            network_maps.append((after, before))
    whole = sum(functools.reduce(lambda made, w: w @ made, map(np.asarray, p)) for p in params)
    outputs, inputs = target.shape
    gaps = whole - target
    covariance = np.zeros((outputs, inputs, outputs, inputs))
    sides = itertools.product(range(outputs), range(inputs), range(outputs), range(inputs))
    for i, j, k, m in sides:  # of (Δ(xxᵀ − 1) − ξxᵀ)_ij and _kl
        for a, b in itertools.product(range(inputs), repeat=2):
            moment = (a == b) * (j == m) + (a == m) * (j == b)
            moment += (kurtosis - 3) * (a == j == b == m)
            covariance[i, j, k, m] += gaps[i, a] * gaps[k, b] * moment
        covariance[i, j, k, m] += noise**2 * (i == k) * (j == m)
    rows = [np.einsum("ia,jb->ijab", a.T, b).reshape(-1, outputs * inputs) for a, b in network_maps]
    root = np.concatenate(rows)
    return root @ covariance.reshape(outputs * inputs, -1) @ root.T


@pytest.mark.parametrize("law", KURTOSIS)
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_noise_has_the_covariance_of_one_sample(law, noise, monkeypatch):
    target = np.random.default_rng(1).normal(size=(2, 3))
    network = Pathways(((3, 2, 2), (3, 2)))
    problem = Problem(network, Whitened(target, noise, inputs=law))
    params = start(network)
    wanted = covariance_by_hand(params, target, noise, KURTOSIS[law])
    made, drift = noise_root(Langevin(0.3, 2.0, 0.1), problem, params, monkeypatch, 24)
    np.testing.assert_allclose(made.T @ made, wanted * 0.3 * 0.1 / 2, rtol=0, atol=1e-13)
    np.testing.assert_allclose(drift, -0.1 * flat(problem.gradient(params)), rtol=1e-12)
    assert float(batch_noise.trace(problem, params)) == pytest.approx(np.trace(wanted), rel=1e-12)
    even, _ = noise_root(
        Langevin(0.3, 2.0, 0.1, noise="isotropic"), problem, params, monkeypatch, 24
    )
    size = np.trace(wanted) / len(wanted) * 0.3 * 0.1 / 2
    np.testing.assert_allclose(even.T @ even, size * np.eye(len(wanted)), rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "network", [Pathways(((3, 2, 2),)), Perceptrons(((3, 4, 2),), "tanh")], ids=["linear", "tanh"]
)
def test_noise_of_samples_has_their_covariance(network, monkeypatch):
    rng = np.random.default_rng(2)
    inputs, outputs = rng.normal(size=(7, 3)), rng.normal(size=(7, 2))
    problem, params = Problem(network, Samples(inputs, outputs)), start(network)
    every = problem.per_sample_gradients(params, inputs, outputs)
    alone = [
        flat(Problem(network, Samples(inputs[k : k + 1], outputs[k : k + 1])).gradient(params))
        for k in range(7)
    ]
    table = np.concatenate([np.reshape(g, (7, -1)) for g in jax.tree.leaves(every)], axis=1)
    np.testing.assert_allclose(table, alone, rtol=1e-10, atol=1e-13)
    wanted = np.cov(np.array(alone).T, bias=True)
    made, _ = noise_root(Langevin(0.3, 2.0), problem, params, monkeypatch, 8)
    np.testing.assert_allclose(made.T @ made, wanted * 0.3**2 / 2, rtol=0, atol=1e-13)
    assert float(batch_noise.trace(problem, params)) == pytest.approx(np.trace(wanted), rel=1e-12)


def diagonal(depth, values, strengths, noise=0.0, law="gaussian"):
    """The same aligned chain as matrices, as modes and as balanced modes, if it is balanced."""
    values = np.asarray(values)
    task = {"label_noise": noise, "inputs": law}
    size = len(strengths)
    basis = (np.eye(size), np.eye(size))
    full = Problem(square(size, (depth,)), Whitened(np.diag(strengths), basis=basis, **task))
    modes = Problem(Modes((depth,), size), Whitened(np.asarray(strengths), **task))
    balanced = Problem(BalancedModes((depth,), size), Whitened(np.asarray(strengths), **task))
    matrices = (tuple(jnp.asarray(np.diag(w)) for w in values),)
    vectors = (tuple(jnp.asarray(w) for w in values),)
    lengths = ((jnp.asarray(values[0] * depth**0.5),),)
    return (full, matrices), (modes, vectors), (balanced, lengths)


@pytest.mark.parametrize("law", ["gaussian", "uniform"])
def test_modes_have_the_noise_of_aligned_matrices(law, monkeypatch):
    values = np.random.default_rng(3).uniform(0.5, 1.2, (3, 2))
    (full, matrices), (modes, vectors), _ = diagonal(3, values, [2.0, 1.0], 0.4, law)
    dynamics = Langevin(0.3, 2.0)
    whole, _ = noise_root(dynamics, full, matrices, monkeypatch, 16)
    inside, _ = noise_root(dynamics, modes, vectors, monkeypatch, 16)
    on = np.flatnonzero(np.tile(np.eye(2, dtype=bool).ravel(), 3))
    covariance = (whole.T @ whole)[np.ix_(on, on)]
    np.testing.assert_allclose(inside.T @ inside, covariance, rtol=0, atol=1e-14)
    parts = np.sum(inside**2) / (0.3**2 / 2)
    assert float(batch_noise.trace(modes, vectors)) == pytest.approx(parts, rel=1e-12)


def ito(problem, params, root):
    """`½ Σ_z ∂²W[z, z]`: what noise of these directions adds to the map in the mean."""
    leaves, structure = jax.tree.flatten(params)
    cuts = np.cumsum([leaf.size for leaf in leaves])[:-1]

    def along(row):
        parts = [p.reshape(w.shape) for p, w in zip(np.split(row, cuts), leaves, strict=True)]
        tangent = jax.tree.unflatten(structure, parts)
        first = lambda p: jax.jvp(lambda q: product(problem.network, q), (p,), (tangent,))[1]  # noqa: E731
        return np.asarray(jax.jvp(first, (params,), (tangent,))[1])

    return sum(along(row) for row in root if row.any()) / 2


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("law", ["gaussian", "laplace"])
def test_the_cross_mode_drift_is_what_modes_lack_of_matrices(depth, balanced, law, monkeypatch):
    rng = np.random.default_rng(depth)
    values = rng.uniform(0.5, 1.2, (1 if balanced else depth, 3)).repeat(
        depth if balanced else 1, axis=0
    )
    pairs = diagonal(depth, values, [3.0, 2.0, 1.0], 0.4, law)
    (full, matrices), modes = pairs[0], pairs[2 if balanced else 1]
    root, _ = noise_root(Langevin(0.3, 2.0), full, matrices, monkeypatch, 16)
    own, without = noise_root(Langevin(0.3, 2.0), *modes, monkeypatch, 4)
    _, together = noise_root(Langevin(0.3, 2.0, cross_modes=True), *modes, monkeypatch, 4)
    wanted = np.diagonal(ito(full, matrices, root)) - ito(*modes, own)
    leaves, structure = jax.tree.flatten(modes[1])
    added = np.split(together - without, len(leaves))
    moved = jax.jvp(
        lambda p: product(modes[0].network, p), (modes[1],), (jax.tree.unflatten(structure, added),)
    )[1]
    assert np.abs(wanted).min() > 1e-4
    np.testing.assert_allclose(moved, wanted, rtol=1e-10)


# --- schemes ----------------------------------------------------------------------------------

RATIO = 0.05
"""η/B of the linear chain below."""


def moments(scheme, dt, count, key=0, noise=0.5):
    """Mean and mean square of the residual of a chain of one layer at time 1, in many modes, each
    with its standard error. Exactly: `e^{−1}` and the solution of `u̇ = −2u + (η/B)(2u + ς²)`."""
    problem = Problem(Modes((1,), count), Whitened(np.zeros(count), noise))
    dynamics = Langevin(RATIO, 1.0, dt, scheme=scheme)
    run = Run(problem, dynamics, ((jnp.ones(count),),), jax.random.key(key))
    made = simulate(run, steps=round(1 / dt), schedule=Schedule(), observe=(mode_values,))
    values = made.mode_values.values[-1, 0]
    both = np.stack([values, values**2])
    return both.mean(axis=1), both.std(axis=1) / np.sqrt(count)


def exact(noise=0.5):
    rate = 2 * RATIO - 2
    rest = RATIO * noise**2 / -rate
    return np.array([np.exp(-1), rest + (1 - rest) * np.exp(rate)])


def fitted_order(scheme, steps, count):
    """Slopes of the error against dt, for mean and mean square, with their standard errors."""
    found = [moments(scheme, dt, count, key) for key, dt in enumerate(steps)]
    errors = np.array([values - exact() for values, _ in found])
    spread = np.array([deviation for _, deviation in found]) / np.abs(errors)
    x = np.log(steps) - np.mean(np.log(steps))
    weights = x / np.sum(x**2)
    return weights @ np.log(np.abs(errors)), np.sqrt(weights**2 @ spread**2)


@pytest.mark.parametrize(
    ("scheme", "order", "steps"),
    [("euler_maruyama", 1, (0.25, 0.125, 0.0625)), ("weak_2", 2, (0.5, 0.25))],
)
def test_weak_order(scheme, order, steps):
    """The next order bends the slope by about the largest step."""
    slopes, errors = fitted_order(scheme, steps, 400_000)
    assert (errors < 0.15).all()
    assert (np.abs(slopes - order) < 4 * errors + max(steps)).all()


# --- lanes ------------------------------------------------------------------------------------


def build(
    learning_rate: float = 0.02, batch_size: float = 2.0, noise: float = 0.3, seed: int = 0
) -> Run:
    """A chain of matrices, all lanes from one start."""
    problem = Problem(
        square(2, (3,)),
        Whitened(jnp.diag(jnp.array([2.0, 1.0])), noise, basis=(jnp.eye(2), jnp.eye(2))),
    )
    params = (tuple(0.6 * jnp.eye(2) for _ in range(3)),)
    return Run(problem, Langevin(learning_rate, batch_size), params, jax.random.key(seed))


EXPERIMENT = Experiment(build, "noise", steps=30, schedule=linear(4), observe=(loss, end_to_end))


def test_a_lane_is_the_same_in_any_tile_and_order():
    seeds = np.random.default_rng(0).permutation(70)
    many = EXPERIMENT.measure(seed=seeds.tolist())
    other = EXPERIMENT.measure(seed=seeds[::-1].tolist(), threads=1)
    for index in (0, 33, 69):
        alone = EXPERIMENT.measure(seed=int(seeds[index]))
        for lane in (many.isel(seed=index), other.isel(seed=69 - index)):
            np.testing.assert_array_equal(alone.end_to_end, lane.end_to_end)


def test_lanes_of_one_seed_share_their_noise():
    """Seeds decide the noise and nothing else does: with half the spread, half the noise."""
    made = EXPERIMENT.measure(batch_size=(1e8, 4e8), seed=(0, 1), steps=10)
    calm = EXPERIMENT.measure(batch_size=1e30, seed=0, steps=10).end_to_end[-1].values
    kicks = made.end_to_end[:, :, -1].values - calm
    np.testing.assert_allclose(kicks[0], 2 * kicks[1], rtol=1e-3)
    assert (np.abs(kicks[0, 0] - kicks[0, 1]) > 1e-2 * np.abs(kicks[0, 0])).all()


def test_the_same_run_alone_and_by_its_pieces():
    run = build(seed=4)
    made = simulate(run, steps=12, schedule=Schedule(last=12), observe=(end_to_end,))
    params, memory = run.params, run.dynamics.init(run.problem, run.params, run.key)
    for index in range(12):
        params, memory = run.dynamics.step(run.problem, params, memory)
        wanted = product(run.problem.network, params)
        np.testing.assert_allclose(made.end_to_end[index + 1], wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Langevin(-0.1), "learning_rate must be 0 or more, and -0.1 was given"),
        (lambda: Langevin(0.1, time_step=0.0), "time_step must be above 0, and 0 was given"),
        (lambda: Langevin(0.1, batch_size=0.5), "batch_size must be 1 or more"),
        (lambda: Langevin(0.1, noise="white"), "'gradient' or 'isotropic', and 'white' was given"),
        (lambda: Langevin(0.1, scheme="milstein"), "and 'milstein' was given"),
        (lambda: GreedyGrowth(0.1, by="walk"), "'descent' or 'flow', and 'walk' was given"),
        (lambda: batches(replacement="bootstrap"), "'epochs' or 'with', and 'bootstrap'"),
        (lambda: batches(replacement="With"), "and 'With' was given"),
        (lambda: batches(batch_size=2.5), "whole number of 1 or more, and 2.5 was given"),
        (lambda: batches(batch_size=0), "whole number of 1 or more, and 0 was given"),
        (lambda: batches(batch_size=True), "and True was given"),
        (lambda: batches(momentum=1.5), "between -1 and 1, and 1.5 was given"),
        (lambda: batches(momentum=np.nan), "and nan was given"),
        (lambda: Whitened(np.eye(2), -0.1), "label_noise is a standard deviation"),
        (lambda: Whitened(np.eye(2), np.nan), "0 or more and finite, and nan was given"),
        (lambda: Whitened(np.eye(2), np.inf), "and inf was given"),
        (lambda: noisy_sample(-0.3), "0 or more and finite, and -0.3 was given"),
        (lambda: noisy_sample(np.nan), "and nan was given"),
        (lambda: noisy_sample(0.1, "cauchy"), "no law of inputs 'cauchy'"),
        (lambda: Whitened(np.eye(2), inputs="cauchy"), "no law of inputs 'cauchy'"),
        (lambda: begin(Langevin(0.1), None), "the run has no key"),
        (lambda: begin(Langevin(0.1, scheme="weak_2")), "is for networks of modes"),
        (lambda: begin(Langevin(0.1, cross_modes=True)), "is for networks of modes"),
        (
            lambda: begin(Langevin(0.1, scheme="weak_2", noise="isotropic"), modes=(2,)),
            "one noise for each mode",
        ),
        (lambda: begin(Langevin(0.1, cross_modes=True), modes=(2, 2)), "known for one chain"),
    ],
)
def test_impossible_noise_is_refused(make, told):
    with pytest.raises(InputError, match=told) as error:
        make()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def batches(**changed):
    return StochasticGradientDescent(0.1, **changed)


def noisy_sample(label_noise, law="gaussian"):
    return teacher_samples(jax.random.key(0), jnp.eye(2), 3, label_noise, law=law)


def begin(dynamics, key=0, modes=()):
    network = Modes(modes, 2) if modes else square(2, (2,))
    problem = Problem(network, Whitened(np.ones(2) if modes else np.eye(2)))
    key = None if key is None else jax.random.key(key)
    simulate(Run(problem, dynamics, start(network), key), steps=1)


# --- at length --------------------------------------------------------------------------------


BATCH = 4


def swept_mean(dynamics, rates, lanes, time=0.64):
    """The mean trace of the map at a time, with its standard error, for each learning rate."""
    target = Whitened(jnp.diag(jnp.array([1.0, 0.5])), 0.3, (jnp.eye(2), jnp.eye(2)))
    problem = Problem(square(2, (3,)), target)
    params = (tuple(0.7 * jnp.eye(2) for _ in range(3)),)

    def build(learning_rate: float = 0.02, seed: int = 0) -> Run:
        return Run(problem, dynamics(learning_rate), params, jax.random.key(seed))

    found = []
    for rate in rates:
        experiment = Experiment(
            build, "means", time=time, schedule=Schedule(), observe=(end_to_end,)
        )
        made = experiment.measure(learning_rate=rate, seed=range(lanes)).end_to_end[:, -1].values
        traces = np.trace(made, axis1=-2, axis2=-1)
        found.append((traces.mean(), traces.std() / np.sqrt(lanes)))
    return np.array(found)


def order_in_learning_rate(rates, lanes):
    """The slope of log(E under SGD − E under its equation) in log η, with its standard error."""
    descent = swept_mean(
        lambda rate: StochasticGradientDescent(rate, batch_size=BATCH), rates, lanes
    )
    equation = swept_mean(lambda rate: Langevin(rate, BATCH, rate / 8), rates, lanes)
    gaps = np.abs(descent - equation)[:, 0]
    errors = np.hypot(descent[:, 1], equation[:, 1]) / gaps
    x = np.log(rates) - np.mean(np.log(rates))
    weights = x / np.sum(x**2)
    return weights @ np.log(gaps), np.sqrt(weights**2 @ errors**2)


def test_sgd_comes_near_its_equation_as_steps_shrink():
    slope, error = order_in_learning_rate((0.16, 0.04), 12_000)
    assert error < 0.35
    assert abs(slope - 1) < 4 * error + 0.16


@pytest.mark.science
def test_sgd_follows_its_equation_to_first_order_in_the_learning_rate():
    slope, error = order_in_learning_rate((0.16, 0.08, 0.04, 0.02), 100_000)
    assert error < 0.1
    assert abs(slope - 1) < 4 * error + 0.16


@pytest.mark.science
@pytest.mark.parametrize(("scheme", "order"), [("euler_maruyama", 1), ("weak_2", 2)])
def test_weak_orders_on_a_deep_chain(scheme, order):
    """L = 3: many equal modes of one run, against a fine step of the other scheme's law.

    The drift grows faster than linearly, and at long steps a few of two million paths escape to
    infinity, as they do under any explicit scheme: the noise is small here.
    """
    count = 2_000_000
    problem = Problem(BalancedModes((3,), count), Whitened(np.ones(count), 0.5))
    start = ((jnp.full(count, 0.9),),)

    def mean(scheme, dt, key):
        run = Run(problem, Langevin(0.03, 1.0, dt, scheme=scheme), start, jax.random.key(key))
        made = simulate(run, steps=round(1 / dt), schedule=Schedule(), observe=(mode_values,))
        values = made.mode_values.values[-1, 0]
        return values.mean(), values.std() / np.sqrt(count)

    reference, spread = mean("weak_2", 1 / 128, 0)
    steps = np.array([1 / 2, 1 / 4, 1 / 8]) / (4 if order == 1 else 1)
    found = np.array([mean(scheme, dt, 1 + k) for k, dt in enumerate(steps)])
    gaps = np.abs(found[:, 0] - reference)
    errors = np.hypot(found[:, 1], spread) / gaps
    x = np.log(steps) - np.mean(np.log(steps))
    weights = x / np.sum(x**2)
    slope, error = weights @ np.log(gaps), np.sqrt(weights**2 @ errors**2)
    assert error < 0.2
    assert abs(slope - order) < 4 * error + steps[0]
