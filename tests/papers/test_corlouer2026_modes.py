"""corlouer2026, statements 1, 2, 3 and 5: plain recursions, and claims that can say no.

The studies run at a reduced size, where chance may leave a claim undecided but never makes it fail.
"""

import jax
import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.papers.corlouer2026 import alignment, modes, one_step, order, peak, widths
from dlnlab.plotting import style
from figures import claims_of, figures_of, measured_once

SMALLER = {
    modes: {"seed": range(24)},
    one_step: {"seed": range(384)},
    alignment: {"learning_rate": (0.0025, 0.01), "seed": range(12)},
    peak: {"depth": (2, 4), "limit_ratio": (0.0, 0.5, 0.95, 1.1, 1.5), "seed": range(48)},
    order: {"seed": range(8)},
    widths: {"gamma": (1.0, 2.0), "seed": range(12)},
}
QUICK = (one_step, peak)
ALL = claims_of(SMALLER, QUICK)


@pytest.fixture(scope="module")
def data():
    return measured_once(SMALLER)


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_no_claim_fails(data, module, claim: Claim):
    found = claim.judge(*data(module))
    wanted = {"holds", "inconclusive"} if claim.statistical else {"holds"}
    assert found["verdict"] in wanted, found


# --- against plain NumPy ----------------------------------------------------------------------


def test_descent_of_aligned_matrices_is_a_recursion_of_numbers():
    found = modes.EXPERIMENT.measure(dynamics="descent", steps=200).isel(step=-1)
    targets = np.array([1.0, 0.9, 0.8, 0.7])
    layers = np.full((4, 4), 0.01**0.25)
    for _ in range(200):
        rest = layers.prod(axis=0) - targets
        layers = layers - 0.01 * rest * layers.prod(axis=0) / layers
    np.testing.assert_allclose(found.mode_values[0], layers.prod(axis=0), rtol=1e-12)


def test_wider_hidden_layers_that_start_at_zero_change_nothing():
    """One step of SGD on the same batch, with six hidden units of which two are zero."""
    rng = np.random.default_rng(0)
    x, size = rng.normal(size=4), 0.01**0.25
    wide = [np.eye(6, 4), np.diag([1, 1, 1, 1, 0, 0]), np.eye(4, 6)]
    narrow = [np.eye(4)] * 3
    target, made = np.diag([1.0, 0.9, 0.8, 0.7]), []
    for chain in (wide, narrow):
        layers = [size * w for w in chain]
        for _ in range(3):
            w1, w2, w3 = layers
            error = (w3 @ w2 @ w1 - target) @ np.outer(x, x)
            steps = [w2.T @ w3.T @ error, w3.T @ error @ w1.T, error @ w1.T @ w2.T]
            layers = [w - 0.1 * g for w, g in zip(layers, steps, strict=True)]
        made.append(layers[2] @ layers[1] @ layers[0])
    np.testing.assert_allclose(made[0], made[1], atol=1e-15)


def test_times_of_learning_are_read_between_moments():
    time = np.array([0.0, 1.0, 2.0])
    values = xr.DataArray([[[0.0, 0.0], [0.5, 0.0], [1.0, 0.2]]], dims=("pathway", "step", "mode"))
    made = xr.Dataset({"mode_values": values}, coords={"time": ("step", time), "targets": "1,1"})
    np.testing.assert_allclose(modes.learning_times(made, 0.75), [1.5, np.nan])


@pytest.mark.parametrize("start", ["aligned", "random"])
def test_the_moves_of_first_order_are_those_of_the_gradient(start):
    """Descent: `−∇w·∇ℓ` by finite differences of the loss and of the product."""
    found = one_step.EXPERIMENT.measure(
        dynamics=("descent",), start=(start,), learning_rate=(1e-4, 2e-4), seed=(0,)
    )
    layers, target = one_step.weights(start, 4), np.diag(one_step.TARGETS)

    def product(flat):
        made = np.eye(3)
        for layer in flat.reshape(4, 3, 3):
            made = layer @ made
        return made

    flat, small = np.stack(layers).ravel(), 1e-5
    bumps = small * np.eye(flat.size)
    slopes = np.array([(product(flat + b) - product(flat - b)) / (2 * small) for b in bumps])
    gradient = np.einsum("pij,ij->p", slopes, product(flat) - target)
    drift = -np.einsum("pii,p->i", slopes, gradient)
    first = one_step.moves(found, "descent", start).first[0]
    np.testing.assert_allclose(first, drift, rtol=1e-4, atol=1e-5)


def test_the_profile_of_a_known_walk(data):
    """Counts of steps, and D at the weights: the formula at the middle of each bin."""
    measured, _ = data(peak)
    lanes = peak.lane_of(measured, 2, 0.5)
    sums = lanes.step_profile.isel(step=-1).values
    assert sums[:, :, 0].sum(axis=1).max() <= 2500
    found, noise = peak.profile(lanes), 0.25
    said = 4 * peak.SHARES**2 * (2 * (1 - peak.SHARES) ** 2 + noise**2)
    inside = (peak.SHARES > 0.2) & (peak.SHARES < 0.9)
    np.testing.assert_allclose(found.weights[inside], said[inside], rtol=0.1)


# --- mutations --------------------------------------------------------------------------------


def scaled(name, factor, **place):
    """What was measured or predicted under this name times a factor, at a place or everywhere."""

    def mutate(measured, predicted):
        which = measured if name in measured else predicted
        by = factor(measured) if callable(factor) else factor
        made = which[name] * by
        for dim, value in place.items():
            made = made.where(which[dim] == value, which[name])
        tampered = which.assign({name: made})
        return (tampered, predicted) if name in measured else (measured, tampered)

    return mutate


def renamed(dim, **others):
    """Lanes under each other's names: `renamed("dynamics", sgd="descent")` passes one for one."""

    def mutate(measured, predicted):
        names = [str(name) for name in measured[dim].values]
        made = measured.sel({dim: [others.get(name, name) for name in names]})
        return made.assign_coords({dim: names}), predicted

    return mutate


def turned(dim):
    """Results at each other's coordinates, in the opposite order along one dimension."""
    return lambda measured, predicted: (
        measured.isel({dim: slice(None, None, -1)}).assign_coords({dim: measured[dim].values}),
        predicted,
    )


def moved(shift):
    """Profiles of D that stand at other values."""
    return lambda measured, predicted: (
        measured.assign(step_profile=measured.step_profile.roll(bin=shift)),
        predicted,
    )


def trusted_longer(measured, predicted):
    """A diffusion that leaves its formula at times in proportion to the step size."""
    off = measured.time > 200 * measured.learning_rate
    return measured.assign(mode_diffusion=predicted.aligned_diffusion * (1 + off)), predicted


def delayed(measured, predicted):
    """SGD 30 recorded moments late."""
    values = measured.mode_values
    late = values.shift(step=30, fill_value=0.0)
    return measured.assign(mode_values=late.where(values.dynamics == "sgd", values)), predicted


def correlated(measured, predicted):
    """A second mode that takes the first one's steps."""
    values = measured.mode_values
    copied = xr.where(values.mode == 1, values.isel(mode=0), values).transpose(*values.dims)
    return measured.assign(mode_values=copied), predicted


def own_alone(measured, predicted):
    """What one equation for each mode would do: no Itô drift by others."""
    return measured, predicted.assign(own_ito=predicted.exact_ito)


def never_peaks(measured, predicted):
    """The diffusion of every mode largest at the very last."""
    return measured.assign(mode_diffusion=measured.step + 0 * measured.mode_diffusion), predicted


def peaks_first(measured, predicted):
    return measured.assign(mode_diffusion=-measured.step + 0 * measured.mode_diffusion), predicted


def flat_steps(measured, predicted):
    """Steps whose variance falls towards the end, as that of small label noise does."""
    few = measured.sel(limit_ratio=0.5, drop=True)
    many = [few.step_profile.expand_dims(limit_ratio=[r]) for r in measured.limit_ratio.values]
    return measured.assign(step_profile=xr.concat(many, "limit_ratio")), predicted


def slow(measured, predicted):
    """A mode that is fastest only when it is nearly learned."""
    profile = measured.step_profile.copy(deep=True)
    profile[{"moment": 1}] = profile.isel(moment=0) * xr.DataArray(peak.SHARES, dims="bin") ** 8
    return measured.assign(step_profile=profile), predicted


MUTATIONS = {
    "corlouer2026.2": [scaled("aligned_diffusion", 1.001), scaled("mode_ito_drift", 0.99)],
    "corlouer2026.2a": [scaled("mode_diffusion", 1.5)],
    "corlouer2026.2b": [renamed("dynamics", independent="coupled", coupled="independent")],
    "corlouer2026.2c": [scaled("mode_values", 1.5, dynamics="sgd")],
    "corlouer2026.1": [scaled("mode_values", 1.5, dynamics="sgd")],
    "corlouer2026.1a": [scaled("exact_diffusion", 4.0), scaled("exact_drift", 2.0)],
    "corlouer2026.1b": [scaled("exact_ito", 3.0), scaled("exact_drift", 2.0)],
    "corlouer2026.2d": [correlated],
    "corlouer2026.2e": [own_alone],
    "corlouer2026.2f": [renamed("dynamics", descent="sgd")],
    "corlouer2026.2g": [scaled("alignment_error", lambda m: m.learning_rate)],
    "corlouer2026.2h": [scaled("balance_gap", lambda m: m.learning_rate)],
    "corlouer2026.2i": [scaled("balance_gap", 2.0)],
    "corlouer2026.2j": [trusted_longer],
    "corlouer2026.3": [scaled("noise_peak", 1.2), moved(3)],
    "corlouer2026.3a": [moved(6)],
    "corlouer2026.3b": [turned("limit_ratio")],
    "corlouer2026.3c": [turned("limit_ratio")],
    "corlouer2026.3d": [flat_steps],
    "corlouer2026.3e": [slow],
    "corlouer2026.5": [scaled("mode_values", lambda m: 1 - m.mode, dynamics="sgd")],
    "corlouer2026.5a": [delayed],
    "corlouer2026.5b": [scaled("plateaus", 1.3)],
    "corlouer2026.5c": [scaled("noise_anisotropy", 0.2)],
    "corlouer2026.5d": [renamed("dynamics", isotropic="sgd", sgd="isotropic")],
    "corlouer2026.5e": [renamed("dynamics", switched="sgd"), renamed("dynamics", sgd="sgd_10")],
    "corlouer2026.3f": [never_peaks, peaks_first],
    "corlouer2026.3g": [never_peaks],
    "corlouer2026.3h": [scaled("mode_values", 0.6)],
    "corlouer2026.2k": [turned("gamma"), scaled("balance_error", 0.1)],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        found = claim.judge(*mutate(*data(module)))
        assert found["verdict"] == "fails", (mutate, found)


# --- pictures and coordinates -----------------------------------------------------------------


@pytest.mark.parametrize("module", figures_of(SMALLER, QUICK))
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


def test_more_targets_than_dimensions_are_refused():
    with jax.enable_x64(True), pytest.raises(InputError, match="raise dimension"):
        modes.build(dimension=3)


def test_one_step_size_tells_no_second_order(data):
    measured, _ = data(one_step)
    with pytest.raises(InputError, match="two values"):
        one_step.moves(measured.isel(learning_rate=[0]), "sgd", "random")
