"""jacot2021, statements 1 and 3: distances, plateaus, saddles; claims that say no."""

from functools import partial

import jax
import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.papers.jacot2021 import distances, plateaus, regimes, saddles
from dlnlab.plotting import style
from figures import claims_of, figures_of, measured_once

SMALLER = {
    distances: {},
    regimes: {"width": (100,), "seed": (0,)},
    plateaus: {"seed": (0,)},
    saddles: {"depth": (2, 3), "seed": (0,)},
}
QUICK = (plateaus, saddles)
ALL = claims_of(SMALLER, QUICK)


@pytest.fixture(scope="module")
def data():
    return measured_once(SMALLER)


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_no_claim_fails(data, module, claim: Claim):
    found = claim.judge(*data(module))
    assert found["verdict"] == "holds", found


# --- what is measured -------------------------------------------------------------------------


def test_starts_have_the_variance_that_is_asked_for():
    with jax.enable_x64(True):
        run = distances.build(gamma=1.5, width=400, seed=1)
        middle = np.asarray(run.params[0][1])
    # The variance of a variance of n normal numbers is 2/n of its square.
    assert middle.var() * 400**1.5 == pytest.approx(1, abs=5 * (2 / middle.size) ** 0.5)


def powers_of_width(gamma, slope, then=0.0, seeds=3):
    """Distances that are those of theory times `w^slope`, followed by a correction, of L = 3."""
    width = np.array([16.0, 32.0, 64.0, 128.0])
    said = np.broadcast_to(width**-0.3, (1, seeds, 4))
    found = said * np.sqrt(1 + 2 * slope * np.log(width) + 2 * then * width**-0.5)
    dims, coords = ("gamma", "seed", "width"), {"gamma": [gamma], "width": width, "depth": 3}
    return tuple(xr.Dataset({"saddle_distance": (dims, d)}, coords) for d in (found, said))


@pytest.mark.parametrize("gamma", [0.5, 0.75, 1.5])
def test_what_is_left_over_of_a_slope_is_what_theory_lacks(gamma):
    found = distances.left_over(*powers_of_width(gamma, 0.1, -0.5), "saddle")
    np.testing.assert_allclose(found, 0.1, atol=1e-9)
    one = tuple(data.isel(width=[0]) for data in powers_of_width(gamma, 0.1))
    assert np.isnan(distances.left_over(*one, "saddle")).all()


def test_at_one_a_number_is_fitted_in_place_of_theory():
    width = np.array([16.0, 32.0, 64.0, 128.0])
    measured, said = powers_of_width(1.0, 0.0)
    made = 3 * width**0.2 * np.exp(width**-0.5) * np.ones((1, 3, 1))
    measured = measured.assign(saddle_distance=(("gamma", "seed", "width"), made))
    found = distances.left_over(measured, said * np.nan, "saddle")
    np.testing.assert_allclose(found, 0.2, atol=1e-9)


def test_local_slopes_are_those_between_neighbours():
    measured, _ = powers_of_width(0.5, 0.0)
    np.testing.assert_allclose(distances.local_slopes(measured, "saddle"), -0.3, atol=1e-12)


@pytest.mark.science
def test_in_the_inverse_width_alone_the_saddles_slope_is_not_the_exponent(data):
    """What the powers of theory are for: a + b ln w + c/w misses (1 − γ)/2 at γ = 1/2."""
    measured = data(distances)[0].sel(gamma=0.5)
    width = measured.width.values.astype(float)
    logs = np.log(measured.saddle_distance.transpose("width", "seed").values)
    columns = np.stack([np.log(width), np.ones_like(width), 1 / width], 1) * np.sqrt(width)[:, None]
    slopes = np.linalg.lstsq(columns, logs * np.sqrt(width)[:, None], rcond=None)[0][0]
    error = slopes.std(ddof=1) / np.sqrt(slopes.size)
    assert slopes.mean() - 0.25 > 2 * error


@pytest.mark.science
def test_a_sweep_of_starts_is_that_of_single_ones(data):
    measured, _ = data(distances)
    place = {"gamma": 1.5, "width": 32, "seed": 2}
    alone = distances.EXPERIMENT.measure(**place)
    for name in ("saddle_distance", "minimum_distance_lower"):
        assert float(measured[name].sel(place)) == float(alone[name])


# --- claims -----------------------------------------------------------------------------------


def factor(name, by, measured, predicted):
    """What was measured, or predicted, off by a factor."""
    if name in measured:
        return measured.assign({name: measured[name] * by}), predicted
    return measured, predicted.assign({name: predicted[name] * by})


def shifted(name, by, measured, predicted):
    """A prediction that is off by a number."""
    return measured, predicted.assign({name: predicted[name] + by})


def told_as(name, told, measured, predicted):
    """Runs under other coordinates than theirs: those in their places of `told`."""
    measured = measured.assign_coords({name: list(told)})
    return measured.reindex_like(predicted[name]), predicted


def no_rest(measured, predicted):
    """A loss that falls without a rest."""
    t = measured.time
    return measured.assign(loss=0 * measured.loss + 2750 / (1 + (t / 0.1) ** 2)), predicted


def with_linear(value, measured, predicted):
    """A linearised distance where it is invalid."""
    return measured.assign(
        linearised_distance=measured.linearised_distance.fillna(value)
    ), predicted


def merged(measured, predicted):
    """Staircases with the first plateau left out."""
    here = {
        n: v.isel(level=slice(1, None)) for n, v in measured.variables.items() if "level" in v.dims
    }
    return measured.drop_vars(list(here)).assign(here), predicted


def rise(measured, predicted):
    """A minimum's distance that grows as the root of the width."""
    return (
        measured.assign(minimum_distance=measured.minimum_distance * measured.width**0.5),
        predicted,
    )


def too_steep(name, by, measured, predicted):
    """Leading orders that grow by another power of the width."""
    said = predicted[name] * predicted.width.astype(float) ** by
    return measured, predicted.assign({name: said})


def backwards(measured, predicted):
    """What is found at the largest width told of the smallest, beside theory, and so on."""
    names = [name for name in measured.data_vars if name in predicted]
    ratio = {
        n: (measured[n] / predicted[n]).isel(width=slice(None, None, -1)).values for n in names
    }
    return measured.assign({n: predicted[n] * ratio[n] for n in names}), predicted


def mirrored(measured, predicted):
    """A minimum's distance whose local slopes come in the opposite order."""
    turned = 1 / measured.minimum_distance.isel(width=slice(None, None, -1))
    return measured.assign(minimum_distance=(turned.dims, turned.values)), predicted


def softened(measured, predicted):
    """Every critical point given one negative eigenvalue."""
    return measured.assign(negative=measured.negative.clip(min=1)), predicted


SCALES = (0.001, 0.01, 0.1)
MUTATIONS = {
    "jacot2021.1": [
        partial(too_steep, "saddle_distance", 0.125),
        partial(too_steep, "saddle_distance", -0.125),
        partial(factor, "saddle_distance", 2**0.5),
        partial(told_as, "gamma", (2.0, 1.5, 1.25, 1.0, 0.75, 0.5)),
    ],
    "jacot2021.1a": [
        partial(too_steep, "minimum_distance", 0.125),
        partial(too_steep, "minimum_distance", -0.125),
        partial(factor, "minimum_distance", 1.5),
        rise,
    ],
    "jacot2021.1b": [
        partial(too_steep, "minimum_distance", 0.125),
        partial(factor, "minimum_distance", 1.5),
        rise,
    ],
    "jacot2021.1e": [backwards],
    "jacot2021.1f": [
        partial(shifted, "saddle_distance_exponent", 0.125),
        partial(shifted, "saddle_distance_exponent", -0.125),
    ],
    "jacot2021.1g": [mirrored],
    "jacot2021.1c": [
        partial(factor, "minimum_distance_lower", 3),
        partial(factor, "saddle_distance_lower", 0),
        partial(factor, "saddle_distance", 0.01),
    ],
    "jacot2021.1d": [
        partial(factor, "linearised_distance", 1.3),
        partial(with_linear, 1.0),
        partial(told_as, "gamma", (2.0, 1.5, 1.25, 1.0, 0.75, 0.5)),
    ],
    "jacot2021.3": [
        partial(factor, "plateau_loss", 1.02),
        partial(told_as, "layer_scale", SCALES),
        merged,
    ],
    "jacot2021.3a": [merged, partial(factor, "plateau_rank", 2)],
    "jacot2021.3b": [
        partial(factor, "plateau_gradient_norm", 30),
        partial(factor, "plateau_escape_gradient_norm", 0.03),
    ],
    "jacot2021.3c": [no_rest, partial(told_as, "gamma", (1.5, 1.0, 0.75))],
    "jacot2021.3d": [
        partial(shifted, "predicted_signature", 1),
        partial(told_as, "depth", (3, 2)),
        partial(factor, "loss", 1.001),
        partial(factor, "lowest", 1.001),
    ],
    "jacot2021.3e": [softened, partial(told_as, "depth", (3, 2))],
    "jacot2021.3f": [no_rest, partial(factor, "plateau_loss", 1.2)],
    "jacot2021.3g": [partial(told_as, "layer_scale", SCALES)],
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


@pytest.mark.parametrize("module", figures_of([distances, plateaus, saddles], QUICK))
def test_a_single_run_draws_too(module):
    measured = module.EXPERIMENT.measure()
    with style():
        figure = module.plot(measured, module.EXPERIMENT.predict(measured))
        figure.canvas.draw()
    assert any(ax.has_data() for ax in figure.axes)


def test_a_wide_deep_start_is_refused_where_its_budget_ends():
    measured = regimes.EXPERIMENT.measure(width=20, budget=50)
    assert "used up the steps" in measured.attrs["exhausted"]


def test_bad_input_is_answered_in_a_sentence():
    with pytest.raises(InputError, match="learned has 2 values for 3 targets"):
        saddles.EXPERIMENT.measure(learned=(1.0, 0.0))
    with pytest.raises(InputError, match="narrower than the map"):
        distances.EXPERIMENT.measure(width=3)
