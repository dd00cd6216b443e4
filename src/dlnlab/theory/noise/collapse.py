"""Two layers near zero: where the stochastic differential equation collapses, and where SGD does.

One balanced mode of two layers, w = θ², moves by `θ⁺ = θ(1 + η[(s − w)x̄² + (ξx)̄])`, bars means over
the batch. Near zero ln w grows by twice `E ln|1 + η(s x̄² + (ξx)̄)|` a step. The differential
equation has instead the drift of its logarithm, `η[s − (η/2B)(2s² + ς²)]`.
"""

import functools
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import betainc, dawsn, gammaln

from dlnlab.theory.arguments import Array, positive_number, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.noise.scale import noise_scale, single

Fate = Literal["grows", "collapses"]
_EULER = float(np.euler_gamma)


@functools.cache
def _rule(count: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss's rule on [−1, 1]; an eigenvalue problem, so it waits for use."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return np.asarray(nodes), np.asarray(weights)


class SmallMode(NamedTuple):
    """What becomes of a small mode of two layers; see `small_mode`."""

    sgd_exponent: float
    sde_exponent: float
    minimum_exponent: float
    sgd: Fate
    sde: Fate


def _mean_log_normal(centre: Array) -> Array:
    """`E ln|1 + N/μ|`, N standard normal, at μ > 0: `−(γ + ln 2)/2 + ∫_0^μ √2 D(t/√2) dt − ln μ`.

    D is Dawson's integral. Beyond 12 its asymptotic series, `−1/2μ² − 3/4μ⁴ − …`.
    """
    near = np.minimum(centre, 12.0)
    nodes, rule = _rule(60)
    places = near[..., None] / 2 * (1 + nodes)
    area = near / 2 * np.sum(rule * np.sqrt(2) * dawsn(places / np.sqrt(2)), axis=-1)
    close = area - (_EULER + np.log(2)) / 2 - np.log(near)
    orders = np.arange(1, 12)
    # −E N^{2k}/(2k μ^{2k}), E N^{2k} = (2k − 1)!!
    doubles = np.cumprod(2.0 * orders - 1) / (2 * orders)
    far = -np.sum(doubles / np.maximum(centre, 12.0)[..., None] ** (2 * orders), axis=-1)
    return np.where(centre < 12, close, far)


def _span(batch: int) -> tuple[float, float]:
    """Where the radius of B normal numbers lies, up to 10⁻²⁰."""
    return max(0.0, float(np.sqrt(batch)) - 10), float(np.sqrt(batch)) + 10


def _radius_density(places: Array, batch: int) -> Array:
    """The density of `√(Σ_k x_k²)`: chi with B degrees of freedom."""
    logs = (batch - 1) * np.log(places) - places**2 / 2
    return np.exp(logs - (batch / 2 - 1) * np.log(2) - gammaln(batch / 2))


def small_mode_exponent(
    target: float, label_noise: float, learning_rate: float, batch_size: int
) -> float:
    """The Lyapunov exponent of SGD near zero: `E ln|1 + η(s x̄² + (ξx)̄)|` for each step.

    A small mode of two layers, θ = √w, grows where it is above 0 and collapses where it is below.
    Given the inputs, `(ξx)̄` is normal, and the mean of the logarithm is an integral of Dawson's
    function; the sum of squares is integrated by Gauss's rule. Without label noise
    `E ln(1 + ηsχ²_B/B) > 0`: SGD never collapses, whatever the step.

    `target` s > 0, `label_noise` ς, `batch_size` B. Assumes one balanced mode of two layers,
    x ~ N(0, 1). Raises InputError for arguments out of range. Source: corlouer2026.4.

    >>> round(small_mode_exponent(1.0, 0.0, 0.1, 1), 6)
    0.088407
    """
    goal, noise = positive_number("target", target), single("label_noise", label_noise)
    rate, batch = noise_scale(learning_rate, 1), whole("batch_size", batch_size)
    low, high = _span(batch)
    nodes, rule = _rule(400)
    places = low + (high - low) / 2 * (1 + nodes)
    weights = (high - low) / 2 * rule * _radius_density(places, batch)
    growth = rate * goal * places**2 / batch
    logs = np.log1p(growth)
    if noise:
        logs = logs + _mean_log_normal((1 + growth) * batch / (rate * noise * places))
    return float(np.sum(weights * logs))


def minimum_exponent(depth: int, target: float, learning_rate: float, batch_size: int) -> float:
    """The Lyapunov exponent of SGD at a minimum without label noise: `E ln|1 − ηS x̄²|`.

    S = Ls^{2−2/L}, for each step. Below 0 a balanced mode that comes near its target stays there,
    for almost every sequence of batches; above 0 it is thrown out. For full batches the edge of
    descent, ηS = 2. Source: corlouer2026.4.

    >>> minimum_exponent(2, 1.0, 0.1, 1) < 0 < minimum_exponent(2, 1.0, 4.0, 1)
    True
    """
    goal, deep = positive_number("target", target), whole("depth", depth)
    batch = whole("batch_size", batch_size)
    scaled = noise_scale(learning_rate, 1) * deep * goal ** (2 - 2 / deep)
    low, high = _span(batch)
    root = np.sqrt(batch / scaled)
    cuts = np.unique([low, np.clip(root, low, high), high])
    return sum(
        _log_part(float(a), float(b), root, batch) for a, b in zip(cuts, cuts[1:], strict=False)
    )


def _log_part(start: float, end: float, root: float, batch: int) -> float:
    """`∫ ln|1 − (x/root)²|` over a part of the law of the radius that ends at the root, or not."""
    nodes, rule = _rule(400)
    half = (1 + nodes) / 2
    places = start + (end - start) * half**2 * (3 - 2 * half)  # softens a logarithm at either end
    steps = 3 * (end - start) * half * (1 - half) * rule
    logs = np.log(np.abs(1 - (places / root) ** 2))
    return float(np.sum(steps * _radius_density(places, batch) * logs))


def small_mode(
    target: float, label_noise: float, learning_rate: float, batch_size: int
) -> SmallMode:
    """What becomes of a small mode of two layers, by SGD and by its differential equation.

    Both exponents are of θ = √w for each step: `sgd_exponent` as `small_mode_exponent`,
    `sde_exponent` `η[s − (η/2B)(2s² + ς²)]`, and the mode collapses where they are below 0.
    `minimum_exponent` is that of the target without label noise. Without it SGD never collapses,
    and the equation does from ηs = B on, where full-batch descent, with its edge at ηs = 1, has
    long ceased to converge: the collapse is the equation's alone.

    Arguments, assumptions and errors as those of `small_mode_exponent`. Source: corlouer2026.4.

    >>> found = small_mode(1.0, 0.0, 1.5, 1)
    >>> found.sgd, found.sde
    ('grows', 'collapses')
    """
    sgd = small_mode_exponent(target, label_noise, learning_rate, batch_size)
    scale = noise_scale(learning_rate, batch_size)
    sde = learning_rate * (target - scale / 2 * (2 * target**2 + label_noise**2))
    return SmallMode(
        sgd_exponent=sgd,
        sde_exponent=sde,
        minimum_exponent=minimum_exponent(2, target, learning_rate, batch_size),
        sgd="collapses" if sgd < 0 else "grows",
        sde="collapses" if sde < 0 else "grows",
    )


@prediction("learning_rate_edge", symbol="2Bs/(2s² + ς²)", source="corlouer2026.4")
def collapse_edge(target: float, label_noise: float, batch_size: int) -> Array:
    """The step size from which on the differential equation of two layers has no stationary law.

    `η = 2Bs/(2s² + ς²)`; without label noise ηs = B. Of the equation: what SGD does is said by
    `small_mode_exponent`.

    `target` s > 0, `label_noise` ς, `batch_size` B. Assumes one balanced mode of two layers. Raises
    InputError for arguments out of range. Source: corlouer2026.4.

    >>> float(collapse_edge(2.0, 0.0, 1))
    0.5
    """
    goal, noise = positive_number("target", target), single("label_noise", label_noise)
    return np.asarray(2 * whole("batch_size", batch_size) * goal / (2 * goal**2 + noise**2))


@prediction("collapse_probability", symbol="P(w → 0)", source="corlouer2026.4")
def collapse_probability(
    start: float, target: float, learning_rate: float, batch_size: int
) -> Array:
    """The chance that the equation of two layers ends at 0, not at its target, without label noise.

    The scale function of θ = √w has the slope `(|s − w|/w)^c`, c = B/(2ηs): for ηs > B both ends
    are reached, 0 with probability `1 − I_{w/s}(½ − c, 1 + c)`, I the regularised incomplete beta
    function; else, and from w ≥ s, the target surely.

    `start` w(0) ≥ 0, `target` s > 0, `batch_size` B. Assumes the stochastic differential equation
    of one balanced mode; SGD itself does not collapse (`small_mode_exponent`). Raises InputError
    for arguments out of range. Source: corlouer2026.4.

    >>> float(collapse_probability(0.1, 1.0, 2.0, 1).round(6))
    0.396498
    """
    share = single("start", start) / positive_number("target", target)
    shape = 1 / (2 * noise_scale(learning_rate, batch_size) * target)
    if share == 0:
        return np.asarray(1.0)
    if shape >= 0.5 or share >= 1:
        return np.asarray(0.0)
    return np.asarray(1 - betainc(0.5 - shape, 1 + shape, share), dtype=np.float64)


PREDICTIONS: tuple[Prediction, ...] = (collapse_edge, collapse_probability)
