"""What people run instead, and the machine's limits. Packages beyond ours are optional: `.[bench]`.

All of it works on the same networks with the same loss, `½‖W − M‖²_F`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.integrate
import scipy.sparse.linalg
from jax.flatten_util import ravel_pytree

from dlnlab.networks import chain
from dlnlab.problem import Problem
from dlnlab.tasks import Whitened
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


# --- curvature --------------------------------------------------------------------------------


def trained(dimension: int, depth: int) -> tuple[Problem, Any]:
    """A chain in mid-training, in progressive sharpening."""
    target = np.diag(np.linspace(2, 0.5, dimension))
    weights = [[np.eye(dimension) * 0.5 + 0.1 * w for w in _start(dimension, depth, 1, 1)[0]]]
    weights = _descend(weights, target, 30)
    problem = Problem(chain((dimension,) * (depth + 1)), Whitened(target))
    return problem, (tuple(weights[0]),)


def scipy_largest(problem: Problem, params: Any) -> Run:
    """ARPACK for the largest algebraic eigenvalue, on Hessian–vector products of ours."""
    with jax.enable_x64(True):
        flat, unravel = ravel_pytree(params)
        product = jax.jit(lambda v: ravel_pytree(problem.hessian_vector(params, unravel(v)))[0])

    def run() -> float:
        with jax.enable_x64(True):
            operator = scipy.sparse.linalg.LinearOperator(
                (flat.size, flat.size), lambda v: np.asarray(product(v)), dtype=np.float64
            )
            values = scipy.sparse.linalg.eigsh(
                operator, k=1, which="LA", tol=1e-6, return_eigenvectors=False
            )
        return float(values[0])

    return run


def _torch_chain(dimension: int, depth: int, params: Any) -> tuple[Any, Any, Any, Any]:
    """A linear model whose `MSELoss`, times d/2, is our loss on the unit vectors as inputs."""
    import torch

    layers = [torch.nn.Linear(dimension, dimension, bias=False).double() for _ in range(depth)]
    for layer, weight in zip(layers, params[0], strict=True):
        layer.weight.data = torch.from_numpy(np.array(weight))
    inputs = torch.eye(dimension, dtype=torch.float64)
    outputs = torch.diag(torch.linspace(2, 0.5, dimension, dtype=torch.float64))

    def criterion(made: Any, wanted: Any) -> Any:
        return ((made - wanted) ** 2).sum() / 2

    return torch.nn.Sequential(*layers), criterion, inputs, outputs


def eigenthings(dimension: int, depth: int, params: Any) -> Run:
    """hessian-eigenthings by its Lanczos, converged to 1e-6."""
    import torch
    from hessian_eigenthings import lanczos
    from hessian_eigenthings.operators import HessianOperator

    model, criterion, inputs, outputs = _torch_chain(dimension, depth, params)

    def loss(network: Any, batch: Any) -> Any:
        return criterion(network(batch[0]), batch[1])

    def run() -> float:
        operator = HessianOperator(model, [(inputs, outputs)], loss)
        torch.manual_seed(0)
        # Its default is two steps; forty find the value to all digits that are compared.
        found = lanczos(operator, k=1, max_iter=40, tol=1e-6, which="LA")
        return float(found.eigenvalues[0])

    return run


def pyhessian(dimension: int, depth: int, params: Any) -> Run:
    """PyHessian's power iteration (largest in magnitude), tolerance 1e-6 on the quotient."""
    import pyhessian as package

    model, criterion, inputs, outputs = _torch_chain(dimension, depth, params)

    def run() -> float:
        tool = package.hessian(model, criterion, data=(inputs, outputs), cuda=False)
        values, _ = tool.eigenvalues(maxIter=1000, tol=1e-6, top_n=1)
        return float(values[0])

    return run


def curvlinops(dimension: int, depth: int, params: Any) -> Run:
    """curvlinops' Hessian operator under SciPy's eigsh."""
    import torch
    from curvlinops import HessianLinearOperator

    model, _, inputs, outputs = _torch_chain(dimension, depth, params)
    # Its loss is a torch module; over d outputs, half the sum is d/2 times the mean of squares.
    loss = torch.nn.MSELoss(reduction="sum")

    def run() -> float:
        operator = HessianLinearOperator(
            model, loss, list(model.parameters()), [(inputs, outputs)], check_deterministic=False
        )
        made = operator.to_scipy(dtype=np.float64)
        values = scipy.sparse.linalg.eigsh(
            made, k=1, which="LA", tol=1e-6, return_eigenvectors=False
        )
        return float(values[0]) / 2

    return run
