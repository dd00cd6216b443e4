"""Normal numbers: the cipher, the transformation, and that keys and steps tell them apart."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from dlnlab import randomness
from dlnlab.randomness import normals, symmetric, words


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def many(count, seeds=1, steps=1, first=0):
    keys = jax.vmap(lambda s: words(jax.random.key(s)))(jnp.arange(first, first + seeds))
    over_steps = jax.vmap(lambda k, t: normals(k, t, (count,), "float64"), (None, 0))
    return np.asarray(jax.vmap(over_steps, (0, None))(keys, jnp.arange(steps)))


def test_the_cipher_is_jaxs_own():
    key = words(jax.random.key(3))
    ours = randomness._threefry(key[0], key[1], jnp.uint32(7), jnp.uint32(12345))
    theirs = jax.extend.random.threefry_2x32(key, jnp.array([7, 12345], "uint32"))
    np.testing.assert_array_equal(np.array(ours), np.asarray(theirs))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logarithm_and_circle_are_those_of_numpy(dtype):
    bits = np.random.default_rng(0).integers(1, 2**32, 5000, dtype=np.uint32)
    bits[:4] = 1, 2**31 - 1, 2**31, 2**32 - 1
    made = np.asarray(randomness._log(jnp.asarray(bits), dtype))
    wanted = np.log((bits + 0.5) / 2**32)
    slack = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(made, wanted, rtol=0, atol=slack * abs(wanted).max())
    angle = 2 * np.pi * bits.astype(float) / 2**32 - np.pi / 4
    cosine, sine = randomness._circle(jnp.asarray(bits), dtype)
    np.testing.assert_allclose(cosine, np.cos(angle), rtol=0, atol=slack)
    np.testing.assert_allclose(sine, np.sin(angle), rtol=0, atol=slack)


def test_numbers_are_normal():
    """Kolmogorov and Smirnov's test, and four moments within 4.5 of their standard errors."""
    x = many(100_001, 2, 2).ravel()
    assert scipy.stats.kstest(x, "norm").pvalue > 1e-5
    wanted, variance = (0, 1, 0, 3), (1, 2, 15, 96)
    for power in range(1, 5):
        error = np.sqrt(variance[power - 1] / len(x))
        assert abs(np.mean(x**power) - wanted[power - 1]) < 4.5 * error
    assert np.isfinite(
        np.asarray(randomness._log(jnp.array([0, 2**32 - 1], "uint32"), "float64"))
    ).all()


def test_seeds_steps_and_places_are_uncorrelated():
    """Neighbours in each of the three, their squares too: within 4/√n of none."""
    x = many(40, 60, 50)
    for values in (x, x**2 - 1):
        for axis in range(3):
            a, b = (np.moveaxis(values, axis, 0)[k] for k in (slice(None, -1), slice(1, None)))
            assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 4 / np.sqrt(a.size)
    halves = x[..., :20], x[..., 20:]  # the two numbers of each block
    assert abs(np.corrcoef(*(h.ravel() for h in halves))[0, 1]) < 4 / np.sqrt(x.size / 2)


def test_neighbours_and_layout_change_no_bit():
    lanes = many(15, 33, 4)
    np.testing.assert_array_equal(many(15, 1, 4, first=17)[0], lanes[17])
    alone = normals(words(jax.random.key(17)), jnp.asarray(3), (15,), "float64")
    np.testing.assert_array_equal(alone, lanes[17, 3])


def test_a_symmetric_matrix_uses_each_number_twice():
    made = np.asarray(symmetric(words(jax.random.key(0)), jnp.asarray(1), 5, "float64", 0, 2.0))
    flat = np.asarray(normals(words(jax.random.key(0)), jnp.asarray(1), (15,), "float64"))
    above = made[np.triu_indices(5)] / np.where(np.eye(5)[np.triu_indices(5)], 2, 1)
    np.testing.assert_array_equal(above, flat)
    np.testing.assert_array_equal(made, made.T)
