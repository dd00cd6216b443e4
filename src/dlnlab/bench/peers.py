"""What people run instead, and the machine's limits. Packages beyond ours are optional: `.[bench]`.

All of it works on the same networks with the same loss, `½‖W − M‖²_F`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate

from dlnlab.typing import Any

Run = Callable[[], Any]


# --- reduced lanes ----------------------------------------------------------------------------


def stacked_jax(lanes: int, steps: int) -> Run:
    """Weights of all layers in one array, the gradient by autodiff: the obvious program."""
    with jax.enable_x64(True):
        rates = jnp.linspace(0.01, 1.2, lanes)
        start = jnp.array([0.02, 0.01])[:, None] ** (1 / 3) * jnp.ones((2, 3))

        def loss(weights: Any) -> Any:
            return (jnp.sum(jnp.prod(weights, axis=1)) - 1) ** 2 / 2

        def lane(rate: Any) -> Any:
            step = lambda _, w: w - rate * jax.grad(loss)(w)  # noqa: E731
            return jax.lax.fori_loop(0, steps, step, start)

        compiled = jax.jit(jax.vmap(lane)).lower(rates).compile()
    return lambda: jax.block_until_ready(compiled(rates))


def numpy_modes(lanes: int, steps: int) -> Run:
    """One array operation for all lanes, a Python loop over steps; balanced pathways."""
    rates = np.linspace(0.01, 1.2, lanes)

    def run() -> float:
        one, two = np.full(lanes, 0.02 ** (1 / 3)), np.full(lanes, 0.01 ** (1 / 3))
        with np.errstate(all="ignore"):
            for _ in range(steps):
                residual = one**3 + two**3 - 1
                one, two = (w - rates * residual * w**2 for w in (one, two))
        return float(one[0])

    return run


# --- matrices ---------------------------------------------------------------------------------


def _start(dimension: int, depth: int, pathways: int, lanes: int) -> list[list[Any]]:
    rng, spread = np.random.default_rng(0), 0.5 / dimension**0.5
    shape = (lanes, dimension, dimension) if lanes > 1 else (dimension, dimension)
    return [[spread * rng.normal(size=shape) for _ in range(depth)] for _ in range(pathways)]


def _gradients(weights: list[list[Any]], target: Any) -> list[list[Any]]:
    """`W_{>l}ᵀ (W − M) W_{<l}ᵀ`, by products from either end."""
    befores = []
    for layers in weights:
        before = [layers[0]]
        for layer in layers[1:]:
            before.append(layer @ before[-1])
        befores.append(before)
    residual = sum(before[-1] for before in befores) - target
    found = []
    for layers, before in zip(weights, befores, strict=True):
        back, gradients = residual, []
        for index in reversed(range(len(layers))):
            gradients.append(back @ before[index - 1].swapaxes(-1, -2) if index else back)
            back = layers[index].swapaxes(-1, -2) @ back if index else back
        found.append(gradients[::-1])
    return found


def _descend(weights: list[list[Any]], target: Any, steps: int) -> list[list[Any]]:
    for _ in range(steps):
        gradients = _gradients(weights, target)
        weights = [
            [w - 0.01 * g for w, g in zip(layers, slopes, strict=True)]
            for layers, slopes in zip(weights, gradients, strict=True)
        ]
    return weights


def numpy_matrices(dimension: int, depth: int, pathways: int, lanes: int, steps: int) -> Run:
    """NumPy's batched products by hand-written gradients."""
    start, target = _start(dimension, depth, pathways, lanes), np.eye(dimension)
    return lambda: float(np.ravel(_descend(start, target, steps)[0][0])[0])


def torch_batched(dimension: int, depth: int, pathways: int, lanes: int, steps: int) -> Run:
    """PyTorch's batched products (`bmm`) by hand-written gradients, in float64."""
    import torch

    start = [
        [torch.from_numpy(w) for w in layers]
        for layers in _start(dimension, depth, pathways, lanes)
    ]
    target = torch.eye(dimension, dtype=torch.float64)
    return lambda: float(_descend(start, target, steps)[0][0].ravel()[0])


def torch_eager(dimension: int, depth: int, pathways: int, steps: int) -> Run:
    """The paper script: one lane, autograd, a Python loop over steps."""
    import torch

    target = torch.eye(dimension, dtype=torch.float64)

    def run() -> float:
        weights = [
            [torch.from_numpy(w).clone().requires_grad_() for w in layers]
            for layers in _start(dimension, depth, pathways, 1)
        ]
        optimizer = torch.optim.SGD([w for layers in weights for w in layers], lr=0.01)
        for _ in range(steps):
            optimizer.zero_grad()
            made = [functools.reduce(lambda p, w: w @ p, layers) for layers in weights]
            loss = ((sum(made) - target) ** 2).sum() / 2
            loss.backward()
            optimizer.step()
        return float(loss)

    return run


def matrix_product(dimension: int, count: int) -> Run:
    """As many plain matrix products, by the BLAS of NumPy."""
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, dimension, dimension))
    made = np.empty_like(one)

    def run() -> float:
        for _ in range(count):
            np.matmul(one, two, out=made)
        return float(made[0, 0])

    return run


# --- gradient flow ----------------------------------------------------------------------------


def start(dimension: int, depth: int) -> list[Any]:
    """The layers from which all flows begin."""
    noise = _start(dimension, depth, 1, 1)[0]
    return [0.5 * np.eye(dimension) + 0.2 * w for w in noise]


def scipy_flow(dimension: int, depth: int, time: float, method: Any) -> Run:
    """SciPy's Runge–Kutta on NumPy's gradients."""
    layers, target = start(dimension, depth), np.eye(dimension)
    shape = (depth, dimension, dimension)

    def velocity(_: float, flat: Any) -> Any:
        gradients = _gradients([list(flat.reshape(shape))], target)[0]
        return -np.concatenate([g.ravel() for g in gradients])

    def run() -> float:
        found = scipy.integrate.solve_ivp(
            velocity, (0, time), np.ravel(layers), method=method, rtol=1e-8, atol=1e-10
        )
        made = functools.reduce(lambda p, w: w @ p, found.y[:, -1].reshape(shape))
        return float(np.sum((made - target) ** 2) / 2)

    return run


def torch_flow(dimension: int, depth: int, time: float) -> Run:
    """torchdiffeq on PyTorch's gradients, written by hand."""
    import torch
    import torchdiffeq

    layers = torch.from_numpy(np.stack(start(dimension, depth)))
    target = torch.eye(dimension, dtype=torch.float64)
    until = torch.tensor([0.0, time], dtype=torch.float64)

    def velocity(_: Any, weights: Any) -> Any:
        return -torch.stack(_gradients([list(weights)], target)[0])

    def run() -> float:
        found = torchdiffeq.odeint(velocity, layers, until, method="dopri8", rtol=1e-8, atol=1e-10)
        made = functools.reduce(lambda p, w: w @ p, found[-1])
        return float(((made - target) ** 2).sum() / 2)

    return run
