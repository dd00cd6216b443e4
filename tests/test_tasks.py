"""Samples, data sets, mini-batches, and where flows end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import sklearn.datasets

from dlnlab.data import digits, standardise, whiten
from dlnlab.dynamics import GradientDescent, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.initialization import gaussian
from dlnlab.networks import Modes, Pathways, Perceptrons, square
from dlnlab.observables import flow_end_sharpness, loss, sharpness
from dlnlab.problem import Problem
from dlnlab.reduction import reduce
from dlnlab.run import Run
from dlnlab.simulate import simulate
from dlnlab.solve import flow_end
from dlnlab.tasks import (
    Completion,
    Convex,
    Samples,
    Whitened,
    convex,
    huber,
    logistic,
    low_rank,
    observed,
    teacher_samples,
)
from dlnlab.tasks.basis import present, weakest


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


TABLE = np.random.default_rng(0).normal(size=(20, 3)) @ np.diag([1.0, 2.0, 3.0]) + 5
HOLED = np.where(TABLE[7, 1] == TABLE, np.nan, TABLE)


def test_standardised_columns_have_mean_zero_and_variance_one():
    made = standardise(TABLE)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(made.var(axis=0), 1, rtol=1e-13)
    np.testing.assert_allclose(np.corrcoef(made.T), np.corrcoef(TABLE.T), atol=1e-13)


def test_plain_lists_are_tables_too():
    assert Samples([[1, 2]], [[3]]).inputs.dtype == np.float64
    np.testing.assert_array_equal(standardise([[1, 2], [3, 6]]), [[-1, -1], [1, 1]])


def test_white_components_are_uncorrelated_and_span_the_leading_ones():
    made = whiten(np.column_stack([TABLE, np.ones(20)]), 2)
    np.testing.assert_allclose(made.T @ made / 20, np.eye(2), atol=1e-13)
    centred = TABLE - TABLE.mean(axis=0)
    leading = scipy.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :2]
    projected = centred @ leading
    residue = projected - made @ np.linalg.lstsq(made, projected)[0]
    np.testing.assert_allclose(residue, 0, atol=1e-12)


def test_digits_are_what_they_say():
    task = digits(400, 10)
    inputs = np.concatenate([task.inputs, task.held_out[0]])
    outputs = np.concatenate([task.outputs, task.held_out[1]])
    assert inputs.shape == (1797, 10)
    np.testing.assert_allclose(inputs.T @ inputs / 1797, np.eye(10), atol=1e-12)
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-14)
    pixels, classes = sklearn.datasets.load_digits(return_X_y=True)
    np.testing.assert_array_equal(np.bincount(outputs.argmax(axis=1)), np.bincount(classes))
    # Inputs and classes were shuffled together: the images of a class have its mean.
    zero = inputs[outputs.argmax(axis=1) == 0].mean(axis=0)
    np.testing.assert_allclose(zero, whiten(pixels, 10)[classes == 0].mean(axis=0), atol=1e-9)
    # Modes are those of all images; the least is none, because the ten classes sum to zero.
    whole = outputs.T @ inputs / 1797
    inside = task.left.T @ whole @ task.right
    np.testing.assert_allclose(inside, np.diag(np.diagonal(inside)), atol=1e-13)
    assert digits(400, 10) is task


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: standardise(np.column_stack([TABLE, np.ones(20)])), "column 3 is constant"),
        (lambda: standardise(HOLED), "holds nan in row 7, column 1"),
        (lambda: standardise(TABLE[0]), r"shape \(3,\) was given"),
        (lambda: whiten(np.column_stack([TABLE, TABLE]), 4), "3 independent columns and 4"),
        (lambda: whiten(TABLE * np.inf, 1), "holds inf"),
        (lambda: standardise([["a", "b"]]), "some entries are none"),
        (lambda: Samples([["a"]], [[1.0]]), "some entries are none"),
        (lambda: standardise([[1.0, 2.0]]), "one sample has no variance"),
        (lambda: whiten(np.ones((3, 2)), 1), "pass rows that differ"),
        (lambda: digits(0), "there are 1797 digits"),
        (lambda: digits(10, 62), "61 independent columns and 62"),
        (lambda: Samples(TABLE, TABLE[:3]), r"shapes \(20, 3\) and \(3, 3\)"),
        (lambda: Samples(TABLE[:0], TABLE[:0]), "a row for each"),
        (lambda: Samples(TABLE, HOLED), "outputs hold nan in row 7, column 1"),
        (lambda: Samples(TABLE, TABLE, (TABLE, TABLE[1:])), "a row for each"),
        (lambda: teacher_samples(jax.random.key(0), jnp.eye(2), 0), "0 were asked for"),
        (lambda: Problem(Perceptrons(((2, 2),)), Whitened(np.eye(2))), "trained on samples"),
        (lambda: Problem(square(2, (2,)), Samples(TABLE, TABLE)), r"shape \(3, 3\)"),
        (lambda: Perceptrons(((2, 2, 2),), "sine"), "no activation 'sine'"),
        (lambda: Perceptrons(()), "pathways need one layer or more"),
        (
            lambda: reduce(Problem(square(3, (1,)), Samples(TABLE, TABLE)), ((jnp.eye(3),),)),
            "white inputs only",
        ),
        (
            lambda: Completion(np.ones((2, 3)), np.eye(2, 3) > 0),
            r"without entries in a column was given \(column 2\)",
        ),
        (lambda: Completion(np.ones((3, 2)), np.eye(3, 2) > 0), "without entries in a row"),
        (lambda: Completion(np.ones((2, 2)), np.ones((2, 3))), r"\(2, 2\) and \(2, 3\)"),
        (lambda: Completion(np.full((2, 2), np.nan), np.eye(2) > 0), "observed entry is NaN"),
        (lambda: observed(jax.random.key(0), jnp.ones((4, 5)), 0.2), "0.25, one for every row"),
        (lambda: observed(jax.random.key(0), jnp.ones((4, 5)), 1.2), "fraction 1.2 of 20"),
        (lambda: low_rank(jax.random.key(0), (4, 5), 5), "a whole rank between 1 and 4, and 5"),
        (lambda: low_rank(jax.random.key(0), (4, 5), 0), "and 0 was asked for"),
        (lambda: low_rank(jax.random.key(0), (4, 5), 1.5), "a whole rank between 1 and 4, and 1.5"),
        (lambda: observed(jax.random.key(0), jnp.ones((4, 5)), np.nan), "fraction nan of 20"),
        (lambda: Convex(huber, np.ones(2), np.ones(2)), r"shape \(2,\) was given"),
        (
            lambda: Problem(Modes((2,), 2), Completion(np.eye(2), np.eye(2) > 0)),
            "target has shape",
        ),
        (lambda: Problem(Perceptrons(((2, 2),)), convex(huber, (2, 2), 0.0)), "trained on samples"),
        (
            lambda: reduce(
                Problem(square(2, (1,)), Completion(np.eye(2), np.eye(2) > 0)), ((jnp.eye(2),),)
            ),
            "a Completion task was given",
        ),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(make, told):
    with pytest.raises(InputError, match=told) as error:
        make()
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(("size", "rank", "scale"), [(5, 2, 1.0), (12, 3, 1e-6), (4, 4, 1e5)])
def test_the_modes_that_a_target_has_are_as_many_as_its_rank(x64, size, rank, scale):
    """Against NumPy, whatever the singular values that should be zero round to."""
    with jax.enable_x64(x64):
        whole = scale * low_rank(jax.random.key(size), (size, size), rank)
        strengths = Whitened(whole).strengths
        counted, least = int(present(strengths).sum()), float(weakest(strengths))
    values = np.linalg.svd(np.asarray(whole, float), compute_uv=False)
    assert counted == rank == np.linalg.matrix_rank(np.asarray(whole))
    assert least == pytest.approx(values[rank - 1], rel=1e-4)
    assert weakest(jnp.zeros(3)) == np.inf


# --- parts of a matrix, and other costs ---------------------------------------------------------

MASK = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]]) == 1
WHOLE = np.random.default_rng(3).normal(size=(4, 3))
SIGNS = np.where(MASK, np.sign(WHOLE), 0)
COSTS = ("completion", "huber", "logistic")


def cost_task(name):
    match name:
        case "completion":
            return Completion(WHOLE, MASK)
        case "huber":
            return convex(huber, (4, 3), jnp.asarray(WHOLE), held_out=jnp.asarray(2 * WHOLE))
        case _:
            return convex(logistic, (4, 3), jnp.asarray(SIGNS))


def plain_cost(name, made):
    """The same costs, entry by entry."""
    total = 0.0
    for i, j in np.ndindex(4, 3):
        apart = abs(made[i, j] - WHOLE[i, j])
        if name == "completion":
            total += apart**2 / 2 if MASK[i, j] else 0
        elif name == "huber":
            total += apart**2 / 2 if apart <= 1 else apart - 0.5
        elif SIGNS[i, j]:
            total += np.log1p(np.exp(-SIGNS[i, j] * made[i, j]))
    return total


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_what_they_say(name):
    problem = Problem(Pathways(((3, 2, 4), (3, 4))), cost_task(name))
    params = gaussian(problem.network, jax.random.key(0), std=1.0)
    (first, second), (other,) = params
    made = np.asarray(second @ first + other)
    assert float(problem.loss(params)) == pytest.approx(plain_cost(name, made), rel=1e-13)
    assert float(problem.cost(made)) == pytest.approx(plain_cost(name, made), rel=1e-13)
    slope, step = np.zeros((4, 3)), 1e-6
    for i, j in np.ndindex(4, 3):
        unit = np.zeros((4, 3))
        unit[i, j] = step
        slope[i, j] = plain_cost(name, unit) - plain_cost(name, -unit)
    # −∇C(0), to rounding of the difference.
    np.testing.assert_allclose(problem.task.target, -slope / (2 * step), atol=1e-8)
    np.testing.assert_allclose(
        problem.task.strengths, np.linalg.svd(problem.task.target)[1], rtol=1e-12
    )


@pytest.mark.parametrize("name", COSTS)
def test_derivatives_of_costs_are_exact(name):
    problem = Problem(Pathways(((3, 2, 4),)), cost_task(name))
    params = gaussian(problem.network, jax.random.key(0), std=0.7)
    move = gaussian(problem.network, jax.random.key(1), std=1.0)

    def at(h):
        first, second = (w + h * d for w, d in zip(params[0], move[0], strict=True))
        return plain_cost(name, np.asarray(second @ first))

    slope = sum(
        float(jnp.vdot(g, d)) for g, d in zip(problem.gradient(params)[0], move[0], strict=True)
    )
    assert (at(1e-6) - at(-1e-6)) / 2e-6 == pytest.approx(slope, rel=1e-7)
    bent = problem.hessian_vector(params, move)[0]
    bend = sum(float(jnp.vdot(h, d)) for h, d in zip(bent, move[0], strict=True))
    assert (at(1e-4) - 2 * at(0) + at(-1e-4)) / 1e-8 == pytest.approx(bend, rel=1e-5)


def test_a_completion_is_tested_on_what_is_not_observed():
    problem = Problem(square(3, (1,)), Completion(np.eye(3), np.eye(3) > 0))
    assert float(problem.test_loss(((np.full((3, 3), 2.0),),))) == 6 * 2.0
    holed = Completion(np.where(np.eye(3), 1.0, np.nan), np.eye(3) > 0)
    unknown = Problem(square(3, (2,)), holed)
    params = gaussian(unknown.network, jax.random.key(0), std=1.0)
    assert np.isfinite(unknown.gradient(params)[0][0]).all()
    assert np.isnan(unknown.test_loss(params))
    assert float(Problem(Pathways(((3, 4),)), cost_task("huber")).test_loss(((2 * WHOLE,),))) == 0
    with pytest.raises(InputError, match="held out"):
        Problem(Pathways(((3, 4),)), cost_task("logistic")).test_loss(((WHOLE,),))


def test_masks_have_their_fraction_and_leave_no_row_out():
    drawn = jax.vmap(lambda key: observed(key, jnp.asarray(WHOLE), 0.5).mask)
    masks = np.asarray(drawn(jax.random.split(jax.random.key(0), 200)))
    assert (masks.sum(axis=(1, 2)) == 6).all()
    assert masks.any(axis=1).all() and masks.any(axis=2).all()
    assert len({mask.tobytes() for mask in masks}) > 150
    # By symmetry every entry is seen with chance ½; 5 deviations for 12 entries.
    assert np.abs(masks.mean(axis=0) - 0.5).max() < 5 * np.sqrt(0.25 / 200)
    fractions = jax.jit(lambda f: observed(jax.random.key(1), jnp.asarray(WHOLE), f).mask.sum())
    assert [int(fractions(f)) for f in (4 / 12, 0.75, 1.0)] == [4, 9, 12]


def test_random_matrices_have_their_rank():
    made = low_rank(jax.random.key(0), (30, 20), 3)
    values = np.linalg.svd(made)[1]
    assert values[2] > 1 and values[3] < 1e-12
    entries = np.asarray(low_rank(jax.random.key(1), (200, 200), 3))
    # Rows share factors: 200 of either side, so that the variance of the variance is about 8/600.
    assert entries.var() == pytest.approx(1, abs=4 * np.sqrt(8 / 600))


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_descended_in_a_run(name):
    problem = Problem(Pathways(((3, 4, 4),)), cost_task(name))
    params = gaussian(problem.network, jax.random.key(0), std=0.5)
    made = simulate(Run(problem, GradientDescent(0.05), params), steps=50, observe=(loss,))
    assert (np.diff(made.loss) < 0).all()


# --- mini-batches -----------------------------------------------------------------------------


def small_problem(count=7):
    target = jnp.diag(jnp.array([1.0, 0.5]))
    task = teacher_samples(jax.random.key(1), target, count, 0.3)
    return Problem(square(2, (2,)), task)


def rows_of(dynamics, problem, steps, key=0):
    """The rows that each of some steps draws."""
    params = gaussian(problem.network, jax.random.key(2), std=0.5)
    memory = dynamics.init(problem, params, jax.random.key(key))
    drawn = []
    for _ in range(steps):
        batch = dynamics.batch(problem, memory).task
        equal = np.asarray(batch.inputs)[:, None] == np.asarray(problem.task.inputs)[None]
        drawn.append(equal.all(axis=-1).argmax(axis=1))
        params, memory = dynamics.step(problem, params, memory)
    return np.array(drawn)


def test_an_epoch_takes_every_row_at_most_once_in_a_fresh_order():
    drawn = rows_of(StochasticGradientDescent(0.01, batch_size=2), small_problem(), 30)
    epochs = drawn.reshape(10, 6)  # three batches of two out of seven: one row is left out
    assert all(len(set(epoch)) == 6 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10
    assert len({frozenset(epoch) for epoch in epochs}) > 1


def test_batches_with_replacement_are_uniform():
    dynamics = StochasticGradientDescent(0.0, batch_size=50, replacement="with")
    counts = np.bincount(rows_of(dynamics, small_problem(), 40).ravel(), minlength=7)
    # χ² with 6 degrees of freedom exceeds 27.9 with probability 1e-4.
    assert ((counts - counts.mean()) ** 2).sum() / counts.mean() < 27.9


def test_noise_depends_on_the_seed_alone():
    dynamics = StochasticGradientDescent(0.01, batch_size=2)
    one, again, other = (rows_of(dynamics, small_problem(), 6, key) for key in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_the_whole_sample_in_one_batch_is_gradient_descent():
    problem = small_problem()
    params = gaussian(problem.network, jax.random.key(2), std=0.5)
    runs = [
        Run(problem, dynamics, params, jax.random.key(0))
        for dynamics in (StochasticGradientDescent(0.1, batch_size=7), GradientDescent(0.1))
    ]
    one, other = (simulate(run, steps=50, observe=(loss,)).loss.values for run in runs)
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_fresh_batches_have_the_gradient_of_the_population_in_the_mean(noise):
    target = jnp.array([[1.0, 0.2, 0.0], [0.0, 0.5, -0.3]])
    problem = Problem(Pathways(((3, 2),)), Whitened(target, label_noise=noise))
    params = gaussian(problem.network, jax.random.key(3), std=0.5)
    dynamics = StochasticGradientDescent(0.1, batch_size=16)
    memory = dynamics.init(problem, params, jax.random.key(4))

    def drawn(step):
        batch = dynamics.batch(problem, memory._replace(steps=step))
        return batch.gradient(params)[0][0]

    sample = np.asarray(jax.jit(jax.vmap(drawn))(jnp.arange(4000)))
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    z = (sample.mean(axis=0) - np.asarray(problem.gradient(params)[0][0])) / error
    # Six entries; 4.6 standard errors have a chance of 4e-6 each.
    assert np.abs(z).max() < 4.6
    assert (error > 0).all()


@pytest.mark.parametrize(
    ("dynamics", "problem", "key", "told"),
    [
        (StochasticGradientDescent(0.1), small_problem, None, "the run has no key"),
        (StochasticGradientDescent(0.1, batch_size=8), small_problem, 0, "batch of 8 does not fit"),
        (
            StochasticGradientDescent(0.1),
            lambda: Problem(Modes((2,), 1), Whitened(np.ones(1))),
            0,
            "mixes modes",
        ),
        (
            StochasticGradientDescent(0.1),
            lambda: Problem(square(2, (2,)), Completion(np.eye(2), np.eye(2) > 0)),
            0,
            "a Completion task was given",
        ),
    ],
)
def test_impossible_batches_are_refused(dynamics, problem, key, told):
    problem = problem()
    params = gaussian(problem.network, jax.random.key(2), std=0.5)
    key = None if key is None else jax.random.key(key)
    with pytest.raises(InputError, match=told):
        simulate(Run(problem, dynamics, params, key), steps=2)


# --- where flows end --------------------------------------------------------------------------


def test_a_linear_flow_ends_at_its_fixed_point():
    matrix = np.array([[2.0, 0.3], [0.3, 0.1]])
    goal = np.array([1.0, -2.0])
    end = flow_end(lambda y: -jnp.asarray(matrix) @ (y - goal), jnp.zeros(2))
    np.testing.assert_allclose(end.state, goal, atol=1e-6)
    assert float(end.speed) <= 1e-8


def test_a_flow_that_never_rests_is_known_by_its_speed():
    end = flow_end(lambda y: jnp.stack([y[1], -y[0]]), jnp.array([1.0, 0.0]), most_steps=50)
    assert float(end.speed) > 0.5
    np.testing.assert_allclose(np.linalg.norm(end.state), 1, rtol=1e-3)


def test_the_flow_ends_at_the_minimum_of_the_same_conserved_gap():
    """One scalar chain of two layers: w_1² − w_2² stays, w_1w_2 = s, and λ = w_1² + w_2²."""
    problem = Problem(square(1, (2,)), Whitened(jnp.array([[2.0]])))
    params = ((jnp.array([[1.5]]), jnp.array([[0.4]])),)
    gap = 1.5**2 - 0.4**2
    found = flow_end_sharpness(problem, params)
    assert float(found.value) == pytest.approx(np.sqrt(gap**2 + 4 * 2.0**2), rel=1e-7)
    assert float(sharpness(problem, params).value) != pytest.approx(float(found.value), rel=1e-2)
