"""Parameters in one vector, and the relative imbalance of layers."""

import jax
import numpy as np
import pytest

import laws
from dlnlab.networks import Pathways, square
from dlnlab.observables import balance_error, balance_gap, parameters


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def test_parameters_are_all_entries_in_order():
    problem = laws.some_problem(Pathways(((2, 4, 3), (2, 3, 1, 3))))
    params = laws.random_params(problem.network)
    np.testing.assert_array_equal(parameters(problem, params), laws.flat(params))


def test_the_balance_error_is_the_largest_relative_gap():
    problem = laws.some_problem(Pathways(((2, 4, 3), (2, 3, 1, 3))))
    params = laws.random_params(problem.network)
    wanted = []
    for pathway in params:
        pairs = [(b.T @ b, a @ a.T) for a, b in zip(pathway, pathway[1:], strict=False)]
        wanted.append(
            max(
                np.linalg.norm(x - y) / np.hypot(np.linalg.norm(x), np.linalg.norm(y))
                for x, y in pairs
            )
        )
    laws.assert_near(balance_error(problem, params), np.array(wanted))


def test_the_balance_error_goes_from_zero_to_one():
    problem = laws.some_problem(square(2, (2,)))
    same, first, second = np.eye(2), np.diag([1.0, 0.0]), np.diag([0.0, 1.0])
    found = [
        float(balance_error(problem, ((w, v),))[0]) for w, v in ((same, same), (first, second))
    ]
    np.testing.assert_allclose(found, [0, 1], atol=1e-15)
    assert float(balance_error(problem, ((0 * same, 0 * same),))[0]) == 0
    assert float(balance_gap(problem, ((first, second),))[0]) == pytest.approx(2**0.5)
