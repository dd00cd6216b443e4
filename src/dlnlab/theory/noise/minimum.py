"""SGD itself near the target of one balanced mode, where its differential equation may mislead.

To first order in the residual r = w − s a step is `r⁺ = r(1 − ηS x̄²) + ηS (ξx)̄`, S = Ls^{2−2/L},
bars means over the batch. For Gaussian inputs `E(x̄²)² = 1 + 2/B`.
"""

import numpy as np

from dlnlab.theory.arguments import positive_number, whole
from dlnlab.theory.noise.collapse import minimum_exponent
from dlnlab.theory.noise.scale import noise_scale


def _scaled_rate(depth: int, target: float, learning_rate: float) -> float:
    """ηS."""
    deep, goal = whole("depth", depth), positive_number("target", target)
    return noise_scale(learning_rate, 1) * deep * goal ** (2 - 2 / deep)


def variance_edge(batch_size: int) -> float:
    """The ηS from which on SGD has no variance near a minimum: `2/(1 + 2/B)`.

    There `E(1 − ηS x̄²)² = 1`. Beyond it squares grow in the mean, although single runs may still
    come closer (`minimum_exponent`). Assumes Gaussian inputs. Source: corlouer2026.4.

    >>> variance_edge(2)
    1.0
    """
    return 2 / (1 + 2 / whole("batch_size", batch_size))


def sgd_variance_ratio(
    depth: int, target: float, learning_rate: float, batch_size: int
) -> float | None:
    """The variance of SGD over that of its equation, for little label noise; None without variance.

    `1 + (ηS/2)/(1 − ηS/B − ηS/2)`: what `r⁺ = r(1 − ηS x̄²) + noise` has at rest, over what
    `dr = −Sr dt + √(η/B)·√(2S²r² + …) dB` has. 1 + ηS/2 to first order in ηS; infinite, None, from
    `variance_edge` on.

    `depth` L, `target` s > 0, `learning_rate` η, `batch_size` B. Assumes one aligned, balanced
    mode, Gaussian inputs, and ς/s so small that w stays near s. Raises InputError for arguments out
    of range. Source: corlouer2026.4.

    >>> round(sgd_variance_ratio(2, 1.0, 0.1, 1), 6), sgd_variance_ratio(4, 1.0, 0.45, 1)
    (1.142857, None)
    """
    scaled = _scaled_rate(depth, target, learning_rate)
    if scaled >= variance_edge(batch_size):
        return None
    return 1 + scaled / 2 / (1 - scaled / batch_size - scaled / 2)


def _tails(scaled: float, batch: int) -> str:
    """What is to be added where `E(1 − ηS x̄²)⁴ ≥ 1`: fourth powers grow in the mean."""
    moments = np.cumprod([1.0, *(1 + 2 * k / batch for k in range(4))])  # E(x̄²)^k, k = 0, …, 4
    fourth = np.sum([1, -4, 6, -4, 1] * scaled ** np.arange(5.0) * moments)
    # No batch has the edge below 0.38; at tiny ηS the sum is 1 to rounding.
    if scaled < 0.1 or fourth < 1:
        return ""
    return ", and its tails are so heavy (no fourth moment) that single runs may diverge"


def sgd_beside_equation(depth: int, target: float, learning_rate: float, batch_size: int) -> str:
    """One sentence: how far SGD itself is from its equation at a minimum.

    >>> sgd_beside_equation(2, 1.0, 0.1, 1)
    'at ηS = 0.2 the variance of SGD itself is 14.3 % larger at rest, for little label noise.'
    """
    scaled, edge = _scaled_rate(depth, target, learning_rate), variance_edge(batch_size)
    ratio = sgd_variance_ratio(depth, target, learning_rate, batch_size)
    if ratio is not None:
        return (
            f"at ηS = {scaled:.3g} the variance of SGD itself is {100 * (ratio - 1):.3g} % larger "
            f"at rest, for little label noise{_tails(scaled, batch_size)}."
        )
    lower = np.format_float_positional(edge * learning_rate / scaled, 4, fractional=False, trim="-")
    exponent = minimum_exponent(depth, target, learning_rate, batch_size)
    if exponent > 0:
        return (
            f"SGD itself does not stay at the target: at ηS = {scaled:.3g} its Lyapunov exponent "
            f"E ln|1 − ηS x̄²| there is {exponent:.3g}, above 0; lower learning_rate below {lower}."
        )
    return (
        f"SGD itself has no variance near the target: ηS = {scaled:.3g} is not below 2/(1 + 2/B) = "
        f"{edge:.3g}, and its runs stray far or diverge; lower learning_rate below {lower}."
    )
