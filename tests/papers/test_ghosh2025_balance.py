"""ghosh2025, statements 4 and 5: plain recursions, arbitrary precision, claims that can say no."""

from functools import partial

import jax
import numpy as np
import pytest
import xarray as xr

import laws
from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.networks import Modes
from dlnlab.papers.ghosh2025 import balance, depth, edges, gap, growth, regimes
from dlnlab.plotting import style
from dlnlab.theory.orbits import judge
from dlnlab.theory.stability import single_path_sharpness
from figures import measure, measured_once
from mutations import added, backwards, scaled, told

EPS = float(np.finfo(np.float64).eps)
MODULES = (gap, regimes, growth, balance, depth, edges)
ALL = [pytest.param(m, c, id=c.id) for m in MODULES for c in m.CLAIMS]


@pytest.fixture(scope="module")
def data():
    return measured_once()


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data(module))
    assert found["verdict"] == "holds", found


# --- against plain NumPy ----------------------------------------------------------------------


def descend(layers, target, rate, steps):
    """All states of a run [step, layer], the first included: the obvious loop."""
    states = [np.array(layers, dtype=float)]
    for _ in range(steps):
        w = states[-1]
        others = np.array([np.delete(w, k).prod() for k in range(w.size)])
        states.append(w - rate * (w.prod() - target) * others)
    return np.array(states)


def hessian_top(w, target):
    """The largest eigenvalue of the Hessian of ½(Π w − s)², written out."""
    others = np.array([np.delete(w, k).prod() for k in range(w.size)])
    made = np.outer(others, others)
    for i in range(w.size):
        for j in set(range(w.size)) - {i}:
            made[i, j] += (w.prod() - target) * np.delete(w, [i, j]).prod()
    return np.linalg.eigvalsh(made)[-1]


@pytest.mark.parametrize("start", [(1.5, 2.25), (0.5, 1.0, 1.8), (1.2, -0.3)])
def test_the_gap_and_the_layers_follow_a_plain_recursion(start):
    measured = gap.EXPERIMENT.measure(start=start, learning_rate=0.03, target=2.0, steps=200)
    states = descend(start, 2.0, 0.03, 200)
    np.testing.assert_allclose(measured.layer_values, states, atol=1e4 * EPS)
    adjacent = np.abs(np.diff(states**2, axis=1)).max(axis=1)
    np.testing.assert_allclose(measured.balance_gap[:, 0], adjacent, atol=1e4 * EPS)


@pytest.mark.parametrize("layers", [2, 4])
def test_the_sharpness_along_the_run_is_that_of_the_hessian(layers):
    found = depth.EXPERIMENT.measure(depth=layers, target=0.4, learning_rate=1.1, steps=60)
    first = 0.5 * 0.4 ** (1 / layers)
    states = descend([first] * (layers - 1) + [0.0], 0.4, 1.1, 60)
    said = [hessian_top(w, 0.4) for w in states]
    np.testing.assert_allclose(found.sharpness, said, rtol=1e-9, atol=1e-12)


def test_the_paper_s_start_has_the_gap_of_its_layers():
    found = growth.EXPERIMENT.measure(depth=3, layer_scale=0.3, scaled_rate=2.9, steps=50)
    states = descend([0.3, 0.3, 0.0], 1.0, 2.9 / 3, 50)
    adjacent = np.abs(np.diff(states**2, axis=1)).max(axis=1)
    np.testing.assert_allclose(found.balance_gap[:, 0], adjacent, atol=1e-9)


@pytest.mark.parametrize("made", [gap.layer_values, balance.flow_end_gap])
def test_the_observables_obey_the_laws_of_observables(made):
    with jax.enable_x64(True):
        problem = laws.some_problem(Modes((3,), 1))
        laws.observable(made, problem, plain=False, accuracy=1e-6)


# --- the gap in arbitrary precision -----------------------------------------------------------

BOUNDED = np.arange(1, 801) * 0.0005


def largest_bounded(steps=20_000):
    """The largest multiple of 0.0005 up to which all runs from (1.5, 2.25) stay bounded."""
    first, second = np.full(BOUNDED.size, 1.5), np.full(BOUNDED.size, 2.25)
    with np.errstate(all="ignore"):
        for _ in range(steps):
            residual = first * second - 5
            first, second = (
                first - BOUNDED * residual * second,
                second - BOUNDED * residual * first,
            )
        lost = ~(np.abs(first) + np.abs(second) < 1e3)
    return BOUNDED[np.argmax(lost) - 1]


def test_the_largest_bounded_step_size_is_what_brute_force_finds():
    assert pytest.approx(largest_bounded(), abs=1e-12) == regimes.LARGEST


RATES = (0.01, 0.1, 0.15, 0.18, 0.1925, 0.1997, 0.205, 0.21, 0.24, 0.27, 0.3, 0.33, 0.36, 0.3835)


def test_the_gap_is_right_to_1e_10_for_as_long_as_the_judge_says():
    """At bounded step sizes, chaos included; afterwards rounding does carry it away."""
    steps = 500
    measured = gap.EXPERIMENT.measure(learning_rate=RATES, steps=steps)
    trusted = {}
    for rate in RATES:
        near = judge((1.5, 2.25), 2, 5.0, rate, steps, tolerance=1e-12)
        assert near.escaped is None
        end = steps + 1 if near.first_gap_difference is None else near.first_gap_difference
        found = measured.balance_gap.sel(learning_rate=rate).isel(pathway=0).values[:end]
        assert (np.abs(found - near.gaps[:end]) <= 1e-10 * near.gaps[:end]).all(), rate
        trusted[rate] = end
    # Below the edge for ever, on 2-cycles for tens or hundreds of steps, in chaos for some ten.
    assert all(trusted[rate] == steps + 1 for rate in RATES if rate < 0.2)
    assert all(20 < trusted[rate] < steps for rate in RATES if 0.2 < rate < 0.245)
    assert all(8 <= trusted[rate] < 30 for rate in RATES if rate > 0.245)


def test_beyond_what_the_judge_trusts_float64_is_wrong():
    exact = judge((1.5, 2.25), 2, 5.0, 0.3, 60).gaps
    found = gap.EXPERIMENT.measure(learning_rate=0.3, steps=60).balance_gap[:, 0].values
    assert np.abs(found / exact - 1)[-1] > 1e-3


# --- deeper is sharper, where? ----------------------------------------------------------------


def test_where_deeper_is_sharper():
    """S = L s^{2−2/L}: d(ln S)/dL = (L + 2 ln s)/L², so that e^{−L/2} is exact for continuous L,
    and the target at which whole depths are equally sharp lies between its values."""
    for layers in range(2, 9):
        equal = edges.equally_sharp_target(layers)
        pair = [float(single_path_sharpness(equal, n)) for n in (layers, layers + 1)]
        assert pair[0] == pytest.approx(pair[1], rel=64 * layers**2 * EPS)
        assert np.exp(-(layers + 1) / 2) < equal < np.exp(-layers / 2)
        for share in (0.99, 1.01):
            target, step = share * np.exp(-layers / 2), 1e-6
            around = [(n := layers + d) * target ** (2 - 2 / n) for d in (-step, step)]
            assert (around[1] > around[0]) == (share > 1)
            pair = [float(single_path_sharpness(share * equal, n)) for n in (layers, layers + 1)]
            assert (pair[1] > pair[0]) == (share > 1)


# --- mutations --------------------------------------------------------------------------------


def slower_decay(measured, predicted):
    return measured.assign(balance_gap=measured.balance_gap**0.5), predicted


def wrong_start(module, **coords):
    """Runs from a start that is none of those that the claim speaks of."""
    return lambda measured, predicted: measure(module, **coords)


def unlike_told(module, **coords):
    """Runs at other coordinates than those for which theory was asked."""
    return lambda measured, predicted: (measure(module, **coords)[0], predicted)


def all_flat(measured, predicted):
    """Below 2/S, too, the flattest minima."""
    return measured.assign(flow_end_sharpness=measured.flow_end_sharpness * 0 + measured.depth), (
        predicted
    )


def never_still(measured, predicted):
    return measured.assign(loss=xr.ones_like(measured.loss)), predicted


MUTATIONS = {
    "ghosh2025.4": [told("learning_rate", lambda rate: 1.01 * rate)],
    "ghosh2025.4a": [backwards("step", "layer_values")],
    "ghosh2025.4b": [
        scaled("trusted_gap", 1 + 1e-9),
        scaled("balance_gap", 1 + 1e-9),
        unlike_told(gap, start=(1.5, 2.25 + 1e-8)),
    ],
    "ghosh2025.4c": [scaled("balance_gap", lambda measured: np.exp(-measured.step / 50))],
    "ghosh2025.4d": [scaled("partial_balance_gap", 0.98)],
    "ghosh2025.4e": [scaled("balance_gap", 1.3), scaled("balance_gap", 0.0)],
    "ghosh2025.4f": [slower_decay],
    "ghosh2025.4g": [scaled("trusted_gap", 1 + 1e-9), scaled("balance_gap", 1 + 1e-9)],
    "ghosh2025.4h": [scaled("first_growth_edge", 0.9), told("scaled_rate", lambda k: 1.1 * k)],
    "ghosh2025.4i": [added("balance_gap", 1e-4)],
    "ghosh2025.4j": [
        scaled("balance_gap", lambda measured: 1 + measured.step),
        wrong_start(growth, layer_scale=(1.5, 2.0), scaled_rate=(2.9, 3.1)),
    ],
    "ghosh2025.4k": [scaled("flow_end_gap", 1.001)],
    "ghosh2025.4l": [scaled("flow_end_sharpness_along", 1.001)],
    "ghosh2025.4m": [
        scaled("flow_end_sharpness", 1.001),
        backwards("edge_ratio", "flow_end_sharpness"),
    ],
    "ghosh2025.4n": [all_flat],
    "ghosh2025.4o": [backwards("edge_ratio", "flow_end_sharpness", "loss"), never_still],
    "ghosh2025.5": [scaled("stability_edge", 0.8), never_still],
    "ghosh2025.5a": [scaled("sharpness", 1.1), scaled("stability_edge", 0.8)],
    "ghosh2025.5b": [backwards("depth", "sharpness")],
    "ghosh2025.5c": [scaled("sharpness", 1.5)],
    "ghosh2025.5d": [scaled("stability_edge", 1.1), never_still],
    "ghosh2025.5e": [backwards("depth", "loss")],
    "ghosh2025.5f": [backwards("depth", "loss")],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        found = claim.judge(*mutate(*data(module)))
        assert found["verdict"] == "fails", (mutate, found)


def test_without_mpmath_the_precision_is_not_judged(data):
    measured, predicted = data(gap)
    silent = predicted.assign(trusted_gap=xr.full_like(predicted.trusted_gap, np.nan))
    found = gap.check_precision(measured, silent)
    assert found.verdict == "inconclusive"
    assert "mpmath" in found.expected


# --- pictures and coordinates -----------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data(module))
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


@pytest.mark.parametrize(
    ("module", "coords"),
    [
        (gap, {"learning_rate": 0.3}),
        (depth, {"depth": 3, "target": 0.5}),
        (balance, {"depth": 3, "edge_ratio": (0.7, 1.1), "steps": 20}),
    ],
)
def test_figures_draw_at_other_coordinates(module, coords):
    steps = {"steps": coords["steps"]} if "steps" in coords else {}
    place = {name: value for name, value in coords.items() if name != "steps"}
    measured = module.EXPERIMENT.measure(**place, **steps)
    predicted = module.EXPERIMENT.predict(measured, **place)
    with style():
        figure = module.plot(measured, predicted)
        figure.canvas.draw()
    assert any(ax.has_data() for ax in figure.axes)


refused = partial(pytest.mark.parametrize, ("experiment", "coords", "words"))


@refused(
    [
        (gap, {"start": (1.5,)}, "start has 1 values and a gap lies between two layers; give"),
        (gap, {"learning_rate": 0.0}, "learning_rate must be above 0"),
        (growth, {"depth": 1}, "depth must be at least 2"),
        (balance, {"layer_scale": -1.0}, "layer_scale must be above 0"),
        (depth, {"target": 0.0}, "target must be above 0"),
    ]
)
def test_bad_input_is_answered_in_a_sentence(experiment, coords, words):
    with pytest.raises(InputError, match=words):
        experiment.EXPERIMENT.measure(**coords)
