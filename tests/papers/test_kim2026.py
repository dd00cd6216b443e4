"""kim2026: runs against recursions written again in plain NumPy, and claims that can say no."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.dynamics import GradientDescent
from dlnlab.initialization import scaled_identity
from dlnlab.networks import Modes, square
from dlnlab.observables import alignment_error, loss, mode_values, svs_error
from dlnlab.papers import load
from dlnlab.papers.kim2026 import charge, fig1, fig2, fig5, fig6, minima, threshold
from dlnlab.problem import Problem
from dlnlab.reduction import reduce
from dlnlab.run import Run
from dlnlab.schedule import last, linear
from dlnlab.simulate import simulate
from dlnlab.statistics import OUTCOMES, Lyapunov
from dlnlab.tasks import Whitened


def recursion(alphas, depth, target, rate, steps):
    """σ_h of balanced pathways: w_h ← w_h − η r w_h^{L−1}, the obvious loop."""
    w = np.array(alphas) ** (1 / depth)
    for _ in range(steps):
        residual = (w**depth).sum() - target
        w = w - rate * residual * w ** (depth - 1)
    return w**depth


@pytest.mark.parametrize(
    ("rate", "depth", "alphas"),
    [
        (0.05, 20, (0.02, 0.01)),
        (0.12, 20, (0.02, 0.01)),
        (0.15, 20, (0.03, 0.01)),
        (0.7, 3, (0.05, 0.01, 0.02)),
        (0.5, 5, (0.02, 0.015)),
    ],
)
def test_fig1_ends_where_a_plain_recursion_ends(rate, depth, alphas):
    experiment = dataclasses.replace(
        fig1.EXPERIMENT, schedule=last(1), observe=(mode_values,), statistics=()
    )
    measured = experiment.measure(
        learning_rate=rate, depth=depth, alphas=alphas, pathways=len(alphas)
    )
    expected = recursion(alphas, depth, 1.0, rate, 40_000)
    np.testing.assert_allclose(measured.mode_values[-1, :, 0], expected, atol=1e-6)


def test_fig1_checks_of_the_register(data):
    measured = data[fig1][0].sel(learning_rate=0.12)
    np.testing.assert_allclose(measured.mode_values[-1, :, 0], (0.900, 0.100), atol=5e-4)
    assert float(measured.sharpness[-1]) * 0.12 / 2 == pytest.approx(0.997, abs=5e-4)
    assert float(measured.shares[:, 0, 0].max()) > 0.97
    assert OUTCOMES[int(measured.outcome[-1])] == "rebalanced"


def full_experiment(steps):
    return dataclasses.replace(
        fig1.EXPERIMENT,
        steps=steps,
        schedule=linear(401),
        observe=(mode_values, svs_error),
        statistics=(),
    )


@pytest.mark.science
def test_full_matrices_in_a_rotated_basis_end_where_the_recursion_ends():
    measured = full_experiment(40_000).measure(
        learning_rate=0.12, representation="full", rotated=True
    )
    assert float(measured.svs_error.max()) < 1e-9
    expected = recursion((0.02, 0.01), 20, 1.0, 0.12, 40_000)
    np.testing.assert_allclose(measured.mode_values[-1, :, 0], expected, atol=1e-6)
    modes = full_experiment(40_000).measure(learning_rate=0.12)
    np.testing.assert_allclose(measured.mode_values[-1], modes.mode_values[-1], atol=1e-10)


@pytest.mark.science
def test_where_singular_vectors_mix_the_answer_says_so():
    measured = full_experiment(40_000).measure(
        learning_rate=0.18, representation="full", rotated=True
    )
    assert 1e-5 < float(measured.svs_error.max()) < 1e-1


def chaotic_runs():
    """Three layers, one mode beyond the doubling cascade; the matrices rotated, and their modes."""
    rng = np.random.default_rng(0)
    left, right = np.linalg.qr(rng.normal(size=(2, 2, 2)))[0]
    targets, depth = np.array([1.0, 0.3]), 3
    rate = 2.75 / depth  # ηS = 2.75: chaos, between the cascade's end near 2.6 and escape
    basis = (jnp.asarray(left), jnp.asarray(right))
    task = Whitened(jnp.asarray((left * targets) @ right.T), basis=basis)
    problem = Problem(square(2, (depth,)), task)
    full = Run(problem, GradientDescent(rate), scaled_identity(problem, (0.1,)))
    made = reduce(problem, full.params)
    return full, Run(made.problem, full.dynamics, made.params)


def spread_of_growth(rate, depth, steps):
    """The standard deviation of Σ ln|f'| over blocks of so many steps of the scalar map."""
    w, logs = 0.1 ** (1 / depth), []
    for _ in range(20_000):
        slope = 1 - rate * ((2 * depth - 1) * w ** (2 * depth - 2) - (depth - 1) * w ** (depth - 2))
        logs.append(np.log(abs(slope)))
        w = w - rate * w ** (depth - 1) * (w**depth - 1)
    blocks = np.array(logs[1000 : 1000 + 19_000 // steps * steps]).reshape(-1, steps)
    return blocks.sum(axis=1).std()


def test_a_chaotic_run_agrees_until_the_lyapunov_time():
    with jax.enable_x64(True):
        full, modes = chaotic_runs()
    long = simulate(
        modes, steps=20_000, schedule=last(1), observe=(loss,), statistics=(Lyapunov(),)
    )
    exponent = float(long.lyapunov[-1])
    assert exponent > 0.01
    agree = int(np.log(1e-6 / np.finfo(float).eps) / exponent)
    a, b = (
        simulate(run, steps=20 * agree, schedule=last(20 * agree), observe=(mode_values,))
        for run in (full, modes)
    )
    apart = np.abs(a.mode_values - b.mode_values).max(("pathway", "mode")).values
    # The distance grows as e^{Λn} in the mean; over n steps the sum of ln|f'| fluctuates about it.
    spread = spread_of_growth(rate=2.75 / 3, depth=3, steps=agree)
    assert apart[: agree + 1].max() < 1e-6 * np.exp(3 * spread)
    assert apart.max() > 1e-3  # and not for ever: the run is chaotic


def test_fig6_and_fig5_are_the_map():
    measured = fig6.EXPERIMENT.measure(edge_ratio=1.5, start=[0.3, 0.9, 1.1], depth=4, target=2.0)
    rate, w_star = 1.5 * 2 / (4 * 2 ** (2 - 2 / 4)), 2 ** (1 / 4)
    w = np.array([0.3, 0.9, 1.1]) * w_star
    for step in range(3):
        np.testing.assert_allclose(measured.layer_value[:, step], w, rtol=1e-13)
        w = w - rate * w**3 * (w**4 - 2.0)


def test_minima_have_zero_loss():
    measured = minima.EXPERIMENT.measure(share=[0.0, 0.25, 1.0], depths=[(3, 5), (1, 2)])
    assert float(measured.loss.max()) < 1e-28


@pytest.fixture(scope="module")
def data():
    made = {}
    for module in MODULES:
        experiment, coords = module.EXPERIMENT, dict(module.EXPERIMENT.coords)
        measured = experiment.measure(**coords)
        made[module] = measured, experiment.predict(measured, **coords)
    return made


MODULES = (fig1, charge, fig2, threshold, minima, fig5, fig6)
ALL = [pytest.param(m, c, id=c.id) for m in MODULES for c in m.CLAIMS]


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data[module])
    assert found["verdict"] == "holds", found


def scaled(predicted: xr.Dataset, name: str, factor: float) -> xr.Dataset:
    return predicted.assign({name: predicted[name] * factor})


def below_the_edge():
    """Every step size of the figure divided by four: nothing is ever unstable."""
    coords = {"learning_rate": [r / 4 for r in fig1.EXPERIMENT.coords["learning_rate"]]}
    measured = fig1.EXPERIMENT.measure(**coords)
    return measured, fig1.EXPERIMENT.predict(measured, **coords)


def wrong_factor(module, name, factor):
    return lambda data: (data[module][0], scaled(data[module][1], name, factor))


MUTATIONS = {
    "kim2026.1": wrong_factor(fig1, "sharpness_at_minimum", 19 / 20),
    "kim2026.1a": wrong_factor(minima, "sharpness_at_minimum", 1.01),
    "kim2026.1b": lambda data: (
        data[minima][0].assign_coords(depths=["3,3", "2,2", "5,5", "20,20", "3,5", "2,4"]),
        data[minima][1],
    ),
    "kim2026.2": wrong_factor(minima, "flattest_edge", 1.05),
    "kim2026.3": wrong_factor(fig1, "flow_endpoint", 0.9),
    # Time reversed: what shrank now grows.
    "kim2026.4": lambda data: (
        data[charge][0].isel(step=slice(None, None, -1)).assign_coords(step=np.arange(2001)),
        data[charge][1],
    ),
    "kim2026.5": lambda data: below_the_edge(),
    "kim2026.5a": wrong_factor(fig1, "edge_split", 1.05),
    "kim2026.5b": wrong_factor(fig1, "flattest_edge", 0.8),
    "kim2026.5c": lambda data: below_the_edge(),
    "kim2026.6": lambda data: (
        data[threshold][0],
        data[threshold][1].assign(flow_end_sharpness=2 / data[threshold][1].stability_edge),
    ),
    "kim2026.7": lambda data: (
        fig5.EXPERIMENT.measure(
            edge_ratio=[0.9 * r for r in fig5.EXPERIMENT.coords["edge_ratio"]],
            start=fig5.EXPERIMENT.coords["start"],
        ),
        data[fig5][1],
    ),
    "kim2026.7a": wrong_factor(fig6, "map_value", 1 + 1e-9),
    "kim2026.7b": lambda data: (
        fig6.EXPERIMENT.measure(
            **{**fig6.EXPERIMENT.coords, "edge_ratio": (0.5, 1.0, 1.5, 1.7, 2.0)}
        ).assign_coords(edge_ratio=list(fig6.EXPERIMENT.coords["edge_ratio"])),
        data[fig6][1],
    ),
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_a_mutation_that_turns_it(data, module, claim: Claim):
    assert claim.judge(*MUTATIONS[claim.id](data))["verdict"] == "fails"


def test_entries_draw():
    entry = load("kim2026/fig5")
    measured = entry.experiment.measure(**entry.experiment.coords)
    figure = entry.plot(measured, entry.experiment.predict(measured, **entry.experiment.coords))
    assert len(figure.axes) == 2


def test_alignment_is_the_cheap_half_of_the_mixing():
    with jax.enable_x64(True):
        problem = Problem(square(2, (3,)), Whitened(jnp.diag(jnp.array([1.0, 0.5]))))
        params = jax.tree.map(
            lambda w: w + 0.01 * jnp.array([[0, 1.0], [0, 0]]), scaled_identity(problem, (0.1,))
        )
        assert (
            0
            < float(alignment_error(problem, params))
            <= float(svs_error(problem, params)) * (1 + 1e-12)
        )
    assert isinstance(problem.network, type(square(2, (3,)))) and not isinstance(
        problem.network, Modes
    )


def test_one_pathway_has_no_charge_to_lose():
    measured = charge.EXPERIMENT.measure(**charge.EXPERIMENT.coords, pathways=1, alphas=(0.03,))
    assert charge.CLAIMS[0].judge(measured, xr.Dataset())["verdict"] == "fails"


def test_the_charge_is_judged_at_every_step_or_not_at_all(data):
    sparse = data[charge][0].isel(step=slice(None, None, 2))
    assert charge.CLAIMS[0].judge(sparse, xr.Dataset())["verdict"] == "fails"
