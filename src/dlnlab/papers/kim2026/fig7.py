"""Two pathways with a non-linearity on handwritten digits, at small and at large steps.

As figure 3, on images: the inputs are ten white principal components of scikit-learn's digits, the
outputs its ten classes. The nine modes of the task are nearly equally strong, so that many are at
their edge together. The sharpness rises to 2/η and stays there; how much of the modes is handed
back is measured over seeds, on the mean over the eight leading modes, at equal time η × step.
"""

from typing import Annotated

import xarray as xr

from dlnlab.claims import Claim, Verdict
from dlnlab.data import digits
from dlnlab.experiment import Bound, Experiment
from dlnlab.networks import Activation, Perceptrons
from dlnlab.observables import loss, mode_values, shares, sharpness, test_loss
from dlnlab.papers.kim2026 import fig3
from dlnlab.plotting import Figure
from dlnlab.problem import Problem
from dlnlab.run import Run
from dlnlab.schedule import logarithmic
from dlnlab.schema import Coordinate
from dlnlab.theory.stability import edge_sharpness

CLASSES, LEARNED = 10, 8
"""Outputs; and modes of the task that are well above its noise."""


def build(
    learning_rate: Annotated[float, Coordinate(above=0, log=True, symbol="η")] = 1.0,
    depth: Annotated[int, Coordinate(least=2, most=50, symbol="L")] = 3,
    pathways: Annotated[int, Coordinate(least=1, most=16, symbol="H")] = 2,
    width: Annotated[int, Coordinate(least=1, most=500)] = 10,
    activation: Activation = "tanh",
    ahead: Annotated[float, Coordinate(above=0, symbol="scale of path 1")] = 0.6,
    behind: Annotated[float, Coordinate(above=0, symbol="scale of the others")] = 0.2,
    components: Annotated[int, Coordinate(least=1, most=61)] = 10,
    samples: Annotated[int, Coordinate(least=1, most=1796, symbol="n")] = 200,
    batch_size: Annotated[int, Coordinate(least=0, symbol="B")] = 0,
    seed: int = 0,
) -> Run:
    """Perceptrons in parallel on n digits; starts, batches and seeds as for figure 3."""
    widths = (components, *(width,) * (depth - 1), CLASSES)
    network = Perceptrons((widths,) * pathways, activation)
    problem = Problem(network, digits(samples, components))
    return fig3.perceptron_run(problem, learning_rate, batch_size, (ahead, behind), seed)


EXPERIMENT = Experiment(
    build,
    title="Two pathways with a non-linearity on handwritten digits",
    time=400.0,
    schedule=logarithmic(20),
    observe=(loss, test_loss, mode_values, shares, sharpness),
    predictions=(Bound(edge_sharpness),),
    coords={"learning_rate": (0.2, 1.0), "seed": tuple(range(8))},
    cites=("kim2026",),
)

INTERACTIVE = ("mode_values", "sharpness", "shares", "loss", "test_loss")


def check_fall(measured: xr.Dataset, predicted: xr.Dataset) -> Verdict:
    """The mean fall of the mean top share from small to large steps, paired by start."""
    return Verdict.mean_at_least(fig3.paired_fall(measured, LEARNED), 0.0)


DIGITS = "tanh, L = 3, width 10, 200 digits, equal time 400"
CLAIMS = (
    Claim(
        "kim2026.9f",
        "On digits tanh pathways divide the modes more evenly at large steps: the mean top share "
        "of the eight leading modes ends lower than under small steps from the same start.",
        check_fall,
        (DIGITS,),
        statistical=True,
    ),
    Claim(
        "kim2026.9g",
        "On digits the sharpness at large steps ends at 2/η within 15 % (the median over starts), "
        "while under small steps it stays below.",
        fig3.check_edge,
        (DIGITS,),
    ),
)


def plot(measured: xr.Dataset, predicted: xr.Dataset) -> Figure:
    """As figure 3, against the time η × step."""
    return fig3.plot(measured, predicted, clock=True)
