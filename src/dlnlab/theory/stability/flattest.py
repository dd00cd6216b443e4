"""The flattest way to share one singular value between pathways of any depths."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dlnlab.theory.arguments import Array, positive_number, whole_numbers
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.special import brentq, logsumexp

_EPSILON = float(np.finfo(np.float64).eps)


class FlattestSplit(NamedTuple):
    """End-to-end values σ_h of the pathways (None where not unique), and the sharpness there."""

    shares: tuple[float, ...] | None
    sharpness: float


def _deep_shares(depths: Array, target: float) -> Array:
    """Solve `2(L_h − 1) σ_h^{1−2/L_h} = μ`, `Σ σ_h = s` for depths beyond 2, in ln μ."""
    exponent, offset = depths / (depths - 2), np.log(2 * (depths - 1))
    equal = offset + np.log(target / len(depths)) / exponent
    multiplier = brentq(
        lambda log_mu: float(logsumexp(exponent * (log_mu - offset))) - np.log(target),
        equal.min() - 1e-3,
        equal.max() + 1e-3,
        xtol=_EPSILON,
        rtol=4 * _EPSILON,
    )
    weights = exponent * (multiplier - offset)
    return np.asarray(target * np.exp(weights - logsumexp(weights)))


def flattest_split(depths: Sequence[int], target: float) -> FlattestSplit:
    """The zero-loss split of one singular value between pathways with the least sharpness.

    Minimises `Σ_h L_h σ_h^{2−2/L_h}` over `σ_h ≥ 0`, `Σ_h σ_h = s`: beyond depth 2
    `2(L_h−1) σ_h^{1−2/L_h} = μ`; a path of depth 2 holds μ at 2 and takes what remains, if
    anything does; one of depth 1 contributes 1 whatever its share and takes everything.

    `depths` are the L_h [pathway], `target` s > 0. Returns `shares` σ_h [pathway] that sum to s,
    None where several paths of depth 1, or of depth 2 with a remainder, may divide it at will,
    and the `sharpness`, whose edge is at η = 2/sharpness. Assumes aligned, depth-balanced
    pathways. Raises InputError for a depth below 1 or a target not above zero.
    Source: kim2026.1, kim2026.2.

    >>> shares, sharpness = flattest_split([3, 5], 1.0)
    >>> [round(share, 5) for share in shares], round(2 / sharpness, 6)
    ([0.73462, 0.26538], 0.77304)
    """
    levels, goal = whole_numbers("depths", depths), positive_number("target", target)
    depth = np.array(levels, dtype=np.float64)
    linear, double = depth == 1, depth == 2
    if linear.any():
        alone = tuple(np.where(linear, goal, 0.0).tolist()) if linear.sum() == 1 else None
        return FlattestSplit(alone, float(linear.sum()))
    shares, deep = np.zeros(len(depth)), depth > 2
    shares[deep] = (depth[deep] - 1) ** (-depth[deep] / (depth[deep] - 2))
    remainder = goal - shares.sum() if double.any() else 0.0
    if remainder > 0:
        shares[double] = remainder / double.sum()
    else:
        shares[deep] = _deep_shares(depth[deep], goal)
    sharpness = float((depth * shares ** (2 - 2 / depth)).sum())
    divided_at_will = remainder > 0 and double.sum() > 1
    return FlattestSplit(None if divided_at_will else tuple(shares.tolist()), sharpness)


@prediction("learning_rate_edge", symbol="2/λ^min", source="kim2026.5")
def flattest_edge(depths: Sequence[int], target: float) -> Array:
    """The largest step size at which any division of the target is stable: `2/λ^min`.

    `depths` L_h [pathway] at least 1, `target` s > 0. Assumes aligned, depth-balanced pathways at
    zero loss. Raises InputError for arguments out of range. Source: kim2026.5.

    >>> round(float(flattest_edge((3, 5), 1.0)), 6)
    0.77304
    """
    return np.asarray(2 / flattest_split(depths, target).sharpness)


PREDICTIONS: tuple[Prediction, ...] = (flattest_edge,)
