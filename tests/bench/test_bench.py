"""The benchmark's own arithmetic, and a ratio within one run that guards against regressions."""

import math

import jax
import numpy as np
import pytest

from dlnlab.bench import (
    GROWTHS,
    WORKLOADS,
    eigenvalues,
    equation,
    grow,
    layout,
    markdown,
    measure,
    native,
    peers,
    plain,
)
from dlnlab.bench.growth import Growth
from dlnlab.bench.hessians import STATES, TRACKED_STEPS, descended, sharpening
from dlnlab.bench.measure import Case, Contender, exponent
from dlnlab.bench.workloads import ALL_STATISTICS, _matrices, _measured, _modes, _ours
from dlnlab.cli.app import execute
from dlnlab.statistics import OUTCOMES
from laws import compiled


def absent():
    raise ImportError("no module", name="somebody_else")


CASE = Case(
    "W0",
    "nothing",
    "calls/s",
    (
        Contender("ours", lambda: lambda: 1.0, 1),
        Contender("slower", lambda: lambda: sum(range(20_000)), 1),
        Contender("absent", absent, 1),
    ),
)


def test_contenders_are_timed_in_turn_and_absent_ones_named():
    rows = measure(CASE, rounds=6)
    assert [row.name for row in rows] == ["ours", "slower", "absent"]
    ours, slower, missing = rows
    assert len(ours.rates) == len(slower.rates) == 6
    middle, least, most = slower.ratio
    assert least <= middle <= most
    assert middle > 1
    assert ours.ratio is None
    assert "somebody_else is not installed" in missing.missing
    table = markdown(rows, "dln bench W0")
    assert "| nothing | slower |" in table
    assert "not installed" in table
    assert len(plain(rows)["rows"]) == 3


def test_exponents_are_those_of_the_power_law():
    sizes = np.array([1e3, 1e4, 1e5, 1e6])
    slope, error = exponent(sizes, 3e-7 * sizes**1.5)
    assert slope == pytest.approx(1.5, abs=1e-12)
    assert error < 1e-12
    assert exponent(sizes, [1.0, 11.0, 95.0, 1010.0])[1] > 1e-3


@pytest.mark.parametrize("state", STATES)
def test_a_curvature_answer_is_right_and_its_products_are_counted(state):
    bench = STATES[state](4, 3)
    ours = bench.judged(*eigenvalues.scipy_largest(bench)())
    assert ours.error <= ours.residual + 1e-14
    assert ours.residual <= 1e-5
    assert 4 <= ours.products < 100
    with jax.enable_x64(True):
        hessian = compiled(jax.hessian(lambda f: bench.problem.loss(bench.unravel(f))))(bench.flat)
    assert ours.value == pytest.approx(np.linalg.eigvalsh(hessian)[-1], abs=1e-5)
    wrong = bench.judged(ours.value * 1.1, np.ones(bench.flat.size), 1)
    assert wrong.error > 0.05
    assert wrong.residual > 0.05


def test_the_tracker_of_the_benchmark_follows_the_run():
    bench = sharpening(8, 3)
    with jax.enable_x64(True):
        end = bench._replace(flat=descended(bench, bench.flat, 0.01, TRACKED_STEPS))
    found = end.judged(*eigenvalues.tracked(bench)())
    assert found.error <= found.residual <= 1e-6
    assert found.products < 8


@pytest.mark.parametrize("state", STATES)
def test_our_cold_start_is_right_at_every_state(state):
    bench = STATES[state](8, 3)
    cold = bench.judged(*eigenvalues.ours(bench)())
    assert cold.error <= cold.residual + 1e-14
    assert cold.residual <= 1e-6
    assert 20 <= cold.products <= 200


def test_peers_do_the_same_steps_as_we_do():
    """Balanced and layered modes, NumPy and C: one loss after the same steps."""
    rates = (0.01, 0.3, 1.0)
    ours = [_ours(_modes, 60, (), learning_rate=rates, balanced=b)() for b in (True, False)]
    assert ours[0] == pytest.approx(ours[1], rel=1e-9)
    total = 0.0
    for rate in rates:
        one, two = 0.02 ** (1 / 3), 0.01 ** (1 / 3)
        for _ in range(60):
            residual = one**3 + two**3 - 1
            one, two = one - rate * residual * one**2, two - rate * residual * two**2
        total += (one**3 + two**3 - 1) ** 2 / 2
    assert ours[0] == pytest.approx(total / 3, rel=1e-9)
    try:
        kernel = native.bare(16, 60)
    except ImportError:
        pytest.skip("no C compiler")
    assert kernel() == pytest.approx(peers.numpy_modes(16, 60)(), rel=1e-9)


def test_small_matrices_are_faster_than_a_plain_loop_over_numpy():
    """Ours with all that a run carries, against NumPy's batched products alone, in one run."""
    lanes, steps = 512, 6000
    seeds = tuple(range(lanes))
    case = Case(
        "W2",
        "d=5",
        "Mls/s",
        (
            Contender("ours", lambda: _ours(_matrices, steps, (), seed=seeds), lanes * steps),
            Contender("NumPy", lambda: peers.numpy_matrices(5, 3, 1, lanes, 20), lanes * 20),
        ),
    )
    _, numpy_row = measure(case, rounds=3)
    assert numpy_row.ratio[0] > 1.5


def test_statistics_cost_a_bounded_factor():
    rates = tuple(np.linspace(0.01, 1.0, 2000).tolist())
    case = Case(
        "W1",
        "statistics",
        "Mls/s",
        (
            Contender("all", lambda: _ours(_modes, 2000, ALL_STATISTICS, learning_rate=rates), 1),
            Contender("none", lambda: _ours(_modes, 2000, (), learning_rate=rates), 1),
        ),
    )
    _, none = measure(case, rounds=3)
    assert none.ratio[0] > 1 / 25


def test_the_command_refuses_what_it_does_not_know(capsys):
    assert execute(["bench", "W9"]) == 2
    assert "there is no workload W9" in capsys.readouterr().err
    assert execute(["bench", "--rounds", "0"]) == 2
    assert execute(["bench", "W1", "--out", "no/such/place.md"]) == 2
    assert set(WORKLOADS) == {"W1", "W2", "W3", "W4", "W5", "W6", "flow"}
    assert math.isfinite(_ours(_matrices, 3, (), dimension=2, seed=(0, 1))())


def test_the_statistics_in_c_are_those_of_dlnlab():
    """The limit does the same work: lane by lane, except where chaos tells roundings apart."""
    lanes, steps = 64, 6000
    try:
        exponent_, period, outcome, highest = native.with_statistics(lanes, steps)()
    except ImportError:
        pytest.skip("no C compiler")
    rates = tuple(np.linspace(0.01, 1.2, lanes).tolist())
    measured = _measured(_modes, steps, ALL_STATISTICS, learning_rate=rates).isel(step=-1)
    calm = (outcome >= OUTCOMES.index("never_oscillated")) & (outcome < len(OUTCOMES) - 1)
    assert 4 < calm.sum() < lanes
    same = outcome == measured.outcome.values
    assert same.mean() > 0.9
    assert same[calm].all()
    assert len(set(outcome[same])) >= 3
    np.testing.assert_array_equal(period[calm], measured.period.values[calm])
    np.testing.assert_allclose(highest[calm], measured.maximum_loss.values[calm], rtol=1e-9)
    # The tangents begin in different directions, which is forgotten as one over the steps.
    np.testing.assert_allclose(exponent_[calm], measured.lyapunov.values[calm], atol=20 / steps)


def test_growth_is_told_with_its_spread():
    """Work that is counted, not timed: an exponent of 1, no cliff, and the table says so."""
    sizes = (10_000, 20_000, 40_000, 80_000)
    grown = grow(Growth("counting", "nothing", sizes, lambda n: (lambda: sum(range(n)), 1.0)), 3)
    middle, least, most = grown.exponent
    assert least <= middle <= most
    assert 0.5 < middle < 1.5
    assert grown.cliff >= 1
    assert all(math.isnan(peak) for peak in grown.memory), "no process knows this growth"
    table = markdown([], "dln bench growth", [grown])
    assert "| counting | nothing | 10,000, 20,000, 40,000, 80,000 |" in table


def test_the_bare_loop_takes_the_steps_of_the_equation():
    """Written by hand, with the same random numbers: the same losses as ours."""
    pytest.importorskip("diffrax")
    ours = equation.ours(64, 20, noisy=True)()
    assert equation.bare(64, 20, noisy=True)() == pytest.approx(ours, rel=1e-10)
    # Another path of the same law: within 5 standard errors of its mean.
    mean, error = equation.diffrax(64, 20, noisy=True)()
    assert abs(mean - ours) < 5 * 2**0.5 * error


@pytest.mark.parametrize("axis", GROWTHS)
def test_every_growth_prepares_its_smallest_size(axis):
    run, unit = GROWTHS[axis].prepare(GROWTHS[axis].sizes[0])
    assert callable(run)
    assert unit >= 1


def test_the_layout_table_has_at_most_sixty_cells_and_marks_what_is_used():
    shapes = list(layout.cells())
    assert len(shapes) * len(layout.TILES) <= 72
    measured = [s for _, chosen, _, _ in shapes for s in layout.TILES if layout.sensible(s, chosen)]
    assert len(measured) <= 60
    assert {chosen for _, chosen, _, _ in shapes} & set(layout.TILES)
    cell = layout.Cell("a shape", 16, {16: 2.0, 32: 1.0})
    table = layout.markdown([cell], "dln bench layout", "a machine")
    assert "| a shape | – | **2** | 1 | – | – |" in table


def test_layout_is_asked_for_alone(capsys):
    assert execute(["bench", "layout", "W1"]) == 2
    assert "ask for it alone" in capsys.readouterr().err
