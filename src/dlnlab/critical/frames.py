"""Balanced layers of a given product, turned towards given layers."""

import numpy as np

from dlnlab.critical.cuts import Cut, Layers
from dlnlab.critical.maps import NEGLIGIBLE
from dlnlab.typing import Matrix


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
    frames = [right[:rank].T]
    for l in range(1, len(layers)):
        drawn = generator.normal(size=(len(layers[l - 1]), rank))
        frames.append(_frame(drawn, reserved.get(l)))
    frames.append(left[:, :rank])
    if any(frame is None for frame in frames):
        return None
    for _ in range(sweeps):
        for l in range(1, len(layers)):
            pull = layers[l - 1] @ frames[l - 1] + layers[l].T @ frames[l + 1]
            frames[l] = _frame(pull * root, reserved.get(l))
    return tuple(b * root @ a.T for a, b in zip(frames, frames[1:], strict=False))


def _frame(drawn: Matrix, reserved: Matrix | None) -> Matrix | None:
    """The nearest orthonormal columns, orthogonal to what is reserved."""
    taken = 0
    if reserved is not None and reserved.shape[1]:
        reserved, taken = np.linalg.qr(reserved)[0], reserved.shape[1]
        drawn = drawn - reserved @ (reserved.T @ drawn)
    if len(drawn) < drawn.shape[1] + taken:
        return None
    left, _, right = np.linalg.svd(drawn, full_matrices=False)
    return left @ right
