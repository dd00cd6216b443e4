"""Peaks, stationary laws, collapse: against mpmath, plain searches and simulations in NumPy."""

import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import cumulative_simpson, simpson
from scipy.optimize import minimize_scalar
from scipy.stats import norm, t

from dlnlab.errors import InputError
from dlnlab.theory.base import BrokenAssumption
from dlnlab.theory.noise import (
    collapse_edge,
    collapse_probability,
    effective_size,
    gaussian_variance,
    label_noise_global_limit,
    label_noise_peak_limit,
    minimum_exponent,
    mode_diffusion,
    no_law,
    noise,
    noise_peak,
    peak_lag,
    peak_share,
    peak_times,
    sample_distances,
    sgd_variance_ratio,
    small_mode,
    small_mode_exponent,
    speed_peak,
    stationary_law,
    stationary_mean,
    stationary_variance,
    variance_edge,
)

EPS = np.finfo(np.float64).eps
ALARMS = 1e-4

# --- the peak ---------------------------------------------------------------------------------


def exact_diffusion(share, depth, ratio):
    return share ** (4 - mp.mpf(4) / depth) * (2 * (1 - share) ** 2 + mp.mpf(ratio) ** 2)


@pytest.mark.parametrize(("depth", "part"), [(2, 0.0), (2, 0.9), (3, 0.5), (4, 0.999), (20, 0.2)])
def test_the_peak_to_twelve_digits(depth, part):
    with mp.workdps(40):
        ratio = mp.mpf(part * label_noise_peak_limit(depth))
        # The extrema of D, from its derivative as a quadratic in 1 − share with exact coefficients.
        a, b, c = 3 * depth - 2, -depth, (depth - 1) * ratio**2
        far = (-b + mp.sqrt(b**2 - 4 * a * c)) / (2 * a)
        wanted = 1 - far
        slope = mp.diff(lambda x: mp.log(exact_diffusion(x, depth, ratio)), wanted)
        assert abs(slope) < mp.mpf(10) ** -15
        assert mp.diff(lambda x: exact_diffusion(x, depth, ratio), wanted, 2) < 0
        assert abs(peak_share(depth, float(ratio)) / wanted - 1) < 1e-12


@pytest.mark.parametrize("depth", [2, 3, 7])
def test_a_peak_is_there_below_the_limit_and_not_above(depth):
    limit = label_noise_peak_limit(depth)
    shares = np.linspace(0.3, 0.9, 200_001)

    def falls(ratio):
        return (np.diff(mode_diffusion(shares, np.ones_like(shares), depth, ratio, 1, 1)) < 0).any()

    assert falls(limit * 0.999)
    assert not falls(limit * 1.001)
    assert peak_share(depth, limit * 0.999) is not None
    assert peak_share(depth, limit) is peak_share(depth, limit * 1.001) is None


def test_the_limits_of_two_layers_and_of_very_many():
    assert label_noise_peak_limit(2) == 0.5
    assert abs(label_noise_global_limit(2) - 0.42466) < 5e-6
    assert abs(label_noise_peak_limit(10**6) * 2 * 3**0.5 - 1) < 1e-5


@pytest.mark.parametrize("depth", [2, 3, 5, 50])
def test_the_peak_is_global_up_to_the_limit(depth):
    with mp.workdps(30):

        def advantage(ratio):
            y = (depth + mp.sqrt(depth**2 - 4 * (3 * depth - 2) * (depth - 1) * ratio**2)) / (
                2 * (3 * depth - 2)
            )
            return exact_diffusion(1 - y, depth, ratio) - ratio**2

        # Bisection, in the place of the root finder.
        low, high = mp.mpf("0.1"), mp.mpf(label_noise_peak_limit(depth))
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if advantage(middle) > 0 else (low, middle)
        assert abs(label_noise_global_limit(depth) / low - 1) < 1e-12
    shares = np.linspace(0, 1, 100_001)
    for factor, first in ((0.999, True), (1.001, False)):
        ratio = factor * label_noise_global_limit(depth)
        curve = mode_diffusion(shares, np.ones_like(shares), depth, ratio, 1, 1)
        assert bool(np.argmax(curve) < 100_000) is first
        assert noise(depth, 2.0, 1e-3, 2.0 * ratio).peak_is_global is first


def test_without_label_noise_the_peak_is_that_of_the_speed():
    for depth in (2, 3, 10):
        speed = minimize_scalar(
            lambda w, n=depth: -(w ** (2 - 2 / n)) * (3.0 - w), bounds=(0, 3), method="bounded"
        )
        assert abs(speed_peak(depth, 3.0) - speed.x) < 1e-4
        assert abs(float(noise_peak(depth, 3.0)) / speed_peak(depth, 3.0) - 1) < 4 * EPS
        assert float(noise_peak(depth, 3.0, 0.3)) > speed_peak(depth, 3.0)


def test_the_lag_is_that_of_diffusion_and_flow_followed_in_time():
    """Runge–Kutta's method along the flow, D at every step, both times where they are met."""
    depth, target, level, step = 4, 2.0, 0.3, 2e-4

    def speed(w):
        return depth * w ** (2 - 2 / depth) * (target - w)

    path = [0.01]
    while path[-1] < 0.95 * target:
        w = path[-1]
        one = speed(w)
        two = speed(w + step / 2 * one)
        three = speed(w + step / 2 * two)
        four = speed(w + step * three)
        path.append(w + step / 6 * (one + 2 * two + 2 * three + four))
    curve = mode_diffusion(np.array(path)[:, None], [target], depth, level, 1, 1).ravel()
    first = int(np.argmax(np.diff(curve) < 0))
    found = peak_times(0.01, target, depth, level)
    assert abs(found.peak - first * step) <= step
    assert abs(found.learned - (len(path) - 1) * step) <= step
    assert float(peak_lag(0.01, target, depth, level)) == found.lag
    assert abs(found.lag - (1 - first / (len(path) - 1))) < 2 * step / found.learned
    with pytest.raises(InputError, match="below the peak"):
        peak_times(1.9, 2.0, 4)


def test_beyond_the_limit_the_peak_is_refused():
    with pytest.raises(BrokenAssumption, match="no peak before learning"):
        noise_peak(2, 1.0, 0.6)
    with pytest.raises(InputError, match="depth is 1"):
        label_noise_peak_limit(1)


# --- the stationary law -----------------------------------------------------------------------


def reference(depth, target, level, rate, batch):
    """Mean, variance, share below the mean and ln p(0.7s), in 30 digits, by another route.

    The exponent in closed form, `∫ x^{−a}/(x − r) dx` in partial fractions at depths 2 and 4.
    """
    target, level, rate = mp.mpf(target), mp.mpf(level), mp.mpf(rate)
    power = 2 - mp.mpf(2) / depth
    ratio, stiffness = level / target, batch / (rate * depth * target**power)
    pole = 1 + 1j * ratio / mp.sqrt(2)

    root = mp.sqrt(pole)

    def inner(x):
        if depth == 2:
            return (mp.log(pole - x) - mp.log(x)) / pole
        layer = mp.sqrt(x)  # depth 4: 2/(θ²(θ² − r)) in partial fractions
        return 2 / pole * (mp.log((root - layer) / (root + layer)) / (2 * root) + 1 / layer)

    start = mp.re(inner(mp.mpf(1)))

    def density(x):
        exponent = -stiffness * (mp.re(inner(x)) - start)
        weight = x ** (-3 * (1 - mp.mpf(1) / depth)) / (2 * (1 - x) ** 2 + ratio**2)
        return weight * mp.exp(exponent)

    width = ratio / mp.sqrt(2 * stiffness + 2)
    points = {mp.mpf(10) ** -k for k in (90, 40, 20, 10, 6, 4, 3, 2, 1)} | {mp.mpf(1)}
    points |= {1 + width * 4**k for k in range(12)} | {mp.mpf(10) ** k for k in (8, 14, 20, 40)}
    points |= {1 - width * 4**k for k in range(12) if width * 4**k < 0.9}
    points = sorted(points)

    def integral(function, upto=None):
        ends = points if upto is None else [*(p for p in points if p < upto), upto]
        return mp.quad(function, ends)

    norm_of = integral(density)
    mean = integral(lambda x: x * density(x)) / norm_of
    variance = integral(lambda x: (x - mean) ** 2 * density(x)) / norm_of
    below = integral(density, mean) / norm_of
    return mean, variance, below, mp.log(density(mp.mpf("0.7")) / norm_of)


@pytest.mark.parametrize(
    "arguments",
    [
        (2, 1.0, 0.5, 0.1, 1),
        (2, 1.0, 1.0, 0.5, 1),  # close to the edge of collapse, a foot w^{−5/6}
        (2, 2.0, 0.02, 0.3, 1),  # nearly singular at the target
        (4, 1.5, 3.0, 0.1, 2),
    ],
)
def test_moments_and_shares_against_another_quadrature(arguments):
    target = arguments[1]
    with mp.workdps(25):
        mean, variance, below, height = reference(*arguments)
    law = stationary_law(*arguments)
    share = float(law.cdf(target * float(mean)))
    assert abs(law.mean / (target * mean) - 1) < 1e-10
    assert abs(law.variance / (target**2 * variance) - 1) < 1e-10
    assert abs(share - below) < 1e-10
    assert abs(float(law.logpdf(0.7 * target)) + np.log(target) - height) < 1e-10
    assert abs(float(law.ppf(share)) / (target * float(mean)) - 1) < 1e-10


@pytest.mark.parametrize("depth", [2, 3, 4, 50])
def test_the_density_is_that_of_zero_current(depth):
    """`2a/D − (ln D)′` from the formulas of drift and diffusion, against the slope of ln p."""
    level, rate = 0.4, 0.05
    law = stationary_law(depth, 1.3, level, rate, 1)
    values = np.array([0.3, 0.9, 1.25, 1.3, 1.31, 2.0, 5.0])
    step = 1e-4 * values

    def diffusion(w):
        return rate * depth**2 * w ** (4 - 4 / depth) * (2 * (1.3 - w) ** 2 + level**2)

    strength = 2 * (1.3 - values) ** 2 + level**2
    drift = depth * values ** (2 - 2 / depth) * (1.3 - values)
    drift = drift + rate / 2 * depth * (depth - 1) * values ** (3 - 4 / depth) * strength

    def slope(function, h):
        return (function(values + h) - function(values - h)) / (2 * h)

    def fine(function):
        return (4 * slope(function, step / 2) - slope(function, step)) / 3

    wanted = 2 * drift / diffusion(values) - fine(lambda w: np.log(diffusion(w)))
    assert np.abs(fine(law.logpdf) - wanted).max() < 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize(
    "arguments",
    [(2, 1.0, 0.5, 0.1, 1), (2, 1.0, 1.0, 0.6, 1), (4, 2.0, 3.0, 0.5, 1), (1, 1, 1, 1, 1)],
)
def test_quantiles_undo_shares_and_the_density_is_their_slope(arguments):
    law = stationary_law(*arguments)
    shares = np.concatenate([np.geomspace(1e-12, 0.1, 30), np.linspace(0.1, 0.9, 30), [1 - 1e-9]])
    np.testing.assert_allclose(law.cdf(law.ppf(shares)), shares, rtol=1e-9)
    values = law.ppf(np.linspace(0.05, 0.95, 7))
    h = 1e-5 * np.abs(values)
    slopes = (law.cdf(values + h) - law.cdf(values - h)) / (2 * h)
    np.testing.assert_allclose(law.pdf(values), slopes, rtol=1e-5)
    assert float(law.cdf(-1e300)) == 0 < 1 == float(law.cdf(1e300))
    assert float(law.pdf(-1e300)) == 0
    with pytest.raises(InputError, match="between 0 and 1"):
        law.ppf(1.1)


def test_the_tail_is_the_power_that_decides_which_moments_exist():
    for depth in (2, 3, 4, 9):
        law = stationary_law(depth, 1.0, 0.5, 0.1, 1)
        slope = np.diff(law.logpdf(np.array([1e8, 1e9])))[0] / np.log(10)
        assert abs(slope + 5 - 3 / depth) < 1e-6
        assert (law.moment(3) is not None) is (depth > 3)
        assert law.moment(4) is None
        assert abs(law.moment(2) / (law.variance + law.mean**2) - 1) < 1e-12


def test_one_layer_has_student_s_law():
    level, rate = 0.5, 0.3
    law = stationary_law(1, 2.0, level, rate, 1)
    freedom = 1 + 1 / rate
    student = t(freedom, loc=2.0, scale=level / np.sqrt(2 * freedom))
    values = np.array([-1e5, -3.0, 0.0, 1.9, 2.0, 2.1, 7.0, 1e6])
    np.testing.assert_allclose(law.logpdf(values), student.logpdf(values), rtol=1e-10)
    np.testing.assert_allclose(law.cdf(values), student.cdf(values), rtol=1e-8)
    assert abs(law.mean - 2) < 1e-12
    assert abs(law.variance / student.var() - 1) < 1e-10
    assert stationary_law(1, 2.0, level, 1.5, 1).variance is None
    with pytest.raises(InputError, match="below the batch size"):
        stationary_variance(1, 2.0, level, 1.5, 1)


def test_small_noise_makes_it_gaussian():
    """Its own correction is of relative size 1/c = ηS/B: it falls by ten with the step."""
    errors = []
    for rate in (1e-3, 1e-4, 1e-5):
        law = stationary_law(3, 2.0, 0.3, rate, 1)
        errors.append(law.variance / float(gaussian_variance(3, 2.0, 0.3, rate, 1)) - 1)
    ratios = np.abs(np.array(errors[:-1]) / errors[1:])
    assert ((ratios > 9) & (ratios < 11)).all()
    narrow = stationary_law(4, 1.0, 1e-3, 1e-9, 1)
    assert abs(narrow.variance / 2e-15 - 1) < 1e-6
    shares = np.linspace(0.01, 0.99, 9)
    scaled = (narrow.ppf(shares) - 1) / np.sqrt(2e-15)
    np.testing.assert_allclose(scaled, norm.ppf(shares), atol=1e-6)
    with pytest.raises(BrokenAssumption, match="noise is small"):
        gaussian_variance(4, 1.0, 5.0, 0.1, 1)


def test_two_layers_have_a_law_only_below_the_edge_of_collapse():
    edge = float(collapse_edge(1.5, 0.4, 3))
    assert no_law(2, 1.5, 0.4, 0.999 * edge, 3) is None
    assert "drifts towards 0" in no_law(2, 1.5, 0.4, 1.001 * edge, 3)
    assert stationary_law(2, 1.5, 0.4, 0.9999 * edge, 3).mean < 0.01
    with pytest.raises(BrokenAssumption, match="does not collapse"):
        stationary_mean(2, 1.5, 0.4, 1.001 * edge, 3)
    for depth in (1, 3, 4):
        assert no_law(depth, 1.5, 0.4, 10 * edge, 3) is None


@pytest.mark.parametrize("part", [0.9, 0.99, 0.999])
def test_close_to_the_edge_of_collapse_the_foot_is_counted_to_its_end(part):
    """Mass lies down to w = e^{−1/κ}: Simpson's rule in ln w = ∓sinh t, far beyond any float."""
    level = 0.4
    rate = part * float(collapse_edge(1.0, level, 1))
    law = stationary_law(2, 1.0, level, rate, 1)

    def side(sign, end):
        """∫ p and ∫ wp on one side of the target, without the norm."""
        t = np.linspace(0, np.arcsinh(end), 200_001)
        logs, pace = sign * np.sinh(t), np.cosh(t)
        w = np.exp(logs)
        strength = 2 * (1 - w) ** 2 + level**2
        exponent = cumulative_simpson(sign * (1 - w) / (rate * strength) * pace, x=t, initial=0)
        return [
            simpson(np.exp(exponent + (order - 0.5) * logs) / strength * pace, x=t)
            for order in (0, 1)
        ]

    below, mean_below = side(-1, 30 / law.scaled.foot)
    above, mean_above = side(1, 80.0)
    assert abs(float(law.cdf(1.0)) / (below / (below + above)) - 1) < 1e-8
    assert abs(law.mean / ((mean_below + mean_above) / (below + above)) - 1) < 1e-8


def test_without_label_noise_all_mass_is_at_the_target():
    assert float(stationary_mean(3, 2.0, 0.0, 5.0, 1)) == 2.0
    assert float(stationary_variance(2, 2.0, 0.0, 0.5, 1)) == 0.0
    assert "by chance" in no_law(2, 2.0, 0.0, 0.51, 1)
    with pytest.raises(InputError, match="all mass is at the target"):
        stationary_law(2, 2.0, 0.0, 0.1, 1)
    # What label noise leaves as it goes: a law around the target.
    assert abs(stationary_law(2, 2.0, 1e-6, 0.1, 1).mean - 2) < 1e-10


def test_extreme_sizes_are_answered_or_refused():
    assert 0 < stationary_law(3, 1.0, 30.0, 1.0, 1).mean < 1e-6
    assert 0 < stationary_law(10**5, 1.0, 0.1, 1e-6, 1).variance < 1
    with pytest.raises(InputError, match="in other units"):
        stationary_law(3, 1e100, 1.0, 1.0, 1)
    with pytest.raises(InputError, match="lies below"):
        stationary_law(3, 1.0, 1e40, 1.0, 1)


def test_a_long_simulation_has_the_law_s_moments():
    """SGD on one balanced mode, whose own variance exceeds the law's by 1 + ηS/2 to first order.

    Two step sizes at equal η/B (batches of B = 2 and 1), so that the law is the same, and the
    correction, linear in η, is extrapolated away.
    """
    depth, target, level, scale = 2, 1.0, 0.5, 0.02
    law = stationary_law(depth, target, level, scale, 1)
    means, variances, errors = [], [], []
    for batch in (1, 2):
        series = simulated(depth, target, level, scale * batch, batch, lanes=1000, steps=12_000)
        size = effective_size(series)
        means.append(series.mean())
        variances.append(series.var())
        errors.append([series.std() / np.sqrt(size), series.var() * np.sqrt(3 / size)])
    wide = norm.isf(ALARMS / 8)
    for found, exact, column in ((means, law.mean, 0), (variances, law.variance, 1)):
        error = np.hypot(2 * errors[0][column], errors[1][column])
        assert abs(2 * found[0] - found[1] - exact) < wide * error
    assert (
        abs(variances[0] / law.variance - 1 - scale)
        < wide * errors[0][1] / law.variance + scale / 2
    )
    assert abs(law.variance / float(gaussian_variance(2, 1.0, level, scale, 1)) - 1) > wide * error


def simulated(depth, target, level, rate, batch, lanes, steps):
    rng = np.random.default_rng(20 + batch)
    value = np.full(lanes, target ** (1 / depth))
    kept = []
    for step in range(steps):
        x, label = rng.standard_normal((2, batch, lanes))
        pull = ((target - value**depth) * x**2 + level * label * x).mean(axis=0)
        value = value + rate * value ** (depth - 1) * pull
        if step >= 2000 and step % 10 == 0:
            kept.append(value**depth)
    return np.stack(kept, axis=1)


# --- collapse ---------------------------------------------------------------------------------


def small_growth(target, level, rate, batch, count, seed):
    """ln|θ⁺/θ| of SGD on a mode of two layers so small that w − s = −s, by direct recursion."""
    rng = np.random.default_rng(seed)
    x, label = rng.standard_normal((2, count, batch))
    theta = 1e-150
    pull = ((target - theta**2) * x**2 + level * label * x).mean(axis=1)
    return np.log(np.abs((theta + rate * theta * pull) / theta))


@pytest.mark.parametrize(
    ("target", "level", "rate", "batch"),
    [(1.0, 0.0, 0.1, 1), (1.0, 0.0, 3.0, 1), (0.1, 2.0, 0.5, 1), (1.0, 3.0, 0.7, 4), (2, 1, 5, 20)],
)
def test_the_exponent_of_a_small_mode_is_that_of_its_recursion(target, level, rate, batch):
    growth = small_growth(target, level, rate, batch, 100_000, 30)
    wanted = small_mode_exponent(target, level, rate, batch)
    error = growth.std() / np.sqrt(len(growth))
    assert abs(growth.mean() - wanted) < norm.isf(ALARMS / 10) * error


@pytest.mark.parametrize("rate", [0.01, 2.0, 50.0])
def test_without_label_noise_the_exponent_against_another_quadrature(rate):
    with mp.workdps(20):
        wanted = 2 * mp.quad(lambda x: mp.log1p(rate * x**2) * mp.npdf(x), [0, 0.1, 0.3, 1, 3, 12])
    assert abs(small_mode_exponent(1.0, 0.0, rate, 1) - wanted) < 1e-10


@pytest.mark.parametrize(("target", "level", "rate"), [(0.3, 2.0, 0.9), (2.0, 0.1, 1.0)])
def test_with_label_noise_the_exponent_against_another_quadrature(target, level, rate):
    """Polar coordinates: `1 + ηx(sx + ςn) = 1 + (ηρ²/2)(s + √(s² + ς²) cos ψ)`, and the mean over
    ψ of ln|a + b cos ψ| is `ln((a + √(a² − b²))/2)` for a > b, `ln(b/2)` else."""

    def mean_log(square):
        centre, swing = 1 + rate * square / 2 * target, rate * square / 2 * mp.hypot(target, level)
        if centre <= swing:
            return mp.log(swing / 2)
        return mp.log((centre + mp.sqrt(centre**2 - swing**2)) / 2)

    with mp.workdps(20):
        turn = 2 / (rate * (mp.hypot(target, level) - target))
        ends = sorted({mp.mpf(0), turn, mp.mpf(2), mp.mpf(10), mp.mpf(30), mp.mpf(100)})
        wanted = mp.quad(lambda q: mean_log(q) * mp.exp(-q / 2) / 2, [e for e in ends if e <= 100])
    assert abs(small_mode_exponent(target, level, rate, 1) - wanted) < 1e-9


def test_sgd_never_collapses_without_label_noise_and_its_equation_does():
    for scaled in (0.1, 0.9, 1.1, 5.0, 100.0):
        for batch in (1, 2, 64):
            found = small_mode(2.0, 0.0, scaled / 2.0, batch)
            assert found.sgd == "grows"
            assert found.sde == ("collapses" if scaled > batch else "grows")
            low, high = found.sgd_exponent, np.log1p(scaled)
            assert 0 < low <= high  # Jensen
    assert small_mode(0.2, 2.0, 0.5, 1).sgd == "collapses"
    assert small_mode(0.2, 2.0, 50.0, 1).sgd == "grows"  # beyond the equation's whole reach


def test_for_small_steps_sgd_and_its_equation_agree():
    found = [small_mode(1.0, 0.7, rate, 1) for rate in (1e-3, 1e-4)]
    gaps = [abs(one.sgd_exponent - one.sde_exponent) for one in found]
    assert 90 < gaps[0] / gaps[1] < 110  # the next order, η²


@pytest.mark.parametrize(("scaled", "batch"), [(0.5, 1), (2.0, 1), (4.0, 1), (1.0, 3), (2.5, 50)])
def test_the_exponent_at_the_minimum_is_that_of_its_recursion(scaled, batch):
    rng = np.random.default_rng(31)
    growth = np.log(np.abs(1 - scaled * rng.chisquare(batch, 400_000) / batch))
    wanted = minimum_exponent(2, 1.0, scaled / 2, batch)
    assert abs(growth.mean() - wanted) < norm.isf(ALARMS / 10) * growth.std() / np.sqrt(400_000)
    with mp.workdps(20):
        root = mp.sqrt(mp.mpf(batch) / scaled)

        def density(x):
            norm_of = 2 ** (mp.mpf(batch) / 2 - 1) * mp.gamma(mp.mpf(batch) / 2)
            return x ** (batch - 1) * mp.exp(-(x**2) / 2) / norm_of

        exact = mp.quad(
            lambda x: mp.log(abs(1 - (x / root) ** 2)) * density(x), [0, root, 2 * root, 8, 20]
        )
    assert abs(wanted - exact) < 1e-8


@pytest.mark.parametrize(("depth", "rate", "batch"), [(2, 0.1, 1), (3, 0.1, 2), (4, 0.01, 1)])
def test_the_variance_of_sgd_exceeds_the_equation_s_as_said(depth, rate, batch):
    """SGD of layers in NumPy, many chains, with little label noise."""
    rng, level, lanes = np.random.default_rng(34), 0.01, 40_000
    theta = np.ones(lanes)
    for _ in range(int(8 / (rate * depth))):
        squares = rng.chisquare(batch, lanes) / batch
        labels = level * np.sqrt(squares / batch) * rng.normal(size=lanes)
        theta = theta - rate * theta ** (depth - 1) * ((theta**depth - 1) * squares - labels)
    spread = (theta**depth - 1) ** 2
    error = spread.std() / np.sqrt(lanes)
    equation = float(stationary_variance(depth, 1.0, level, rate, batch))
    ratio = sgd_variance_ratio(depth, 1.0, rate, batch)
    # What level² adds to either side is below 1e-3 of it.
    assert abs(spread.mean() - ratio * equation) < norm.isf(ALARMS / 6) * error + 2e-3 * equation
    assert ratio > 1 + 0.5 * rate * depth


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_the_edge_of_the_variance_is_where_squares_stop_shrinking(batch):
    edge = variance_edge(batch)
    assert sgd_variance_ratio(2, 1.0, edge / 2, batch) is None
    assert sgd_variance_ratio(2, 1.0, edge / 2 * (1 - 1e-6), batch) > 1e4
    draws = np.random.default_rng(35).chisquare(batch, 400_000) / batch
    squares = (1 - edge * draws) ** 2
    assert abs(squares.mean() - 1) < norm.isf(ALARMS / 6) * squares.std() / np.sqrt(len(draws))


@pytest.mark.parametrize(("batch", "edge"), [(1, 0.3834), (4, 0.9), (10**6, 2.0)])
def test_heavy_tails_of_sgd_are_told_from_the_edge_of_the_fourth_moment_on(batch, edge):
    draws = np.random.default_rng(36).chisquare(batch, 200_000) / batch
    told = []
    for scaled in (0.9 * edge, 0.99 * edge, min(1.1 * edge, 0.999 * variance_edge(batch))):
        fourth = (1 - scaled * draws) ** 4
        told.append("single runs may diverge" in noise(2, 1.0, scaled / 2, 0.2, batch).sgd)
        error = norm.isf(ALARMS / 9) * fourth.std() / np.sqrt(len(draws))
        assert fourth.mean() + error > 1 if told[-1] else fourth.mean() - error < 1
    assert not told[0]
    assert told[-1] is (batch < 10**6)


def test_where_sgd_is_not_its_equation_the_question_says_so():
    assert "no variance near the target" in noise(4, 1.0, 0.45, 0.2).sgd
    assert "lower learning_rate below 0.1667." in noise(4, 1.0, 0.45, 0.2).sgd
    assert "does not stay at the target" in noise(4, 1.0, 10.0, 0.2).sgd
    # The edge of descent, ηS = 2, for a batch that is nearly the whole law.
    assert "does not stay" in noise(2, 1.0, 1.005, 0.2, 10**6).sgd
    assert "0.201 % larger" in noise(4, 1.0, 1e-3, 0.2).sgd
    assert noise(4, 1.0, 1e-50, 0.2).sgd.startswith("at ηS = 4e-50")


def test_sgd_from_a_small_start_grows_where_its_equation_collapses():
    """Direct simulation of both at ηs = 1.2, B = 1: no run of SGD shrinks, most of the other do."""
    rng, rate = np.random.default_rng(32), 1.2
    theta = np.full(2000, 1e-6)
    for _ in range(20):
        theta = theta * (1 + rate * (1 - theta**2) * rng.standard_normal(2000) ** 2)
        theta = np.where(np.abs(theta) < 1e-3, theta, 1e-3)  # it has grown: hold it there
    assert (np.abs(theta) > 1e-6).all()
    assert float(collapse_probability(1e-12, 1.0, rate, 1)) > 0.85


@pytest.mark.parametrize(("start", "rate"), [(0.1, 2.0), (0.5, 1.3), (0.02, 4.0)])
def test_the_chance_of_collapse_is_that_of_the_scale_function(start, rate):
    """`∫ S′` up to y = ln(w/(1 − w)) over the whole, S′ = exp(−∫2a/D), by Simpson's rule in y."""
    level = np.linspace(-150, 150, 300_001)
    w = 1 / (1 + np.exp(-level))
    drift = 2 + 2 * rate * (1 - w) - 4 * rate * (1 - 2 * w)
    slope = np.exp(-cumulative_simpson(2 * drift / (8 * rate), x=level, initial=0))
    scale = cumulative_simpson(slope, x=level, initial=0)
    reached = np.interp(np.log(start / (1 - start)), level, scale / scale[-1])
    assert abs(float(collapse_probability(start, 1.0, rate, 1)) - (1 - reached)) < 1e-6


def test_the_chance_of_collapse_is_that_of_the_equation():
    """Euler's method on y = ln(w/(s − w)), whose noise is constant, `dy = … + √(8η) dB`."""
    start, rate, lanes, step = 0.1, 2.0, 2000, 2e-3
    rng = np.random.default_rng(33)
    level = np.full(lanes, np.log(start / (1 - start)))
    for _ in range(10_000):
        w = 1 / (1 + np.exp(-level))
        drift = 2 + 2 * rate * (1 - w) - 4 * rate * (1 - 2 * w)
        level = level + drift * step + np.sqrt(8 * rate * step) * rng.standard_normal(lanes)
        level = np.clip(level, -60, 60)
    wanted = float(collapse_probability(start, 1.0, rate, 1))
    error = np.sqrt(wanted * (1 - wanted) / lanes)
    assert (np.abs(level) > 8).mean() > 0.99
    assert abs((level < 0).mean() - wanted) < norm.isf(ALARMS / 2) * error


def test_where_nothing_collapses():
    assert float(collapse_probability(0.1, 1.0, 1.0, 1)) == 0
    assert float(collapse_probability(1.0, 1.0, 2.0, 1)) == 0
    assert float(collapse_probability(0.0, 1.0, 0.1, 1)) == 1
    assert float(collapse_edge(2.0, 0.0, 3)) == 1.5


# --- distances belong to laws -----------------------------------------------------------------


def test_a_sample_of_the_law_is_near_it_and_another_is_not():
    law, rng = stationary_law(3, 1.0, 0.5, 0.1, 1), np.random.default_rng(34)
    drawn = law.ppf(rng.uniform(size=20_000))
    assert sample_distances(drawn, law).p_value > ALARMS
    other = stationary_law(3, 1.0, 0.5, 0.15, 1)
    assert sample_distances(drawn, other).p_value < 1e-10
