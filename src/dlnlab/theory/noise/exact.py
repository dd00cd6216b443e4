"""Stochastic gradient noise at any weights: how each mode drifts and diffuses.

A sample's gradient is `W_{>l}ᵀ(Δxxᵀ − ξxᵀ)W_{<l}ᵀ`, Δ = W − M. To first order in the step a mode
moves by `a_lᵀ(…)b_l` summed over the layers, `a_l = W_{>l}W_{>l}ᵀu`, `b_l = W_{<l}ᵀW_{<l}v`: a
quadratic form of x and a bilinear one of x and ξ. To second order two layers move at once, and
what noise they share does not average out: the Itô drift.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array
from dlnlab.theory.noise.scale import checked_kurtosis, noise_scale, single
from dlnlab.theory.noise.weights import Basis, Weights, checked_weights


class ModeMotion(NamedTuple):
    """How the modes move at some weights; see `mode_motion`.

    `values` w_a, `mode_drift` and `ito_drift` are [mode], `mode_diffusion` is [mode, mode], with
    each mode's own on its diagonal.
    """

    values: Array
    mode_drift: Array
    ito_drift: Array
    mode_diffusion: Array


def _ito(weights: Weights, first: Array, last: Array, kurtosis: float, noise: float) -> Array:
    """`Σ_{l>m} E[a_lᵀE C E b_m]`, E = ΔS − ςN; `first` a_l and `last` b_l are [layer, ·, mode]."""
    total = np.zeros(last.shape[-1])
    residual = weights.residual
    for low in range(len(weights.layers)):
        between = np.eye(len(weights.layers[low]))
        for high in range(low + 1, len(weights.layers)):
            joint = weights.before[high].T @ between @ weights.after[low].T
            pulled = residual.T @ first[high]
            returned = joint @ residual
            total += np.sum(pulled * last[low], axis=0) * np.trace(returned)
            total += np.sum((returned @ pulled) * last[low], axis=0)
            total += (kurtosis - 3) * np.diag(returned) @ (pulled * last[low])
            total += noise**2 * np.sum((joint @ first[high]) * last[low], axis=0)
            between = weights.layers[high] @ between
    return total


def mode_motion(
    layers: Sequence[ArrayLike],
    target: ArrayLike,
    label_noise: float,
    learning_rate: float,
    batch_size: int,
    *,
    basis: Basis | None = None,
    kurtosis: float = 3.0,
) -> ModeMotion:
    """Drift, Itô drift and diffusion of every mode `w_a = u_aᵀWv_a`, at any weights.

    With `a_l = W_{>l}W_{>l}ᵀu`, `b_l = W_{<l}ᵀW_{<l}v`, `p_l = Δᵀa_l`, `G = Σ_l p_l b_lᵀ`,
    `C = W_{<l}ᵀW_{l−1}⋯W_{m+1}W_{>m}ᵀ`, `K = CΔ`: `mode_drift` is `−Σ_l p_l·b_l`; `mode_diffusion`

        (η/B) [½⟨G_a + G_aᵀ, G_b + G_bᵀ⟩ + ς² Σ_{l,m} (a_l·a_m)(b_l·b_m) + (κ−3) Σ_i G_a,ii G_b,ii],

    and `ito_drift`

        (η/B) Σ_{l>m} [(p_l·b_m) tr K + b_mᵀKp_l + ς² b_mᵀCa_l + (κ−3) Σ_i p_l,i K_ii b_m,i],

    so that `dw_a = (mode_drift + ito_drift) dt + dN_a`, `d⟨N_a, N_b⟩ = mode_diffusion dt`, in time
    step × learning rate. `layers` are matrices [out, in] from the input on, `target` M [d_out,
    d_in], `label_noise` ς, `batch_size` B; `basis` (U [d_out, mode], V [d_in, mode]) replaces the
    singular vectors of the target. Assumes `y = Mx + ξ`, independent inputs of variance 1 and
    `kurtosis` κ (3: Gaussian), ξ ~ N(0, ς²I), the half-square loss. Raises InputError for shapes
    that do not fit and numbers out of range. Source: corlouer2026.1.

    >>> motion = mode_motion([[[0.5]], [[0.5]]], [[1.0]], 0.2, 0.1, 1)
    >>> [part.round(6).tolist() for part in motion]
    [[0.25], [0.375], [0.029125], [[0.029125]]]
    """
    weights = checked_weights(layers, target, basis)
    scale, noise = noise_scale(learning_rate, batch_size), single("label_noise", label_noise)
    tails = checked_kurtosis(kurtosis)
    left, right = weights.left, weights.right
    first = np.stack([after @ (after.T @ left) for after in weights.after])
    last = np.stack([before.T @ (before @ right) for before in weights.before])
    pulled = np.einsum("oi,loa->lia", weights.residual, first)
    forms = np.einsum("lia,lja->aij", pulled, last)
    sums = forms + np.swapaxes(forms, 1, 2)
    own = np.einsum("aii->ai", forms)
    joint = np.einsum("loa,mob->lamb", first, first) * np.einsum("lia,mib->lamb", last, last)
    diffusion = (
        np.einsum("aij,bij->ab", sums, sums) / 2
        + noise**2 * joint.sum(axis=(0, 2))
        + (tails - 3) * own @ own.T
    )
    return ModeMotion(
        values=np.einsum("oa,oi,ia->a", left, weights.residual + weights.target, right),
        mode_drift=-np.sum(pulled * last, axis=(0, 1)),
        ito_drift=scale * _ito(weights, first, last, tails, noise),
        mode_diffusion=scale * diffusion,
    )
