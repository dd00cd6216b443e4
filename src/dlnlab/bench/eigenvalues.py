"""Tools for the largest eigenvalue of a Hessian: ours, and what people use instead."""

from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from dlnlab import linalg
from dlnlab.bench.hessians import TOLERANCE, TRACKED_STEPS, Answer, Bench, step
from dlnlab.typing import Any, Array


def ours(bench: Bench) -> Callable[[], Answer]:
    """Lanczos with thick restarts, from a random vector."""
    count = [0]
    with jax.enable_x64(True):
        start = jax.random.normal(jax.random.key(0), bench.flat.shape, bench.flat.dtype)

        def cold(flat: Array, counted: bool = False) -> linalg.Eigenpairs:
            def product(vector: Array) -> Array:
                if counted:
                    jax.debug.callback(lambda: count.__setitem__(0, count[0] + 1))
                return bench.product(flat, vector)

            return linalg.largest_lanczos(product, start, tolerance=TOLERANCE)

        jax.block_until_ready(jax.jit(lambda f: cold(f, True))(bench.flat))
        jax.effects_barrier()
        solve = jax.jit(lambda flat: _first(cold(flat)))

    def run() -> Answer:
        with jax.enable_x64(True):
            value, vector = solve(bench.flat)
            return float(value), vector, count[0]

    return run


def _first(pairs: linalg.Eigenpairs) -> tuple[Array, Array]:
    """Taken apart within the compiled function: outside, each index would cost as much as it."""
    return pairs.values[0], pairs.vectors[0]


def tracked(bench: Bench, rate: float = 0.01) -> Callable[[], Answer]:
    """The tracker along gradient descent: the last answer, and the mean products of a step."""
    with jax.enable_x64(True):
        size, dtype = bench.flat.size, bench.flat.dtype

        def one(index: Array, carry: Any) -> Any:
            flat, track, products = carry
            flat = step(bench, flat, rate)
            drawn = jax.random.normal(jax.random.fold_in(jax.random.key(1), index), (size,), dtype)
            track = linalg.follow(
                lambda v: bench.product(flat, v),
                track,
                drawn,
                probe=index % 10 == 0,
                tolerance=TOLERANCE,
            )
            return flat, track, products + track.products + track.probes

        def along(flat: Array) -> Any:
            product = lambda v: bench.product(flat, v)  # noqa: E731
            track = linalg.begin(product, jax.random.key(0), size, dtype=dtype)
            return jax.lax.fori_loop(0, TRACKED_STEPS, one, (flat, track, jnp.asarray(0)))

        solve = jax.jit(along)

    def run() -> Answer:
        with jax.enable_x64(True):
            _, track, products = solve(bench.flat)
            value, vector = float(track.pairs.values[0]), track.pairs.vectors[0]
        return value, vector, float(products) / TRACKED_STEPS

    return run


def scipy_largest(bench: Bench) -> Callable[[], Answer]:
    """ARPACK for the largest algebraic eigenvalue, on Hessian–vector products of ours."""
    with jax.enable_x64(True):
        product = jax.jit(lambda v: bench.product(bench.flat, v))

    def run() -> Answer:
        count = [0]

        def counted(vector: Any) -> Any:
            count[0] += 1
            return np.asarray(product(vector))

        with jax.enable_x64(True):
            return *_arpack(counted, bench.flat.size), count[0]

    return run


def _arpack(product: Callable[[Any], Any], size: int) -> tuple[float, Any]:
    operator = scipy.sparse.linalg.LinearOperator((size, size), product, dtype=np.float64)
    start = np.random.default_rng(0).normal(size=size)
    values, vectors = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", tol=TOLERANCE, v0=start)
    return float(values[0]), vectors[:, 0]


def eigenthings(bench: Bench) -> Callable[[], Answer]:
    """hessian-eigenthings by its Lanczos, converged."""
    import torch
    from hessian_eigenthings import lanczos
    from hessian_eigenthings.operators import HessianOperator

    model, criterion, inputs, outputs = _torch_chain(bench)

    def loss(network: Any, batch: Any) -> Any:
        return criterion(network(batch[0]), batch[1])

    def run() -> Answer:
        operator = HessianOperator(model, [(inputs, outputs)], loss)
        torch.manual_seed(0)
        # Its default is two steps, and it has no restarts: more until it says that it is done.
        asked = {"k": 1, "tol": TOLERANCE, "which": "LA", "reorthogonalize": True, "seed": 0}
        for steps in (40, 80, 160, operator.size):
            found = lanczos(operator, max_iter=steps, **asked)
            if bool(found.converged[0]):
                break
        return float(found.eigenvalues[0]), found.eigenvectors[0].numpy(), found.iterations

    return run


def pyhessian(bench: Bench) -> Callable[[], Answer]:
    """PyHessian's power iteration (largest in magnitude), tolerance on the quotient."""
    import pyhessian as package
    import torch

    model, criterion, inputs, outputs = _torch_chain(bench)

    def run() -> Answer:
        torch.manual_seed(0)
        tool = package.hessian(model, criterion, data=(inputs, outputs), cuda=False)
        inner = package.hessian.eigenvalues.__globals__
        with mock.patch.dict(inner):
            counting = mock.Mock(wraps=inner["hessian_vector_product"])
            inner["hessian_vector_product"] = counting
            values, vectors = tool.eigenvalues(maxIter=1000, tol=TOLERANCE, top_n=1)
        flat = np.concatenate([part.detach().numpy().ravel() for part in vectors[0]])
        return float(values[0]), flat, counting.call_count

    return run


def curvlinops(bench: Bench) -> Callable[[], Answer]:
    """curvlinops' Hessian operator under SciPy's eigsh."""
    import torch
    from curvlinops import HessianLinearOperator

    model, _, inputs, outputs = _torch_chain(bench)
    # Its loss is a torch module; the half of a sum of squares is half of what it computes.
    loss = torch.nn.MSELoss(reduction="sum")

    def run() -> Answer:
        operator = HessianLinearOperator(
            model, loss, list(model.parameters()), [(inputs, outputs)], check_deterministic=False
        )
        made, count = operator.to_scipy(dtype=np.float64), [0]

        def counted(vector: Any) -> Any:
            count[0] += 1
            return made @ vector

        value, vector = _arpack(counted, made.shape[0])
        return value / 2, vector, count[0]

    return run


def _torch_chain(bench: Bench) -> tuple[Any, Any, Any, Any]:
    """A linear model whose sum of squares over the unit vectors, halved, is our loss."""
    import torch

    target = np.array(bench.problem.task.target)
    dimension = len(target)
    layers = [
        torch.nn.Linear(dimension, dimension, bias=False).double() for _ in range(bench.depth)
    ]
    with jax.enable_x64(True):
        weights = bench.unravel(bench.flat)[0]
    for layer, weight in zip(layers, weights, strict=True):
        layer.weight.data = torch.from_numpy(np.array(weight))
    inputs = torch.eye(dimension, dtype=torch.float64)

    def criterion(made: Any, wanted: Any) -> Any:
        return ((made - wanted) ** 2).sum() / 2

    return torch.nn.Sequential(*layers), criterion, inputs, torch.from_numpy(target.T.copy())
