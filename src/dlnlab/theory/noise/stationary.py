"""Where stochastic gradient noise lets one balanced mode rest: its stationary law and moments."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, positive, positive_number, together, whole
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.noise.law import StationaryLaw, normalised
from dlnlab.theory.noise.pieces import Scaled
from dlnlab.theory.noise.scale import noise_scale, single

_EXTREME = 1e60


def _scaled(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> Scaled:
    """Checked arguments in units of the target."""
    deep, goal = whole("depth", depth), positive_number("target", target)
    noise = single("label_noise", label_noise) / goal
    scale = noise_scale(learning_rate, batch_size)
    log_stiffness = -np.log(deep * scale) - (2 - 2 / deep) * np.log(goal)
    if abs(log_stiffness) > np.log(_EXTREME) or (noise and not 1 / _EXTREME < noise < _EXTREME):
        raise InputError(
            f"label_noise/target is {noise:.3g} and B/(ηS) is exp({log_stiffness:.3g}), and both "
            f"must lie between {1 / _EXTREME:g} and {_EXTREME:g} (no label noise at all will do); "
            "measure in other units."
        )
    return Scaled(deep, noise, float(np.exp(log_stiffness)))


def no_law(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> str | None:
    """Why one mode has no stationary law to which every start w > 0 leads; None where it has one.

    Beyond depth 2 there always is one: `e^{2cΦ}` vanishes at 0 faster than any power, and the tail
    `w^{−5+3/L}` is integrable. At depth 2 `p ~ w^{κ−1}` near 0, and `κ = Bs/(η(2s² + ς²)) − ½`
    must be above 0, which is `η(2s² + ς²) < 2Bs`. Without label noise all mass is at w = s (at
    depth 2 for ηs ≤ B). Source: corlouer2026.4.

    >>> no_law(2, 1.0, 0.2, 0.1, 1) is None, no_law(2, 1.0, 0.0, 1.5, 1)[:40]
    (True, 'without label noise a mode of two layers')
    """
    law = _scaled(depth, target, label_noise, learning_rate, batch_size)
    if law.depth != 2 or law.foot > 0 or (law.foot == 0 and law.noise == 0):
        return None
    if law.noise == 0:
        return (
            "without label noise a mode of two layers with ηs > B ends at 0 or at its target, by "
            "chance and by its start; lower learning_rate below "
            f"{batch_size / target:.6g}."
        )
    edge = 2 * batch_size * target / (2 * target**2 + label_noise**2)
    return (
        "a mode of two layers with η(2s² + ς²) ≥ 2Bs drifts towards 0 and has no stationary law; "
        f"lower learning_rate below {edge:.6g}."
    )


def stationary_law(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> StationaryLaw:
    """The stationary law of one balanced mode, d = 1: the zero-current solution.

    `p ∝ w^{−3(1−1/L)} (2(s−w)² + ς²)^{−1} exp((2B/ηL) ∫ (s−w)/(w^{2−2/L}(2(s−w)² + ς²)) dw)` over
    w > 0, or at depth 1 over all w. Upper tail `w^{−5+3/L}`.

    `depth` L, `target` s > 0, `label_noise` ς > 0, `learning_rate` η, `batch_size` B. Moments and
    shares are right to some 12 digits. Assumes the stochastic differential equation of one aligned,
    balanced mode alone. Raises InputError without label noise (all mass is at w = s), where there
    is no law (`no_law` says why), and for arguments out of range. Source: corlouer2026.4.

    >>> law = stationary_law(2, 1.0, 0.5, 0.1, 1)
    >>> round(law.mean, 6), round(law.variance, 6), round(float(law.cdf(law.mean)), 6)
    (0.984364, 0.031112, 0.517585)
    """
    law = _scaled(depth, target, label_noise, learning_rate, batch_size)
    reason = no_law(depth, target, label_noise, learning_rate, batch_size)
    if reason is not None:
        raise InputError(reason)
    if law.noise == 0:
        raise InputError(
            "label_noise is 0, and above 0 is needed for a density: without it all mass is at the "
            "target, as for gradient flow; pass label_noise."
        )
    return normalised(law, float(target))


def _excess(target: float, label_noise: float, learning_rate: float, batch_size: int) -> float:
    """`η(2s² + ς²)/(2Bs) − 1` at depth 2."""
    goal = positive_number("target", target)
    strength = 2 * goal**2 + single("label_noise", label_noise) ** 2
    return noise_scale(learning_rate, batch_size) * strength / (2 * goal) - 1


def _collapses(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> float:
    over = _excess(target, label_noise, learning_rate, batch_size)
    return max(0.0, over) if whole("depth", depth) == 2 else 0.0


HAS_LAW = Assumption(
    "has_a_law",
    "the mode does not collapse to 0, which two layers do where η(2s² + ς²) > 2Bs",
    _collapses,
    nowhere=True,
)


@prediction("stationary_mean", symbol="E w", assumes=(HAS_LAW,), source="corlouer2026.4")
def stationary_mean(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> Array:
    """The mean of one balanced mode in its stationary law; without label noise the target itself.

    Exists wherever the law does, since its tail is `w^{−5+3/L}` (at depth 1 it is s).

    Arguments, assumptions and errors as those of `stationary_law`. Source: corlouer2026.4.

    >>> float(stationary_mean(4, 1.0, 0.2, 1e-3, 1).round(6))
    0.99994
    """
    if single("label_noise", label_noise) == 0:
        _refuse(no_law(depth, target, label_noise, learning_rate, batch_size))
        return np.asarray(float(target))
    made = stationary_law(depth, target, label_noise, learning_rate, batch_size).mean
    return np.asarray(made, dtype=np.float64)


@prediction("stationary_variance", symbol="Var w", assumes=(HAS_LAW,), source="corlouer2026.4")
def stationary_variance(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> Array:
    """The variance of one balanced mode in its stationary law; 0 without label noise.

    Exists wherever the law does, beyond depth 1; at depth 1 for η < B.

    Arguments, assumptions and errors as those of `stationary_law`. Source: corlouer2026.4.

    >>> float(stationary_variance(4, 1.0, 0.2, 1e-3, 1).round(8))
    8.031e-05
    """
    if single("label_noise", label_noise) == 0:
        _refuse(no_law(depth, target, label_noise, learning_rate, batch_size))
        return np.asarray(0.0)
    made = stationary_law(depth, target, label_noise, learning_rate, batch_size).variance
    if made is None:
        raise InputError(
            f"learning_rate is {learning_rate:g}, and below the batch size it is needed at depth "
            "1 for the stationary law to have a variance; lower it."
        )
    return np.asarray(made)


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise InputError(reason)


def _not_gaussian(
    depth: int, target: float, label_noise: float, learning_rate: float, batch_size: int
) -> float:
    """How far the Gaussian variance is from that of the law, relative to it."""
    if no_law(depth, target, label_noise, learning_rate, batch_size) is not None:
        return np.inf
    if single("label_noise", label_noise) == 0:
        return 0.0
    law = stationary_law(depth, target, label_noise, learning_rate, batch_size)
    if law.variance is None:
        return np.inf
    gauss = law.target**2 * law.scaled.noise**2 / (2 * law.scaled.stiffness)
    return float(abs(gauss / law.variance - 1))


@prediction(
    "stationary_variance",
    symbol="ηLς²s^{2−2/L}/2B",
    assumes=(
        Assumption(
            "small_noise",
            "noise is small: the law's own variance is that of the Gaussian, up to a tenth",
            _not_gaussian,
            tolerance=0.1,
        ),
    ),
    source="corlouer2026.4",
)
def gaussian_variance(
    depth: int, target: ArrayLike, label_noise: float, learning_rate: float, batch_size: int
) -> Array:
    """The stationary variance of a mode for small noise: `(η/B) ς² L s^{2−2/L} / 2`.

    Mode by mode a Boltzmann law at the temperature `(η/2B) ς² S`, S = Ls^{2−2/L}, of its own: not
    one law of the loss.

    Arguments as those of `stationary_law`, ς = 0 allowed. Assumes small noise, measured by the
    law's own variance. Raises InputError for arguments out of range. Source: corlouer2026.4.

    >>> float(gaussian_variance(4, 1.0, 0.2, 1e-3, 1).round(8))
    8e-05
    """
    (goal,) = together(target=positive("target", target))
    deep, noise = whole("depth", depth), single("label_noise", label_noise)
    scale = noise_scale(learning_rate, batch_size)
    return np.asarray(scale * noise**2 * deep * goal ** (2 - 2 / deep) / 2)


PREDICTIONS: tuple[Prediction, ...] = (stationary_mean, stationary_variance, gaussian_variance)
