"""Where vectors that change from step to step will be next, by their last five places."""

import jax.numpy as jnp

from dlnlab.typing import Array, Float

STEPS = 5
"""So many places are looked at: those that a guess is made of, and one more to judge it by."""

_GUESSES = ((1, 0, 0, 0), (2, -1, 0, 0), (3, -3, 1, 0), (0, 1, 0, 0), (0, 2, 0, -1))
"""What the next vector is made of, the last one first: no change, the straight line, the parabola;
on an orbit of period 2 no change, and the straight line."""


def foretold(history: Float[Array, "5 k n"]) -> Float[Array, "k n"]:
    """For each of k vectors the guess that would have come closest to the last one a step ago.

    `history` are orthonormal vectors (rows), the latest first, or zero where there are none yet.
    Only their span matters: signs and turns among equal eigenvalues mean nothing.

    >>> import math
    >>> angle = jnp.array([0.5, 0.4, 0.3, 0.2, 0.1])
    >>> turning = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)[:, None]
    >>> [round(float(part), 2) for part in foretold(turning)[0]]
    [0.82, 0.57]
    >>> round(math.cos(0.6), 2), round(math.sin(0.6), 2)
    (0.83, 0.56)
    """
    last, older = history[0], history[1:]
    before = (last @ jnp.matrix_transpose(older)) @ older  # what the last ones were then
    recent = jnp.concatenate([last[None], before[:-1]])
    weights = jnp.asarray(_GUESSES, last.dtype)
    errors = jnp.linalg.norm(jnp.tensordot(weights, before, 1) - last, axis=2)
    best = jnp.argmin(errors, axis=0)
    return jnp.einsum("km,mkn->kn", weights[best], recent)
