"""kim2026, figures 4, 8, 9, 10: ends against a plain recursion, claims that can say no."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from dlnlab.claims import Claim
from dlnlab.errors import InputError
from dlnlab.papers.kim2026 import fig4, fig8, fig9, fig10
from dlnlab.plotting import style
from dlnlab.theory.stability import worst_case_return_constant
from figures import measure


def recursion(alphas, depths, rate, steps, target=1.0):
    """σ_h of balanced pathways: w_h ← w_h − η r w_h^{L_h−1}, the obvious loop."""
    w = [alpha ** (1 / depth) for alpha, depth in zip(alphas, depths, strict=True)]
    for _ in range(steps):
        residual = sum(v**depth for v, depth in zip(w, depths, strict=True)) - target
        w = [v - rate * residual * v ** (depth - 1) for v, depth in zip(w, depths, strict=True)]
    return np.array([v**depth for v, depth in zip(w, depths, strict=True)])


MODULES = (fig4, fig8, fig9, fig10)
ALL = [pytest.param(m, c, id=c.id) for m in MODULES for c in m.CLAIMS]


@pytest.fixture(scope="module")
def data():
    return {module: measure(module) for module in MODULES}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_holds(data, module, claim: Claim):
    found = claim.judge(*data[module])
    assert found["verdict"] == "holds", found


@pytest.mark.parametrize("module", [fig4, fig8])
@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_unequal_depths_end_where_a_plain_recursion_ends(data, module, ratio):
    measured, predicted = data[module]
    for depths in module.EXPERIMENT.coords["depths"]:
        place = {"edge_ratio": ratio, "depths": ",".join(map(str, depths))}
        rate = ratio * float(predicted.flattest_edge.sel(place))
        expected = recursion((1e-3,) * len(depths), depths, rate, 40_000)
        found = measured.mode_values.sel(place).isel(step=-1, mode=0).dropna("pathway")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_flattest_division_is_the_least_of_all_divisions(data):
    """Σ_h L_h σ_h^{2−2/L_h} over a grid of divisions of 1 between depths 3, 5 and 7."""
    first, second = np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, 1, 401))
    third = 1 - first - second
    shares, depths = np.stack([first, second, np.clip(third, 0, None)]), np.array([3, 5, 7])
    power = (2 - 2 / depths)[:, None, None]
    sharpness = (depths[:, None, None] * shares**power).sum(axis=0)
    least = np.where(third < 0, np.inf, sharpness).argmin()
    found = data[fig8][1].flattest_values.sel(depths="3,5,7", edge_ratio=1.0)
    np.testing.assert_allclose(found, shares.reshape(3, -1)[:, least], atol=2 / 400)


@pytest.mark.parametrize("depth", [5, 20])
@pytest.mark.parametrize("alphas", [(fig9.START,), (0.02, 0.01)])
def test_near_collapse_follows_a_plain_recursion(data, depth, alphas):
    # The map is chaotic: rounding decides where it is in the end, which is not compared.
    measured = data[fig9][0]
    rate = 0.99 * worst_case_return_constant(depth) / depth
    lane = measured.sel(depth=depth, alphas=",".join(map(str, alphas)))
    for step in range(26):
        expected = recursion(alphas, (depth,) * len(alphas), rate, step)
        found = lane.mode_values.sel(step=step).isel(mode=0).dropna("pathway")
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


def test_depth_five_returns_when_the_plain_recursion_does(data):
    measured, predicted = data[fig9]
    lane = measured.sel(depth=5, alphas=str(fig9.START))
    seen, back = fig9.seen_escape(lane, 5)
    w, step = fig9.START ** (1 / 5), 0
    while step < 3 or w**5 < 0.5:
        w, step = w - 0.99 * 4.22449541 / 5 * w**4 * (w**5 - 1), step + 1
    assert back and seen == pytest.approx(step - 2, abs=2)
    assert float(predicted.escape_steps.sel(depth=20, alphas="0.02,0.01")) > 1e9


@pytest.mark.parametrize("ratio", fig10.EXPERIMENT.coords["edge_ratio"])
def test_three_pathways_end_where_a_plain_recursion_ends(data, ratio):
    expected = recursion((0.03, 0.02, 0.01), (5, 5, 5), ratio * 2 / 5, 80_000)
    found = data[fig10][0].mode_values.sel(edge_ratio=ratio).isel(step=-1, mode=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_plane_of_the_triangle_keeps_distances():
    corners = np.stack(fig10.plane(np.eye(3)), axis=-1)
    distances = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(distances, np.sqrt(2), rtol=1e-15)
    np.testing.assert_allclose(fig10.plane(np.full(3, 1 / 3)), 0, atol=1e-16)


def wrong_factor(module, name, factor, data):
    measured, predicted = data[module]
    return measured, predicted.assign({name: predicted[name] * factor})


def relabelled(module, given, told, data):
    """Runs at other step sizes than the figure says."""
    experiment = module.EXPERIMENT
    measured = experiment.measure(**{**experiment.coords, "edge_ratio": given})
    return measured.assign_coords(edge_ratio=list(told)), data[module][1]


def below_return(data):
    """At 0.8 η_WCR no chain of depth 5 comes near zero."""
    return measure(fig9, return_ratio=0.8)


MUTATIONS = {
    "kim2026.2a": [
        partial(wrong_factor, fig4, "flattest_values", 1.05),
        partial(relabelled, fig4, (0.3, 0.9), (0.3, 1.0)),
    ],
    "kim2026.3a": [
        partial(wrong_factor, fig4, "flow_values", 0.9),
        partial(relabelled, fig4, (1.0, 1.0001), (0.3, 1.0)),
    ],
    "kim2026.2b": [partial(wrong_factor, fig8, "flattest_values", 1.05)],
    "kim2026.3b": [partial(wrong_factor, fig8, "flow_values", 0.9)],
    "kim2026.7c": [partial(wrong_factor, fig9, "escape_steps", 1.05), below_return],
    "kim2026.5d": [
        partial(wrong_factor, fig10, "flattest_edge", 0.7),
        partial(relabelled, fig10, (0.8, 1.5, 1.8), fig10.EXPERIMENT.coords["edge_ratio"]),
    ],
}


@pytest.mark.parametrize(("module", "claim"), ALL)
def test_every_claim_has_mutations_that_turn_it(data, module, claim: Claim):
    for mutate in MUTATIONS[claim.id]:
        assert claim.judge(*mutate(data))["verdict"] == "fails", mutate


@pytest.mark.parametrize("module", MODULES)
def test_every_figure_draws(data, module):
    with style():
        figure = module.plot(*data[module])
        figure.canvas.draw()
    assert all(ax.has_data() for ax in figure.axes)


def test_a_scale_too_many_is_refused_with_the_mend():
    brief = dataclasses.replace(fig4.EXPERIMENT, steps=1)
    with pytest.raises(InputError, match=r"alphas has 3 values and there are 2 depths; .*0\.001,"):
        brief.measure(depths=(3, 5), alphas=(0.1, 0.1, 0.1))
    with pytest.raises(InputError, match="alphas has 2 values and a triangle has 3 corners"):
        fig10.EXPERIMENT.measure(alphas=(0.1, 0.1))
