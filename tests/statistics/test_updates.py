"""The variance of updates against the obvious loop, and against the diffusion of the modes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlnlab.dynamics import GradientDescent, StochasticGradientDescent, Switched
from dlnlab.errors import InputError
from dlnlab.networks import square
from dlnlab.observables import end_to_end, mode_diffusion, mode_drift
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last
from dlnlab.simulate import simulate
from dlnlab.statistics import EstimatedModeUpdates, ModeUpdates
from dlnlab.tasks import teacher_samples


def some_run(rate, replacement="with"):
    task = teacher_samples(jax.random.key(1), jnp.diag(jnp.array([2.0, 1.0, 0.5])), 40, 0.3)
    problem = Problem(square(3, (2,)), task)
    keys = jax.random.split(jax.random.key(2), 2)
    params = (tuple(jax.random.normal(k, (3, 3)) / 2 for k in keys),)
    descent = StochasticGradientDescent(rate, batch_size=2, replacement=replacement)
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


@pytest.mark.parametrize("replacement", ["with", "epochs"])
def test_an_estimated_basis_is_that_of_the_batches_so_far(replacement):
    """The obvious loop again, which draws the batches anew and decomposes their mean."""
    with jax.enable_x64(True):
        run, window, rate, steps = some_run(0.01, replacement), 7, 0.01, 30
        observe, statistics = (end_to_end,), (EstimatedModeUpdates(window),)
        found = simulate(
            run, steps=steps, schedule=last(30), observe=observe, statistics=statistics
        )
        inputs = np.asarray(run.problem.task.inputs)
        maps = found.end_to_end.values @ np.linalg.inv(inputs.T @ inputs / len(inputs))
        memory = run.dynamics.init(run.problem, run.params, run.key)
        params, seen = run.params, []
        for _ in range(steps):
            batch = run.dynamics.batch(run.problem, memory).task
            pairs = zip(batch.inputs, batch.outputs, strict=True)
            seen.append(np.mean([np.outer(y, x) for x, y in pairs], axis=0))
            params, memory = run.dynamics.step(run.problem, params, memory)
    updates, mean, variance = np.diff(maps, axis=0) / rate, np.zeros((3, 3)), np.zeros(3)
    for count in range(1, steps + 1):
        left, strengths, right = np.linalg.svd(np.mean(seen[:count], axis=0))
        part = max(1 / window, 1 / count)
        away = updates[count - 1] - mean
        mean = mean + part * away
        variance = (1 - part) * (variance + part * np.diag(left.T @ away @ right.T) ** 2)
        if count == 1:  # two samples leave the signs of the third singular vectors open
            continue
        now = found.isel(step=count)
        wanted = {
            "": variance,
            "_mean": np.diag(left.T @ mean @ right.T),
            "_level": np.diag(left.T @ maps[count] @ right.T),
            "_strength": strengths,
        }
        for name, value in wanted.items():
            made = now[f"estimated_update_variance{name}"]
            np.testing.assert_allclose(made, value, rtol=1e-7, atol=1e-12)


def test_without_batches_the_estimated_basis_is_the_task_s():
    with jax.enable_x64(True):
        run = dataclasses.replace(some_run(0.01), dynamics=GradientDescent(0.01))
        statistics = (ModeUpdates(5), EstimatedModeUpdates(5))
        found = simulate(run, steps=20, schedule=last(20), statistics=statistics).isel(step=-1)
    same = {"rtol": 1e-9, "atol": 1e-14}
    np.testing.assert_allclose(found.estimated_update_variance, found.update_variance, **same)
    np.testing.assert_allclose(
        found.estimated_update_variance_mean, found.update_variance_mean, **same
    )


def test_batches_of_several_sizes_are_refused():
    run = some_run(0.01)
    phases = tuple(dataclasses.replace(run.dynamics, batch_size=b) for b in (2, 4))
    switched = dataclasses.replace(run, dynamics=Switched(phases, (5,)))
    with pytest.raises(InputError, match="differ in size; run each on its own"):
        simulate(switched, steps=9, statistics=(EstimatedModeUpdates(5),))


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


@pytest.mark.parametrize("statistic", [ModeUpdates, EstimatedModeUpdates])
def test_a_window_of_one_step_is_refused(statistic):
    with pytest.raises(InputError, match="window is 1, and a variance needs at least 2 steps"):
        statistic(1)
