"""The topic `escape` of `dln predict`: how a small network leaves the origin, and what follows."""

from typing import Annotated, Any, NamedTuple

from dlnlab.errors import InputError
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array, finite, positive_number
from dlnlab.theory.escape.direction import checked_depth, escape_speed
from dlnlab.theory.escape.saddles import checked_targets, learning_order, plateau_loss
from dlnlab.theory.escape.timing import escape_time, final_norm

_Targets = Annotated[tuple[float, ...], Coordinate(help="singular values of the target")]
_Scale = Annotated[float, Coordinate(help="norm of all parameters at the start")]


class Escape(NamedTuple):
    """The first escape from the origin, and the plateaus that follow; see `escape`."""

    speed: float
    time: float | None
    until: str
    plateau_losses: tuple[float, ...]
    order: tuple[int, ...]


def _checked_scale(scale: float, depth: int, targets: Array) -> float:
    if not finite("scale", scale).any():
        raise InputError(
            "scale is 0, and a number above 0 is needed: the origin is a critical point, from "
            "which nothing ever moves; say 1e-3."
        )
    start = positive_number("scale", scale)
    most, why = final_norm(float(targets.max()), depth), "the ray from the origin ends there"
    if depth == 2 and most > 1:
        most, why = 1.0, "the time asked for is that to the norm 1"
    if start >= most:
        raise InputError(
            f"scale is {start:g}, and a number below {most:g} is needed, since {why}; lower the "
            f"scale, say to {most / 1000:.1g}."
        )
    return start


def _time(strength: float, depth: int, start: float) -> dict[str, Any]:
    """The fields `time` and `until`."""
    if depth > 2:
        where = "the blow-up on the ray"
    elif not escape_time.broken(strength, depth, start):
        where = "the norm 1"
    else:
        end = final_norm(strength, depth)
        short = "short of" if end <= 1 else "too near"
        return {"time": None, "until": f"none: the norm ends at {end:.3g}, {short} 1"}
    return {"time": float(escape_time(strength, depth, start)), "until": where}


def escape(depth: int, targets: _Targets, scale: _Scale) -> Escape:
    """How a network leaves the origin along its fastest ray, and the plateaus that follow.

    `speed`: `s* = L^{−(L−2)/2} s_1`, in `ṙ = s* r^{L−1}` for the norm r of all parameters.
    `time`: from the norm r = scale on, `ln(1/scale)/s_1` to the norm 1 for L = 2; beyond,
    `1/((L−2) s* scale^{L−2})`, to the blow-up on the ray; elsewhere it takes longer. None for L = 2
    and `s_1 < 1`, where the norm 1 is not reached or the cost is not linear up to there.
    `until`: to where the time leads, or why there is none.
    `plateau_losses`: `½ Σ_{i>k} s_i²` with the k strongest modes learned, from k = 0 to all; equal
    modes are learned at once, without a plateau between them.
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
        **_time(strongest, deep, start),
        plateau_losses=tuple(plateau_loss(goals).tolist()),
        order=tuple(mode for group in learning_order(goals) for mode in group),
    )
