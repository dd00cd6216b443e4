"""What stochastic gradient noise does to the balance of layers, exactly, for one step.

What a gradient adds to `G_l = W_{l+1}ᵀW_{l+1} − W_lW_lᵀ` to first order is nothing, sample by
sample; what it adds to second order is `η²(g_{l+1}ᵀg_{l+1} − g_lg_lᵀ)`, whose mean has two parts,
that of descent and that of the noise, 1/B of a sample's.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array, finite, whole
from dlnlab.theory.base import Prediction, prediction
from dlnlab.theory.noise.scale import noise_scale, single
from dlnlab.theory.noise.weights import checked_weights


@prediction("balance_gap", symbol="E[b⁺]", source="corlouer2026.6")
def expected_balance_gap(
    gap: ArrayLike,
    residual: ArrayLike,
    other_values: ArrayLike,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
) -> Array:
    """The mean gap between two layers of a scalar chain after one stochastic step, exactly.

    `E[b⁺] = b (1 − η² (r² + (2r² + ς²)/B) Π_{m≠i,j} w_m²)`, b = w_i² − w_j²: noise balances too.

    `gap` b and `residual` r are numbers or arrays [mode]; `other_values` [layer, ...] the values of
    the layers other than i and j, empty at depth 2; `label_noise` ς, `batch_size` B. Assumes one
    aligned mode alone, x ~ N(0, 1). It is a mean: what is typical in the long run, the mean of the
    logarithm, decays faster. Raises InputError for arguments out of range. Source: corlouer2026.6.

    >>> float(expected_balance_gap(2.0, -1.0, [0.5], 1.0, 0.2, 1).round(6))
    1.92
    """
    rate = noise_scale(learning_rate, 1)
    rest, noise = finite("residual", residual), single("label_noise", label_noise)
    others = finite("other_values", other_values).prod(axis=0)
    second = rest**2 + (2 * rest**2 + noise**2) / whole("batch_size", batch_size)
    return np.asarray(finite("gap", gap) * (1 - rate**2 * second * others**2))


def balance_drift(
    layers: Sequence[ArrayLike],
    target: ArrayLike,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
) -> tuple[Array, ...]:
    """What noise adds to `G_l = W_{l+1}ᵀW_{l+1} − W_lW_lᵀ` in unit time, at any weights, exactly.

    With `A = W_{>l+1}`, `C = W_{<l}`, `R = ΔᵀAAᵀΔ`, `P = CᵀC`, at l + 1 and at l:
    `(η/B){W_{<l+1}[R + (tr R + ς² tr AAᵀ)I]W_{<l+1}ᵀ − W_{>l}ᵀ[ΔPΔᵀ + tr P (ΔΔᵀ + ς²I)]W_{>l}}`.
    A step of descent adds `η²(∇_{l+1}ᵀ∇_{l+1} − ∇_l∇_lᵀ)` besides, and nothing else.

    On a minimum, Δ = 0, it is what a flow down `(ης²/4B) tr ∇²ℓ` adds, in which
    `tr ∇²ℓ = Σ_l ‖W_{>l}‖²‖W_{<l}‖²`: SGD goes where the trace is least. That is balance for one
    mode, and for two square layers; otherwise not.

    `layers` are matrices [out, in] from the input on, `target` M [d_out, d_in], `label_noise` ς,
    `batch_size` B. Returns a symmetric matrix [width, width] for each of the L − 1 hidden layers,
    in time step × learning rate. Assumes Gaussian white inputs. Raises InputError for shapes that
    do not fit and numbers out of range. Source: corlouer2026.2, corlouer2026.6.

    >>> balance_drift([[[2.0]], [[0.5]]], [[1.0]], 1.0, 0.1, 1)[0].tolist()
    [[0.375]]
    """
    given = checked_weights(layers, target)
    scale, noise = noise_scale(learning_rate, batch_size), single("label_noise", label_noise)
    error, found = given.residual, []
    for low in range(len(given.layers) - 1):
        above, within = given.after[low + 1], given.before[low + 1]
        pulled = above.T @ error
        inner = pulled.T @ pulled
        level = np.trace(inner) + noise**2 * np.sum(above**2)
        gained = within @ inner @ within.T + level * within @ within.T
        over, below = given.after[low], given.before[low]
        pushed = over.T @ error
        size = np.sum(below**2)
        lost = pushed @ (below.T @ below) @ pushed.T
        lost = lost + size * (pushed @ pushed.T + noise**2 * over.T @ over)
        found.append(scale * (gained - lost))
    return tuple(found)


def trace_at_minimum(layers: Sequence[ArrayLike], target: ArrayLike) -> float:
    """The trace of the Hessian where the loss is zero: `Σ_l ‖W_{>l}‖²_F ‖W_{<l}‖²_F`.

    Off minima the residual adds nothing: each layer enters the map once, so that this is the trace
    everywhere. Arguments as those of `balance_drift`.

    >>> trace_at_minimum([[[2.0]], [[0.5]]], [[1.0]])
    4.25
    """
    given = checked_weights(layers, target)
    return float(
        sum(
            np.sum(after**2) * np.sum(before**2)
            for after, before in zip(given.after, given.before, strict=True)
        )
    )


PREDICTIONS: tuple[Prediction, ...] = (expected_balance_gap,)
