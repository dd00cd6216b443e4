"""corlouer2026, what reviewers asked of statement 3, and statement 7: claims that can say no."""

import jax
import numpy as np
import pytest
import xarray as xr

from dlnlab.claims import Claim, Verdict, bootstrap_interval
from dlnlab.errors import InputError
from dlnlab.initialization import disordered
from dlnlab.networks import Modes, chain
from dlnlab.papers.corlouer2026 import forecast, lag
from dlnlab.plotting import style
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened
from figures import claims_of, figures_of, measure, measured_once
from mutations import backwards

MODULES = (lag, forecast)
QUICK = (forecast,)
ALL = claims_of(MODULES, QUICK)
SMALLER = {
    lag: {"disorder": (0.0, 1.0), "seed": range(16)},
    forecast: {"seed": range(32)},
}


@pytest.fixture(scope="module")
def data():
    return measured_once(SMALLER)


@pytest.mark.science
@pytest.mark.parametrize("module", MODULES)
def test_every_claim_holds(module):
    pair = measure(module)
    found = [claim.judge(*pair) for claim in module.CLAIMS]
    assert all(one["verdict"] == "holds" for one in found), found


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_no_claim_fails_with_fewer_seeds(data, module, claim: Claim):
    assert claim.judge(*data(module))["verdict"] != "fails"


# --- mutations --------------------------------------------------------------------------------


def foreseen(measured, predicted):
    """Theory that knows when each mode was learned."""
    known = lag.moments(measured).learned.transpose(*predicted.learned_time.dims)
    return measured, predicted.assign(learned_time=known)


def same_batches(measured, predicted):
    """Batches of ten where ones are told."""
    tens = measured.sel(batch_size=lag.LARGE)
    told = [tens.assign_coords(batch_size=batch) for batch in measured.batch_size.values]
    return xr.concat(told, "batch_size"), predicted


def noiseless_labels(measured, predicted):
    """No label noise where it is told."""
    clean = measured.sel(label_noise=0.0)
    told = [clean.assign_coords(label_noise=noise) for noise in measured.label_noise.values]
    return xr.concat(told, "label_noise"), predicted


WATCHED = "estimated_update_variance"


def silent(measured, predicted):
    """A variance that is never large on the seeds that count."""
    factor = xr.where(measured.seed % 2 == 1, 1e-9, 1.0)
    return measured.assign({WATCHED: measured[WATCHED] * factor}), predicted


def oracle(measured, predicted):
    """A variance that knows the future."""
    parts = []
    for start in measured.disorder.values:
        until = np.clip(forecast.watch(measured.sel(disorder=start)).until, 0, 1e3)
        known = 1 / (1 + until)
        # What stands before the first step is not watched.
        parts.append(xr.DataArray(np.pad(known, ((0, 0), (1, 0), (0, 0))), dims=forecast.ORDER))
    made = xr.concat(parts, "disorder").transpose(*measured[WATCHED].dims)
    return measured.assign({WATCHED: (made.dims, made.values)}), predicted


MUTATIONS = {
    "corlouer2026.3g": [backwards("step", "mode_diffusion")],
    "corlouer2026.3h": [backwards("step", "mode_diffusion"), backwards("mode", "mode_drift")],
    "corlouer2026.3i": [backwards("mode", "learned_time")],
    "corlouer2026.3j": [backwards("seed", "learned_time")],
    "corlouer2026.3k": [foreseen],
    "corlouer2026.3l": [backwards("step", "diffusion_along")],
    "corlouer2026.3m": [same_batches],
    "corlouer2026.3n": [backwards("step", "mode_diffusion")],
    "corlouer2026.3o": [backwards("step", "mode_drift")],
    "corlouer2026.3p": [noiseless_labels],
    "corlouer2026.7": [backwards("step", WATCHED)],
    "corlouer2026.7a": [silent],
    "corlouer2026.7b": [silent],
    "corlouer2026.7c": [oracle, backwards("step", f"{WATCHED}_mean")],
    "corlouer2026.7d": [oracle],
    "corlouer2026.7e": [backwards("step", WATCHED)],
    "corlouer2026.7f": [oracle],
    "corlouer2026.7g": [backwards("mode", WATCHED)],
    "corlouer2026.7h": [backwards("mode", f"{WATCHED}_strength")],
    "corlouer2026.7i": [silent],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        found = claim.judge(*mutate(*data(module)))
        assert found["verdict"] == "fails", (mutate, found)


# --- by other routes --------------------------------------------------------------------------


def test_starts_go_from_aligned_and_balanced_to_gaussian():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        problem = Problem(chain((3, 40, 40, 3)), Whitened(rng.normal(size=(3, 3))))
        left, right = np.asarray(problem.task.left), np.asarray(problem.task.right)
        for disorder in (0.0, 0.6, 1.0):
            (layers,) = disordered(problem, jax.random.key(1), 0.008, disorder)
            first, middle, last = map(np.asarray, layers)
            gaps = (middle.T @ middle - first @ first.T, last.T @ last - middle @ middle.T)
            turned = left.T @ last @ middle @ first @ right
            off = np.abs(turned - np.diag(np.diag(turned))).max() / np.abs(turned).max()
            assert (off < 1e-12) == (disorder == 0)
            assert (max(np.abs(gap).max() for gap in gaps) < 1e-12) == (disorder == 0)
            # α^{1/3} = 0.2: of 1,600 entries all but three are Gaussian
            spread = middle[3:].std() / (0.2 / 40**0.5)
            assert spread == pytest.approx(disorder, abs=5 / (2 * middle[3:].size) ** 0.5)


def test_bootstrap_of_a_mean_is_student_s():
    sample = np.random.default_rng(3).normal(size=400)
    low, high = bootstrap_interval(np.mean, (sample,), 0.95)
    error = sample.std() / 20
    assert (low, high) == pytest.approx(
        (sample.mean() - 1.96 * error, sample.mean() + 1.96 * error), abs=0.2 * error
    )
    words = [Verdict.bootstrap_at_least(np.mean, (sample,), x).verdict for x in (-1, 0.02, 1)]
    assert words == ["holds", "inconclusive", "fails"]
    missing = Verdict.bootstrap_at_least(np.mean, (np.full(5, np.nan),), 0.0)
    assert missing.verdict == "fails"


def test_the_curve_is_that_of_counting(data):
    runs = data(forecast)[0].sel(disorder=1.0)
    train, test = forecast.halves(runs)
    score = np.round(test.scores[forecast.SPEED][0], 2)  # with equal ones
    found = forecast.curve(test, score, 0.5)
    assert (np.diff(found.threshold) < 0).all()
    for k in np.linspace(0, len(found.threshold) - 1, 7).astype(int):
        right = alarms = before = 0
        for seed in range(len(test.event)):
            for step, time in enumerate(test.time):
                for mode, event in enumerate(test.event[seed]):
                    if time >= event:
                        continue
                    due = event - time <= 0.5
                    alarm = score[seed, step, mode] >= found.threshold[k]
                    right, alarms, before = right + (due and alarm), alarms + alarm, before + due
        assert found.precision[k] == pytest.approx(right / alarms)
        assert found.recall[k] == pytest.approx(right / before)
        assert found.f1[k] == pytest.approx(2 * right / (alarms + before))
    assert not set(map(tuple, train.event)) & set(map(tuple, test.event))


def test_lags_are_read_between_records():
    time = np.linspace(0, 10, 101)
    share = 1 / (1 + np.exp(-3 * (time - 5)))
    drift = np.exp(-((time - 4.7) ** 2))
    made = xr.Dataset(
        {
            "mode_values": (("step", "pathway", "mode"), share[:, None, None]),
            "mode_diffusion": (("step", "mode"), share[::-1, None]),
            "mode_drift": (("step", "mode"), drift[:, None]),
        },
        coords={"time": ("step", time), "dimension": 1},
    )
    found = lag.moments(made).isel(mode=0)
    exact = 5 + np.log(0.95 / 0.05) / 3
    # of a chord in steps h the largest error is h²|ẍ|/8ẋ < h²/8 · 3
    assert float(found.learned) == pytest.approx(exact, abs=0.1**2 * 3 / 8)
    assert float(found.null) == pytest.approx((exact - 4.7) / exact, abs=1e-3)
    assert float(found.lag) == 1.0


# --- pictures and coordinates -----------------------------------------------------------------


@pytest.mark.parametrize("module", figures_of(MODULES, QUICK))
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


@pytest.mark.parametrize(
    ("module", "coords"),
    [
        (lag, {"disorder": 0.5, "batch_size": 2, "label_noise": 0.0, "seed": 1}),
        (forecast, {"disorder": 0.5, "seed": 1}),
    ],
)
def test_figures_draw_at_other_coordinates(module, coords):
    small = {**coords, "dimension": 2, "width": 3, "depth": 2}
    measured = module.EXPERIMENT.measure(steps=60, **small)
    predicted = module.EXPERIMENT.predict(measured, **small)
    with style():
        figure = module.plot(measured, predicted)
        figure.canvas.draw()
    assert any(ax.has_data() for ax in figure.axes)


def test_bad_input_is_answered_in_a_sentence():
    with pytest.raises(InputError, match="5 modes do not fit through a layer of width 3; widen"):
        lag.EXPERIMENT.measure(width=3)
    with pytest.raises(InputError, match="disorder must be"):
        forecast.EXPERIMENT.measure(disorder=1.5)
    problem = Problem(Modes((2,), 1), Whitened(np.ones(1)))
    with pytest.raises(InputError, match="was asked of a network of modes, and"):
        disordered(problem, jax.random.key(0), 0.1, 0.0)
