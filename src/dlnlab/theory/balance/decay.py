"""What gradient descent makes of the gaps between layers: below the edge, beyond it, at first."""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array, positive_number, whole
from dlnlab.theory.balance.flow_end import (
    Curve,
    chain_flow_end,
    chain_flow_end_sharpness,
    checked_chain,
    curve,
)
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.descent import balance_factor
from dlnlab.theory.transverse.attractor import attractor


def adjacent_gaps(layers: Array) -> Array:
    """`w_{l+1}² − w_l²` [layer − 1], without cancelling."""
    return np.asarray((layers[1:] - layers[:-1]) * (layers[1:] + layers[:-1]))


def adjacent_factors(layers: Array, target: float, learning_rate: float) -> Array:
    """What the next step of descent multiplies each gap between adjacent layers by [layer − 1]."""
    residual = layers.prod() - target
    others = [np.delete(layers, [k, k + 1]) for k in range(len(layers) - 1)]
    return np.array([float(balance_factor(residual, other, learning_rate)) for other in others])


def _decay_integral(way: Curve, first: float, last: float, target: float, pair: int) -> float:
    """`∫ r² Π_{m≠i,j} w_m² dt` along the flow, i = `pair`, j = i + 1.

    `dt = du / (−r Π_{l≠least} w_l)`. With `u = d sinh y`, d the least distance, or `u = eʸ` where
    layers tie, the integrand varies over y evenly.
    """
    spread = float(np.delete(way.distances, way.least).min())
    outside = np.delete(np.arange(len(way.signs)), [pair, pair + 1])

    from scipy.integrate import quad  # a fifth of a second to import

    def integrand(y: float) -> float:
        u = spread * np.sinh(y) if spread else np.sign(first) * np.exp(y)
        speed = spread * np.cosh(y) if spread else u
        layers = way.layers(u)
        kicks = float(np.prod(layers[outside] ** 2))
        rest = float(np.prod(np.delete(layers, way.least)))
        return float((target - layers.prod()) * kicks * speed / rest)

    low, high = (float(np.arcsinh(u / spread) if spread else np.log(abs(u))) for u in (first, last))
    return float(quad(integrand, low, high, limit=200, epsabs=0, epsrel=1e-10)[0])


def gaps_left(layer_values: ArrayLike, target: float, learning_rate: float) -> Array:
    """What is left of each gap between adjacent layers when descent has arrived, `b(∞)/b(0)`.

    `exp(−η ∫ r² Π_{m≠i,j} w_m² dt)` along the flow, to leading order in η (the logarithm's
    relative error is of the order of η times the sharpness): `∏_t (1 − η² r_t² Π w_m²)` with a
    residual that is square-summable.

    `layer_values` w [layer], at least two; `target` s > 0. Returns [layer − 1]. Assumes one
    aligned mode of one chain whose flow ends at a minimum that is stable, `ηλ < 2`. Raises
    InputError for arguments out of range and where the flow ends on a saddle.
    Source: ghosh2025.4.

    >>> gaps_left([1.5, 2.25], 5.0, 0.01).round(6).tolist()
    [0.998404]
    """
    layers, _ = checked_chain(layer_values, target, 2)
    goal, step = positive_number("target", target), positive_number("learning_rate", learning_rate)
    chain_flow_end_sharpness(layers, goal)  # refuses a saddle
    way, end = curve(layers), chain_flow_end(layers, goal)
    first, last = float(layers[way.least]), float(end[way.least])
    integrals = [_decay_integral(way, first, last, goal, pair) for pair in range(len(layers) - 1)]
    return np.exp(-step * np.array(integrals))


def _beyond_the_flow_end(layer_values: ArrayLike, target: float, learning_rate: float) -> float:
    step = positive_number("learning_rate", learning_rate)
    return max(0.0, step * float(chain_flow_end_sharpness(layer_values, target)) / 2 - 1)


@prediction(
    "balance_gap",
    symbol="b(∞)",
    assumes=(
        Assumption(
            "minimum_stable",
            "ηλ/2 ≤ 1 at the flow's end point: the residual vanishes there",
            _beyond_the_flow_end,
        ),
    ),
    source="ghosh2025.4",
)
def partial_balance_gap(layer_values: ArrayLike, target: float, learning_rate: float) -> Array:
    """The largest gap between adjacent layers of a chain where descent below the edge arrives.

    `max_l |w_{l+1}² − w_l²| b_l(∞)/b_l(0)`, the factors from `gaps_left`, to leading order in η.

    Arguments and refusals as those of `gaps_left`. Assumes a stable end point.
    Source: ghosh2025.4.

    >>> float(partial_balance_gap([1.5, 2.25], 5.0, 0.01).round(6))
    2.808012
    """
    layers, _ = checked_chain(layer_values, target, 2)
    left = gaps_left(layers, target, learning_rate)
    return np.asarray(np.abs(adjacent_gaps(layers) * left).max())


def largest_stable_gap(target: float, learning_rate: float) -> float | None:
    """The largest gap at which a minimum of two layers is stable: `|b| ≤ 2√(1/η² − s²)`.

    There `λ = √(b² + 4s²) = 2/η`. None beyond 2/S, S = 2s, where none is. Above it descent goes on
    to balance the layers until it is reached. Source: ghosh2025.4.

    >>> largest_stable_gap(4.0, 0.2)
    6.0
    """
    goal, step = positive_number("target", target), positive_number("learning_rate", learning_rate)
    return 2 * float(np.sqrt((1 / step - goal) * (1 / step + goal))) if step * goal <= 1 else None


def lasting_balance_factor(depth: int, target: float, learning_rate: float) -> float | None:
    """What a step multiplies a small gap by in the long run, in the geometric mean of its size.

    `(∏_t |1 − η² r_t² w_t^{2(L−2)}|)^{1/p}` over the attractor of the balanced map: its cycle, or
    some 8000 steps of a longer orbit. 1 at a minimum, up to 2/S; None where the mode diverges.
    On the 2-cycle of two layers it is `√(3 − ηS)`.

    `depth` L at least 2, `target` s > 0. Assumes one aligned chain near balance. Raises InputError
    for arguments out of range. Source: ghosh2025.4.

    >>> round(lasting_balance_factor(2, 5.0, 0.21), 6)  # √(3 − ηS), S = 10
    0.948683
    """
    deep, goal = whole("depth", depth, 2), positive_number("target", target)
    orbit = attractor(deep, goal, positive_number("learning_rate", learning_rate))
    if orbit is None:
        return None
    kicks = learning_rate * (orbit**deep - goal) * orbit ** (deep - 2)
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(np.abs(1 - kicks**2)).mean()))


@prediction("learning_rate_edge", symbol="√2/(sα^{L−2})", source="ghosh2025.4")
def first_growth_edge(target: float, depth: int, layer_scale: float = 1.0) -> Array:
    """Beyond this step size the gap of a chain first grows, from `W_L = 0`, `W_l = αI` (l < L).

    `η² s² α^{2(L−2)} = 2`: at depth 2 `ηS = 2√2`, S = 2s, whatever α.

    `target` s > 0, `depth` L at least 2, `layer_scale` α > 0. Assumes aligned layers. Raises
    InputError for arguments out of range. Source: ghosh2025.4.

    >>> float(first_growth_edge(2.0, 2)) * 4 == 2 * 2**0.5
    True
    """
    goal, deep = positive_number("target", target), whole("depth", depth, 2)
    scale = positive_number("layer_scale", layer_scale)
    return np.asarray(2**0.5 / goal / scale ** (deep - 2))


PREDICTIONS: tuple[Prediction, ...] = (partial_balance_gap, first_growth_edge)
