"""The variance of updates against the obvious loop, and against the diffusion of the modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.networks import square
from dlnlab.observables import end_to_end, mode_diffusion, mode_drift
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.simulate import simulate
from dlnlab.statistics import ModeUpdates
from dlnlab.tasks import teacher_samples


def some_run(rate):
    task = teacher_samples(jax.random.key(1), jnp.diag(jnp.array([2.0, 1.0, 0.5])), 40, 0.3)
    problem = Problem(square(3, (2,)), task)
    keys = jax.random.split(jax.random.key(2), 2)
    params = (tuple(jax.random.normal(k, (3, 3)) / 2 for k in keys),)
    descent = StochasticGradientDescent(rate, batch_size=2, replacement="with")
    return Run(problem, descent, params, key=jax.random.key(3))


def test_updates_are_weighted_as_the_obvious_loop_does():
    with jax.enable_x64(True):
        run, window, rate = some_run(0.01), 7, 0.01
        found = simulate(
            run,
            steps=30,
            schedule=last(30),
            observe=(end_to_end,),
            statistics=(ModeUpdates(window),),
        )
        # The map itself, not its mean over the sample's own inputs.
        inputs = np.asarray(run.problem.task.inputs)
        second = np.linalg.inv(inputs.T @ inputs / len(inputs))
        maps = found.end_to_end.values @ second
        left, right = np.asarray(run.problem.task.left), np.asarray(run.problem.task.right)
    updates = np.diff(np.einsum("ia,tij,ja->ta", left, maps, right), axis=0) / rate
    for count in (1, 5, 30):
        weights = np.ones(1)
        for k in range(2, count + 1):
            part = max(1 / window, 1 / k)
            weights = np.append(weights * (1 - part), part)
        mean = weights @ updates[:count]
        variance = weights @ (updates[:count] - mean) ** 2
        np.testing.assert_allclose(found.update_variance_mean[count], mean, rtol=1e-9)
        np.testing.assert_allclose(found.update_variance[count], variance, rtol=1e-8, atol=1e-14)


def test_it_measures_diffusion_over_batch_size():
    """At a step so small that nothing moves: 4,000 updates, the variance of a variance included."""
    steps, rate = 4000, 1e-9
    with jax.enable_x64(True):
        task = teacher_samples(jax.random.key(1), jnp.diag(jnp.array([2.0, 1.0])), 40, 0.3)
        white = np.linalg.cholesky(np.linalg.inv(task.inputs.T @ task.inputs / 40))
        inputs = task.inputs @ white  # for which W and its mean over the sample agree
        problem = Problem(square(2, (2,)), type(task)(inputs, task.outputs))
        params = (tuple(jax.random.normal(jax.random.key(k), (2, 2)) for k in (5, 6)),)
        descent = StochasticGradientDescent(rate, batch_size=2, replacement="with")
        run = Run(problem, descent, params, key=jax.random.key(3))
        observe = (mode_diffusion, mode_drift)
        found = simulate(run, steps=steps, observe=observe, statistics=(ModeUpdates(steps),))
    end = found.isel(step=-1)
    diffusion = end.mode_diffusion.values / 2
    error = (diffusion / steps) ** 0.5
    assert (abs(end.update_variance_mean - end.mode_drift).values < 5 * error).all()
    # Kurtosis of a product of Gaussians in pairs: below 20, so that the error is below √(20/n).
    assert (abs(end.update_variance.values / diffusion - 1) < 5 * (20 / steps) ** 0.5).all()


def test_a_window_of_one_step_is_refused():
    with pytest.raises(InputError, match="window is 1, and a variance needs at least 2 steps"):
        ModeUpdates(1)
