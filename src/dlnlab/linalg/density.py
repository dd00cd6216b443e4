"""How the whole spectrum of a symmetric operator is spread, from its action on random vectors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from matfree import decomp

from dlnlab.linalg.extremes import Matvec
from dlnlab.typing import Any, Array, Float, Key, Scalar


class Density(NamedTuple):
    """A spectrum as point masses: `nodes` and the share of all eigenvalues at each, by probe.

    Each probe is an estimate of its own, with weights that sum to 1.
    """

    nodes: Float[Array, "probe node"]
    weights: Float[Array, "probe node"]


class Estimate(NamedTuple):
    """A mean over probes and its standard error."""

    value: Scalar
    error: Scalar


def spectral_density(
    matvec: Matvec,
    key: Key[Array, ""],
    size: int,
    *,
    probes: int = 10,
    nodes: int = 40,
    dtype: Any = float,
) -> Density:
    """The spectral density by stochastic Lanczos quadrature (Golub and Welsch; Ubaru et al. 2017).

    A probe v of random signs (‖v‖² = n) and `nodes` products give a quadrature whose first
    2·`nodes` − 1 moments are those of v; over the probes their mean is that of the spectrum,
    `(1/n) tr Aᵏ`. Both ends of the spectrum are nodes to many digits, the middle is smoothed.

    >>> spectrum = jnp.linspace(-1.0, 1.0, 300)
    >>> found = spectral_density(lambda v: spectrum * v, jax.random.key(0), 300)
    >>> found.nodes.shape, bool(jnp.allclose(jnp.sum(found.weights, axis=1), 1, atol=1e-5))
    ((10, 40), True)
    >>> above = jnp.sum(jnp.where(found.nodes > 0.5, found.weights, 0), axis=1).mean()
    >>> bool(abs(above - 0.25) < 0.05)
    True
    """
    count = min(nodes, size)
    tridiagonal = decomp.tridiag_sym(count, custom_vjp=False)

    def one(probe_key: Array) -> tuple[Array, Array]:
        probe = jax.random.rademacher(probe_key, (size,), dtype)
        values, vectors = jnp.linalg.eigh(tridiagonal(matvec, probe).J_small)
        return values, vectors[0] ** 2

    # One after the other: see `dlnlab.simulate.lanes.over_lanes` for what a batch would risk.
    return Density(*jax.lax.map(one, jax.random.split(key, probes)))


def trace(density: Density, size: int) -> Estimate:
    """The trace `n Σ_k w_k θ_k` (Hutchinson's estimate, of the same probes) with its error.

    >>> values = jnp.arange(200.0)
    >>> found = spectral_density(lambda v: values * v, jax.random.key(0), 200)
    >>> bool(abs(trace(found, 200).value - values.sum()) < 1)  # exact for a diagonal operator
    True
    """
    each = size * jnp.sum(density.nodes * density.weights, axis=1)
    return Estimate(jnp.mean(each), jnp.std(each, ddof=1) / len(each) ** 0.5)
