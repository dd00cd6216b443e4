"""How the origin of a deep linear network is left: the fastest direction, and its speed.

Near zero a cost of the product is `C(0) − ⟨G, W_L ⋯ W_1⟩`, `G = −∇C(0)`, whose second term has
degree L in the parameters. Its largest value on the unit sphere is `s_1 L^{−L/2}`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, finite, positive, shown, whole, whole_numbers
from dlnlab.theory.base import Prediction, prediction

LARGEST = 1e100  # whose square is an ordinary number still


def checked_depth(depth: int) -> int:
    """A depth at which the origin is a saddle: at least 2."""
    deep = whole("depth", depth)
    if deep == 1:
        raise InputError(
            "depth is 1, and at least 2 is needed: a single layer has no saddle to escape from, "
            "and learns every mode at once; raise it."
        )
    return deep


def _checked_map(negative_gradient: ArrayLike) -> Array:
    matrix = finite("negative_gradient", negative_gradient)
    if matrix.ndim != 2 or not matrix.any() or np.abs(matrix).max() > LARGEST:
        raise InputError(
            f"negative_gradient is {shown(negative_gradient)}, and a matrix [out, in] that is not "
            f"zero, of entries up to {LARGEST:g}, is needed; pass −∇C(0), which is the target for "
            "white inputs."
        )
    return matrix


def escape_direction(negative_gradient: ArrayLike, hidden: Sequence[int]) -> tuple[Array, ...]:
    """The unit vector of parameters along which the origin is left fastest.

    `W_l = L^{−1/2} q_l q_{l−1}ᵀ`, `q_0 = v_1`, `q_L = u_1`, the top singular vectors of
    `G = −∇C(0)`: rank one, balanced, and the maximum `s_1 L^{−L/2}` of `⟨G, W_L ⋯ W_1⟩` on the
    unit sphere.

    `negative_gradient` G [out, in]; `hidden` n_1, …, n_{L−1}, one width for each hidden layer, at
    least one. Returns the layers from the input on, W_l [n_l, n_{l−1}]. The hidden q_l may be any
    unit vectors; here the first unit vectors. If s_1 is several singular values at once, any pair
    of their vectors will do, and one is taken. Holds for any cost that is differentiable at W = 0.
    Raises InputError for a G that is zero (no direction of degree L) and for shapes that do not
    fit. Source: jacot2021.2.

    >>> first, second = escape_direction([[3.0, 0.0], [0.0, 1.0]], hidden=(2,))
    >>> (second @ first).round(6).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    matrix, widths = _checked_map(negative_gradient), whole_numbers("hidden", hidden)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    inner = [np.eye(1, width)[0] for width in widths]
    ends = [right[0], *inner, left[:, 0]]
    size = (len(widths) + 1) ** -0.5
    return tuple(
        size * np.outer(after, before) for before, after in zip(ends, ends[1:], strict=False)
    )


@prediction("first_escape_rate", symbol="s*", source="jacot2021.2")
def escape_speed(strength: float, depth: int) -> Array:
    """The speed at which a network leaves the origin along its fastest direction.

    `s* = L^{−(L−2)/2} s_1`, in `ṙ = s* r^{L−1}` for the norm r of all parameters. In any other
    direction `ṙ` is smaller, as long as the cost is linear in the product.

    `strength` s_1 > 0 is the largest singular value of `−∇C(0)` (of the target, for white inputs
    and the half-square loss); `depth` L at least 2. Broadcasts over strengths. Raises InputError
    for arguments out of range and for depths at which the speed is below the smallest float.
    Source: jacot2021.2.

    >>> float(escape_speed(3.0, 2)), float(escape_speed(3.0, 4))
    (3.0, 0.75)
    """
    strengths, deep = positive("strength", strength), checked_depth(depth)
    with np.errstate(under="ignore"):
        speed = strengths * np.exp(-(deep - 2) / 2 * np.log(deep))
    if (speed < np.finfo(np.float64).tiny).any():
        raise InputError(
            f"depth is {deep} for the strength {shown(strength)}, and fewer layers are needed: the "
            "speed L^{−(L−2)/2} s_1 is below the smallest float; lower the depth."
        )
    return np.asarray(speed)


PREDICTIONS: tuple[Prediction, ...] = (escape_speed,)
