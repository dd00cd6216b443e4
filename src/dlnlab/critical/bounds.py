"""How near a saddle or a minimum can be: lower bounds that are proven.

**Change of a product.** Let layers move by δ_l with ‖δ_l‖_F = ρ_l and Σ ρ_l² = ρ². Multiplied out,
the change of a product of n layers is a sum over the non-empty sets S of moved layers; each term is
at most Π_{l∈S} ρ_l times c_S, the product of the operator norms of the unmoved products between,
before and after them, because ‖AδB‖_F ≤ ‖A‖‖δ‖_F‖B‖. For the sets of one size k, by the
inequalities of Cauchy and of Maclaurin, Σ_S c_S Π_{l∈S} ρ_l ≤ (Σ_S c_S²)^½ (Σ_S Π_{l∈S} ρ_l²)^½ and
Σ_S Π_{l∈S} ρ_l² ≤ (n over k)(ρ²/n)^k, so that

    ‖ΔW‖_F ≤ Σ_{k=1}^n a_k ρ^k,   a_k² = (n over k) n^{−k} Σ_{|S|=k} c_S²,

and the first term, `‖J δ‖_F ≤ a_1 ρ`, may be replaced by what else is known of the derivative J.

**Minimum.** For any Y, at a minimum W': ⟨Y, W' − W⟩ ≤ ‖JᵀY‖ρ + ‖Y‖_F Σ_{k≥2} a_k ρ^k, which grows
with ρ. For a quadratic cost and Y in the range of its Hessian the left side is the same at
all minima; otherwise Y = −∇C(W), and by convexity it is at least C(W) − min C. So ρ is at least the
root. With Y = K⁻¹R (R the misfit) it tends to the linearised distance where that is valid.

Where the minimum is one map M, another bound holds far from it: with b the largest ‖W_l‖, Weyl's
inequality gives σ_i(W'_l) ≤ b + σ_i(δ_l), and Horn's Π_{i≤k} s_i ≤ Π_{i≤k} Π_l σ_i(W'_l) for all k,
so that ρ² ≥ Σ_i L (s_i^{1/L} − b)₊²: (e^τ − b)₊² is convex and grows, so the mean over layers lies
above its value at the mean (Jensen), and sums keep the order of weak majorisation.

**Saddle.** At a critical point that is no global minimum G = ∇C(W') ≠ 0 (C is convex), while the
gradients of the first and the last layer vanish: W'_{>1}ᵀG = 0 and G W'_{<L}ᵀ = 0. So W'_{>1} has a
rank below d_out and W'_{<L} one below d_in: the least of the d_out singular values of W_{>1} has to
go, ‖ΔW_{>1}‖ ≥ σ_{d_out}(W_{>1}), with moves of layers 2 to L alone, and likewise
‖ΔW_{<L}‖ ≥ σ_{d_in}(W_{<L}) with moves of layers 1 to L − 1. ρ is at least the larger of both
roots; for L = 2, where the layers are not the same, the root of the sum of their squares.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.optimize

from dlnlab.critical.cuts import Layers, no_cut
from dlnlab.critical.fitting import Goal, linearise, partial_products
from dlnlab.critical.maps import MapCost, Matrix, Vector
from dlnlab.typing import Float


def change_coefficients(layers: Layers) -> Float[np.ndarray, " k"]:
    """`a_k` for k from 0 to n, with a_0 = 0.

    >>> change_coefficients((np.eye(1), np.eye(1))).tolist()
    [0.0, 1.4142135623730951, 0.5]
    """
    runs, n = _run_norms(layers) ** 2, len(layers)
    # ending[k, last]: Σ of c_S² over sets of k layers with this last one, up to that layer.
    ending = np.zeros((n + 1, n))
    ending[1] = runs[0, :n]
    for k in range(2, n + 1):
        for last in range(n):
            ending[k, last] = ending[k - 1, :last] @ runs[1 : last + 1, last]
    sums = ending @ runs[1 : n + 1, n]
    return np.sqrt([sums[k] * math.comb(n, k) / n**k for k in range(n + 1)])


def _run_norms(layers: Layers) -> Float[np.ndarray, "first end"]:
    """Operator norms of `W_end ⋯ W_{first+1}`, 1 where there is none between."""
    n = len(layers)
    norms = np.ones((n + 2, n + 1))
    for first in range(n):
        made = layers[first]
        for end in range(first + 1, n + 1):
            norms[first, end] = np.linalg.norm(made, 2)
            made = layers[end] @ made if end < n else made
    return norms


def change_bound(
    sums: Float[np.ndarray, " k"], first: float | None = None
) -> Callable[[float], float]:
    """What the product changes by, at most, when its layers move by ρ in all: `Σ_k a_k ρ^k`."""
    steepest = sums[1] if first is None else first
    polynomial = np.array([0.0, steepest, *sums[2:]])

    def at_most(radius: float) -> float:
        return float(np.polynomial.polynomial.polyval(radius, polynomial))

    return at_most


def radius_for(at_most: Callable[[float], float], needed: float) -> float:
    """The least radius that allows a change, of a bound that grows from 0.

    >>> round(radius_for(lambda r: r + r**2, 6.0), 6)
    2.0
    """
    if needed <= 0:
        return 0.0
    high = 1.0
    while at_most(high) < needed:
        if high > 1e150:
            return high
        high *= 2
    low = high / 2
    while low > 1e-300 and at_most(low) > needed:
        low /= 2
    root = float(scipy.optimize.brentq(lambda r: at_most(r) - needed, low, high, xtol=1e-300))
    return root * (1 - 1e-9)  # On the safe side of the solver's rounding.


def saddle_bound(layers: Layers) -> float:
    """A distance within which no critical point lies that is no global minimum."""
    ends = (layers[1:], len(layers[-1])), (layers[:-1], layers[0].shape[1])
    radii = []
    for part, rank in ends:
        made = part[0]
        for layer in part[1:]:
            made = layer @ made
        values = np.linalg.svd(made, compute_uv=False)
        least = values[rank - 1] if len(values) >= rank else 0.0
        radii.append(radius_for(change_bound(change_coefficients(part)), float(least)))
    return float(np.hypot(radii[0], radii[1])) if len(layers) == 2 else max(radii)


def minimum_bound(layers: Layers, cost: MapCost, goal: Goal) -> float:
    """A distance within which no global minimum lies; the goal is what determines a minimum."""
    at, sums = linearise(layers, goal, no_cut(layers)), change_coefficients(layers)
    if not cost.quadratic:
        after, before = partial_products(layers)
        slope = cost.gradient(after[0] @ layers[0])
        gap = cost.value(after[0] @ layers[0]) - cost.value(goal.made)
        lifted = [a.T @ slope @ b.T for a, b in zip(after, before, strict=True)]
        return _multiplied(sums, np.sqrt(sum(np.sum(g**2) for g in lifted)), slope, gap)
    values, vectors = np.linalg.eigh(at.kernel)
    found = [0.0]
    scale = float(values[-1]) or 1.0
    for shift in (*scale * 10.0 ** -np.arange(0, 13, 1.0), np.inf):
        weights = np.ones_like(values) if np.isinf(shift) else 1 / (values.clip(0) + shift)
        multiplier = vectors @ (weights * (vectors.T @ -at.misfit))
        steepness = np.sqrt(max(0.0, multiplier @ at.kernel @ multiplier))
        found.append(_multiplied(sums, steepness, multiplier, -multiplier @ at.misfit))
    return max(*found, _norm_bound(layers, goal))


def _multiplied(
    sums: Float[np.ndarray, " k"], steepness: float, multiplier: Vector | Matrix, gap: float
) -> float:
    size = float(np.linalg.norm(multiplier))
    if not size > 0:
        return 0.0
    return radius_for(change_bound(sums, steepness / size), gap / size)


def _norm_bound(layers: Layers, goal: Goal) -> float:
    """`√(Σ_i L (s_i^{1/L} − b)₊²)`, where the minimum is one map."""
    if goal.equations.shape[1] < goal.made.size:
        return 0.0
    largest = max(np.linalg.norm(layer, 2) for layer in layers)
    values = np.linalg.svd(goal.made, compute_uv=False)
    excess = np.maximum(values ** (1 / len(layers)) - largest, 0)
    return float(np.sqrt(len(layers) * np.sum(excess**2)))
