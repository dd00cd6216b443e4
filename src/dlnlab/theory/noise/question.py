"""The question `dln predict noise`: one mode under the stochastic differential equation of SGD."""

from typing import NamedTuple

from dlnlab.theory.arguments import positive_number
from dlnlab.theory.noise.minimum import sgd_beside_equation
from dlnlab.theory.noise.peak import (
    label_noise_global_limit,
    label_noise_peak_limit,
    peak_share,
)
from dlnlab.theory.noise.scale import single
from dlnlab.theory.noise.stationary import gaussian_variance, no_law, stationary_law


class Noise(NamedTuple):
    """One balanced mode under the differential equation of SGD; see `noise`."""

    peak: float | None
    peak_is_global: bool
    label_noise_peak_limit: float
    label_noise_global_limit: float
    stationary_mean: float | None
    stationary_variance: float | None
    gaussian_variance: float
    reason: str | None
    sgd: str


def noise(
    depth: int,
    target: float,
    learning_rate: float,
    label_noise: float = 0.0,
    batch_size: int = 1,
) -> Noise:
    """One balanced mode under the differential equation of SGD: where noise peaks, where it rests.

    `peak`: w/s at which the equation's diffusion D has a local maximum before the mode is learned;
    none where the label noise is too large.
    `peak_is_global`: whether D is nowhere larger up to w = s.
    `label_noise_peak_limit`: the ς/s from which on there is no such peak.
    `label_noise_global_limit`: the ς/s from which on D is larger at w = s than at the peak.
    `stationary_mean`: the mean of w in the equation's stationary law; none where there is no law.
    `stationary_variance`: the variance of w there.
    `gaussian_variance`: what it is for small noise, `(η/B)ς²Ls^{2−2/L}/2`.
    `reason`: why the equation has no stationary law, where there is none.
    `sgd`: how far SGD itself is from its equation near w = s, or that it does not stay there.

    `D = (η/B)L²w^{4−4/L}[2(s − w)² + ς²]`, `y = Mx + ξ`, x ~ N(0, I), ξ ~ N(0, ς²I). `depth` L from
    2 on, `target` s > 0, `label_noise` ς, `batch_size` B. Without label noise all mass of the law
    is at w = s. Assumes an aligned, depth-balanced mode alone, and the stochastic differential
    equation, which SGD follows for ηS ≪ 1, S = Ls^{2−2/L}: `sgd` says how well. Raises InputError
    for arguments out of range. Source: corlouer2026.3, corlouer2026.4.

    >>> found = noise(4, 1.0, 1e-3, 0.2)
    >>> round(found.peak, 6), found.peak_is_global, round(found.stationary_mean, 6)
    (0.632668, True, 0.99994)
    """
    goal, level = positive_number("target", target), single("label_noise", label_noise)
    share = peak_share(depth, level / goal)
    small = float(gaussian_variance.function(depth, goal, level, learning_rate, batch_size))
    reason = no_law(depth, goal, level, learning_rate, batch_size)
    mean, variance = (None, None) if reason else (goal, 0.0)
    if level and reason is None:
        law = stationary_law(depth, goal, level, learning_rate, batch_size)
        mean, variance = law.mean, law.variance
    return Noise(
        peak=share,
        peak_is_global=share is not None and level / goal < label_noise_global_limit(depth),
        label_noise_peak_limit=label_noise_peak_limit(depth),
        label_noise_global_limit=label_noise_global_limit(depth),
        stationary_mean=mean,
        stationary_variance=variance,
        gaussian_variance=small,
        reason=reason,
        sgd=sgd_beside_equation(depth, goal, learning_rate, batch_size),
    )
