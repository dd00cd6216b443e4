"""SciPy's functions that nearly every figure needs, imported when the first of them is called.

Its modules take longer to import than most predictions take to compute.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.theory.arguments import Array


def brentq(*arguments: Any, **options: Any) -> float:
    """A root within a bracket; all arguments as of `scipy.optimize.brentq`.

    >>> round(brentq(lambda x: x**2 - 2, 0, 2), 9)
    1.414213562
    """
    from scipy import optimize

    return float(optimize.brentq(*arguments, **options))


def exprel(values: ArrayLike) -> Array:
    """`(e^x − 1)/x`, 1 at 0.

    >>> exprel([0.0, 1.0]).round(6).tolist()
    [1.0, 1.718282]
    """
    from scipy import special

    return np.asarray(special.exprel(np.asarray(values, float)))


def logsumexp(values: ArrayLike) -> Any:
    """`ln Σ e^x` over all values.

    >>> round(float(logsumexp([0.0, 0.0])), 6)
    0.693147
    """
    from scipy import special

    return special.logsumexp(values)
