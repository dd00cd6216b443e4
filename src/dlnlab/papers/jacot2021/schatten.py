"""An L2 penalty of all parameters is a Schatten quasi-norm of order 2/L of the product.

Descent on ℓ + (λ/2)‖θ‖² balances the layers, and ends where ‖θ‖² is the least that its product
allows, L Σσ_i^{2/L}. The singular values that are left are those of the target, shrunk: by λ for
two layers, and beyond by little or to zero, with a jump. There zero is a local minimum too, however
weak the penalty, so that of a small and of a large start the better end counts, mode by mode; and a
mode that is once learned is kept a little below the threshold at which it ceases to be worth it.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.dynamics.base import Map
from dlnlab.errors import InputError
from dlnlab.experiment import Bound, Experiment
from dlnlab.initialization import gaussian, scaled_identity
from dlnlab.networks import chain
from dlnlab.observables import gradient_norm, loss, observable, parameter_norm, singular_values
from dlnlab.plotting import COLORS, Axes, Figure, Line2D, key, legend_above, panels, with_axes
from dlnlab.plotting import predicted as predicted_line
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.tasks import Whitened
from dlnlab.theory.escape import learning_threshold, least_squared_norm, regularised_values
from dlnlab.typing import Any, Array, Key, Params, Scalar

Start = Literal["small", "large"]


class DecayedDescent(Map):
    """`θ⁺ = θ − η(∇ℓ + λθ)`: descent on `ℓ + (λ/2)‖θ‖²`."""

    learning_rate: Scalar | float
    weight_decay: Scalar | float

    def init(self, problem: Problem, params: Params, key: Key[Array, ""] | None) -> tuple[()]:
        return ()

    def step(self, problem: Problem, params: Params, memory: Any) -> tuple[Params, Any]:
        gradient = problem.gradient(params)
        keep = 1 - self.learning_rate * self.weight_decay
        return jax.tree.map(lambda w, g: keep * w - self.learning_rate * g, params, gradient), ()


def build(
    weight_decay: Annotated[float, Coordinate(least=0, symbol="λ")] = 0.1,
    depth: Annotated[int, Coordinate(least=2, most=8, symbol="L")] = 3,
    start: Start = "large",
    width: Annotated[int, Coordinate(least=1, most=100, symbol="w")] = 6,
    targets: Annotated[tuple[float, ...], Coordinate(above=0, symbol="s_i")] = (2.0, 1.0, 0.6, 0.3),
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 0.05,
    seed: int = 0,
) -> Run:
    """A whitened target in random bases, learned by descent on `ℓ + (λ/2)‖θ‖²`.

    A `large` start has every mode at twice the strongest target; a small one has Gaussian entries
    of deviation 0.01. On both lie Gaussian entries of deviation 0.01, so that layers begin neither
    aligned nor balanced. The seed draws bases and entries.
    """
    if not targets:
        raise InputError("a target has one singular value or more, and none was given; name them.")
    if width < len(targets):
        raise InputError(
            f"width is {width}, and a target of {len(targets)} modes needs as many hidden units; "
            "raise it."
        )
    bases, drawn = jax.random.split(jax.random.key(seed))
    left, right = jax.random.orthogonal(bases, len(targets), (2,))
    values = jnp.asarray(targets)
    network = chain((len(targets), *(width,) * (depth - 1), len(targets)))
    problem = Problem(network, Whitened(left * values @ right.T, (left, right)))
    params = gaussian(network, drawn, std=0.01)
    if start == "large":
        aligned = scaled_identity(problem, (jnp.max(values),))
        params = jax.tree.map(jnp.add, params, aligned)
    return Run(problem, DecayedDescent(learning_rate, weight_decay), params)


EXPERIMENT = Experiment(
    build,
    title="The product under an L2 penalty of the parameters",
    steps=20_000,
    schedule=logarithmic(25),
    observe=(loss, parameter_norm, singular_values),
    predictions=(Bound(regularised_values),),
    coords={
        "depth": (2, 3, 4),
        "start": ("small", "large"),
        "weight_decay": (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6),
        "seed": (0, 1, 2),
    },
    cites=("jacot2021",),
)
