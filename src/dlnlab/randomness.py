"""Normal numbers that depend on a key and a counter alone, made for many lanes side by side.

A number is a function of the run's key, of the step and of its place within the step (the cipher
threefry-2x32 of 20 rounds, as in `jax.random`), so that neither cutting nor neighbours change it.
JAX's own generator goes through its rounds in a loop, which the compiler joins with nothing, and
inverts the error function. Here all is plain arithmetic along the lanes, and two normal numbers
come from each block of 64 bits by the transformation of Box and Muller.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from dlnlab.typing import Any, Array, Float, Key, UInt32

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_TERMS = 11
"""Of the series of the logarithm, sine and cosine below: the next is beneath rounding."""


def words(key: Key[Array, ""]) -> UInt32[Array, " 2"]:
    """A key of any of JAX's generators as the two words that `normals` takes."""
    return jax.random.bits(key, (2,), "uint32")


def normals(
    key: UInt32[Array, " 2"], step: Array, shape: tuple[int, ...], dtype: Any, first: int = 0
) -> Float[Array, "..."]:
    """Independent standard normal numbers, for a key and a step.

    Radius and angle of each pair have 32 bits: no number exceeds 6.8 (as 1e-11 of all would), and
    all repeat after 2³² steps.

    **Arguments:** `first` is the block of bits to begin with; `blocks` says how many are used.

    >>> made = normals(words(jax.random.key(0)), jnp.asarray(5), (3,), "float32")
    >>> made.shape, bool(abs(made).max() < 6.8)
    ((3,), True)
    """
    places = tuple(range(math.prod(shape)))
    return _draw(key, step, places, shape, dtype, first)


def symmetric(
    key: UInt32[Array, " 2"],
    step: Array,
    size: int,
    dtype: Any,
    first: int = 0,
    diagonal: float = 1.0,
) -> Float[Array, "size size"]:
    """A symmetric matrix of normal numbers, independent on and above the diagonal.

    **Arguments:** `diagonal` is the standard deviation there; it is 1 elsewhere.

    >>> made = symmetric(words(jax.random.key(0)), jnp.asarray(5), 4, "float32")
    >>> bool((made == made.T).all())
    True
    """
    above = np.zeros((size, size), int)
    above[np.triu_indices(size)] = range(size * (size + 1) // 2)
    places = tuple((above + np.triu(above, 1).T).ravel().tolist())
    return _draw(key, step, places, (size, size), dtype, first, diagonal)


def blocks(count: int) -> int:
    """How many blocks of bits `count` numbers take.

    >>> blocks(3)
    2
    """
    return -(-count // 2)


def _draw(
    key: Array,
    step: Array,
    places: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: Any,
    first: int,
    diagonal: float = 1.0,
) -> Array:
    made: Array = _normals.bind(
        key,
        jnp.asarray(step).astype("uint32"),
        places=places,
        shape=shape,
        dtype=np.dtype(dtype),
        first=first,
        diagonal=diagonal,
    )
    return made


def pair(key: Sequence[Array], step: Array, number: Array, dtype: Any) -> tuple[Array, Array]:
    """Two normal numbers from one block of bits, the `number`-th of a step."""
    length, turn = _threefry(key[0], key[1], step, number)
    radius = jnp.sqrt(jnp.maximum(-2 * _log(length, dtype), 0))
    cosine, sine = _circle(turn, dtype)
    return radius * cosine, radius * sine


def _threefry(key0: Array, key1: Array, one: Array, two: Array) -> tuple[Array, Array]:
    """The block `one, two` enciphered by the key (Salmon et al. 2011)."""
    keys = (key0, key1, key0 ^ key1 ^ jnp.uint32(_PARITY))
    one, two = one + keys[0], two + keys[1]
    for turn in range(5):
        for left in _ROTATIONS[turn % 2]:
            one = one + two
            two = ((two << jnp.uint32(left)) | (two >> jnp.uint32(32 - left))) ^ one
        one = one + keys[(turn + 1) % 3]
        two = two + (keys[(turn + 2) % 3] + jnp.uint32(turn + 1))
    return one, two


def _log(bits: Array, dtype: Any) -> Array:
    """`ln u`, u = (bits + ½)/2³²: of its exponent, and of its fraction f in [½, 1) the series
    `ln f = 2 artanh((f − √½)/(f + √½)) − ½ ln 2`."""
    zeros = jax.lax.clz(bits | jnp.uint32(1))
    power = (jnp.uint32(1) << zeros).astype(dtype)
    fraction = (bits.astype(dtype) + 0.5) * (2.0**-32 * power)
    ratio = (fraction - 0.5**0.5) / (fraction + 0.5**0.5)
    series = _polynomial(ratio * ratio, [2 / (2 * k + 1) for k in range(_TERMS)])
    return ratio * series - (zeros.astype(dtype) + 0.5) * math.log(2)


def _circle(bits: Array, dtype: Any) -> tuple[Array, Array]:
    """Cosine and sine of a full turn's share bits/2³²: an angle in [−π/4, π/4), and quarters."""
    low = bits & jnp.uint32((1 << 30) - 1)
    angle = (low.astype(dtype) - 2.0**29) * (math.pi / 2**31)
    square = angle * angle
    signs = [(-1) ** k for k in range(_TERMS)]
    cosine = _polynomial(square, [s / math.factorial(2 * k) for k, s in enumerate(signs)])
    sine = angle * _polynomial(square, [s / math.factorial(2 * k + 1) for k, s in enumerate(signs)])
    odd, half = (bits & jnp.uint32(1 << 30)) > 0, (bits & jnp.uint32(1 << 31)) > 0
    cosine, sine = jnp.where(odd, -sine, cosine), jnp.where(odd, cosine, sine)
    return jnp.where(half, -cosine, cosine), jnp.where(half, -sine, sine)


def _polynomial(x: Array, coefficients: list[float]) -> Array:
    """`Σ_k c_k x^k`, by Horner's rule."""
    *others, last = coefficients
    return functools.reduce(
        lambda whole, c: whole * x + c, reversed(others), jnp.full_like(x, last)
    )


_normals = Primitive("normals")
"""A primitive for the sake of its batching rule: the lanes stand in the last axis."""


def _make(
    key: Array,
    step: Array,
    *,
    places: tuple[int, ...],
    shape: tuple[int, ...],
    dtype: Any,
    first: int,
    diagonal: float,
) -> Array:
    """`[*shape]`, or `[*shape, lane]` of words `[2, lane]`; the number in a place is that of
    `places`, and n blocks make the numbers k and k + n."""
    lanes = jnp.broadcast_shapes(key.shape[1:], step.shape)
    count = max(places, default=-1) + 1
    used = jnp.arange(first, first + blocks(count), dtype="uint32")

    def made() -> Array:
        drawn = jnp.concatenate(pair(key, step, used.reshape(-1, *(1,) * len(lanes)), dtype))
        if places == tuple(range(count)):
            return drawn[:count].reshape(*shape, *lanes)
        rows = [drawn[place : place + 1] for place in places]
        whole = jnp.concatenate(rows).reshape(*shape, *lanes)
        scale = np.where(np.eye(*shape, dtype=bool), diagonal, 1.0).astype(dtype)
        return whole * scale.reshape(*shape, *(1,) * len(lanes))

    # XLA would make each number again wherever it is used, ten times as slow. It does not look
    # through a conditional, and cannot know that this one is never taken.
    word = jnp.ravel(key)[0]
    return jax.lax.cond((word < 1) & (word > 1), lambda: jnp.zeros_like(made()), made)


def _along_lanes(
    arguments: tuple[Array, Array], axes: tuple[Any, Any], **params: Any
) -> tuple[Array, int]:
    key, step = (
        value[..., None] if axis is None else jnp.moveaxis(value, axis, -1)
        for value, axis in zip(arguments, axes, strict=True)
    )
    return _make(key, step, **params), len(params["shape"])


def _shape(key: Any, step: Any, *, shape: tuple[int, ...], dtype: Any, **_: Any) -> Any:
    return jax.core.ShapedArray(shape, dtype)


_normals.def_impl(jax.jit(_make, static_argnames=("places", "shape", "dtype", "first", "diagonal")))
_normals.def_abstract_eval(_shape)
mlir.register_lowering(_normals, mlir.lower_fun(_make, multiple_results=False))
batching.primitive_batchers[_normals] = _along_lanes
