"""corlouer2026, laws at rest, collapse and balance: claims that can say no."""

import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.papers.corlouer2026 import (
    approach,
    balancing,
    collapse,
    flattening,
    kurtosis,
    stationary,
    tails,
    temperature,
)
from dlnlab.plotting import style
from figures import claims_of, figures_of, measured_once
from mutations import scaled

MODULES = (
    stationary,
    temperature,
    tails,
    approach,
    collapse,
    balancing,
    flattening,
    kurtosis,
)
QUICK = (stationary, balancing, flattening)
ALL = claims_of(MODULES, QUICK)


@pytest.fixture(scope="module")
def data():
    return measured_once()


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data(module))
    assert found["verdict"] == "holds", found


def told(**coords):
    """The right run, told as one of other coordinates."""
    return lambda measured, predicted: (measured.assign_coords(coords), predicted)


def swapped(measured, predicted):
    """SGD's runs told as the equation's, and the reverse."""
    turned = measured.isel(dynamics=slice(None, None, -1))
    return turned.assign_coords(dynamics=measured.dynamics.values), predicted


def moved_values(factor):
    return lambda measured, predicted: (
        measured.assign(mode_values=measured.mode_values * factor),
        predicted,
    )


def swollen(measured, predicted):
    """Departures of modes from their targets, the stronger mode's made as small as the other's."""
    targets = xr.DataArray(temperature.strengths(measured), dims="mode")
    off = measured.mode_values - targets
    share = off.std(["seed", "step"])
    even = off / share * share.isel(mode=-1)
    return measured.assign(mode_values=targets + even), predicted


def larger_gap(measured, predicted):
    """Each layer moves 2 % further than it did in every step."""
    values = measured.chain_values
    start = values.isel(step=0)
    return measured.assign(chain_values=start + 1.02 * (values - start)), predicted


def reversed_time(name):
    def mutate(measured, predicted):
        turned = measured[name].isel(step=slice(None, None, -1)).values
        return measured.assign({name: (measured[name].dims, turned)}), predicted

    return mutate


def without_drift(measured, predicted):
    return measured.assign(balance_error=measured.balance_error * 0.4), predicted


def other_exponent(measured, predicted):
    return measured, predicted.assign(exponent=-predicted.exponent)


def late(measured, predicted):
    name = approach.PASSAGE.name
    return measured.assign({name: measured[name] + 0.1}), predicted


MUTATIONS = {
    "corlouer2026.4": swapped,
    "corlouer2026.4a": swapped,
    "corlouer2026.4b": scaled("variances", 0.7),
    "corlouer2026.4c": swollen,
    "corlouer2026.4d": moved_values(1 + 1e-6),
    "corlouer2026.4e": lambda m, p: (m, p.assign(ends_at_zero=1 - p.ends_at_zero)),
    "corlouer2026.4f": moved_values(1.15),
    "corlouer2026.4g": moved_values(1.1),
    "corlouer2026.4h": late,
    "corlouer2026.4i": swapped,
    "corlouer2026.4j": scaled("ends_at_zero", 0.5),
    "corlouer2026.4k": swapped,
    "corlouer2026.4l": other_exponent,
    "corlouer2026.6": larger_gap,
    "corlouer2026.6a": reversed_time("exact_trace"),
    "corlouer2026.6b": scaled("update_covariance", 1.3),
    "corlouer2026.6c": reversed_time("chain_values"),
    "corlouer2026.6d": lambda m, p: (m, p.assign(update_covariance=0 * p.update_covariance)),
    "corlouer2026.6e": without_drift,
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_a_mutation_that_turns_it(data, module, claim: Claim):
    found = claim.judge(*MUTATIONS[claim.id](*data(module)))
    assert found["verdict"] == "fails", found


@pytest.mark.parametrize(
    ("dynamics", "silent", "told"),
    [("sgd", "ends_at_zero", "--dynamics equation"), ("equation", "exponent", "--dynamics sgd")],
)
def test_what_is_predicted_of_sgd_is_not_said_of_its_equation(dynamics, silent, told):
    said = collapse.EXPERIMENT.predict(xr.Dataset(), dynamics=dynamics, edge_ratio=2.0)
    assert set(said) == {"ends_at_zero", "exponent"}
    for name, value in said.items():
        assert np.isnan(value) == (name == silent)
        assert (told in value.attrs.get("broken", "")) == (name == silent)


def test_a_law_at_another_step_size_fails(data):
    measured, predicted = data(stationary)
    (claim,) = (claim for claim in stationary.CLAIMS if claim.id == "corlouer2026.4")
    wrong = measured.assign_coords(scaled_rate=0.24)
    assert claim.judge(wrong, predicted)["verdict"] == "fails"


def test_the_cells_of_the_solver_hold_the_start_and_the_barrier():
    edges = approach.cells(0.05, 0.5)
    k = np.searchsorted(edges, np.log(0.05)) - 1
    assert edges[-1] == pytest.approx(np.log(0.5), abs=1e-12)
    assert (edges[k] + edges[k + 1]) / 2 == pytest.approx(np.log(0.05), abs=1e-9)
    assert np.ptp(np.diff(edges)) < 1e-9


def test_the_flow_along_minima_keeps_the_target_and_lowers_the_trace():
    layers = np.asarray(flattening._layers(1.5, 3))
    total, slopes = flattening._trace_slopes(layers)
    step = 1e-6 * np.random.default_rng(0).normal(size=layers.shape)
    ahead, behind = (flattening._trace_slopes(layers + sign * step)[0] for sign in (1, -1))
    assert (ahead - behind) / 2 == pytest.approx((slopes * step).sum(), rel=1e-4)
    velocity = flattening._velocity(layers, 1.0)
    after = layers + 1e-5 * velocity
    np.testing.assert_allclose(after.prod(axis=0), layers.prod(axis=0), atol=1e-8)
    assert flattening._trace_slopes(after)[0] < total


@pytest.mark.parametrize("module", figures_of(MODULES, QUICK))
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


def test_what_does_not_fit_is_refused_with_the_mend():
    with pytest.raises(InputError, match="depth must be at least 2"):
        stationary.EXPERIMENT.measure(depth=1, steps=10)
    with pytest.raises(InputError, match=r"start must be above 0.0001 and below 0.4"):
        approach.EXPERIMENT.measure(start=0.7, steps=10)
