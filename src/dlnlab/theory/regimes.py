"""Which dynamics the size of a Gaussian start of a wide network leads to.

With entries of variance w^{−γ}, w the width of the hidden layers, the nearest saddle and the
nearest minimum lie at distances that are powers of w.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias

import numpy as np

from dlnlab.errors import InputError
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array, finite, shown, whole
from dlnlab.theory.base import Prediction, prediction

RegimeName: TypeAlias = Literal["lazy", "critical", "saddle_to_saddle"]
_Gamma = Annotated[
    float, Coordinate(symbol="γ", help="the start's entries have variance width^{−γ}")
]


class Regime(NamedTuple):
    """The dynamics of a wide network, and how far it starts from what; see `regime`."""

    regime: RegimeName
    saddle_distance_exponent: float
    minimum_distance_exponent: float


def _checked(gamma: float) -> float:
    given = finite("gamma", gamma)
    if given.ndim:
        raise InputError(
            f"gamma is {shown(gamma)}, and a single number is needed; call once for each value."
        )
    return float(given)


@prediction("saddle_distance_exponent", symbol="(1−γ)/2", source="jacot2021.1")
def saddle_distance_exponent(gamma: float) -> Array:
    """The power of the width at which the nearest saddle lies from a Gaussian start.

    `(1 − γ)/2`: as far as the first and the last layer are from zero, w entries of size w^{−γ/2}
    in each row.

    `gamma` γ, entries of variance w^{−γ}. Assumes two layers or more, fixed numbers of inputs and
    outputs, w → ∞. Raises InputError for what is not a number. Source: jacot2021.1.

    >>> float(saddle_distance_exponent(1.5))
    -0.25
    """
    return np.asarray((1 - _checked(gamma)) / 2)


@prediction("minimum_distance_exponent", symbol="log_w d_min", source="jacot2021.1")
def minimum_distance_exponent(gamma: float, depth: int) -> Array:
    """The power of the width at which the nearest global minimum lies from a Gaussian start.

    `−γ/2` for γ ≤ 1 − 1/L, where the start's own product is large, `−(1 − γ)(L − 1)/2` up to γ = 1,
    then 0.

    `gamma` γ, entries of variance w^{−γ}; `depth` L at least 2. Assumes fixed numbers of inputs and
    outputs, w → ∞. Up to γ = 1 it is the distance in the linearised network. Raises InputError for
    arguments out of range. Source: jacot2021.1.

    >>> [float(minimum_distance_exponent(gamma, 2)) for gamma in (0.25, 0.5, 0.75, 1.0, 2.0)]
    [-0.125, -0.25, -0.125, 0.0, 0.0]
    """
    power, deep = _checked(gamma), whole("depth", depth, 2)
    if power <= 1 - 1 / deep:
        return np.asarray(-power / 2 + 0.0)
    return np.asarray(min(0.0, -(1 - power) * (deep - 1) / 2) + 0.0)


def regime(depth: int, gamma: _Gamma) -> Regime:
    """Which dynamics a wide network with a Gaussian start of variance width^{−γ} falls into.

    `regime`: "lazy" for γ < 1, where the nearest minimum is nearer than the nearest saddle by a
    power of the width and the network stays linear in its parameters; "critical" at γ = 1, both at
    a distance of order 1; "saddle_to_saddle" for γ > 1, where the nearest saddle comes nearer as
    the width grows and learning goes from one to the next.
    `saddle_distance_exponent`: `(1 − γ)/2`, the power of the width at which the nearest saddle
    lies.
    `minimum_distance_exponent`: `−γ/2` up to `1 − 1/L`, `−(1 − γ)(L − 1)/2` up to 1, then 0, that
    of the nearest global minimum. For γ < 0 both move away.

    `depth` L at least 2; `gamma` γ any number, 1 the usual scale; for γ < 0 entries grow with the
    width, and it is the start's own product that has to be undone. Assumes hidden layers of one
    width w → ∞, with the numbers of inputs and outputs fixed. Raises InputError for arguments out
    of range. Source: jacot2021.1.

    >>> regime(4, 1.5)
    Regime(regime='saddle_to_saddle', saddle_distance_exponent=-0.25, minimum_distance_exponent=0.0)
    """
    power = _checked(gamma)
    name: RegimeName = "lazy" if power < 1 else "critical" if power == 1 else "saddle_to_saddle"
    return Regime(
        regime=name,
        saddle_distance_exponent=float(saddle_distance_exponent(power)),
        minimum_distance_exponent=float(minimum_distance_exponent(power, depth)),
    )


PREDICTIONS: tuple[Prediction, ...] = (saddle_distance_exponent, minimum_distance_exponent)
