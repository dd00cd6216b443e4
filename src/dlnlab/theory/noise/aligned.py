"""Aligned and balanced modes under stochastic gradient noise: one number w for each."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.noise.scale import checked_kurtosis, noise_scale, single


class ItoDrift(NamedTuple):
    """The Itô drift of balanced modes, [..., mode]: each mode's own, and what others add to it."""

    own: Array
    cross: Array


def _holds_matrices(given: object) -> bool:
    """Whether these are evidently layers: matrices in a list or tuple, or in lists in it."""
    if not isinstance(given, list | tuple):
        return getattr(given, "ndim", 0) == 2
    return any(_holds_matrices(item) for item in given)


def _modes(values: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    if isinstance(values, list | tuple) and _holds_matrices(values):
        raise InputError(
            f"values are a list of {len(values)} matrices, as layers are, and one number w for "
            "each mode is needed; pass balanced_values(layers, target), which refuses layers that "
            "are not aligned and balanced."
        )
    now, goal = at_least_zero("values", values), at_least_zero("targets", targets)
    if now.shape[-1:] != goal.shape[-1:]:
        raise InputError(
            f"values have shape {now.shape} and targets {goal.shape}, and one target for each mode "
            "is needed along the last axis; pad with zeros."
        )
    return now, goal


@prediction("mode_drift", dims=("time", "mode"), symbol="ẇ_a", source="corlouer2026.2")
def mode_drift(values: ArrayLike, targets: ArrayLike, depth: int) -> Array:
    """The drift of balanced modes, that of gradient flow: `L w^{2−2/L} (s − w)`.

    `values` w [..., mode], not layers, and `targets` s [mode], at or above zero; `depth` L.
    Assumes aligned, balanced layers: `balanced_values` makes their values and refuses others.
    Raises InputError for arguments out of range, a list of matrices among them.
    Source: corlouer2026.2.

    >>> float(mode_drift(0.25, 1.0, 2))
    0.375
    """
    (now, goal), deep = _modes(values, targets), whole("depth", depth)
    return np.asarray(deep * now ** (2 - 2 / deep) * (goal - now))


def _strength(now: Array, goal: Array, label_noise: float, kurtosis: float) -> Array:
    """`(κ − 1)(s − w)² + ς²`: the variance of `x(rx − ξ)`."""
    tails = checked_kurtosis(kurtosis) - 1
    return np.asarray(tails * (goal - now) ** 2 + single("label_noise", label_noise) ** 2)


@prediction("mode_diffusion", dims=("time", "mode"), symbol="D_a", source="corlouer2026.2")
def mode_diffusion(
    values: ArrayLike,
    targets: ArrayLike,
    depth: int,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
    kurtosis: float = 3.0,
) -> Array:
    """The diffusion of balanced modes: `D = (η/B) L² w^{4−4/L} [2(s − w)² + ς²]`.

    `d⟨w_a⟩ = D_a dt`, in time step × learning rate; different modes do not diffuse together.

    `values` w [..., mode], not layers, and `targets` s [mode], at or above zero; `depth` L,
    `label_noise` ς, `batch_size` B. Assumes aligned, balanced layers (`balanced_values` makes their
    values and refuses others) and inputs that are independent in the basis of the modes, of
    variance 1; with `kurtosis` κ other than 3 the 2 becomes κ − 1. Raises InputError for arguments
    out of range, a list of matrices among them. Source: corlouer2026.2, corlouer2026.6.

    >>> float(mode_diffusion(0.25, 1.0, 2, 0.2, 0.1, 1).round(6))
    0.029125
    """
    (now, goal), deep = _modes(values, targets), whole("depth", depth)
    strength = _strength(now, goal, label_noise, kurtosis)
    scale = noise_scale(learning_rate, batch_size)
    return np.asarray(scale * deep**2 * now ** (4 - 4 / deep) * strength)


def ito_parts(
    values: ArrayLike,
    targets: ArrayLike,
    depth: int,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
    kurtosis: float = 3.0,
) -> ItoDrift:
    """The Itô drift of balanced modes: each mode's own part, and what the others add to it.

    `own = (η/2B) L(L−1) w^{3−4/L} [2(s − w)² + ς²]`,
    `cross_a = (η/B)(w_a − s_a) Σ_{k=1}^{L−1} (L−k) w_a^{2(L−k−1)/L} Σ_{b≠a} (w_b − s_b)
    w_b^{(L+2k−2)/L}`. Independent equations for each mode keep the first and drop the second.

    Arguments, assumptions and errors as those of `mode_diffusion`. Source: corlouer2026.2.

    >>> parts = ito_parts([0.5, 0.25], [1.0, 0.5], 2, 0.0, 0.1, 1)
    >>> parts.own.tolist(), parts.cross.round(6).tolist()
    ([0.025, 0.003125], [0.003125, 0.00625])
    """
    (now, goal), deep = _modes(values, targets), whole("depth", depth)
    scale = noise_scale(learning_rate, batch_size)
    strength = _strength(now, goal, label_noise, kurtosis)
    cross = np.zeros(np.broadcast_shapes(now.shape, goal.shape))
    if deep == 1:
        return ItoDrift(np.zeros_like(cross), cross)
    own = scale / 2 * deep * (deep - 1) * now ** (3 - 4 / deep) * strength
    others = 1 - np.eye(max(1, now.shape[-1] if now.ndim else 1))
    for k in range(1, deep):
        pull = np.atleast_1d((now - goal) * now ** ((deep + 2 * k - 2) / deep))
        near = (deep - k) * now ** (2 * (deep - k - 1) / deep)
        cross = cross + near * np.reshape(pull @ others, cross.shape)
    return ItoDrift(np.asarray(own), np.asarray(scale * (now - goal) * cross))


@prediction("ito_drift", dims=("time", "mode"), symbol="I_a", source="corlouer2026.2")
def ito_drift(
    values: ArrayLike,
    targets: ArrayLike,
    depth: int,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
    kurtosis: float = 3.0,
) -> Array:
    """The Itô drift of balanced modes, both parts of `ito_parts` together.

    What noise in several layers at once adds to the drift of a product of them.

    Arguments, assumptions and errors as those of `mode_diffusion`. Source: corlouer2026.2.

    >>> ito_drift([0.5, 0.25], [1.0, 0.5], 2, 0.0, 0.1, 1).round(6).tolist()
    [0.028125, 0.009375]
    """
    parts = ito_parts(
        values, targets, depth, label_noise, learning_rate, batch_size, kurtosis=kurtosis
    )
    return np.asarray(parts.own + parts.cross)


PREDICTIONS: tuple[Prediction, ...] = (mode_drift, mode_diffusion, ito_drift)
