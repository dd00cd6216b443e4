"""When saddles are left: along the fastest ray, and mode after mode from a small start.

On the ray a network of norm r has layers of one value `r/√L`, and the product `(r/√L)^L`.
"""

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import (
    Array,
    at_least_zero,
    finite,
    positive_number,
    shown,
    together,
)
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.escape.direction import checked_depth, escape_speed
from dlnlab.theory.modes.flow import flow_time

LINEAR = 0.5
"""Up to this share of what is to be learned a cost counts as linear in the product."""


def ray_value(norm: ArrayLike, depth: int) -> Array:
    """The singular value of the product where all layers have one value: `σ = (r/√L)^L`.

    `norm` r of all parameters, at or above zero; `depth` L at least 2. Raises InputError for
    arguments out of range and a value below the smallest float. Source: jacot2021.2.

    >>> round(float(ray_value(2.0, 2)), 12)
    2.0
    """
    deep, norms = checked_depth(depth), at_least_zero("norm", norm)
    with np.errstate(under="ignore"):
        values = (norms / np.sqrt(deep)) ** deep
    if ((values < np.finfo(np.float64).tiny) & (norms > 0)).any():
        raise InputError(
            f"norm is {shown(norm)} at depth {deep}, and a larger one is needed: the product is "
            "below the smallest float; raise it."
        )
    return np.asarray(values)


def final_norm(strength: float, depth: int) -> float:
    """The norm at which the ray ends, where the product is s_1: `√L s_1^{1/L}`.

    `strength` s_1 > 0; `depth` L at least 2. Assumes the half-square loss of white inputs. Raises
    InputError for arguments out of range. Source: jacot2021.2.

    >>> round(final_norm(2.0, 2), 12)
    2.0
    """
    deep = checked_depth(depth)
    return float(deep**0.5 * positive_number("strength", strength) ** (1 / deep))


def norm_on_ray(time: ArrayLike, start: float, strength: float, depth: int) -> Array:
    """The norm of all parameters on the fastest ray, while the cost is linear in the product.

    `ṙ = s* r^{L−1}`: `r_0 e^{s_1 t}` for L = 2, else `(r_0^{2−L} − (L−2) s* t)^{−1/(L−2)}`, which
    is infinite from the blow-up on. No network of norm r_0 is larger at any time.

    `time` at or above zero (step × learning rate), `start` r_0 > 0, `strength` s_1 > 0 the largest
    singular value of −∇C(0), `depth` L at least 2. Raises InputError for arguments out of range.
    Source: jacot2021.2.

    >>> norm_on_ray([0.0, 1.0], 0.1, 1.0, 2).round(6).tolist()
    [0.1, 0.271828]
    """
    deep, moments = checked_depth(depth), at_least_zero("time", time)
    begin, speed = positive_number("start", start), float(escape_speed(strength, depth))
    with np.errstate(over="ignore", divide="ignore"):
        if deep == 2:
            return np.asarray(begin * np.exp(speed * moments))
        left = np.maximum(0.0, 1 - moments / float(escape_time(strength, deep, begin)))
        return np.asarray(begin * left ** (-1 / (deep - 2)))


def _level_below(start: float, level: float | None, depth: int) -> float:
    begin, deep = positive_number("start", start), checked_depth(depth)
    goal = _level(level, deep)
    return max(0.0, begin / goal - 1)


def _share_at_level(strength: float, depth: int, start: float, level: float | None = None) -> float:
    deep = checked_depth(depth)
    goal = _level(level, deep)
    if goal == np.inf:  # the blow-up is no norm that is to be reached
        return 0.0
    return float(ray_value(goal, deep)) / positive_number("strength", strength)


def _level(level: float | None, depth: int) -> float:
    if level is None:
        return 1.0 if depth == 2 else float("inf")
    return positive_number("level", level)


@prediction(
    "escape_time",
    symbol="t*",
    assumes=(
        Assumption("starts_below", "the start lies below the level", _level_below),
        Assumption(
            "linear",
            "at the level the product is well below s_1, where it ends (as a share of s_1)",
            _share_at_level,
            LINEAR,
        ),
    ),
    source="jacot2021.2",
)
def escape_time(strength: float, depth: int, start: float, level: float | None = None) -> Array:
    """The time in which the fastest ray leads from one norm of the parameters to another.

    L = 2: `ln(r_1/r_0)/s_1`. Beyond: `(r_0^{2−L} − r_1^{2−L})/((L−2) s*)`, without a level the
    blow-up `1/((L−2) s* r_0^{L−2})`, at which r would be infinite: the network has then left the
    origin, whatever its cost. From any other start of the same norm it takes longer.

    `strength` s_1 > 0 the largest singular value of −∇C(0); `depth` L at least 2; `start` r_0 > 0
    and `level` r_1 are norms of all parameters; without a level r_1 is 1 for L = 2 and ∞ beyond.
    In units of step × learning rate. Assumes the optimal ray; a cost that is linear in the product
    up to the level, where `ray_value(r_1)` is at most half of s_1: on the ray the norm ends at
    `√L s_1^{1/L}`, and at L = 2 the true time is longer by `−ln(1 − r_1²/(2s_1))/(2s_1)`, at most
    `0.35/s_1`, a third of the time in which the norm grows by e; and a start below the level
    (stretched: a time before the start). Raises InputError for arguments out of range and a time
    beyond the largest float. Source: jacot2021.2.

    >>> float(escape_time(3.0, 2, 1e-3).round(6)), float(escape_time(3.0, 4, 1e-3).round(6))
    (2.302585, 666666.666667)
    """
    deep, begin = checked_depth(depth), positive_number("start", start)
    speed, goal = float(escape_speed(positive_number("strength", strength), deep)), level
    end = _level(goal, deep)
    if deep == 2:
        return np.asarray(np.log(end / begin) / speed)
    power, exponent = np.log(begin), deep - 2
    with np.errstate(over="ignore", under="ignore"):
        blow_up = np.exp(-exponent * power - np.log(exponent * speed))
        time = blow_up * -np.expm1(exponent * (power - np.log(end)))
    if not np.isfinite(time):
        raise InputError(
            f"start is {shown(start)} at depth {deep}, and a larger one is needed: the time grows "
            "as start^{2−L}, and is beyond the largest float; raise the start."
        )
    return np.asarray(time)


@prediction("learning_times", dims=("mode",), symbol="t_i", source="jacot2021.3")
def learning_times(targets: ArrayLike, depth: int, starts: ArrayLike, share: float = 0.5) -> Array:
    """When each mode of gradient flow has reached a share of its target.

    `t_i = ∫_{σ_0}^{share·s_i} dσ / (L σ^{2−2/L}(s_i − σ))`; as σ_0 → 0 it is
    `σ_0^{2/L−1}/((L−2) s_i)` for L > 2 and `ln(s_i/σ_0)/(2s_i)` for L = 2: the strongest first,
    if all starts are equal, and the weaker the later.

    `targets` s_i [mode] at or above zero; `starts` σ_0 at or above zero, end-to-end values that
    broadcast against them (a part of parameters of norm r on its own ray has `ray_value(r)`);
    `share` between 0 and 1. Returns [mode]: 0 where a mode is there already, ∞ where it never
    comes (a target or a start of zero). All clocks begin at the start of the run. Assumes an
    aligned, depth-balanced chain and the half-square loss of white inputs, where modes do not see
    each other; whole networks of two layers obey it from a small start, each mode with its own
    `mode_overlaps`, and deeper ones only where they are aligned: elsewhere the strongest modes need
    not come first. Raises InputError for arguments out of range. Source: jacot2021.3.

    >>> learning_times([3.0, 2.0, 0.0], 3, 1e-6).round(3).tolist()
    [33.137, 49.663, inf]
    """
    deep, part = checked_depth(depth), positive_number("share", share)
    if part >= 1:
        raise InputError(
            f"share is {part:g}, and a number between 0 and 1 is needed, since a target itself is "
            "reached only as t → ∞; lower it."
        )
    goals, begin = together(
        targets=np.atleast_1d(at_least_zero("targets", targets)),
        starts=at_least_zero("starts", starts),
    )
    times = np.where((goals > 0) & (begin > 0), 0.0, np.inf)
    moving = (goals > 0) & (begin > 0) & (begin < part * goals)
    if moving.any():
        goal = goals[moving]
        times[moving] = flow_time(part * goal, begin[moving], goal, deep)
    return times


def mode_overlaps(first: ArrayLike, second: ArrayLike, left: ArrayLike, right: ArrayLike) -> Array:
    """How much of a small two-layer network there is for each mode to grow from.

    `r_i = ‖P_i a_i‖`, `a_i = (W_2ᵀu_i + W_1v_i)/√2`: the vector in hidden space that grows as
    `e^{s_i t}`, less its part in the span of those of the modes before, P_i, which have taken
    these hidden directions when mode i is learned. From a small start the mode's singular value
    is then that of a balanced chain from `ray_value(r_i, 2) = r_i²/2`.

    `first` W_1 [hidden, in]; `second` W_2 [out, hidden]; `left` u [out, mode] and `right` v
    [in, mode] are the target's singular vectors in the order of learning, the strongest first.
    Returns [mode]; 0 for modes beyond the number of hidden units, which are never learned. Assumes
    a start so small that each mode is learned before the next begins. Raises InputError for shapes
    that do not fit. Source: jacot2021.2.

    >>> mode_overlaps([[0.1], [0.0]], [[0.1, 0.0]], [[1.0]], [[1.0]]).round(6).tolist()
    [0.141421]
    """
    matrices = {"first": first, "second": second, "left": left, "right": right}
    w1, w2, u, v = (finite(name, given) for name, given in matrices.items())
    if not (
        w1.ndim == w2.ndim == u.ndim == v.ndim == 2
        and (w1.shape[0], len(u), len(v)) == (w2.shape[1], len(w2), w1.shape[1])
        and u.shape[1] == v.shape[1]
    ):
        raise InputError(
            f"first, second, left and right have shapes {w1.shape}, {w2.shape}, {u.shape} and "
            f"{v.shape}, and [hidden, in], [out, hidden], [out, mode] and [in, mode] are needed; "
            "transpose what stands the other way round."
        )
    growing = (w2.T @ u + w1 @ v) / np.sqrt(2)
    found = np.zeros(growing.shape[1])
    alone = np.abs(np.diagonal(np.linalg.qr(growing, mode="r")))
    found[: len(alone)] = alone
    return found


PREDICTIONS: tuple[Prediction, ...] = (escape_time, learning_times)
