"""Where runs start."""

import jax
import jax.numpy as jnp
import numpy as np

from dlnlab.errors import InputError
from dlnlab.networks import BalancedModes, Network
from dlnlab.problem import Problem
from dlnlab.typing import Array, Float, Key, Params


def scaled_identity(problem: Problem, alphas: tuple[float | Array, ...] | Array) -> Params:
    """Aligned layers of one size: `W_{h,l} = Q_{l+1} (α_h^{1/L_h} I) Q_lᵀ`, rotated to the target.

    `Q_1 = V`, `Q_{L+1} = U` are the task's basis and the hidden bases are the identity, so each
    pathway starts at `Ω_h = α_h UVᵀ` (kim2026 §1).

    **Arguments:** `alphas` holds the end-to-end scale α_h > 0 of each pathway.

    **Raises:** `InputError` where the number of α's is not the number of pathways.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> scaled_identity(Problem(Modes((2,), 1), Whitened(jnp.array([1.0]))), (0.04,))
    ((Array([0.2], dtype=float32), Array([0.2], dtype=float32)),)
    """
    shapes = problem.network.shapes
    if len(alphas) != len(shapes):
        raise InputError(
            f"alphas has {len(alphas)} values and the network has {len(shapes)} pathways; "
            "give one scale for each pathway."
        )
    dtype = problem.task.target.dtype
    if isinstance(problem.network, BalancedModes):
        return tuple(
            (depth**0.5 * jnp.asarray(alpha, dtype) ** (1 / depth) * jnp.ones(shape, dtype),)
            for alpha, depth, (shape,) in zip(alphas, problem.network.depths, shapes, strict=True)
        )
    return tuple(
        tuple(
            jnp.asarray(alpha, dtype) ** (1 / len(pathway)) * layer
            for layer in _aligned_isometries(problem, pathway)
        )
        for alpha, pathway in zip(alphas, shapes, strict=True)
    )


def zero_last_layer(problem: Problem, layer_scale: float | Array) -> Params:
    """Aligned layers `W_l = αI` for l < L and `W_L = 0`, rotated to the target (ghosh2025 §2).

    The network starts at W = 0 and is no saddle there: the last layer has a gradient.

    **Arguments:** `layer_scale` is the scale α > 0 of each layer but the last, in every pathway.

    **Raises:** `InputError` for balanced modes, whose layers are equal, and for pathways of depth
    1, which would start at 0 for good.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> zero_last_layer(Problem(Modes((2,), 1), Whitened(jnp.array([1.0]))), 0.5)
    ((Array([0.5], dtype=float32), Array([0.], dtype=float32)),)
    """
    shapes, dtype = problem.network.shapes, problem.task.target.dtype
    if isinstance(problem.network, BalancedModes) or min(map(len, shapes)) < 2:
        raise InputError(
            f"a last layer of zeros was asked of {type(problem.network).__name__} of depths "
            f"{tuple(map(len, shapes))}, and layers of their own, two at least, are needed; take "
            "Modes or matrices of depth 2 or more."
        )
    made = []
    for pathway in shapes:
        *first, final = _aligned_isometries(problem, pathway)
        scaled = [jnp.asarray(layer_scale, dtype) * layer for layer in first]
        made.append((*scaled, jnp.zeros_like(final)))
    return tuple(made)


def _aligned_isometries(problem: Problem, pathway: tuple[tuple[int, ...], ...]) -> list[Array]:
    """Layers of ones (modes) or of identities that carry V to U."""
    task, dtype = problem.task, problem.task.target.dtype
    if task.left is None or task.right is None:
        return [jnp.ones(shape, dtype) for shape in pathway]
    layers = [jnp.eye(shape[0], shape[1], dtype=dtype) for shape in pathway]
    modes = task.left.shape[1]
    if len(layers) == 1:
        return [task.left @ task.right.T]
    layers[0] = jnp.eye(pathway[0][0], modes, dtype=dtype) @ task.right.T
    layers[-1] = task.left @ jnp.eye(modes, pathway[-1][1], dtype=dtype)
    return layers


def gaussian(
    network: Network,
    key: Key[Array, ""],
    *,
    std: float | Array | None = None,
    gamma: float | Array | None = None,
    dtype: jnp.dtype | None = None,
) -> Params:
    """Independent normal entries, of standard deviation `std` or of variance `width^{−γ}`.

    The width of a layer is the number of its inputs (jacot2021 §4; γ = 1 is the usual scale).

    **Raises:** `InputError` unless exactly one of `std` and `gamma` is given, a finite number, and
    `std` none below zero (numbers that are traced are not looked at).

    >>> from dlnlab.networks import chain
    >>> pathway, = gaussian(chain((2, 3, 2)), jax.random.key(0), gamma=1.0)
    >>> [layer.shape for layer in pathway]
    [(3, 2), (2, 3)]
    """
    if (std is None) == (gamma is None):
        raise InputError(
            "a Gaussian initialisation needs one of std and gamma, and "
            f"{'neither' if std is None else 'both'} was given; pass std=… or gamma=…."
        )
    _check_number("std", std, least=0)
    _check_number("gamma", gamma, least=-np.inf)
    keys = jax.random.split(key, sum(network.depths))
    dtype = dtype or jnp.result_type(float)
    params, k = [], 0
    for pathway in network.shapes:
        layers = []
        for shape in pathway:
            scale = std if std is not None else shape[-1] ** (-jnp.asarray(gamma, dtype) / 2)
            layers.append(scale * jax.random.normal(keys[k], shape, dtype))
            k += 1
        params.append(tuple(layers))
    return tuple(params)


def _check_number(name: str, given: float | Array | None, least: float) -> None:
    if given is None or isinstance(given, jax.core.Tracer):
        return
    values = np.asarray(given, dtype=float)
    if not (np.isfinite(values) & (values >= least)).all():
        needed = "a finite number" if np.isinf(least) else f"a finite number of {least:g} or more"
        raise InputError(f"{name} is {given}, and {needed} is needed; change it.")


def disordered(
    problem: Problem,
    key: Key[Array, ""],
    scale: float | Array,
    disorder: float | Array,
    spread: float = 0.5,
) -> Params:
    """Matrices between aligned, balanced ones and Gaussian ones of the same size.

    `W_l = √(1 − p²) A_l + p G_l`, p the `disorder` from 0 to 1. A_l is aligned and balanced, with
    the values `scale · e^{spread · N(0, 1)}` of the product, mode by mode; the entries of G_l are
    normal, of variance `scale^{2/L}/width`, the width that of a layer's inputs.

    **Raises:** `InputError` where a hidden layer is narrower than there are modes, and for a
    network of modes, which are aligned whatever their values.

    >>> from dlnlab.networks import square
    >>> from dlnlab.tasks import Whitened
    >>> problem = Problem(square(2, (2,)), Whitened(jnp.eye(2)))
    >>> (w1, w2), = disordered(problem, jax.random.key(0), 0.01, 0.0)
    >>> bool((w1 == w2).all() and w1[0, 1] == 0)
    True
    """
    task, dtype = problem.task, problem.task.target.dtype
    if task.left is None or task.right is None:
        raise InputError(
            "a start between aligned and Gaussian matrices was asked of a network of modes, and "
            "matrices are needed; take dlnlab.networks.chain or square."
        )
    modes = task.strengths.size
    narrowest = min(min(shape) for pathway in problem.network.shapes for shape in pathway)
    if narrowest < modes:
        raise InputError(
            f"{modes} modes do not fit through a layer of width {narrowest}; widen the layers to "
            f"{modes} or more."
        )
    drawn, weights = jax.random.split(key)
    values = scale * jnp.exp(spread * jax.random.normal(drawn, (modes,), dtype))
    straight, made = jnp.sqrt(1 - jnp.asarray(disorder, dtype) ** 2), []
    random = gaussian(problem.network, weights, gamma=1.0, dtype=dtype)
    for pathway, drawn_layers in zip(problem.network.shapes, random, strict=True):
        root = jnp.diag(values ** (1 / len(pathway)))
        size = disorder * scale ** (1 / len(pathway))
        layers = [jnp.zeros(shape, dtype).at[:modes, :modes].set(root) for shape in pathway]
        layers[0] = layers[0][:, :modes] @ jnp.asarray(task.right).T
        layers[-1] = jnp.asarray(task.left) @ layers[-1][:modes]
        pairs = zip(layers, drawn_layers, strict=True)
        made.append(tuple(straight * a + size * g for a, g in pairs))
    return tuple(made)


def balanced(problem: Problem, key: Key[Array, ""], scale: float | Array) -> Params:
    """Random layers in exact balance, `W_{l+1}ᵀW_{l+1} = W_lW_lᵀ` within each pathway.

    Each pathway's product is a Gaussian matrix of standard deviation `scale`, factored through
    its own singular value decomposition, `W_l = Q_{l+1} Σ^{1/L} Q_lᵀ` with random hidden
    isometries (Arora et al. 2018, the balanced initialisation).

    **Raises:** `InputError` where a hidden layer is narrower than the map's rank: such a factor
    does not exist.

    >>> from dlnlab.networks import Modes
    >>> from dlnlab.tasks import Whitened
    >>> (w1, w2), = balanced(Problem(Modes((2,), 2), Whitened(jnp.ones(2))), jax.random.key(0), 0.1)
    >>> bool((w1 == w2).all())
    True
    """
    shapes = problem.network.shapes
    keys = jax.random.split(key, len(shapes))
    if problem.task.target.ndim == 1:
        return tuple(_balanced_modes(k, p, scale) for k, p in zip(keys, shapes, strict=True))
    return tuple(
        _balanced_pathway(k, p, scale, problem.task.target)
        for k, p in zip(keys, shapes, strict=True)
    )


def _balanced_modes(
    key: Array, pathway: tuple[tuple[int, ...], ...], scale: float | Array
) -> tuple[Array, ...]:
    depth = len(pathway)
    value = jnp.abs(scale * jax.random.normal(key, pathway[0])) ** (1 / depth)
    return (value,) * depth


def _balanced_pathway(
    key: Array,
    pathway: tuple[tuple[int, ...], ...],
    scale: float | Array,
    target: Float[Array, "out in"],
) -> tuple[Array, ...]:
    rank = min(target.shape)
    narrowest = min(min(shape) for shape in pathway)
    if narrowest < rank:
        raise InputError(
            f"a balanced start of rank {rank} does not fit through a layer of width {narrowest}; "
            f"widen the hidden layers to {rank} or more."
        )
    product_key, *hidden = jax.random.split(key, len(pathway))
    matrix = scale * jax.random.normal(product_key, target.shape, target.dtype)
    left, values, right = jnp.linalg.svd(matrix, full_matrices=False)
    bases = [right.T]
    for k, shape in zip(hidden, pathway, strict=False):
        bases.append(jnp.linalg.qr(jax.random.normal(k, (shape[0], rank), target.dtype))[0])
    bases.append(left)
    root = values ** (1 / len(pathway))
    return tuple(after * root @ before.T for before, after in zip(bases, bases[1:], strict=False))
