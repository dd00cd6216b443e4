"""Which dynamics the size of a Gaussian start of a wide network leads to.

With entries of variance w^{−γ}, w the width of the hidden layers, the nearest saddle and the
nearest minimum lie at distances that are powers of w, at leading order. The numbers before these
powers, and the powers of what follows them, are derived in docs/saddles.md.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array, at_least_zero, finite, positive, shown, whole
from dlnlab.theory.base import Assumption, Prediction, prediction

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


def _off_one(gamma: float) -> float:
    return float(_checked(gamma) == 1)


OFF_ONE = Assumption("off_one", "γ is not 1, where no term outweighs the others", _off_one)


@prediction("saddle_distance", symbol="d_s", assumes=(OFF_ONE,), source="jacot2021.1")
def saddle_distance(gamma: float, width: float, depth: int, strengths: ArrayLike) -> Array:
    """The distance of a Gaussian start from the nearest saddle, at leading order in the width.

    `√(c k w^{1−γ})`: k directions are cut off at each end of the chain, at a cost of w^{1−γ} by one
    layer and of half of it by two, so that c = 2, 3/2, 1 for L = 2, 3 and from 4 on. Below γ = 1
    the map is fitted at a lower cost, and k = 1; above, the nearest saddle is at the zero map, and
    k is the rank of the target.

    `gamma` γ, entries of variance w^{−γ}; `width` w; `depth` L at least 2; `strengths` s_i [mode],
    the target's singular values. Assumes white inputs, γ ≠ 1, w → ∞, and of the saddles those that
    two layers or fewer cut at each end: for L > 4 a nearer one is not excluded. Raises InputError
    for arguments out of range. Source: jacot2021.1.

    >>> round(float(saddle_distance(0.5, 64, 3, [2.0, 1.0])), 6), round(12**0.5, 6)
    (3.464102, 3.464102)
    """
    power, wide, deep = _checked(gamma), positive("width", width), whole("depth", depth, 2)
    rank = np.count_nonzero(_strengths(strengths))
    cost = {2: 2.0, 3: 1.5}.get(deep, 1.0) * (1 if power < 1 else rank)
    return np.asarray(np.sqrt(cost * wide ** (1 - power)))


@prediction("minimum_distance", symbol="d_m", assumes=(OFF_ONE,), source="jacot2021.1")
def minimum_distance(gamma: float, width: float, depth: int, strengths: ArrayLike) -> Array:
    """The distance of a Gaussian start from the nearest global minimum, at leading order.

    Below γ = 1 `√((Σ s_i² + d² w^{L−1−Lγ}) / (L w^{(L−1)(1−γ)}))`, the root of the mean square of
    the residual, which has the target and the start's own product, over that of the tangent kernel.
    Above it is `√(L Σ s_i^{2/L}) e^{−κx}`, the least norm of layers that fit, less what the start
    has in their direction: `x = w^{(1−γ)/2}`, `κ = √2 (L − 1) Σ s_i^{1/L} / (L Σ s_i^{2/L})`, right
    to the first order of x.

    `gamma` γ, entries of variance w^{−γ}; `width` w; `depth` L at least 2; `strengths` s_i [mode],
    the singular values of a target of d by d, zeros included. Assumes white inputs, γ ≠ 1, w → ∞.
    Raises InputError for arguments out of range. Source: jacot2021.1.

    >>> round(float(minimum_distance(0.5, 64, 2, [3.0, 0.0])), 6), round((13 / 16) ** 0.5, 6)
    (0.901388, 0.901388)
    """
    power, wide, deep = _checked(gamma), positive("width", width), whole("depth", depth, 2)
    values = _strengths(strengths)
    if power < 1:
        residual = np.sum(values**2) + values.size**2 * wide ** (deep - 1 - deep * power)
        return np.asarray(np.sqrt(residual / deep / wide ** ((deep - 1) * (1 - power))))
    least = deep * np.sum(values ** (2 / deep))
    share = 2**0.5 * (deep - 1) * np.sum(values ** (1 / deep)) / least
    return np.asarray(np.sqrt(least) * np.exp(-share * wide ** ((1 - power) / 2)))


def saddle_distance_corrections(gamma: float, depth: int) -> tuple[float, ...]:
    """Powers of 1/w by which `ln d_s` departs from its leading order, the largest terms first.

    1/2 from the nearest of several saddles at equal distances on average, each off by `O(w^{−1/2})`
    of its own; 1 from means, and from fitting the start's product; between γ = 1 − 1/L and 1
    `L(1 − γ)` from fitting the target. Arguments as in `regime`. Source: jacot2021.1.

    >>> saddle_distance_corrections(0.5, 3), saddle_distance_corrections(0.75, 3)
    ((0.5, 1.0), (0.5, 0.75))
    """
    power, deep = _checked(gamma), whole("depth", depth, 2)
    fitted = deep * (1 - power) if 1 - 1 / deep < power < 1 else 1.0
    return tuple(sorted({0.5, fitted}))


def minimum_distance_corrections(gamma: float, depth: int) -> tuple[float, ...]:
    """Powers of 1/w by which `ln d_m`, for a given residual, departs from its leading order.

    1 up to γ = 1 − 1/L, from means. Beyond, `L(1 − γ)` and its double, from the target's layers,
    which are no longer small beside the start's; above γ = 1, `γ − 1`, the square of x in
    `minimum_distance`, and 1, or 1 and 3/2 where these are one. Arguments as in `regime`.
    Source: jacot2021.1.

    >>> minimum_distance_corrections(0.5, 3), minimum_distance_corrections(1.5, 3)
    ((1.0,), (0.5, 1.0))
    """
    power, deep = _checked(gamma), whole("depth", depth, 2)
    if power <= 1 - 1 / deep or power == 1:
        return (1.0,)
    if power < 1:
        return (deep * (1 - power), 2 * deep * (1 - power))
    return (1.0, 1.5) if power == 2 else (min(power - 1, 1.0), max(power - 1, 1.0))


def _strengths(given: ArrayLike) -> Array:
    values = at_least_zero("strengths", given)
    if values.ndim != 1 or not values.any():
        raise InputError(
            f"strengths is {shown(given)}, and a list of singular values that are not all zero is "
            "needed; pass those of the target."
        )
    return values


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


PREDICTIONS: tuple[Prediction, ...] = (
    saddle_distance_exponent,
    minimum_distance_exponent,
    saddle_distance,
    minimum_distance,
)
