"""The blocks of the Hessian at a point where all layers are diagonal (the SVS set, in its bases).

The entry (i, j) of a layer meets, in every second derivative, only the entry (i, j) of the other
layers and, where a residual is left, the entry (j, i) of the other layers of its own pathway.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dlnlab.theory.arguments import Array


def _before(layers: Array) -> Array:
    """P_{<l} [layer, ...], the product of the layers before each."""
    return np.cumprod(np.concatenate([np.ones_like(layers[:1]), layers[:-1]]), axis=0)


def _after(layers: Array) -> Array:
    """P_{>l} [layer, ...]."""
    return np.asarray(_before(layers[::-1])[::-1])


def _between(layers: Array) -> Array:
    """The product of the layers between l < m [l, m, ...]; zero elsewhere."""
    depth = len(layers)
    between = np.zeros((depth, *layers.shape))
    for lower in range(depth - 1):
        between[lower, lower + 1 :] = _before(layers[lower + 1 :])
    return between


def gradients(first: Sequence[Array], second: Sequence[Array]) -> Array:
    """`g_ij = P_{>l,i} P_{<l,j}` [block, n], n = Σ_h L_h: the end-to-end (i, j) by each layer's.

    `first` and `second` hold the layer values [layer, block] of modes i and j, by pathway.
    """
    products = [_after(w) * _before(v) for w, v in zip(first, second, strict=True)]
    return np.concatenate(products).T


def mode_blocks(pathways: Sequence[Array], residual: Array) -> Array:
    """One block [mode, n, n] on the entries (i, i) of every layer: `g_ii g_iiᵀ + r_i K`."""
    gradient, start = gradients(pathways, pathways), 0
    blocks = gradient[:, :, None] * gradient[:, None, :]
    for layers in pathways:
        stop = start + len(layers)
        upper = _before(layers)[:, None] * _between(layers) * _after(layers)[None] * residual
        upper = np.moveaxis(upper, 2, 0)
        blocks[:, start:stop, start:stop] += upper + np.swapaxes(upper, 1, 2)
        start = stop
    return np.asarray(blocks)


def couplings(
    first: Sequence[Array], second: Sequence[Array], residuals: tuple[Array, Array]
) -> Array:
    """Second derivatives [pair, n, n] by the entry (i, j) of one layer and (j, i) of another.

    `r_j P_{>m,j} P_{l<·<m,i} P_{<l,j}` from layer l to a later m, modes exchanged to an earlier.
    """
    size, start = sum(map(len, first)), 0
    made = np.zeros((first[0].shape[1], size, size))
    for w, v in zip(first, second, strict=True):
        stop = start + len(w)
        later = _before(v)[:, None] * _between(w) * _after(v)[None] * residuals[1]
        earlier = _before(w)[:, None] * _between(v) * _after(w)[None] * residuals[0]
        made[:, start:stop, start:stop] = later.transpose(2, 0, 1) + earlier.transpose(2, 1, 0)
        start = stop
    return made


def pair_blocks(
    first: Sequence[Array], second: Sequence[Array], residuals: tuple[Array, Array]
) -> Array:
    """One block [pair, 2n, 2n] on the entries (i, j), then (j, i), of every layer.

    `[[g_ij g_ijᵀ, C], [Cᵀ, g_ji g_jiᵀ]]`; `first`, `second` and `residuals` are those of modes i
    and j, one column for each pair: pairs of modes of one state, or one pair in several states.
    """
    mixed = couplings(first, second, residuals)
    size = mixed.shape[1]
    blocks = np.empty((len(mixed), 2 * size, 2 * size))
    for part, gradient in (
        (slice(None, size), gradients(first, second)),
        (slice(size, None), gradients(second, first)),
    ):
        blocks[:, part, part] = gradient[:, :, None] * gradient[:, None, :]
    blocks[:, :size, size:] = mixed
    blocks[:, size:, :size] = np.swapaxes(mixed, 1, 2)
    return blocks


def folded_blocks(
    first: Sequence[Array], second: Sequence[Array], residuals: tuple[Array, Array]
) -> Array:
    """The same for pathways that read alike from both ends, in halves [2 pair, n, n].

    There the exchange of (i, j) of layer l with (j, i) of layer L+1−l leaves the block as it is,
    and it falls into `g_ij g_ijᵀ ± C J`, J the reversal of the layers of every pathway.
    """
    gradient, mixed = gradients(first, second), couplings(first, second, residuals)
    ends = np.cumsum([0, *map(len, first)])
    reversal = np.concatenate([np.arange(b, e)[::-1] for b, e in pairwise(ends)])
    own, turned = gradient[:, :, None] * gradient[:, None, :], mixed[:, :, reversal]
    return np.concatenate([own + turned, own - turned])
