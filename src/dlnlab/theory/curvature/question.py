"""The topic `spectrum` of `dln predict`: all eigenvalues at a depth-balanced aligned point."""

from typing import Annotated, NamedTuple

import numpy as np

from dlnlab.errors import InputError
from dlnlab.schema import Coordinate
from dlnlab.theory.arguments import Array, at_least_zero, whole, whole_numbers
from dlnlab.theory.curvature.aligned import aligned_spectrum, merged
from dlnlab.theory.curvature.kinds import count_first

_EPSILON = float(np.finfo(np.float64).eps)
_LARGEST = 1e100  # whose square is an ordinary number still

_PerMode = Annotated[int, Coordinate(least=0, help="0: one for each target")]
_Hidden = Annotated[int, Coordinate(least=0, help="0: the smaller of outputs and inputs")]


class SpectrumAnswer(NamedTuple):
    """All eigenvalues of the Hessian with their multiplicities; see `spectrum`."""

    eigenvalues: tuple[float, ...]
    multiplicities: tuple[int, ...]
    parameters: int
    outputs: int
    inputs: int
    hidden: int


def _checked(
    depths: tuple[int, ...], targets: tuple[float, ...], sigma: tuple[tuple[float, ...], ...]
) -> tuple[tuple[int, ...], Array, Array]:
    """Depths, targets [mode] and end-to-end values [mode, pathway]."""
    levels = whole_numbers("depths", depths)
    goals, values = at_least_zero("targets", targets), at_least_zero("sigma", sigma)
    if goals.ndim != 1 or not goals.size or values.shape != (len(goals), len(levels)):
        raise InputError(
            f"sigma has shape {values.shape} for {goals.size} targets and {len(levels)} depths, "
            "and a row for each target with one value for each depth is needed; write for two of "
            "each 0.7,0.3/0.3,0.2."
        )
    if max(goals.max(), values.max()) > _LARGEST:
        raise InputError(
            f"targets and sigma go up to {max(goals.max(), values.max()):g}, and at most "
            f"{_LARGEST:g} is needed for second derivatives that are ordinary numbers; measure "
            "them in other units."
        )
    return levels, goals, values


def _room(name: str, given: int, modes: int, default: int) -> int:
    size = whole(name, given, 0) or default
    if size < modes:
        raise InputError(
            f"{name} is {size}, and at least {modes} is needed, one for each target; leave "
            f"--{name} away, or give fewer targets."
        )
    return size


def spectrum(
    depths: tuple[int, ...],
    targets: tuple[float, ...],
    sigma: tuple[tuple[float, ...], ...],
    outputs: _PerMode = 0,
    inputs: _PerMode = 0,
    hidden: _Hidden = 0,
) -> SpectrumAnswer:
    """Every eigenvalue of the Hessian where aligned, balanced pathways carry given values.

    `eigenvalues`: descending; those that agree to rounding are given once.
    `multiplicities`: how often each occurs; they sum to the number of parameters.
    `parameters`: entries of all matrices, `Σ_h (n_0 n_1 + … + n_{L_h−1} n_{L_h})`.
    `outputs`: rows of the target, n_{L_h}; by default one for each mode.
    `inputs`: columns of the target, n_0; by default one for each mode.
    `hidden`: width of all hidden layers; by default the smaller of outputs and inputs, the
    narrowest through which every map fits.

    `depths` L_h [pathway]; `targets` s [mode]; `sigma` σ [mode][pathway] are end-to-end values,
    each layer's `σ^{1/L_h}`, at a minimum (`Σ_h σ_{i,h} = s_i`) or not; outputs, inputs and hidden
    units beyond the modes have target and values zero. Assumes the half-square loss. Raises
    InputError for shapes that do not fit, negative numbers, fewer outputs, inputs or hidden units
    than modes, and a spectrum that would not fit into memory. Source: kim2026.1, ghosh2025.6.

    >>> answer = spectrum((2,), (4.0, 1.0), ((4.0,), (1.0,)), outputs=3)
    >>> answer.eigenvalues, answer.multiplicities, answer.parameters
    ((8.0, 5.0, 4.0, 2.0, 1.0, 0.0), (1, 2, 1, 1, 1, 4), 10)
    """
    levels, goals, values = _checked(depths, targets, sigma)
    count_first(sum(levels), 1)  # before a list of layers is made
    out = _room("outputs", outputs, len(goals), len(goals))
    into = _room("inputs", inputs, len(goals), len(goals))
    width = _room("hidden", hidden, len(goals), min(out, into))
    widths = [(into, *(width,) * (depth - 1), out) for depth in levels]
    layers = [[v ** (1 / depth)] * depth for v, depth in zip(values.T, levels, strict=True)]
    found = aligned_spectrum(layers, goals, widths)
    # An eigenvalue is off by the size of its block times the rounding of the largest.
    rounding = 8 * 2 * sum(levels) * _EPSILON * float(np.abs(found.eigenvalues).max())
    eigenvalues, multiplicities = merged(found, rounding)
    return SpectrumAnswer(
        tuple(eigenvalues.tolist()),
        tuple(multiplicities.tolist()),
        int(multiplicities.sum()),
        out,
        into,
        width,
    )
