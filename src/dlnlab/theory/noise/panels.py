"""Integrals over panels of very different widths, by Gauss's rule and its antiderivative in each.

A function is known at the nodes of every panel; its antiderivative from the panel's lower edge is
a polynomial, kept as Legendre coefficients.
"""

from typing import TypeAlias

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from dlnlab.theory.arguments import Array

Indices: TypeAlias = NDArray[np.intp]

COUNT = 24
"""Nodes in a panel: enough for a power law, or a Gaussian's flank, over a factor of two."""

_NODES, RULE = (np.asarray(part) for part in legendre.leggauss(COUNT))
"""Nodes and weights of the rule on [−1, 1]."""

_DEGREES = np.arange(COUNT)
_ANALYSIS = (_DEGREES[:, None] + 0.5) * legendre.legvander(_NODES, COUNT - 1).T * RULE
_INTEGRATE = legendre.legint(_ANALYSIS, lbnd=-1)  # values at nodes -> antiderivative
_AT_NODES = legendre.legvander(_NODES, COUNT)


def nodes(edges: Array) -> Array:
    """The nodes of each panel, [panel, node].

    >>> nodes(np.array([0.0, 2.0])).shape
    (1, 24)
    """
    half = np.diff(edges)[:, None] / 2
    return np.asarray(edges[:-1, None] + half * (1 + _NODES))


def antiderivative(values: Array, widths: Array) -> Array:
    """Legendre coefficients, [panel, coefficient], of the integral from each lower edge on."""
    return np.asarray(widths[:, None] / 2 * (values @ _INTEGRATE.T))


def totals(values: Array, widths: Array) -> Array:
    """The integral over each panel.

    >>> edges = np.array([0.0, 1.0, 3.0])
    >>> totals(nodes(edges) ** 2, np.diff(edges)).round(12).tolist()
    [0.333333333333, 8.666666666667]
    """
    return np.asarray(widths / 2 * (values @ RULE))


def at_nodes(coefficients: Array) -> Array:
    """An antiderivative at the nodes of its own panel, [panel, node]."""
    return np.asarray(coefficients @ _AT_NODES.T)


def at(coefficients: Array, panel: Indices, position: Array) -> Array:
    """An antiderivative in each of several panels, at a position from −1 to 1."""
    return np.asarray(legendre.legval(position, coefficients[panel].T, tensor=False))


def solve(coefficients: Array, panel: Indices, value: Array) -> Array:
    """The position from −1 to 1 at which an increasing antiderivative has a value, by halving."""
    low, high = np.full(value.shape, -1.0), np.ones(value.shape)
    for _ in range(54):
        middle = (low + high) / 2
        below = at(coefficients, panel, middle) < value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)
