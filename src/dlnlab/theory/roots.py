"""Roots of functions of one number: SciPy's, which is imported when the first root is sought."""

from typing import Any


def brentq(*arguments: Any, **options: Any) -> float:
    """A root within a bracket; all arguments as of `scipy.optimize.brentq`.

    >>> round(brentq(lambda x: x**2 - 2, 0, 2), 9)
    1.414213562
    """
    from scipy import optimize

    return float(optimize.brentq(*arguments, **options))
