"""How laws spread and samples are compared with them: exact solutions, quadratures, memory."""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.signal import lfilter
from scipy.stats import binomtest, kstest, norm

from dlnlab.errors import InputError
from dlnlab.theory.noise import (
    autocorrelation_time,
    effective_size,
    evolve,
    generator,
    histogram_distances,
    ito_drift,
    mean_passage_times,
    mode_diffusion,
    mode_drift,
    sample_distances,
    stationary_law,
    stationary_masses,
    survival,
)

EPS = np.finfo(np.float64).eps
WALLS = np.linspace(-6, 6, 121)


def ornstein_uhlenbeck(walls, absorbing=(False, False)):
    return generator(lambda x: -x, lambda x: 2 + 0 * x, walls, absorbing)


def masses_of(law, walls):
    return np.diff(law.cdf(walls))


def test_mass_is_kept_to_rounding_and_never_negative():
    made = ornstein_uhlenbeck(WALLS)
    start = np.zeros(120)
    start[100] = 1.0
    found = evolve(made, start, [0.01, 0.1, 1.0, 10.0])
    assert np.abs(found.sum(axis=1) - 1).max() < 1e4 * EPS
    assert found.min() > -1e4 * EPS
    wall = np.array([0.1, 0.2, 0.45, 1.0, 3.0, 9.0])
    uneven = generator(lambda x: 3 - x**2, lambda x: 0.1 + x**4, wall)
    assert np.abs(evolve(uneven, np.ones(5) / 5, [5.0]).sum() - 1) < 1e4 * EPS


def error_against_exact(cells):
    """The largest error of the cells' distribution function, steps as fine as cells."""
    walls = np.linspace(-6, 6, cells + 1)
    spread, time = 0.5, 0.6
    made = ornstein_uhlenbeck(walls)
    start = masses_of(norm(1.5, spread), walls)
    found = evolve(made, start, [time], steps=cells // 4)[0]
    width = np.sqrt(spread**2 * np.exp(-2 * time) + 1 - np.exp(-2 * time))
    exact = norm(1.5 * np.exp(-time), width)
    return np.abs(np.cumsum(found) - exact.cdf(walls[1:])).max()


def test_it_converges_to_ornstein_and_uhlenbeck_s_solution_at_second_order():
    cells = np.array([60, 120, 240, 480])
    errors = [error_against_exact(count) for count in cells]
    order = -np.polyfit(np.log(cells), np.log(errors), 1)[0]
    assert 1.9 < order < 2.2
    assert errors[-1] < 1e-4


def one_mode(walls, depth, target, level, rate, absorbing=(False, False)):
    goal = np.array([target])

    def drift(w):
        flat = np.ravel(w)[:, None]
        both = mode_drift(flat, goal, depth) + ito_drift(flat, goal, depth, level, rate, 1)
        return both.reshape(np.shape(w))

    def diffusion(w):
        made = mode_diffusion(np.ravel(w)[:, None], goal, depth, level, rate, 1)
        return made.reshape(np.shape(w))

    return generator(drift, diffusion, walls, absorbing)


@pytest.mark.parametrize("depth", [2, 4])
def test_its_law_at_rest_is_the_stationary_law(depth):
    arguments = (depth, 1.0, 0.5, 0.1)
    law = stationary_law(*arguments, 1)
    errors = []
    for count in (200, 400):
        walls = np.geomspace(0.02, 50, count + 1)
        made = one_mode(walls, *arguments)
        exact = masses_of(law, walls) / np.diff(law.cdf(walls[[0, -1]]))
        errors.append(np.abs(np.cumsum(stationary_masses(made) - exact)).max())
        assert np.abs(evolve(made, exact, [50.0], 400)[0] - stationary_masses(made)).max() < 1e-8
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_a_law_approaches_the_stationary_one():
    walls = np.geomspace(0.02, 50, 201)
    made = one_mode(walls, 2, 1.0, 0.5, 0.1)
    start = np.zeros(200)
    start[60] = 1.0
    found = evolve(made, start, [0.5, 1.0, 2.0, 4.0, 8.0])
    gaps = np.abs(found - stationary_masses(made)).sum(axis=1)
    assert (np.diff(gaps) < 0).all()
    assert gaps[-1] < 1e-3 * gaps[0]


def exact_passage(start, low, end):
    """`∫_x^b dy ∫_a^y dz e^{Ψ(z) − Ψ(y)}`, Ψ = −x²/2 and D = 2, reflecting at a."""
    value, error = dblquad(
        lambda z, y: np.exp((y**2 - z**2) / 2), start, end, low, lambda y: y, epsabs=1e-10
    )
    assert error < 1e-7
    return value


def test_mean_first_passage_times_are_the_double_integral():
    errors = []
    for count in (100, 200, 400):
        walls = np.linspace(-3, 2, count + 1)
        made = ornstein_uhlenbeck(walls, (False, True))
        place = made.centres[count // 2]
        errors.append(abs(mean_passage_times(made)[count // 2] - exact_passage(place, -3, 2)))
    order = -np.polyfit(np.log([100, 200, 400]), np.log(errors), 1)[0]
    assert 1.8 < order < 2.3
    assert errors[-1] < 1e-3


def test_survival_has_the_mean_of_the_backward_equation():
    made = ornstein_uhlenbeck(np.linspace(-3, 1, 161), (False, True))
    start = np.zeros(160)
    start[80] = 1.0
    times = np.linspace(0, 40, 401)
    left = survival(made, start, times, steps=4)
    assert left[0] == 1
    assert (np.diff(left) <= 0).all()
    mean = np.sum((left[1:] + left[:-1]) / 2) * 0.1
    assert abs(mean / mean_passage_times(made)[80] - 1) < 1e-3


def test_passage_in_simulated_lanes():
    """The mean first time at which the Ornstein–Uhlenbeck process, exact in its steps, is seen past
    the wall; seen only every h, it is late by 0.5826·√(2h) of the wall (Broadie et al. 1997)."""
    rng, lanes, step, wall = np.random.default_rng(40), 4000, 2e-3, 1.0
    place, time = np.zeros(lanes), np.zeros(lanes)
    decay, kick = np.exp(-step), np.sqrt(1 - np.exp(-2 * step))
    while (inside := place < wall).any():
        time += step * inside
        place = np.where(inside, decay * place + kick * rng.standard_normal(lanes), place)
    late = wall + 0.5826 * np.sqrt(2 * step)
    made = ornstein_uhlenbeck(np.linspace(-8, late, 1001), (False, True))
    wanted = np.interp(0, made.centres, mean_passage_times(made))
    assert abs(time.mean() - wanted) < 4 * time.std() / np.sqrt(lanes) + 2 * step


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"edges": [0.0, 1.0]}, "at least three numbers that ascend"),
        ({"edges": [0.0, 2.0, 1.0]}, "ascend"),
        ({"diffusion": lambda x: x}, "diffusion is not above 0"),
        ({"drift": lambda x: np.full_like(x, np.nan)}, "finite"),
        ({"drift": -1.0}, r"write lambda x: -1.0 \+ 0 \* x"),
        ({"diffusion": 2.0}, "diffusion is 2.0, and a function of x"),
        ({"drift": lambda x: x[:1]}, "one number for each"),
        ({"absorbing": True}, "absorbing is True, and two truths"),
        ({"absorbing": (True,)}, "two truths"),
        ({"absorbing": (0.5, True)}, "two truths"),
    ],
)
def test_bad_equations_are_refused(change, words):
    given = {"drift": lambda x: -x, "diffusion": lambda x: 1 + 0 * x, "edges": [-1.0, 0.0, 1.0]}
    with pytest.raises(InputError, match=words):
        generator(**{**given, **change})


def test_bad_questions_are_refused():
    made = ornstein_uhlenbeck(WALLS)
    with pytest.raises(InputError, match="one for each of 120 cells"):
        evolve(made, np.ones(3), [1.0])
    with pytest.raises(InputError, match="do not ascend"):
        evolve(made, np.ones(120), [1.0, 0.5])
    with pytest.raises(InputError, match="masses have the sum 2, and chances"):
        survival(made, np.full(120, 2 / 120), [1.0])
    with pytest.raises(InputError, match="no end absorbs"):
        mean_passage_times(made)
    with pytest.raises(InputError, match="an end absorbs"):
        stationary_masses(ornstein_uhlenbeck(WALLS, (True, False)))


# --- distances --------------------------------------------------------------------------------


def autoregressive(memory, lanes, steps, seed):
    rng = np.random.default_rng(seed)
    kicks = np.sqrt(1 - memory**2) * rng.normal(size=(lanes, steps))
    kicks[:, 0] = rng.normal(size=lanes)
    return lfilter([1.0], [1.0, -memory], kicks, axis=1)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.98])
def test_the_memory_of_an_autoregressive_series(memory):
    """τ = (1 + a)/(1 − a), up to Sokal's error 2√((2W + 1)/n), W = 5τ, and 1 % that he cuts off."""
    wanted = (1 + memory) / (1 - memory)
    series = autoregressive(memory, 20, 20_000, 41)
    error = np.sqrt(2 * (10 * wanted + 1) / series.size)
    assert abs(autocorrelation_time(series) / wanted - 1) < 4 * error + 0.01
    assert abs(effective_size(series) * autocorrelation_time(series) - series.size) < 1e-6


def test_p_values_of_dependent_series_are_no_smaller_than_chance_makes_them():
    """Over 40 series of known law; taken for independent draws most would be rejected."""
    series = [autoregressive(0.9, 1, 10_000, 50 + k) for k in range(40)]
    found = np.array([sample_distances(one, norm()).p_value for one in series])
    naive = np.array([kstest(one[0], "norm").pvalue for one in series])
    for level in (0.05, 0.2, 0.5):
        assert binomtest(int((found < level).sum()), 40, level, "greater").pvalue > 1e-4
    assert binomtest(int((naive < 0.05).sum()), 40, 0.05, "greater").pvalue < 1e-10
    shifted = sample_distances(series[0] + 0.3, norm())
    assert shifted.p_value < 1e-6


def test_distances_of_a_shifted_law_are_known():
    shares = (np.arange(20_000) + 0.5) / 20_000
    shifted = sample_distances(norm(0.3).ppf(shares), norm())
    assert abs(shifted.wasserstein - 0.3) < 1e-12
    largest = norm.cdf(0.15) - norm.cdf(-0.15)
    assert abs(shifted.kolmogorov_smirnov - largest) < 1 / 20_000


def test_a_histogram_is_near_the_law_that_filled_it():
    walls = np.linspace(-5, 5, 201)
    counts = np.diff(norm(0.3).cdf(walls))
    transport, largest = histogram_distances(counts, walls, norm())
    assert abs(transport - 0.3) < 1e-4
    assert abs(largest - (norm.cdf(0.15) - norm.cdf(-0.15))) < 1e-5
    near = histogram_distances(np.diff(norm.cdf(walls)), walls, norm())
    assert max(near) < 1e-3


def test_bad_samples_are_refused():
    with pytest.raises(InputError, match="2 steps or more"):
        autocorrelation_time([1.0])
    with pytest.raises(InputError, match=r"numpy\.histogram"):
        histogram_distances([1, 1], [0, 1], norm())
    assert autocorrelation_time(np.ones(50)) == 50
