"""ghosh2025, statements 6 and 7: mixing, features, perceptrons; plain recursions, claims that say
no."""

from functools import partial

import jax
import numpy as np
import pytest

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.networks import DiagonalLinear
from dlnlab.papers import load
from dlnlab.papers.ghosh2025 import features, mixing, perceptrons, sharpening
from dlnlab.plotting import style
from dlnlab.tasks import Samples
from figures import claims_of, figures_of, measured_once

SMALLER = {
    mixing: {},
    features: {},
    perceptrons: {},
    sharpening: {"seed": tuple(range(8)), "activation": ("relu",)},
}
QUICK = (mixing, features, sharpening)
ALL = claims_of(SMALLER, QUICK)


@pytest.fixture(scope="module")
def data():
    return measured_once(SMALLER)


# --- against plain NumPy ----------------------------------------------------------------------


def descent(layers, target, rate, steps):
    """Gradient descent on ½‖W_3W_2W_1 − M‖², the obvious loop."""
    for _ in range(steps):
        one, two, three = layers
        residual = three @ two @ one - target
        layers = [
            one - rate * two.T @ three.T @ residual,
            two - rate * three.T @ residual @ one.T,
            three - rate * residual @ one.T @ two.T,
        ]
    return layers


def built(module, **coords):
    """A run's target with its basis, and its first layers, in double precision."""
    with jax.enable_x64(True):
        run = module.EXPERIMENT.build(**coords)
        return jax.tree.map(np.asarray, (run.problem.task, run.params[0]))


@pytest.mark.parametrize("start", ["diagonal", "rotated", "gaussian"])
def test_matrices_follow_a_plain_descent(start):
    coords = {"start": start, "perturbation": 1e-3, "seed": 3}
    measured = mixing.EXPERIMENT.measure(**coords, steps=700).isel(step=-1)
    task, layers = built(mixing, **coords)
    one, two, three = descent(layers, task.target, 0.0325, 700)
    turned = task.left.T @ three @ two @ one @ task.right
    off = np.linalg.norm(turned - np.diag(np.diag(turned)))
    # Rounding is amplified while the modes are learned.
    np.testing.assert_allclose(measured.mode_values[0], np.diag(turned), atol=1e-9)
    assert float(measured.off_diagonal_norm) == pytest.approx(off, rel=1e-6, abs=1e-12)
    if start != "gaussian":
        np.testing.assert_allclose(np.abs(layers[-1]), 0)
        np.testing.assert_allclose(np.linalg.svd(layers[0])[1], 0.01)


@pytest.mark.parametrize("network", ["chain", "diagonal"])
def test_features_are_those_of_a_plain_descent(network):
    coords = {"network": network, "edge_ratio": 1.05, "seed": 2}
    measured = features.EXPERIMENT.measure(**coords, steps=900)
    task, layers = built(features, **coords)
    target = task.left * np.array(features.TARGETS) @ task.right.T
    largest = 10.0 if network == "chain" else np.abs(target).max()
    rate, path = 1.05 * 2 / (3 * largest ** (4 / 3)), []
    for _ in range(900):
        if network == "chain":
            layers = descent(layers, target, rate, 1)
            path.append(layers[2] @ layers[1] @ layers[0])
        else:
            one, two, three = layers
            residual = one * two * three - target
            layers = [
                one - rate * residual * two * three,
                two - rate * residual * one * three,
                three - rate * residual * one * two,
            ]
            path.append(np.prod(layers, axis=0))
    np.testing.assert_allclose(measured.end_to_end[-1], path[-1], atol=1e-8)
    swings = np.diff(path[-features.WINDOW - 1 :], axis=0)
    energy = np.sum((task.left.T @ swings @ task.right) ** 2, axis=0)
    shares = [energy[:k, :k].sum() / energy.sum() for k in range(1, 6)]
    # Still growing from where it began, the oscillation differs as the maps do.
    np.testing.assert_allclose(features.feature_shares(measured), shares, atol=1e-6)


def test_white_samples_have_the_loss_of_the_population():
    task, _ = built(features, seed=1)
    assert isinstance(task, Samples)
    np.testing.assert_allclose(task.inputs.T @ task.inputs / len(task.inputs), np.eye(5))
    target = task.left * np.array(features.TARGETS) @ task.right.T
    with jax.enable_x64(True):
        run = features.build(seed=1, network="diagonal")
        assert float(run.problem.loss(run.params)) == pytest.approx(np.sum(target**2) / 2)


def test_a_diagonal_network_of_one_output_is_the_one_of_the_literature():
    rng = np.random.default_rng(0)
    u, v, x = rng.normal(size=(3, 4))
    (made,) = DiagonalLinear(1, 4, 2).outputs(((u[None], v[None]),), x[None])
    assert float(made[0, 0]) == pytest.approx(np.sum(u * v * x), rel=1e-5)
    with pytest.raises(InputError, match="0, 2 and 3 were given"):
        DiagonalLinear(0, 2, 3)


# --- growth is read off rightly ---------------------------------------------------------------


def test_growth_is_the_slope_between_rounding_and_a_thousandth():
    measured = mixing.EXPERIMENT.measure(learning_rate=0.033, steps=4000)
    steps = measured.step.values
    # A drop after the rise, and noise before it, are not looked at.
    norm = np.where(steps < 500, 1e-14, 1e-14 * np.exp(0.02 * (steps - 500.0)))
    norm = np.where(norm > 1e-2, 5.0, norm)
    lane = measured.assign(off_diagonal_norm=("step", norm))
    assert mixing.growth(lane) == pytest.approx(0.02, rel=1e-9)
    assert np.isnan(mixing.growth(measured.assign(off_diagonal_norm=("step", 0 * norm))))


# --- claims -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_no_claim_fails(data, module, claim: Claim):
    found = claim.judge(*data(module))
    allowed = ("holds", "inconclusive") if module is sharpening else ("holds",)
    assert found["verdict"] in allowed, found


def factor(name, by, measured, predicted):
    """A prediction that is off by a factor."""
    return measured, predicted.assign({name: predicted[name] * by})


def as_fastest(measured, predicted):
    """Growth as if every run were in the phase that mixes fastest."""
    return measured, predicted.assign(own_growth=predicted.fastest_growth)


def grows_at(exponent, measured, predicted):
    """A prediction of the same growth, from the first mode's edge on."""
    return measured, predicted.assign(
        fastest_growth=0 * predicted.fastest_growth + exponent, onset=predicted.first_mode_edge
    )


def brief(measured, predicted):
    """Runs of fewer steps than the claim says."""
    return measured.isel(step=measured.step < 10_000), predicted


def told_as(name, told, measured, predicted):
    """Runs under other coordinates than theirs: those in their places of `told`."""
    return measured.assign_coords({name: list(told)}), predicted


MUTATIONS = {
    "ghosh2025.6": [partial(factor, "own_growth", 1.1), partial(factor, "own_growth", 0.9)],
    "ghosh2025.6a": [partial(factor, "onset", 1.02), brief, partial(factor, "mixing_edge", 1.01)],
    "ghosh2025.6b": [partial(factor, "own_growth", 1.2), as_fastest],
    "ghosh2025.6c": [
        partial(told_as, "start", ("rotated", "diagonal", "gaussian")),
        partial(told_as, "start", ("gaussian", "rotated", "diagonal")),
        # As if what does not mix grew as well.
        partial(grows_at, 0.1),
    ],
    "ghosh2025.6d": [
        partial(told_as, "start", ("rotated", "diagonal", "gaussian")),
        partial(factor, "first_mode_edge", 0.97),
        partial(factor, "second_mode_edge", 1.05),
    ],
    "ghosh2025.7": [
        partial(told_as, "network", ("diagonal", "chain")),
        partial(told_as, "edge_ratio", (1.1, 1.02, 1.09, 1.17)),
    ],
    "ghosh2025.7a": [
        partial(factor, "predicted_shares", 1.01),
        partial(told_as, "basis", ("rotated", "standard")),
        partial(told_as, "edge_ratio", (1.02, 1.09, 1.05, 1.17)),
    ],
    "ghosh2025.7b": [
        partial(told_as, "network", ("diagonal", "chain")),
        partial(told_as, "basis", ("rotated", "standard")),
    ],
    "ghosh2025.7c": [
        partial(told_as, "network", ("diagonal", "chain")),
        partial(told_as, "basis", ("rotated", "standard")),
    ],
    "ghosh2025.7d": [partial(told_as, "basis", ("rotated", "standard"))],
    "ghosh2025.7e": [partial(told_as, "learning_rate", (1.0, 0.1, 2.0))],
    "ghosh2025.7f": [partial(told_as, "learning_rate", (1.0, 0.1, 2.0))],
    "ghosh2025.7g": [partial(told_as, "classes", (10, 1))],
    "ghosh2025.7h": [partial(told_as, "samples", (200, 10))],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        assert claim.judge(*mutate(*data(module)))["verdict"] == "fails", mutate


# --- figures, other coordinates, bad input ----------------------------------------------------


@pytest.mark.parametrize("module", figures_of(SMALLER, QUICK))
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


def draw(module, measured, predicted):
    with style():
        figure = module.plot(measured, predicted)
        figure.canvas.draw()
    assert any(ax.has_data() for ax in figure.axes)


# Perceptrons draw a single run below, one on other data.
@pytest.mark.parametrize("module", [mixing, features, sharpening])
def test_a_single_run_draws_too(module):
    measured = module.EXPERIMENT.measure(steps=150)
    draw(module, measured, module.EXPERIMENT.predict(measured))


def test_other_depths_and_targets_have_their_own_onset():
    coords = {"depth": 2, "targets": (3.0, 2.0), "learning_rate": 0.41}
    measured = mixing.EXPERIMENT.measure(**coords, steps=3000)
    predicted = mixing.EXPERIMENT.predict(measured, **coords)
    assert float(predicted.onset) == pytest.approx(2 / 5, rel=1e-9)
    assert float(predicted.second_mode_edge) == pytest.approx(1 / 2)
    assert mixing.growth(measured) == pytest.approx(float(predicted.own_growth), rel=0.05)


OWN = """
import dataclasses
import numpy as np
from dlnlab import Samples
from dlnlab.papers.ghosh2025 import perceptrons

rng = np.random.default_rng(0)
TASK = Samples(rng.normal(size=(9, 3)), rng.normal(size=(9, 2)))


def build(learning_rate: float = 0.1, activation: str = "tanh", classes: int = 2, seed: int = 0):
    return perceptrons.on(TASK, learning_rate, activation=activation, classes=classes, seed=seed)


EXPERIMENT = dataclasses.replace(perceptrons.EXPERIMENT, build=build, coords={})
"""


def test_data_of_ones_own_can_be_trained_on_and_drawn(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    experiment = load(str(tmp_path / "own.py")).experiment
    measured = experiment.measure(steps=40)
    assert measured.sizes["eigenvalue"] == 12
    assert float(measured.loss[-1]) < float(measured.loss[0])
    draw(perceptrons, measured, experiment.predict(measured))
    with pytest.raises(InputError, match="classes is 3 and the samples have 2 outputs"):
        experiment.measure(steps=1, classes=3)


def test_what_cannot_mix_is_refused():
    with pytest.raises(InputError, match=r"targets has 1 values.*--targets 10,9\.5"):
        mixing.EXPERIMENT.measure(targets=(1.0,), steps=1)
