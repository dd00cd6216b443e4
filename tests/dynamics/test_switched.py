"""Step sizes and batch sizes that switch in mid-run."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlnlab.dynamics import GradientDescent, Optax, StochasticGradientDescent, Switched
from dlnlab.errors import InputError
from dlnlab.experiment import Experiment
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, square
from dlnlab.observables import end_to_end, loss
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import last, linear
from dlnlab.simulate import simulate
from dlnlab.simulate.clock import Clock, coordinates, of_run
from dlnlab.tasks import Whitened


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def run_of(dynamics, key=0):
    problem = Problem(square(2, (2,)), Whitened(jnp.diag(jnp.array([1.0, 0.5])), label_noise=0.3))
    start = gaussian(problem.network, jax.random.key(1), std=0.5)
    return Run(problem, dynamics, start, jax.random.key(key))


def test_it_is_one_run_after_the_other():
    switched = run_of(Switched((GradientDescent(0.2), GradientDescent(0.05)), (7,)))
    whole = simulate(switched, steps=20, schedule=last(20), observe=(loss,))
    params = switched.params
    for index in range(20):
        np.testing.assert_allclose(whole.loss[index], switched.problem.loss(params), rtol=1e-12)
        rate = 0.2 if index < 7 else 0.05
        slopes = switched.problem.gradient(params)
        params = jax.tree.map(lambda w, g: w - rate * g, params, slopes)  # noqa: B023
    np.testing.assert_allclose(whole.time, np.cumsum([0] + [0.2] * 7 + [0.05] * 13), rtol=1e-14)
    np.testing.assert_array_equal(whole.learning_rate, [0.2] * 7 + [0.05] * 14)


def test_batches_before_the_switch_are_those_of_a_run_without():
    plain = StochasticGradientDescent(0.05, batch_size=3)
    other = StochasticGradientDescent(0.05, batch_size=30, momentum=0.5)
    switched = Switched((plain, other), (10,))
    one, two = (
        simulate(run_of(d), steps=20, schedule=last(20), observe=(end_to_end,))
        for d in (plain, switched)
    )
    np.testing.assert_array_equal(one.end_to_end[:11], two.end_to_end[:11])
    assert (one.end_to_end[11:] != two.end_to_end[11:]).all()
    assert two.batch_size.dims == ("step",)
    np.testing.assert_array_equal(two.batch_size, [3] * 10 + [30] * 11)


def test_phases_of_one_law_do_not_repeat_their_noise():
    same = StochasticGradientDescent(0.0, batch_size=3)
    run = run_of(Switched((same, same), (1,)))
    memory = run.dynamics.init(run.problem, run.params, run.key)
    first, second = (same.batch(run.problem, m).task.inputs for m in memory.memories)
    assert (np.asarray(first) != np.asarray(second)).all()


def build(learning_rate: float = 0.1, later: float = 0.01, seed: int = 0) -> Run:
    rates = Switched(
        (
            StochasticGradientDescent(learning_rate, batch_size=2),
            StochasticGradientDescent(later, batch_size=4),
        ),
        (5,),
    )
    return run_of(rates, seed)


EXPERIMENT = Experiment(build, "switched", steps=12, schedule=linear(13), observe=(loss,))


def test_coordinates_stand_over_the_axes_that_they_depend_on():
    swept = EXPERIMENT.measure(later=(0.01, 0.02), seed=(0, 1, 2))
    assert swept.time.dims == swept.step_learning_rate.dims == ("later", "step")
    assert swept.batch_size.dims == ("step",)
    np.testing.assert_allclose(swept.time[:, -1], 5 * 0.1 + 7 * np.array([0.01, 0.02]))
    told = [[0.1, 0.1, rate, rate] for rate in (0.01, 0.02)]
    np.testing.assert_allclose(swept.step_learning_rate[:, [0, 4, 5, 12]], told)
    lane = EXPERIMENT.measure(later=0.02, seed=2)
    np.testing.assert_array_equal(lane.loss, swept.loss.sel(later=0.02, seed=2))


def test_a_run_that_ends_before_its_switch_says_so():
    with jax.enable_x64(True):
        runs = [build(later=rate) for rate in (0.01, 0.02)]
    clock = Clock(np.concatenate([of_run(run).table[None] for run in runs]))
    points = EXPERIMENT.grid(later=(0.01, 0.02))
    for end, told in ((3, True), (5, True), (6, False)):
        comment = coordinates(clock, points, np.array([0, end]))["time"][2].get("comment", "")
        assert comment.startswith("the dynamics switches at step 5") is told
        assert comment.endswith(f"ends at step {end}, before it does") is told


def test_time_is_reached_in_as_many_steps_as_the_phases_need():
    made = EXPERIMENT.measure(time=1.0, later=(0.05, 0.025))
    assert int(made.step[-1]) == 5 + 0.5 / 0.025
    assert float(made.time.sel(later=0.025)[-1]) == pytest.approx(1.0)
    # The lane that was there after 15 steps stays as it is.
    alone = EXPERIMENT.measure(time=1.0, later=0.05)
    assert int(alone.step[-1]) == 15
    assert float(alone.loss[-1]) == float(made.loss.sel(later=0.05)[-1])
    assert float(EXPERIMENT.measure(time=0.3).time[-1]) == pytest.approx(0.3)


def test_a_switch_of_optimizers_begins_with_a_fresh_memory():
    adam = Optax(factory=optax.adam, learning_rate=0.01)
    made = simulate(run_of(Switched((adam, adam), (4,))), steps=8, observe=(loss,))
    once = simulate(run_of(adam), steps=8, observe=(loss,))
    np.testing.assert_allclose(made.loss[:5], once.loss[:5], rtol=1e-13)
    assert float(made.loss[-1]) != float(once.loss[-1])


@pytest.mark.parametrize("at", [(), (0,), (5, 3), (1, 2)])
def test_impossible_switches_are_refused(at):
    with pytest.raises(InputError, match="ascending steps"):
        Switched((GradientDescent(0.1), GradientDescent(0.2)), at)


def test_modes_taken_apart_switch_too():
    problem = Problem(Modes((3,), 2), Whitened(jnp.array([2.0, 1.0])))
    start = (tuple(jnp.full(2, 0.5) for _ in range(3)),)
    both = (GradientDescent(0.1), GradientDescent(0.01))
    made = simulate(Run(problem, Switched(both, (3,)), start), steps=6, observe=(loss,))
    params = start
    for index in range(6):
        rate = 0.1 if index < 3 else 0.01
        slopes = problem.gradient(params)
        params = jax.tree.map(lambda w, g: w - rate * g, params, slopes)  # noqa: B023
    np.testing.assert_allclose(made.loss[-1], problem.loss(params), rtol=1e-12)
