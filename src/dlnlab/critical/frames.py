"""Balanced layers of a given product, turned towards given layers."""

import numpy as np

from dlnlab.critical.cuts import Cut, Layers
from dlnlab.critical.maps import NEGLIGIBLE, Matrix


def balanced_layers(
    layers: Layers, made: Matrix, where: Cut, generator: np.random.Generator, sweeps: int
) -> Layers | None:
    """`W_l = q_l S^{1/L} q_{l−1}ᵀ`, of the product `made = q_L S q_0ᵀ`.

    The hidden frames q_l are random, and then in turn, `sweeps` times, the nearest that the layers
    allow: they maximise `Σ_l ⟨W_l⁰, W_l⟩`, and with it bring the layers nearer to W⁰ (orthogonal
    Procrustes problems). Frames keep clear of what a cut reserves. None where a layer is too
    narrow.
    """
    left, values, right = np.linalg.svd(made)
    rank = int(np.sum(values > NEGLIGIBLE * values.max(initial=0)))
    root = values[:rank] ** (1 / len(layers))
    reserved = {len(layers) - 1: where.outer}
    reserved[1] = np.hstack([where.inner, reserved[1]]) if 1 in reserved else where.inner
    hidden = range(1, len(layers))
    taken = [reserved[n].shape[1] if n in reserved else 0 for n in hidden]
    if any(len(layers[n - 1]) - taken[n - 1] < rank for n in hidden):
        return None
    drawn = (generator.normal(size=(len(layers[n - 1]), rank)) for n in hidden)
    inner = [_frame(some, reserved.get(n)) for n, some in zip(hidden, drawn, strict=True)]
    frames = [right[:rank].T, *inner, left[:, :rank]]
    for _ in range(sweeps):
        for n in hidden:
            pull = layers[n - 1] @ frames[n - 1] + layers[n].T @ frames[n + 1]
            frames[n] = _frame(pull * root, reserved.get(n))
    return tuple(b * root @ a.T for a, b in zip(frames, frames[1:], strict=False))


def _frame(drawn: Matrix, reserved: Matrix | None) -> Matrix:
    """The nearest orthonormal columns, orthogonal to what is reserved."""
    if reserved is not None and reserved.shape[1]:
        span = np.linalg.qr(reserved)[0]
        drawn = drawn - span @ (span.T @ drawn)
    left, _, right = np.linalg.svd(drawn, full_matrices=False)
    return left @ right
