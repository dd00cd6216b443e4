"""ghosh2025, what oscillates at which step size: plain recursions, and claims that can say no."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.networks import BalancedModes, Modes
from dlnlab.observables import free_sharpness, sharpness
from dlnlab.papers.ghosh2025 import doublings, layers, orbit_diagram, oscillation_range
from dlnlab.plotting import style
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened
from dlnlab.theory.orbits import two_cycle
from figures import measure, measured_once
from mutations import scaled

MODULES = (oscillation_range, layers, orbit_diagram, doublings)
ALL = [pytest.param(m, c, id=c.id) for m in MODULES for c in m.CLAIMS]


@pytest.fixture(scope="module")
def data():
    return measured_once()


# --- against plain NumPy ----------------------------------------------------------------------


def unbalanced(targets, scale, rate, steps, depth=3):
    """Layer values [step, layer, mode] from W_L = 0, W_l = αI: the obvious loop."""
    w = np.full((depth, len(targets)), scale)
    w[-1] = 0
    path = [w]
    for _ in range(steps):
        residual = w.prod(axis=0) - targets
        others = [np.delete(w, layer, axis=0).prod(axis=0) for layer in range(depth)]
        w = w - rate * residual * np.array(others)
        path.append(w)
    return np.array(path)


def test_the_oscillation_range_is_that_of_a_plain_recursion(data):
    measured, _ = data(oscillation_range)
    for rate in (0.031, 0.0335, 0.036):
        found = measured.sel(learning_rate=rate, representation="modes").isel(step=-1)
        ends = unbalanced([10, 9.5, 9, 0, 0], 0.01, rate, 1500).prod(axis=1)[-2:]
        np.testing.assert_allclose(found.mode_values[0], ends[1], atol=1e-9)
        np.testing.assert_allclose(found.amplitude, abs(ends[1] - ends[0]), atol=1e-9)


def test_the_check_of_the_register(data):
    measured, _ = data(oscillation_range)
    found = measured.amplitude.sel(learning_rate=0.034, representation="modes").isel(step=-1)
    np.testing.assert_allclose(found, (4.608, 2.363, 0, 0, 0), atol=5e-4)


def test_rounding_mixes_a_rotated_run_beyond_the_onset_and_only_there(data):
    """What a rotated target does in float64: the same range up to the onset of mixing, then not."""
    measured, _ = data(oscillation_range)
    mixing = measured.svs_error.isel(step=-1).sel(representation="rotated")
    assert float(mixing.sel(learning_rate=0.032)) < 1e-12
    assert float(mixing.sel(learning_rate=0.03325)) > 0.1
    assert int(measured.status.sel(representation="rotated").max()) > 0
    assert int(measured.status.sel(representation="modes").max()) == 0


def test_layers_are_those_of_a_plain_recursion(data):
    measured, _ = data(layers)
    for rate in (0.03, 0.04):
        path = unbalanced([10, 8, 6, 0, 0], 0.03, rate, 2500)
        found = measured.sel(learning_rate=rate)
        np.testing.assert_allclose(found.layer_values, path, atol=1e-9)
        np.testing.assert_allclose(
            found.layer_singular_values[:, 0], -np.sort(-abs(path), axis=-1), atol=1e-9
        )


@pytest.mark.parametrize("rate", [0.0305, 0.036, 0.0395, 0.04595, 0.0575])
def test_the_orbit_diagram_is_the_scalar_map(rate):
    """On attractors that are cycles; in chaos two programs part after some hundred steps."""
    measured = orbit_diagram.EXPERIMENT.measure(learning_rate=rate)
    w, orbit, slopes = 0.1 ** (1 / 3), [], []
    for _ in range(20_001):
        orbit.append(w**3)
        slopes.append(np.log(abs(1 - rate * (5 * w**4 - 20 * w))))
        w = w - rate * w**2 * (w**3 - 10)
    found = measured.mode_values.isel(pathway=0, mode=0, step=slice(-64, None))
    np.testing.assert_allclose(np.sort(found), np.sort(orbit[-64:]), atol=1e-8)
    # Modes 2 and 3 rest, and contract by |1 − ηS_i| in a step.
    resting = max(np.log(abs(1 - rate * 3 * s ** (4 / 3))) for s in (6, 3))
    expected = max(np.mean(slopes[5000:20_000]), resting)
    # A random tangent lies off by a factor of order one, in 15,000 steps.
    assert float(measured.lyapunov[-1]) == pytest.approx(expected, abs=1e-3)


def test_chaos_has_the_exponent_of_the_scalar_map():
    rate, w, total = 0.053, 1.7, 0.0
    for _ in range(60_000):
        total += np.log(abs(1 - rate * (5 * w**4 - 20 * w)))
        w = w - rate * w**2 * (w**3 - 10)
    found = float(orbit_diagram.EXPERIMENT.measure(learning_rate=rate).lyapunov[-1])
    assert found == pytest.approx(total / 60_000, abs=0.02)


def test_a_zoom_is_the_same_diagram_finer(data):
    whole, _ = data(orbit_diagram)
    rates = whole.learning_rate.values[1500:1520]
    finer = orbit_diagram.EXPERIMENT.measure(learning_rate=tuple(rates))
    for name in ("mode_values", "free_sharpness", "lyapunov"):
        part = whole[name].isel(learning_rate=slice(1500, 1520))
        assert finer[name].values.tobytes() == part.values.tobytes(), name


@pytest.mark.parametrize("depths", [(1,), (2,), (3,), (7,), (3, 3), (2, 4)])
def test_the_sharpness_with_free_layers_is_that_of_the_modes(depths):
    """The dense Hessian of the network that balanced modes stand for, at random points."""
    rng, parting = np.random.default_rng(3), 0
    with jax.enable_x64(True):
        task = Whitened(jnp.array([2.0, 1.0, 0.5]))
        balanced, modes = Problem(BalancedModes(depths, 3), task), Problem(Modes(depths, 3), task)
        within, free = (
            jax.jit(functools.partial(o, balanced)) for o in (sharpness, free_sharpness)
        )
        dense, same = (jax.jit(functools.partial(o, modes)) for o in (sharpness, free_sharpness))
        for most in 6 * (0.6, 1.3):  # below the target and about it
            params = tuple((jnp.array(rng.uniform(0.05, most, 3) * d**0.5),) for d in depths)
            expanded = balanced.network.expand(params)
            expected = float(dense(expanded).value)
            assert float(free(params)) == pytest.approx(expected, rel=1e-10)
            assert float(same(expanded)) == pytest.approx(expected, rel=1e-14)
            parting += float(within(params).value) < expected - 1e-6
    assert (parting > 0) == (max(depths) > 1)


# --- claims -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data(module))
    assert found["verdict"] == "holds", found


def other(module, **coords):
    """A run with a wrong parameter, under the coordinates and with the theory of the right one."""

    def mutate(measured, predicted):
        wrong, _ = measure(module, **coords)
        kept = {n: measured[n] for n in measured.dims if n in measured.coords and n in wrong.dims}
        return wrong.assign_coords(kept), predicted

    return mutate


def shaken(name, size, **place):
    """What was measured there, off by a little."""

    def mutate(measured, predicted):
        hit = xr.ones_like(measured[name], dtype=bool)
        for dim, value in place.items():
            hit = hit & (measured[dim] == value)
        return measured.assign({name: measured[name] + size * hit}), predicted

    return mutate


def one_layer_rests(measured, predicted):
    still = measured.layer_values.isel(step=-1)
    values = xr.where(measured.layer == 1, still, measured.layer_values)
    return measured.assign(layer_values=values.transpose(*measured.layer_values.dims)), predicted


def first_gap_wider(module, axis):
    """The axis stretched where the period is 4, so that the gaps shrink by another factor."""

    def mutate(measured, predicted):
        edges = predicted.doubling_edges.isel(
            {d: 0 for d in predicted.doubling_edges.dims if d != "doubling"}
        )
        second, third = (float(edges[n]) for n in (1, 2))
        old = measured[axis].values
        new = np.where(old > second, old + 0.2 * np.clip(old - second, 0, third - second), old)
        return measured.assign_coords({axis: new}), predicted

    return mutate


def reversed_depths(measured, predicted):
    turned = measured.mode_values.isel(depth=slice(None, None, -1)).values
    return measured.assign(mode_values=(measured.mode_values.dims, turned)), predicted


MUTATIONS = {
    "ghosh2025.1": scaled("mode_edges", 1.006),
    "ghosh2025.1a": scaled("mode_edges", 1.01),
    "ghosh2025.1b": shaken("mode_values", 2e-12, representation="matrices"),
    "ghosh2025.1c": scaled("mixing_edge", 1.05),
    "ghosh2025.1d": one_layer_rests,
    "ghosh2025.1e": other(
        layers, learning_rate=tuple(r / 5 for r in (0.01, 0.03, 0.035, 0.04, 0.045, 0.05))
    ),
    "ghosh2025.2": scaled("amplitudes", 1.00001),
    "ghosh2025.2a": scaled("two_cycle", 1.00001),
    "ghosh2025.3": scaled("doubling_edges", 1.0001),
    "ghosh2025.3a": first_gap_wider(orbit_diagram, "learning_rate"),
    "ghosh2025.3b": shaken("lyapunov", 0.02),
    "ghosh2025.3c": scaled("window_3", 1.01),
    "ghosh2025.3d": scaled("chaos_end", 0.998),
    "ghosh2025.3e": scaled("edge_sharpness", 2.0),
    "ghosh2025.3f": scaled("doubling_edges", 1.0001),
    "ghosh2025.3g": other(doublings, depth=(3, 4, 6, 10, 30, 1000)),
    "ghosh2025.3h": reversed_depths,
    "ghosh2025.3i": first_gap_wider(doublings, "scaled_rate"),
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_a_mutation_that_turns_it(data, module, claim: Claim):
    found = claim.judge(*MUTATIONS[claim.id](*data(module)))
    assert found["verdict"] == "fails", found


WRONG_RUNS = {
    # Step sizes that are 1 % too large, told as if they were not: every edge comes 1 % early.
    "ghosh2025.1": (
        oscillation_range,
        {"learning_rate": tuple(1.01 * rate for rate in oscillation_range.RATES)},
    ),
    # Another target by 0.1 %.
    "ghosh2025.2a": (orbit_diagram, {"targets": (10.01, 6.0, 3.0)}),
    "ghosh2025.3": (orbit_diagram, {"targets": (10.01, 6.0, 3.0)}),
    # Two layers instead of three.
    "ghosh2025.3d": (orbit_diagram, {"depth": 2}),
}


@pytest.mark.parametrize("name", WRONG_RUNS)
def test_a_run_with_a_wrong_parameter_fails(data, name):
    module, coords = WRONG_RUNS[name]
    (claim,) = (claim for claim in module.CLAIMS if claim.id == name)
    found = claim.judge(*other(module, **coords)(*data(module)))
    assert found["verdict"] == "fails", found


def test_the_form_with_a_factor_of_depth_is_no_cycle(data):
    """`z = 1 + ηL(s − ρ^L)ρ^{L−2}`, as it circulates, puts the cycle of L = 3 elsewhere."""
    measured, predicted = data(orbit_diagram)
    wrong = predicted.two_cycle.copy()
    for k, rate in enumerate(predicted.learning_rate.values):
        if np.isfinite(wrong.values[k]).all():
            wrong.values[k] = two_cycle(3, 10.0, 3 * rate, stretch=True)
    (claim,) = (claim for claim in orbit_diagram.CLAIMS if claim.id == "ghosh2025.2a")
    assert claim.check(measured, predicted.assign(two_cycle=wrong)).verdict == "fails"


def test_theory_at_arrays_is_asked_for_each_point_of_its_own():
    """Equal arguments are asked once; unequal ones are not taken for equal."""
    measured = layers.EXPERIMENT.measure(steps=10, targets=[(4.0, 2.0), (3.0, 1.0)])
    predicted = layers.EXPERIMENT.predict(measured, targets=[(4.0, 2.0), (3.0, 1.0)])
    expected = 2 / (3 * np.array([[4.0, 2.0], [3.0, 1.0]]) ** (4 / 3))
    np.testing.assert_allclose(predicted.mode_edges, expected, rtol=1e-14)


@pytest.mark.parametrize("module", MODULES)
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


def test_what_does_not_fit_is_refused_with_the_mend():
    experiment = dataclasses.replace(oscillation_range.EXPERIMENT, steps=10)
    with pytest.raises(InputError, match=r"depth must be at least 2.*1 was given"):
        experiment.measure(depth=1)
    measured = experiment.measure(targets=(0.0, 0.0))
    with pytest.raises(InputError, match=r"one of them above 0, is needed; name the singular"):
        experiment.predict(measured, targets=(0.0, 0.0))
