"""In which regime of balancing a run of descent is."""

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import at_least_zero, positive_number
from dlnlab.theory.balance.decay import adjacent_factors, gaps_left, lasting_balance_factor
from dlnlab.theory.balance.flow_end import chain_flow_end_sharpness, checked_chain

Regime: TypeAlias = Literal["frozen", "grows", "partial", "until stable", "decays", "diverges"]


class Balance(NamedTuple):
    """The regime, what the next step makes of the gaps, a step in the long run, what is left.

    `next_factor` is the one of largest size among adjacent layers, `lasting_factor` a geometric
    mean; `left` is what remains of the gap that keeps most of itself, None where not predicted.
    """

    regime: Regime
    next_factor: float
    lasting_factor: float | None
    left: float | None


def balance_regime(layer_values: ArrayLike, target: float, learning_rate: float) -> Balance:
    """What happens to the gaps `w_i² − w_j²` between the layers of a chain.

    * "frozen": η = 0, gradient flow, which conserves them.
    * "grows": the next step enlarges one, `η² r² Π_{m≠i,j} w_m² > 2`. It lasts as long as that.
    * "partial": the minimum at the flow's end is stable, `ηλ < 2`; the residual is
      square-summable, and a part is left: `gaps_left`, to leading order in η.
    * "until stable": that minimum is not stable, the balanced one is, `ηS < 2 ≤ ηλ`; they decay
      until a minimum is stable, and for two layers `largest_stable_gap` bounds what is left.
    * "decays": no minimum is stable, `2/S ≤ η`; on its orbit the residual never vanishes, and
      they decay to zero by `lasting_balance_factor` at each step.
    * "diverges": nor is there an orbit.

    "grows" is looked at first, and speaks of the given state; the others of what follows.
    `layer_values` w [layer], at least two; `target` s > 0; `learning_rate` η at or above zero.
    Assumes one aligned mode of one chain, and that it reaches its attractor. Raises InputError for
    arguments out of range and where the flow ends on a saddle. Source: ghosh2025.4.

    >>> balance_regime([1.5, 2.25], 5.0, 0.1).regime, balance_regime([1.5, 2.25], 5.0, 0.21).regime
    ('partial', 'decays')
    """
    layers, _ = checked_chain(layer_values, target, 2)
    goal = positive_number("target", target)
    if np.ndim(learning_rate) == 0 and at_least_zero("learning_rate", learning_rate) == 0:
        return Balance("frozen", 1.0, 1.0, 1.0)
    step = positive_number("learning_rate", learning_rate)
    factors = adjacent_factors(layers, goal, step)
    following = float(factors[np.argmax(np.abs(factors))])
    lasting = lasting_balance_factor(len(layers), goal, step)
    regime, left = _following(layers, goal, step, lasting)
    return Balance("grows" if abs(following) > 1 else regime, following, lasting, left)


def _following(
    layers: ArrayLike, target: float, learning_rate: float, lasting: float | None
) -> tuple[Regime, float | None]:
    depth = np.size(layers)
    if lasting is None:
        return "diverges", None
    if learning_rate * depth * target ** (2 - 2 / depth) >= 2:
        return "decays", 0.0
    if learning_rate * float(chain_flow_end_sharpness(layers, target)) >= 2:
        return "until stable", None
    return "partial", float(gaps_left(layers, target, learning_rate).max())
