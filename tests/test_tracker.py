"""The tracker of the top of the Hessian: against dense spectra, at saddles, at what cost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from dlnlab import linalg
from dlnlab.dynamics import GradientDescent
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.linalg import neighbours
from dlnlab.networks import Perceptrons, chain
from dlnlab.observables import loss, sharpness, top_eigenvalues
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import linear
from dlnlab.simulate import simulate
from dlnlab.statistics import CurvatureTracker
from dlnlab.tasks import Whitened, teacher_samples
from laws import compiled


def learner(depth=3, width=8):
    target = jnp.diag(jnp.linspace(3, 0.2, width))
    return Problem(chain((width,) * (depth + 1)), Whitened(target))


def operator(problem, params):
    flat, unravel = ravel_pytree(params)
    return lambda v: ravel_pytree(problem.hessian_vector(params, unravel(v)))[0], flat.size


def dense_spectrum(problem, params):
    def whole(params):
        matvec, size = operator(problem, params)
        return linalg.dense(matvec, size, jnp.dtype(float))

    return np.linalg.eigvalsh(compiled(whole)(params))


def origin():
    """Two layers at zero: eigenvalues ±s_i, each as often as there are directions."""
    problem = learner(depth=2)
    return problem, jax.tree.map(
        jnp.zeros_like, gaussian(problem.network, jax.random.key(0), std=1.0)
    )


def rank_one_saddle():
    """Three layers that carry the weakest mode alone: the others pull down as hard as up."""
    problem = learner()
    weak = jnp.zeros((8, 8)).at[7, 7].set(0.2 ** (1 / 3))
    return problem, ((weak,) * 3,)


@pytest.mark.parametrize("saddle", [origin, rank_one_saddle])
def test_at_a_saddle_the_sign_is_right_from_every_random_start(saddle):
    """λ_min ≈ −λ_max there; 100 of 100."""
    with jax.enable_x64(True):
        problem, params = saddle()
        matvec, size = operator(problem, params)
        spectrum = dense_spectrum(problem, params)
        assert spectrum[0] == pytest.approx(-spectrum[-1], rel=0.15)
        found = compiled(
            lambda keys: jax.lax.map(lambda key: linalg.begin(matvec, key, size).pairs.values, keys)
        )(jax.random.split(jax.random.key(1), 100))
    np.testing.assert_allclose(found[:, 0], spectrum[-1], rtol=1e-6)


def test_equal_eigenvalues_are_found_as_often_as_they_are_there():
    with jax.enable_x64(True):
        problem, params = origin()
        matvec, size = operator(problem, params)
        spectrum = dense_spectrum(problem, params)[::-1]
        track = compiled(lambda key: linalg.begin(matvec, key, size, 12))(jax.random.key(3))
    assert spectrum[7] == pytest.approx(spectrum[0])  # eight of them
    np.testing.assert_allclose(track.pairs.values, spectrum[:12], atol=1e-6 * spectrum[0])


def tracked(learning_rate, steps, tracker, *, start=0.4, width=8, observe=(top_eigenvalues,)):
    with jax.enable_x64(True):
        problem = learner(width=width)
        params = gaussian(problem.network, jax.random.key(0), std=start)
        run = Run(problem, GradientDescent(learning_rate), params)
    return simulate(
        run, steps=steps, schedule=linear(steps), observe=(loss, *observe), statistics=(tracker,)
    )


@pytest.mark.parametrize(
    ("regime", "learning_rate", "start", "steps", "stretch", "products"),
    [
        ("progressive sharpening", 0.001, 0.15, 1500, slice(200, None), 2),
        ("convergence", 0.05, 0.4, 1500, slice(1000, None), 1),
        ("orbit of period 2", 0.16, 0.4, 2000, slice(1600, None), 1),
    ],
)
def test_few_products_a_step_keep_the_residual_small(
    regime, learning_rate, start, steps, stretch, products
):
    found = tracked(learning_rate, steps, CurvatureTracker(), start=start, observe=(sharpness,))
    after = found.isel(step=stretch)
    values = after.tracked_eigenvalues.values[:, 0]
    if regime == "progressive sharpening":
        assert values[-1] > 1.5 * values[0]
    elif regime == "convergence":
        assert np.ptp(values) < 1e-3 * values[-1]
    else:
        assert abs(values[-1] - values[-3]) < 1e-6 * values[-1] < abs(values[-1] - values[-2])
    assert np.median(after.tracked_eigenvalues_products) <= products
    scale = np.abs(found.tracked_eigenvalues.values).max()
    assert found.tracked_eigenvalues_residual.max() <= 1e-6 * 2 * scale
    np.testing.assert_allclose(found.tracked_eigenvalues[:, 0], found.sharpness, rtol=1e-9)


def test_few_products_are_enough_where_the_sharpness_rises_steeply():
    with jax.enable_x64(True):
        problem = Problem(chain((20,) * 6), Whitened(jnp.diag(jnp.linspace(2, 0.5, 20))))
        noise = gaussian(problem.network, jax.random.key(0), std=0.05 / 20**0.5)
        params = jax.tree.map(lambda drawn: 0.5 * jnp.eye(20) + drawn, noise)
        run = Run(problem, GradientDescent(0.01), params)
    found = simulate(
        run,
        steps=150,
        schedule=linear(150),
        observe=(sharpness,),
        statistics=(CurvatureTracker(),),
    )
    values = found.tracked_eigenvalues.values[:, 0]
    assert values.max() > 10 * values[0]
    assert np.median(found.tracked_eigenvalues_products[5:]) <= 3
    np.testing.assert_allclose(values, found.sharpness, rtol=1e-9)


# --- what is seen beside the top ----------------------------------------------------------------


def some_pairs():
    rng = np.random.default_rng(0)
    vectors = np.linalg.qr(rng.normal(size=(9, 9)))[0].T
    values = np.linspace(2.0, -1.0, 9)
    return values, vectors, (vectors.T * values) @ vectors


def test_known_neighbours_make_a_correction_exact():
    """It is what the vector lacks, (θ − H)⁻¹ r, where the rest of the spectrum is one value."""
    values, vectors, _ = some_pairs()
    values[4:] = values[3]
    matrix = (vectors.T * values) @ vectors
    residual = np.random.default_rng(1).normal(size=8) @ vectors[1:]
    with jax.enable_x64(True):
        fading = jnp.array([0.9, 0.5, 0.2])[:, None]
        # in any orthogonal frame, since they are diagonalised first
        turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
        seen = turn @ vectors[1:4]
        near = neighbours.known(neighbours.Neighbours(fading * seen, fading * (seen @ matrix)))
        made = neighbours.corrections(near, values[:1], jnp.asarray(residual[None]), values[0])
    wanted = np.linalg.pinv(values[0] * np.eye(9) - matrix) @ residual
    np.testing.assert_allclose(made[0], wanted, atol=1e-12)


def test_what_was_seen_fades_and_keeps_its_images():
    values, vectors, matrix = some_pairs()
    with jax.enable_x64(True):
        both = [neighbours.Neighbours(rows, rows @ matrix) for rows in (vectors[:1], vectors[3:5])]
        near, lengths = neighbours.nothing_near(vectors[:1]), []
        for fresh in (both[1], *[neighbours.Neighbours(0 * vectors[:2], 0 * vectors[:2])] * 2):
            near = neighbours.seen(near, both[0], fresh)
            lengths.append(np.linalg.norm(near.vectors, axis=1))
            np.testing.assert_allclose(near.images, near.vectors @ matrix, atol=1e-12)
        found = neighbours.known(near)
    assert near.vectors.shape == (6, 9)
    wanted = np.outer([1, 0.8, 0.64], [1, 1, 0, 0, 0, 0])
    np.testing.assert_allclose(lengths, wanted, atol=1e-12)
    there = np.linalg.norm(found.vectors, axis=1) > 0.5
    np.testing.assert_allclose(np.sort(found.values[there]), np.sort(values[3:5]), atol=1e-12)


def test_pairs_are_followed_down_to_the_first_below_the_threshold():
    """Against the dense spectrum at every step, in a chaotic run; never one too few."""
    tracker = CurvatureTracker(k=5, threshold=1.5, probe_every=1)
    found = tracked(0.19, 100, tracker, width=5).isel(step=slice(1, None))
    dense, values = found.top_eigenvalues.values, found.tracked_eigenvalues.values
    following = found.tracked_eigenvalues_following.values
    wanted = np.minimum(1 + np.sum(dense > 1.5 / 0.19, axis=1), 5)
    assert set(wanted.tolist()) == {1, 2, 3, 4, 5}
    np.testing.assert_array_equal(following, wanted)
    shown = np.arange(5) < following[:, None]
    np.testing.assert_allclose(values[shown], dense[shown], rtol=1e-8)
    assert np.isnan(values[~shown]).all()


def test_the_smallest_eigenvalues_on_request():
    found = tracked(0.05, 40, CurvatureTracker(k=2, end="smallest"), width=4, observe=())
    with jax.enable_x64(True):
        problem = learner(width=4)

        def step(_, params):
            moved = problem.gradient(params)
            return jax.tree.map(lambda w, g: w - 0.05 * g, params, moved)

        params = gaussian(problem.network, jax.random.key(0), std=0.4)
        spectrum = dense_spectrum(problem, jax.lax.fori_loop(0, 40, step, params))
    np.testing.assert_allclose(
        found.tracked_smallest_eigenvalues[-1], spectrum[:2], atol=1e-9 * spectrum[-1]
    )


def test_what_rises_from_outside_the_tracked_space_is_seen():
    """A diagonal operator whose first entry grows past all others; no seed has a share in it."""
    spectrum = jnp.linspace(0.0, 1.0, 60)
    with jax.enable_x64(True):
        key = jax.random.key(0)
        matvec = lambda v: spectrum * v  # noqa: E731
        track = compiled(lambda key: linalg.begin(matvec, key, 60))(key)
        exact = jnp.zeros((1, 60)).at[0, 59].set(1.0)
        track = track._replace(
            pairs=track.pairs._replace(vectors=exact),
            history=jnp.stack([exact] * 5),
            guard=jnp.zeros(60).at[58].set(1.0),
        )

        def one(track, index):
            rising = jnp.where(jnp.arange(60) == 0, 2.0 * index / 10, spectrum)
            drawn = jax.random.normal(jax.random.fold_in(key, index), (60,))
            track = linalg.follow(lambda v: rising * v, track, drawn)
            return track, track.pairs.values[0]

        _, found = compiled(lambda track: jax.lax.scan(one, track, jnp.arange(30)))(track)
    np.testing.assert_allclose(found[20:], 0.2 * np.arange(20, 30))


def test_any_network_and_a_sweep_of_it():
    """Perceptrons on samples: the Hessian has a part that no product of layers has."""

    def build(learning_rate: float = 0.1, seed: int = 0) -> Run:
        network = Perceptrons(((4, 6, 2),), "tanh")
        problem = Problem(network, teacher_samples(jax.random.key(0), jnp.eye(2, 4), 20, 0.1))
        params = gaussian(network, jax.random.key(seed), std=0.7)
        return Run(problem, GradientDescent(learning_rate), params)

    experiment = Experiment(
        build,
        "tracked",
        steps=60,
        schedule=linear(10),
        observe=(sharpness,),
        statistics=(CurvatureTracker(k=2),),
    )
    found = experiment.measure(learning_rate=(0.05, 0.3), seed=(0, 1))
    np.testing.assert_allclose(
        found.tracked_eigenvalues.isel(eigenvalue=0), found.sharpness, rtol=1e-8
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"k": 0}, "k is 0"),
        ({"k": 2.5}, "k is 2.5"),
        ({"tolerance": 0.5}, "tolerance is 0.5"),
        ({"probe_every": 0}, "probe"),
    ],
)
def test_bad_settings_are_told_at_once(given, said):
    with pytest.raises(InputError, match=said):
        CurvatureTracker(**given)
