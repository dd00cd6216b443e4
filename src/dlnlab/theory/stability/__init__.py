"""Stability of gradient descent at the minima of one singular mode, and what depth does to it."""

from typing import NamedTuple

from dlnlab.errors import InputError
from dlnlab.theory.arguments import positive_number, whole_numbers
from dlnlab.theory.stability import edge, flattest, return_map
from dlnlab.theory.stability.edge import (
    Window,
    edge_sharpness,
    edge_split,
    mode_edges,
    single_path_sharpness,
    stability_edge,
    windows,
)
from dlnlab.theory.stability.flattest import FlattestSplit, flattest_edge, flattest_split
from dlnlab.theory.stability.return_map import (
    ReturnPath,
    map_argmax,
    map_value,
    return_path,
    worst_case_return,
    worst_case_return_constant,
)

PREDICTIONS = (*edge.PREDICTIONS, *flattest.PREDICTIONS, *return_map.PREDICTIONS)

__all__ = [
    "PREDICTIONS",
    "FlattestSplit",
    "ReturnPath",
    "Stability",
    "Window",
    "edge_sharpness",
    "edge_split",
    "flattest_edge",
    "flattest_split",
    "map_argmax",
    "map_value",
    "mode_edges",
    "return_path",
    "single_path_sharpness",
    "stability",
    "stability_edge",
    "windows",
    "worst_case_return",
    "worst_case_return_constant",
]


class Stability(NamedTuple):
    """Sharpness and step sizes at the zero-loss points of one mode; see `stability`."""

    single_path_sharpness: tuple[float, ...]
    single_path_edge: tuple[float, ...]
    flattest_sharpness: float
    flattest_shares: tuple[float, ...] | None
    flattest_edge: float
    worst_case_return: tuple[float | None, ...]


def stability(depths: tuple[int, ...], target: float) -> Stability:
    """What step sizes mean for a target singular value carried by pathways of these depths.

    `single_path_sharpness`: `S_h = L_h s^{2−2/L_h}`, pathway h alone at zero loss.
    `single_path_edge`: `2/S_h`, the step size at which that chain becomes unstable.
    `flattest_sharpness`: λ_min, the least sharpness of any split of s between the pathways.
    `flattest_shares`: the end-to-end values σ_h there, with sum s; None where not unique.
    `flattest_edge`: `2/λ_min`, beyond which no zero-loss split is stable.
    `worst_case_return`: `γ(L_h)/S_h`, beyond which pathway h alone may be thrown across zero;
    None at depth 1.

    `depths` L_h [pathway] are whole and at least 1, `target` s > 0. Assumes aligned,
    depth-balanced pathways and the half-square loss. Raises InputError for arguments out of
    range. Source: kim2026.1, kim2026.2, kim2026.7.

    >>> answer = stability((3, 5), 1.0)
    >>> answer.single_path_sharpness, round(answer.flattest_edge, 6)
    ((3.0, 5.0), 0.77304)
    >>> [round(step, 6) for step in answer.worst_case_return]
    [1.220332, 0.844899]
    """
    levels, goal = whole_numbers("depths", depths), positive_number("target", target)
    if not 1e-100 <= goal <= 1e100:
        raise InputError(
            f"target is {goal:g}, and numbers from 1e-100 to 1e100 will do, whose squares are "
            "ordinary numbers still; measure the target in other units."
        )
    alone = tuple(float(single_path_sharpness(goal, depth)) for depth in levels)
    shares, flattest = flattest_split(levels, goal)
    return Stability(
        single_path_sharpness=alone,
        single_path_edge=tuple(2 / sharpness for sharpness in alone),
        flattest_sharpness=flattest,
        flattest_shares=shares,
        flattest_edge=2 / flattest,
        worst_case_return=tuple(worst_case_return(goal, depth) for depth in levels),
    )
