"""The Fokker–Planck equation of one coordinate: how a law spreads, and when it first passes.

`∂_t p = −∂_x(ap) + ½∂_x²(Dp)` by finite volumes with exponentially fitted fluxes (Scharfetter and
Gummel 1969; Chang and Cooper 1970): between two cell centres the current is constant,

    J = [B(−δ) D_i p_i − B(δ) D_{i+1} p_{i+1}] / 2h,   δ = ∫ 2a/D dx,   B(z) = z/(e^z − 1).

What leaves a cell enters its neighbour, nothing becomes negative, and at rest `Dp ∝ e^{∫2a/D}`
holds at the centres exactly. Time steps are implicit, of second order, and damp the fastest decay.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_banded

from dlnlab.errors import InputError, InputTypeError
from dlnlab.theory.arguments import Array, at_least_zero, finite, shown, whole

Coefficient = Callable[[Array], Array]
_GAMMA = 1 - 1 / np.sqrt(2)  # the singly diagonal, stiffly accurate method of order 2
_WHOLE = 1e-6  # of chances that are integrated cell by cell
_RULE = tuple(np.polynomial.legendre.leggauss(6))


class Generator(NamedTuple):
    """The equation on cells: `dm/dt = Am` for the mass m of each cell.

    `edges` [cell + 1]; `up` and `down` [cell + 1] are rates across each edge: up from the cell
    below it, down from the cell above it. Across an absorbing end what leaves is lost.
    """

    edges: Array
    up: Array
    down: Array

    @property
    def centres(self) -> Array:
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def banded(self) -> Array:
        """A in the form of `scipy.linalg.solve_banded`, [3, cell]."""
        made = np.zeros((3, len(self.edges) - 1))
        made[0, 1:] = self.down[1:-1]
        made[1] = -self.up[1:] - self.down[:-1]
        made[2, :-1] = self.up[1:-1]
        return made


def _bernoulli(values: Array) -> Array:
    """`z/(e^z − 1)`, 1 at 0."""
    with np.errstate(over="ignore"):
        growth = np.expm1(values)
    small = np.abs(values) < 1e-300
    return np.asarray(np.where(small, 1.0, values / np.where(small, 1.0, growth)))


def _values(name: str, coefficient: Coefficient, places: Array) -> Array:
    """A coefficient at places, one number for each."""
    if not callable(coefficient):
        raise InputTypeError(
            f"{name} is {shown(coefficient)}, and a function of x is needed; write "
            f"lambda x: {shown(coefficient)} + 0 * x for a constant."
        )
    found = finite(name, coefficient(places))
    if found.ndim and found.shape != places.shape:
        raise InputError(
            f"{name} made shape {found.shape} of places of shape {places.shape}, and one number "
            "for each is needed; write it elementwise."
        )
    return np.broadcast_to(found, places.shape)


def _ends(absorbing: tuple[bool, bool]) -> tuple[bool, bool]:
    both = tuple(absorbing) if isinstance(absorbing, tuple | list) else ()
    if len(both) != 2 or not all(isinstance(end, bool | np.bool_) for end in both):
        raise InputTypeError(
            f"absorbing is {shown(absorbing)}, and two truths are needed, for the lower end and "
            "the upper; write absorbing=(False, True)."
        )
    return bool(both[0]), bool(both[1])


def generator(
    drift: Coefficient,
    diffusion: Coefficient,
    edges: ArrayLike,
    absorbing: tuple[bool, bool] = (False, False),
) -> Generator:
    """The Fokker–Planck equation on cells between `edges`, ascending, of any widths.

    `drift` a and `diffusion` D > 0 (of `dx = a dt + √D dB`) are functions of x, elementwise: they
    are handed arrays, [cell] and [cell, node], and return a number for each entry (so a formula of
    modes wants an axis of one mode: `lambda w: mode_drift(w[..., None], [1.0], 2)[..., 0]`). Each
    end, lower and upper, is `absorbing` (p = 0 there) or reflecting (no current). Masses of cells:
    second order in their width where widths vary smoothly. Raises InputError for edges that do not
    ascend, coefficients that are no such functions, and where D is not above zero or a not finite.

    >>> made = generator(lambda x: -x, lambda x: 2 + 0 * x, np.linspace(-4, 4, 9))
    >>> float(made.up[0]), float(made.down[-1]), len(made.centres)
    (0.0, 0.0, 8)
    """
    walls = finite("edges", edges)
    if walls.ndim != 1 or len(walls) < 3 or not (np.diff(walls) > 0).all():
        raise InputError(
            f"edges have shape {walls.shape}, and at least three numbers that ascend are needed; "
            "make them with numpy.linspace or numpy.geomspace."
        )
    centres = (walls[1:] + walls[:-1]) / 2
    points = np.concatenate([walls[:1], centres, walls[-1:]])
    gaps, widths = np.diff(points), np.diff(walls)
    places = points[:-1, None] + gaps[:, None] * (1 + _RULE[0]) / 2
    lower, upper = _ends(absorbing)
    speeds = _values("drift", drift, places)
    spreads = _values("diffusion", diffusion, places)
    local = _values("diffusion", diffusion, centres)
    if not ((spreads > 0).all() and (local > 0).all()):
        raise InputError(
            "diffusion is not above 0 everywhere between the edges, and it is needed so; leave out "
            "points where noise vanishes, as w = 0."
        )
    bend = gaps / 2 * np.sum(_RULE[1] * 2 * speeds / spreads, axis=1)
    rate = local / widths / 2
    up = np.concatenate([[0.0], rate]) * _bernoulli(-bend) / gaps
    down = np.concatenate([rate, [0.0]]) * _bernoulli(bend) / gaps
    up[0], down[-1] = 0, 0
    up[-1] *= upper
    down[0] *= lower
    return Generator(walls, up, down)


def _solve(made: Generator, step: float, masses: Array) -> Array:
    """`(1 − step A)⁻¹ m`."""
    bands = -step * made.banded
    bands[1] += 1
    return np.asarray(solve_banded((1, 1), bands, masses))


def _apply(made: Generator, masses: Array) -> Array:
    current = np.zeros(len(made.edges))
    current[1:] += made.up[1:] * masses
    current[:-1] -= made.down[:-1] * masses
    return -np.diff(current)


def evolve(made: Generator, masses: ArrayLike, times: ArrayLike, steps: int = 200) -> Array:
    """The masses of the cells at times, [time, cell], from `masses` [cell] at time 0.

    `steps` implicit steps from each time to the next. Second order in their length. Raises
    InputError for masses that do not fit or are negative, and for times that do not ascend.

    >>> still = generator(lambda x: -x, lambda x: 2 + 0 * x, np.linspace(-4, 4, 41))
    >>> moved = evolve(still, stationary_masses(still), [1.0])[0]
    >>> bool(np.abs(moved - stationary_masses(still)).max() < 1e-14)
    True
    """
    now, moments = at_least_zero("masses", masses), at_least_zero("times", times)
    count = whole("steps", steps)
    if now.shape != made.centres.shape:
        raise InputError(
            f"masses have shape {now.shape}, and one for each of {len(made.centres)} cells is "
            "needed; integrate the law over each cell."
        )
    if moments.ndim != 1 or (np.diff(moments, prepend=0.0) < 0).any():
        raise InputError(f"times {moments} do not ascend from 0 on; sort them.")
    found = []
    for span in np.diff(moments, prepend=0.0):
        for _ in range(count if span > 0 else 0):
            step = span / count
            first = _solve(made, _GAMMA * step, now)
            slope = (first - now) / (_GAMMA * step)
            now = _solve(made, _GAMMA * step, now + (1 - _GAMMA) * step * slope)
        found.append(now)
    return np.stack(found)


def stationary_masses(made: Generator) -> Array:
    """The law of cells through whose edges no current flows, [cell], with sum 1.

    `m_{i+1}/m_i = up/down`, summed in logarithms. Raises InputError where an end absorbs.
    """
    if made.up[-1] or made.down[0]:
        raise InputError("an end absorbs, and a law at rest needs two that reflect; leave it out.")
    with np.errstate(divide="ignore"):
        ratios = np.log(made.up[1:-1]) - np.log(made.down[1:-1])
    logs = np.concatenate([[0.0], np.cumsum(ratios)])
    masses = np.exp(logs - logs.max())
    return np.asarray(masses / masses.sum())


def survival(made: Generator, masses: ArrayLike, times: ArrayLike, steps: int = 200) -> Array:
    """The share that no absorbing end has taken by each time, [time]: `P(T > t)`.

    Arguments and errors as those of `evolve`; `masses` are chances, with the sum 1.
    """
    total = float(at_least_zero("masses", masses).sum())
    if abs(total - 1) > _WHOLE:
        raise InputError(
            f"masses have the sum {total:.6g}, and chances with the sum 1 are needed; divide them "
            "by their sum."
        )
    return np.asarray(evolve(made, masses, times, steps).sum(axis=1))


def mean_passage_times(made: Generator) -> Array:
    """The mean time until an absorbing end is reached, from each cell, [cell]: `Aᵀτ = −1`.

    Raises InputError where no end absorbs.

    >>> walls = np.linspace(0, 1, 101)
    >>> free = generator(lambda x: 0 * x, lambda x: 2 + 0 * x, walls, (False, True))
    >>> round(float(mean_passage_times(free)[0]), 4)  # (1 − x²)/2
    0.5
    """
    if not (made.up[-1] or made.down[0]):
        raise InputError("no end absorbs, and a passage needs one; pass absorbing=(False, True).")
    bands = np.zeros((3, len(made.centres)))
    bands[0, 1:] = made.up[1:-1]
    bands[1] = -made.up[1:] - made.down[:-1]
    bands[2, :-1] = made.down[1:-1]
    return np.asarray(solve_banded((1, 1), bands, -np.ones(len(made.centres))))
