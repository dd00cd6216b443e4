"""The laws, run over every example of the package."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import laws
from dlnlab import dynamics, networks, observables, statistics
from dlnlab.dynamics import Flow, GradientDescent, GradientFlow, Map, StochasticGradientDescent
from dlnlab.errors import InputError
from dlnlab.networks import Modes, Pathways, Perceptrons, square
from dlnlab.theory.base import Assumption, BrokenAssumption, prediction
from dlnlab.theory.catalogue import PREDICTIONS

NOTATION = Path(__file__).parents[1] / "docs" / "notation.md"

# Beyond `UNROLLED_DEPTH` a pathway is differentiated another way.
DEEP = (square(2, (9,)), Pathways(((2, 3, *[2] * 8, 3),)), Modes((9, 3), 2))

# Off the diagonal the Hessian of matrices has eigenvalues that their modes have not.
CURVATURE = {"sharpness", "free_sharpness", "top_eigenvalues", "flow_end_sharpness"}

# An integrator with error control is as exact as its tolerance.
ACCURACY = {"flow_end_sharpness": 1e-6}


def accuracy(example):
    return ACCURACY.get(example.name, 0.0)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def named(example):
    return getattr(example, "name", None) or type(example).__name__


@pytest.mark.parametrize("network", [*networks.EXAMPLES, *DEEP], ids=str)
def test_networks(network):
    laws.network(network)


@settings(max_examples=4)
@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=2),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_any_depths_have_exact_derivatives(depths, dimension, modes, seed):
    with jax.enable_x64(True):
        build = Modes if modes else lambda depths, size: square(size, depths)
        problem = laws.some_problem(build(tuple(depths), dimension))
        params = laws.random_params(problem.network, seed=seed)
        laws.gradient_is_exact(problem, params)
        laws.hessian_is_exact(problem, params)


@pytest.mark.parametrize("example", dynamics.EXAMPLES, ids=named)
def test_dynamics(example):
    laws.dynamics(example, descends=not isinstance(example, StochasticGradientDescent))


def test_gradient_descent_and_flow_are_what_they_say():
    problem = laws.some_problem(square(3, (2, 3)))
    params = laws.random_params(problem.network)
    gradient = problem.gradient(params)
    step = GradientDescent(0.1).step(problem, params, ())[0]
    assert laws.same_bits(step, jax.tree.map(lambda w, g: w - 0.1 * g, params, gradient))
    velocity = GradientFlow().velocity(problem, params)
    assert laws.same_bits(velocity, jax.tree.map(lambda g: -g, gradient))


@pytest.mark.parametrize("example", observables.EXAMPLES, ids=named)
def test_observables(example):
    """On modes, on matrices and on samples; compiled and not, alone and in a batch."""
    near, matrices = accuracy(example), Pathways(((2, 3, 2), (2, 2, 3, 2)))
    if example.name != "test_loss":
        plain = example.name not in CURVATURE
        laws.observable(example, laws.some_problem(Modes((2, 3), 3)), plain=plain, accuracy=near)
        laws.observable(example, laws.some_problem(matrices), plain=False, accuracy=near)
    laws.observable(example, laws.some_samples(matrices), plain=False, accuracy=near)


@pytest.mark.parametrize("example", observables.EXAMPLES, ids=named)
def test_observables_keep_single_precision(example):
    matrices = Pathways(((2, 3, 2), (2, 2, 3, 2)))
    if example.name != "test_loss":
        laws.observable_keeps_dtype(example, laws.some_problem(matrices, np.float32))
    laws.observable_keeps_dtype(example, laws.some_samples(matrices, np.float32))


NEED_LAYERS = {
    "layer_singular_values",
    "svs_error",
    "balance_gap",
    "balance_error",
    "mode_ito_drift",
    "escape_alignment",
    "layer_rank_one",
}


@pytest.mark.parametrize("example", observables.EXAMPLES, ids=named)
def test_observables_of_perceptrons(example):
    problem = laws.some_problem(Perceptrons(((2, 3, 2), (2, 2, 3, 2)), "tanh"))
    if example.name in NEED_LAYERS:
        with pytest.raises(InputError, match="linear network"):
            example(problem, laws.random_params(problem.network))
    else:
        laws.observable(example, problem, plain=False, accuracy=accuracy(example))


def test_a_test_loss_needs_samples_held_out():
    with pytest.raises(InputError, match="held out"):
        observables.test_loss(laws.some_problem(square(2, (2,))), None)


# A test loss needs samples, a matrix has a basis, a trace counts directions that modes lack, and
# other samples are drawn.
NOT_BASELESS = {
    "test_loss",
    "end_to_end",
    "hessian_trace",
    "hessian_density",
    "parameters",
    "gradient_covariance",
    "gradient_covariance_spectrum",
    "gradient_covariance_trace",
    "noise_anisotropy",
    "sampled_mode_diffusion",
}
BASELESS = [o for o in observables.EXAMPLES if o.name not in NOT_BASELESS]


@pytest.mark.parametrize("example", BASELESS, ids=named)
def test_observables_ignore_bases(example):
    laws.observable_ignores_bases(
        example, equal=example.name not in CURVATURE, accuracy=accuracy(example)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("example", statistics.EXAMPLES, ids=named)
def test_statistics(example, dtype):
    laws.statistic(example, square(2, (2, 3)), dtype)


@pytest.mark.parametrize("example", statistics.EXAMPLES, ids=named)
def test_statistics_of_perceptrons(example):
    laws.statistic(example, Perceptrons(((3, 4, 2), (3, 5, 4, 2)), "tanh"), np.float64)


@pytest.mark.parametrize("example", statistics.EXAMPLES, ids=named)
def test_statistics_of_modes(example):
    laws.statistic(example, Modes((3,), 2), np.float64)


def quantities():
    """What a prediction may be of: observables, statistics, and what the notation lists."""
    listed = re.findall(r"^\|[^|]*\| `(\w+)` \|", NOTATION.read_text(encoding="utf-8"), re.M)
    measured = (*observables.EXAMPLES, *statistics.EXAMPLES)
    return {*listed, *(example.name for example in measured)}


@pytest.mark.parametrize("example", PREDICTIONS, ids=named)
def test_predictions(example):
    assert example.name in laws.PREDICTION_EXAMPLES, "give it arguments in laws.PREDICTION_EXAMPLES"
    laws.prediction(example, laws.PREDICTION_EXAMPLES[example.name], quantities())


# --- and the laws can say no ------------------------------------------------------------------


class Ascent(Map):
    """A map that climbs."""

    learning_rate: float = 0.1

    def init(self, problem, params, key):
        return ()

    def step(self, problem, params, memory):
        return jax.tree.map(
            lambda w, g: w + self.learning_rate * g, params, problem.gradient(params)
        ), ()


class Uphill(Flow):
    """A flow that climbs."""

    rtol: float = 1e-8
    atol: float = 1e-10
    arrival: float = 0.0

    def velocity(self, problem, params):
        return problem.gradient(params)


@pytest.mark.parametrize("wrong", [Ascent(), Uphill()], ids=named)
def test_a_dynamics_that_climbs_is_found_out(wrong):
    with pytest.raises(AssertionError):
        laws.dynamics(wrong)


def test_an_affine_layer_is_found_out():
    class Residual(Pathways):
        def compose(self, later, earlier):
            return later + earlier + later @ earlier

    with pytest.raises(AssertionError):
        laws.network(Residual(((2, 2, 2),)))


def test_an_observable_of_the_wrong_rank_is_found_out():
    @observables.observable(dims=("mode",), symbol="x", formula="x")
    def norm(problem, params):
        """A number that says it is a vector."""
        return jnp.zeros(())

    with pytest.raises(AssertionError):
        laws.observable(norm, laws.some_problem(Modes((2,), 2)))


def test_a_prediction_that_answers_outside_its_assumptions_is_found_out():
    never = Assumption("never", "nothing departs", lambda target: 0.0)

    @prediction("loss", symbol="ℓ", assumes=(never,), source="kim2026.1")
    def silent(target):
        """Half the target's square."""
        return target**2 / 2

    with pytest.raises((AssertionError, BrokenAssumption)):
        laws.prediction(
            silent, laws.Example({"target": 1.0}, {"never": {"target": -1.0}}), {"loss"}
        )
