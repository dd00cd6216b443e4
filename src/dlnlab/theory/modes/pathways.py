"""Pathways that share a residual: what gradient flow conserves, and what descent does to it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, finite, positive, positive_number, whole, whole_numbers
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.modes.flow import POSITIVE_TARGET
from dlnlab.theory.special import brentq

_EPSILON = float(np.finfo(np.float64).eps)
_MOST_ITERATIONS = 50


def flow_constant(value: ArrayLike, depth: int) -> Array:
    """The function of a layer value whose difference between pathways gradient flow conserves.

    `F(w) = w^{2−L}/(2−L)`; `ln w` for L = 2, `w` for L = 1: `dF = dw / w^{L−1}`, the same for
    every balanced pathway of a mode, whatever its depth.

    `value` w is a layer value (not end-to-end), any shape. Assumes balanced layers. Raises
    InputError for values that are not above zero beyond depth 1. Source: kim2026.3.

    >>> float(flow_constant(2.0, 3))
    -0.5
    """
    depth = whole("depth", depth)
    if depth == 1:
        return finite("value", value)
    layer = positive("value", value)
    return np.asarray(np.log(layer) if depth == 2 else layer ** (2.0 - depth) / (2 - depth))


def _constant_of_product(product: Array, depth: Array) -> Array:
    """F of an end-to-end value σ = w^L."""
    safe = np.where(depth == 2, 1, depth)
    power = np.power(product, 2 / safe - 1) / (2 - safe)
    return np.where(depth == 2, np.log(product) / 2, power)


def _product_of_constant(constant: Array, depth: Array, most: float) -> Array:
    """σ from F, cut off at `most`: beyond depth 2 it is reached at a finite F."""
    safe = np.where(depth <= 2, 3, depth)
    base = np.maximum((2.0 - safe) * constant, np.power(most, 2 / safe - 1))
    deep = np.power(base, safe / (2.0 - safe))
    two = np.exp(np.minimum(2 * constant, np.log(most)))
    return np.minimum(np.where(depth == 1, constant, np.where(depth == 2, two, deep)), most)


def _conserved_differences(starts: Array, depths: Array, leader: int) -> Array:
    """F_h − F_leader; between equal depths from the logarithm of the ratio, without cancelling."""
    constants = _constant_of_product(starts, depths)
    power = 2 / depths[leader] - 1
    close = np.abs(starts - starts[leader]) < 0.5 * starts[leader]
    moved = np.where(close, (starts - starts[leader]) / starts[leader], 0)
    ratio = np.where(close, np.log1p(moved), np.log(starts / starts[leader]))
    same = ratio / 2
    if depths[leader] != 2:
        same = constants[leader] * np.expm1(np.where(depths == depths[leader], power * ratio, 0))
    return np.where(depths == depths[leader], same, constants - constants[leader])


def _advance(values: Array, depth: Array, step: float) -> Array:
    """End-to-end values after F of every pathway has grown by `step`."""
    safe = np.where(depth <= 2, 3, depth)
    shrink = (safe - 2) * step * np.abs(values) ** (1 - 2 / safe)
    deep = values * np.exp(-np.log1p(-np.minimum(shrink, 0.5)) * safe / (safe - 2))
    two = values * np.exp(np.minimum(2 * step, 1))
    return np.where(depth == 1, values + step, np.where(depth == 2, two, deep))


def _meet(values: Array, depth: Array, target: float) -> Array:
    """Newton's steps along the flow until the values sum to the target to rounding.

    The largest value fixes the sum only as well as it moves fastest: a deeper pathway, or one of
    depth 1 below zero, may move thousands of times as fast.
    """
    for _ in range(_MOST_ITERATIONS):
        misfit = target - float(values.sum())
        if abs(misfit) <= 2 * _EPSILON * float(np.abs(values).sum()):
            break
        speed = depth * np.abs(values) ** (2 - 2 / depth)
        values = _advance(values, depth, misfit / float(speed.sum()))
    return values


@prediction(
    "mode_values",
    dims=("pathway",),
    symbol="σ_h(∞)",
    assumes=(
        Assumption(
            "positive_starts",
            "every pathway starts above zero",
            lambda starts: float(np.count_nonzero(finite("starts", starts) <= 0)),
            nowhere=True,
        ),
        POSITIVE_TARGET,
    ),
    source="kim2026.3",
)
def flow_endpoint(starts: Sequence[float], depths: Sequence[int], target: float) -> Array:
    """Where the gradient flow of one mode of several balanced pathways ends.

    `F_h(w_h) − F_k(w_k)` keeps its value at the start, and `Σ_h σ_h = s`, `σ_h = w_h^{L_h}`.

    `starts` [pathway] are end-to-end values σ_h(0), their sum below or above the `target` s;
    `depths` [pathway] are the L_h. Returns σ_h [pathway]. Only a pathway of depth 1 can end below
    zero. Assumes aligned, depth-balanced pathways that start above zero, and s > 0. Raises
    InputError for arguments out of range or of different lengths. Source: kim2026.3.

    >>> flow_endpoint([0.02, 0.01], [20, 20], 1.0).round(4).tolist()
    [0.9774, 0.0226]
    """
    levels = whole_numbers("depths", depths)
    begin, goal = positive("starts", starts), positive_number("target", target)
    if begin.shape != (len(levels),):
        raise InputError(
            f"starts has shape {begin.shape} and depths has {len(levels)} entries, and one of "
            "each for every pathway is needed; make them of the same length."
        )
    depth = np.array(levels, dtype=np.float64)
    share = np.full(len(levels), goal / len(levels))
    # The pathway whose share reaches s/H at the least advance is the largest at the end, and its
    # value, unlike the advance of F (huge near a blow-up), is a well-conditioned unknown.
    advance = _constant_of_product(share, depth) - _constant_of_product(begin, depth)
    leader = int(np.argmin(advance))
    differences = _conserved_differences(begin, depth, leader)
    most = 2 * max(goal, float(begin.sum()))

    def values(largest: float) -> Array:
        constant = _constant_of_product(np.asarray(largest), depth[leader])
        others = _product_of_constant(constant + differences, depth, most)
        return np.where(np.arange(len(levels)) == leader, largest, others)

    found = brentq(
        lambda largest: float(values(largest).sum()) - goal,
        share[leader] / 2,
        most,
        xtol=_EPSILON * goal / len(levels),
        rtol=4 * _EPSILON,
    )
    return _meet(values(found), depth, goal)


def _next_relative_term(
    layer_values: ArrayLike, depth: int, learning_rate: float, residual: float
) -> float:
    deep = whole("depth", depth, 2)
    powers = positive("layer_values", layer_values) ** (deep - 2)
    step = positive_number("learning_rate", learning_rate)
    return float(deep / 3 * step * abs(finite("residual", residual)) * powers.sum())


@prediction(
    "conserved_z_increment",
    symbol="Δz",
    assumes=(
        Assumption(
            "leading_order",
            "the third order in the learning rate is small beside the second",
            _next_relative_term,
            tolerance=0.1,
        ),
    ),
    source="kim2026.4",
)
def conserved_z_increment(
    layer_values: ArrayLike, depth: int, learning_rate: float, residual: float
) -> Array:
    """What one step of gradient descent adds to the flow's conserved difference of two pathways.

    `z = w_h^{2−L} − w_k^{2−L}`, `z⁺ − z = ½(L−1)(L−2) η² r² (w_h^{L−2} − w_k^{L−2}) + O(η³)`:
    of the other sign than z, so that descent re-balances what flow leaves as it is.

    `layer_values` is the pair (w_h, w_k); `residual` r = Σσ − s. Assumes two aligned, balanced
    pathways of equal depth, and a next order (its size relative to this one,
    `(L/3) η|r| (w_h^{L−2} + w_k^{L−2})`) of at most a tenth. At depth 2 it is zero, and the
    conserved difference is that of ln w. Raises InputError for depth 1 and for layer values that
    are not above zero. Source: kim2026.4.

    >>> round(float(conserved_z_increment([0.9, 0.5], 3, 0.01, -1.0)), 9)
    4e-05
    """
    powers = positive("layer_values", layer_values) ** (whole("depth", depth, 2) - 2)
    if powers.shape != (2,):
        raise InputError(
            f"layer_values has shape {powers.shape}, and the pair (w_h, w_k) is needed; "
            "compare pathways two at a time."
        )
    kick = positive("learning_rate", learning_rate) * finite("residual", residual)
    return np.asarray((depth - 1) * (depth - 2) / 2 * kick**2 * (powers[0] - powers[1]))


def rebalancing_condition(
    layer_values: ArrayLike, depth: int, learning_rate: float, residual: ArrayLike
) -> Array:
    """Below 1, a step of gradient descent strictly shrinks `|z|` and keeps its sign.

    `η r (L−1) max_h(w_h)^{L−2}`, with `z = w_h^{2−L} − w_k^{2−L}`.

    `layer_values` w [pathway, ...], `residual` r = Σσ − s of the trailing shape: negative, and
    the condition met, while the sum lies below the target. Sufficient, not necessary. Assumes
    aligned, balanced pathways of equal depth beyond 2. Raises InputError for depth below 3 and
    layer values not above zero. Source: kim2026.4.

    >>> float(rebalancing_condition([1.0, 0.5], 3, 0.1, 0.25))
    0.05
    """
    largest = positive("layer_values", layer_values).max(axis=0)
    deep = whole("depth", depth, 3)
    step = positive("learning_rate", learning_rate)
    return np.asarray(step * finite("residual", residual) * (deep - 1) * largest ** (deep - 2))


PREDICTIONS: tuple[Prediction, ...] = (flow_endpoint, conserved_z_increment)
