"""Gradient flow of two layers on a whitened target, as matrices: exact for any target and rotation.

With Q = [W_1ᵀ; W_2] and a λ-balanced start, `W_2ᵀW_2 − W_1W_1ᵀ = λI`, the flow is
`Q̇ = FQ − ½QQᵀQ`, F = [[−λ/2 I, Mᵀ], [M, λ/2 I]], and (Braun et al. 2022, Dominé et al. 2024)

    QQᵀ(t) = e^{Ft}Q_0 [I + ½Q_0ᵀ(e^{Ft}F^{−1}e^{Ft} − F^{−1})Q_0]^{−1} Q_0ᵀe^{Ft}.

As it stands it overflows, divides by zero eigenvalues and cancels. Here the singular vectors of M
give the spectrum of F, ±√(λ²/4 + s²) and ±λ/2, and its rows P = VᵀQ_0. With
`g = ∫_0^t e^{2fx} dx` (t where f = 0) and `K = g^{1/2}P` the solution is

    QQᵀ(t) = V (e^{ft}/√g) K(I + KᵀK)^{−1}Kᵀ (e^{ft}/√g) Vᵀ,

whose factors e^{ft}/√g are bounded, and whose middle is the lower block of the projector on the
range of [I; K]. A range does not change when columns are mixed: reflections onto
the strongest rows, one after the other, leave only ratios of scales, none above 1.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, finite, together
from dlnlab.theory.base import Assumption, Prediction, prediction
from dlnlab.theory.special import exprel

_EPSILON = float(np.finfo(np.float64).eps)


class TwoLayers(NamedTuple):
    """`first` W_1, `[*time, hidden, d_in]`, and `second` W_2, `[*time, d_out, hidden]`."""

    first: Array
    second: Array


class _Spectrum(NamedTuple):
    """Eigenvalues f of F, [n], and eigenvectors, [n, n], n = d_in + d_out."""

    values: Array
    vectors: Array


def _checked(first: ArrayLike, second: ArrayLike, target: ArrayLike) -> tuple[Array, Array, Array]:
    one, two, whole = finite("first", first), finite("second", second), finite("target", target)
    if not (one.ndim == two.ndim == whole.ndim == 2 and one.size and two.size) or (
        (len(two), len(one), one.shape[1]) != (len(whole), two.shape[1], whole.shape[1])
    ):
        raise InputError(
            f"first has shape {one.shape}, second {two.shape} and target {whole.shape}, and "
            "[hidden, d_in], [d_out, hidden] and [d_out, d_in] are needed; second @ first must "
            "have the shape of the target."
        )
    return one, two, whole


def balance(first: ArrayLike, second: ArrayLike) -> float:
    """The λ of a λ-balanced pair: the mean of the diagonal of `W_2ᵀW_2 − W_1W_1ᵀ`.

    `first` [hidden, d_in], `second` [d_out, hidden]; 0 where it is below the rounding of its two
    terms. Raises InputError for what is not two matrices that can be multiplied.

    >>> balance([[1.0, 0.0]], [[2.0]])
    3.0
    """
    one, two = finite("first", first), finite("second", second)
    one, two, _ = _checked(one, two, np.zeros((len(two), one.shape[-1])))
    plus, minus = np.sum(two**2), np.sum(one**2)
    value = float(plus - minus) / len(one)
    return value if abs(value) > _EPSILON * (plus + minus) else 0.0


def _imbalance(first: ArrayLike, second: ArrayLike) -> float:
    gap = balance(first, second)
    one, two = finite("first", first), finite("second", second)
    size = np.sum(one**2) + np.sum(two**2)
    departure = np.linalg.norm(two.T @ two - one @ one.T - gap * np.eye(len(one)))
    return float(departure / size) if size > 0 else 0.0


LAMBDA_BALANCED = Assumption(
    "lambda_balanced",
    "the layers' Gram matrices differ by a multiple of the identity, W_2ᵀW_2 − W_1W_1ᵀ = λI "
    "(λ > 0 needs at most as many hidden units as outputs, λ < 0 as inputs)",
    _imbalance,
    tolerance=1e-10,
)


def _snapped(values: Array, size: int) -> Array:
    """Descending values of which those that differ by rounding alone become equal, down to 0."""
    tolerance = size * _EPSILON * values[0]
    made, below = np.empty_like(values), 0.0
    previous = 0.0
    for index in range(len(values))[::-1]:
        below = below if values[index] - previous <= tolerance else values[index]
        previous, made[index] = values[index], below
    return made


def _spectrum(target: Array, gap: float) -> _Spectrum:
    """`F = [[−λ/2 I, Mᵀ], [M, λ/2 I]]` in the singular vectors of M, pair by pair."""
    outputs, inputs = target.shape
    pairs = min(outputs, inputs)
    left, strengths, right = np.linalg.svd(target)
    strengths = _snapped(strengths, max(outputs, inputs))
    radius = np.hypot(gap / 2, strengths)
    angle = np.arctan2(strengths, gap / 2) / 2
    values = np.concatenate(
        [radius, -radius, np.full(inputs - pairs, -gap / 2), np.full(outputs - pairs, gap / 2)]
    )
    vectors = np.zeros((inputs + outputs, inputs + outputs))
    upper, lower = vectors[:inputs], vectors[inputs:]
    upper[:, :pairs] = right[:pairs].T * np.sin(angle)
    lower[:, :pairs] = left[:, :pairs] * np.cos(angle)
    upper[:, pairs : 2 * pairs] = right[:pairs].T * np.cos(angle)
    lower[:, pairs : 2 * pairs] = -left[:, :pairs] * np.sin(angle)
    upper[:, 2 * pairs : pairs + inputs] = right[pairs:].T
    lower[:, pairs + inputs :] = left[:, pairs:]
    return _Spectrum(values, vectors)


def _range_basis(rows: Array, noise: Array, scales: Array) -> Array:
    """An orthonormal basis of the range of `diag(e^scales) rows`, [n, h], rank h.

    The strongest row is reflected onto the first axis, the strongest of what is left onto the
    second, and each column divided by its own: only ratios of scales remain, none above 1. `noise`
    bounds the error of each row (0 of an exact one) and follows it; what is left of a row below
    its error is 0, so that rounding never grows into a direction that the rows do not have.
    """
    rows, mixed, free = rows.copy(), np.empty_like(rows), np.ones(len(rows), dtype=bool)
    for done in range(rows.shape[1]):
        rest = rows[:, done:]
        rest[_norms(rest) <= noise] = 0
        norms = _norms(rest)
        strength = np.log(norms, out=np.full(len(rows), -np.inf), where=free & (norms > 0))
        pivot = int(np.argmax(strength + scales))
        mirror = rest[pivot] / norms[pivot]
        sign = np.copysign(1, mirror[0])
        mirror[0] += sign
        rest -= np.outer(2 / (mirror @ mirror) * (rest @ mirror), mirror)
        rest[pivot] = 0
        along = rest[:, 0] / norms[pivot]
        # Where the exponent is cut the entry is 0: its product with e^… is at most 1.
        with np.errstate(under="ignore"):
            mixed[:, done] = -sign * along * np.exp(np.minimum(scales - scales[pivot], 700)) * free
        mixed[pivot, done] = 1
        spread = np.abs(along) * (noise[pivot] + 2 * _EPSILON * norms[pivot])
        noise = np.where(noise > 0, np.hypot(noise, spread), 0)
        free[pivot] = False
    return np.linalg.qr(mixed)[0]


def _norms(rows: Array) -> Array:
    """The norm of each row, where squares would underflow, too."""
    largest = np.abs(rows).max(axis=1)
    whole = rows / np.where(largest > 0, largest, 1)[:, None]
    return np.asarray(largest * np.sqrt(np.sum(whole**2, axis=1)))


def _evolved(time: float, spectrum: _Spectrum, start: Array, noise: Array) -> Array:
    """Q(t) up to a rotation of its columns, from the rows P = VᵀQ_0 of the start."""
    doubled = 2 * time * spectrum.values
    size = start.shape[1]
    # √g = e^{max(ft, 0)} · factor; only the exponential, which overflows, is kept as a logarithm.
    factor = np.sqrt(time * exprel(-np.abs(doubled)))
    rows = np.vstack([np.eye(size), factor[:, None] * start])
    errors = np.concatenate([np.zeros(size), factor * noise])
    scales = np.concatenate([np.zeros(size), np.maximum(doubled, 0) / 2])
    basis = _range_basis(rows, errors, scales)
    with np.errstate(under="ignore"):
        bounded = np.exp(np.minimum(doubled, 0) / 2) / factor
    return np.asarray(spectrum.vectors @ (bounded[:, None] * basis[size:]))


def two_layer_weights(
    time: ArrayLike, first: ArrayLike, second: ArrayLike, target: ArrayLike
) -> TwoLayers:
    """Both layers at a time of their gradient flow, up to a rotation O of the hidden units.

    `Ẇ_1 = W_2ᵀ(M − W_2W_1)`, `Ẇ_2 = (M − W_2W_1)W_1ᵀ`; the flow's own layers are OᵀW_1 and W_2O.
    What no rotation changes is exact: `W_2W_1`, `W_1ᵀW_1`, `W_2W_2ᵀ`, the blocks of QQᵀ.

    `time` (step × learning rate, at or above zero) is an array, `first` W_1(0) [hidden, d_in],
    `second` W_2(0) [d_out, hidden], `target` M [d_out, d_in]. Assumes a λ-balanced start, with λ
    measured by `balance`; departures are not refused here but by `two_layer_flow`. Errors are some
    roundings of ‖QQᵀ‖, times the flow's own amplification of a rounding of the start or target. A
    start on a saddle up to rounding stays there. Raises InputError for shapes that do not fit,
    values that are not finite and negative times. Source: Braun et al. 2022; Dominé et al. 2024.

    >>> made = two_layer_weights(1e6, [[0.1]], [[0.1]], [[4.0]])
    >>> (made.second @ made.first).round(9).tolist()
    [[4.0]]
    """
    one, two, whole = _checked(first, second, target)
    times = at_least_zero("time", time)
    spectrum = _spectrum(whole, balance(one, two))
    start = np.vstack([one.T, two])
    rows = spectrum.vectors.T @ start
    noise = 4 * _EPSILON * _norms(np.abs(spectrum.vectors.T) @ np.abs(start))
    made = [_evolved(t, spectrum, rows, noise) if t > 0 else start for t in times.ravel().tolist()]
    both = np.reshape(made, (*times.shape, *start.shape))
    inputs = whole.shape[1]
    return TwoLayers(np.swapaxes(both[..., :inputs, :], -1, -2), both[..., inputs:, :])


@prediction(
    "end_to_end",
    dims=("time", "output", "input"),
    symbol="W(t)",
    assumes=(LAMBDA_BALANCED,),
    source="jacot2021.2",
)
def two_layer_flow(
    time: ArrayLike, first: ArrayLike, second: ArrayLike, target: ArrayLike
) -> Array:
    """The end-to-end map of two layers at a time of their gradient flow.

    `W(t) = W_2W_1`, the lower left block of
    `QQᵀ(t) = e^{Ft}Q_0[I + ½Q_0ᵀ(e^{Ft}F^{−1}e^{Ft} − F^{−1})Q_0]^{−1}Q_0ᵀe^{Ft}`,
    `Q = [W_1ᵀ; W_2]`, `F = [[−λ/2 I, Mᵀ], [M, λ/2 I]]`.

    `time` (step × learning rate, at or above zero) is an array, `first` W_1(0) [hidden, d_in],
    `second` W_2(0) [d_out, hidden], `target` M [d_out, d_in]; returns `[*time, d_out, d_in]`.
    Assumes `W_2ᵀW_2 − W_1W_1ᵀ = λI` for some λ, up to 10⁻¹⁰ of ‖W_1‖² + ‖W_2‖². Errors are some
    roundings of ‖W_1ᵀW_1‖ + ‖W_2W_2ᵀ‖, times the flow's own amplification. Raises InputError for
    shapes that do not fit, values that are not finite and negative times. Source: Braun et al.
    2022 and, for λ ≠ 0, Dominé et al. 2024; the two layers of jacot2021.2.

    >>> two_layer_flow([0.0, 1.0, 1e6], [[0.1]], [[1.0]], [[1.0]]).round(6).ravel().tolist()
    [0.1, 0.781131, 1.0]
    """
    layers = two_layer_weights(time, first, second, target)
    return np.asarray(layers.second @ layers.first)


@prediction("mode_values", dims=("time",), symbol="a(t)", source="jacot2021.2")
def two_layer_value(
    time: ArrayLike, start: ArrayLike, target: ArrayLike, gap: ArrayLike = 0.0
) -> Array:
    """The value of one mode of two layers, balanced or not, at a time of its gradient flow.

    `ȧ = √(λ² + 4a²)(s − a)`. The sum and difference `y, v = √(a² + λ²/4) ± a` of what the layers'
    squares share obey `ẏ = 2sy − y² + λ²/4`, v the same with −s: with `R = √(s² + λ²/4)` and
    `e = e^{−2Rt}`, `y = y_0A/B`, `v = v_0B/A`, `A = R + s + e(R − s) + v_0(1 − e)`,
    `B = R − s + e(R + s) + y_0(1 − e)`, and `a = (y − v)/2`.

    `time` (step × learning rate, at or above zero), `start` a(0) and `target` s, of either sign,
    and `gap` λ = w_2² − w_1² broadcast against each other. Accurate to rounding of |a| + |λ|.
    Raises InputError for values that are not finite and negative times. Source: Dominé et al.
    2024; the two layers of jacot2021.2.

    >>> two_layer_value([0.0, 1.0, 1e6], 0.1, 1.0, 0.99).round(6).tolist()
    [0.1, 0.781131, 1.0]
    """
    time, start, target, gap = together(
        time=at_least_zero("time", time),
        start=finite("start", start),
        target=finite("target", target),
        gap=finite("gap", gap),
    )
    half = np.abs(gap) / 2
    above, below = _sum_and_difference(start, half)
    rising, falling = _sum_and_difference(target, half)
    radius = (rising + falling) / 2
    gone, left = -np.expm1(-2 * radius * time), np.exp(-2 * radius * time)
    # Where s = λ = 0 all terms vanish together; ȧ = −2|a|a is their limit, divided by R.
    still = radius == 0
    share = np.where(still, time, gone)
    grown = np.where(still, 1, rising + left * falling) + below * share
    held = np.where(still, 1, falling + left * rising) + above * share
    return np.asarray((_quotient(above * grown, held) - _quotient(below * held, grown)) / 2)


def _sum_and_difference(value: Array, half: Array) -> tuple[Array, Array]:
    """`√(a² + h²) ± a`, the smaller as h² over the larger, so that neither cancels."""
    larger = np.hypot(value, half) + np.abs(value)
    smaller = half * _quotient(half, larger)
    return np.where(value >= 0, larger, smaller), np.where(value >= 0, smaller, larger)


def _quotient(numerator: Array, denominator: Array) -> Array:
    """The quotient, and 0 where the denominator is 0: here the numerator is 0 there, too."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


PREDICTIONS: tuple[Prediction, ...] = (two_layer_flow, two_layer_value)
