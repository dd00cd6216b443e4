"""The topic `escape` of `dln predict`: how a small network leaves the origin, and what follows."""

from typing import Annotated, NamedTuple

from dlnlab.errors import InputError
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array, finite, positive_number
from dlnlab.theory.escape.direction import checked_depth, escape_speed
from dlnlab.theory.escape.saddles import checked_targets, learning_order, plateau_loss
from dlnlab.theory.escape.timing import escape_time

_Targets = Annotated[tuple[float, ...], Coordinate(help="singular values of the target")]
_Scale = Annotated[float, Coordinate(help="norm of all parameters at the start")]


class Escape(NamedTuple):
    """The first escape from the origin, and the plateaus that follow; see `escape`."""

    speed: float
    time: float
    plateau_losses: tuple[float, ...]
    order: tuple[int, ...]


def _checked_scale(scale: float, depth: int, targets: Array) -> float:
    if not finite("scale", scale).any():
        raise InputError(
            "scale is 0, and a number above 0 is needed: the origin is a critical point, from "
            "which nothing ever moves; say 1e-3."
        )
    start = positive_number("scale", scale)
    most = float(depth**0.5 * targets.max() ** (1 / depth))
    most = min(most, 1.0) if depth == 2 else most
    if start >= most:
        raise InputError(
            f"scale is {start:g}, and a number below {most:g} is needed: from there on the loss is "
            "no longer linear in the product, or the norm 1 is behind; lower the scale, say to "
            f"{most / 1000:.1g}."
        )
    return start


def escape(depth: int, targets: _Targets, scale: _Scale) -> Escape:
    """How a network leaves the origin along its fastest ray, and the plateaus that follow.

    `speed`: `s* = L^{−(L−2)/2} s_1`, in `ṙ = s* r^{L−1}` for the norm r of all parameters.
    `time`: from the norm r = scale on, `ln(1/scale)/s_1` to the norm 1 for L = 2; beyond,
    `1/((L−2) s* scale^{L−2})`, to the blow-up on the ray; elsewhere it takes longer.
    `plateau_losses`: `½ Σ_{i>k} s_i²` with the k strongest modes learned, from k = 0 to all.
    `order`: indices of the modes, counted from 0, the strongest first; equal ones are learned
    together, and those of zero never.

    `depth` L at least 2; `targets` s_i are the singular values of the target, at or above zero,
    in any order; `scale` is the norm of all parameters on the optimal ray, where each layer has
    norm scale/√L, below √L s_1^{1/L} (and below 1 for L = 2). Times are step × learning rate.
    Assumes white inputs and the half-square loss; of another cost take the singular values of
    −∇C(0) for speed and time. Order and plateaus assume starts of equal size in all modes: for
    L > 2 a weaker mode with a larger start may come first. Raises InputError for arguments out of
    range. Source: jacot2021.2, jacot2021.3.

    >>> found = escape(3, (3.0, 2.0, 1.0), 1e-3)
    >>> round(found.speed, 6), round(found.time, 3), found.plateau_losses, found.order
    (1.732051, 577.35, (7.0, 2.5, 0.5, 0.0), (0, 1, 2))
    """
    deep, goals = checked_depth(depth), checked_targets(targets)
    start, strongest = _checked_scale(scale, deep, goals), float(goals.max())
    return Escape(
        speed=float(escape_speed(strongest, deep)),
        time=float(escape_time(strongest, deep, start)),
        plateau_losses=tuple(plateau_loss(goals).tolist()),
        order=tuple(mode for group in learning_order(goals) for mode in group),
    )
