"""The stationary density of one mode in panels of doubling widths, before it has its norm.

In x = w/s, with n = ς/s, c = B/(ηS), S = Ls^{2−2/L} and q = 2(1 − x)² + n²,

    p ∝ x^{−3(1−1/L)} q^{−1} e^{2cΦ},   Φ' = (1 − x)/(x^{2−2/L} q),   Φ(1) = 0.

Φ has its maximum at 1 and is integrated from there outwards, so that nothing cancels. Panels double
in width away from x = 1, and again in both tails: on them p is a power law or a Gaussian's flank,
however near to singular it is. Beyond the last panels it is a power law.
"""

from typing import NamedTuple

import numpy as np

from dlnlab.theory.arguments import Array
from dlnlab.theory.noise import panels

_LOWEST = -500  # 2^−500, the smallest x beside 0
_FAR = 120  # 2^120 scales: beyond them the tail is a power law to rounding


class Scaled(NamedTuple):
    """What the law depends on in units of the target: the depth, n = ς/s > 0, c = B/(ηS)."""

    depth: int
    noise: float
    stiffness: float

    @property
    def tail(self) -> float:
        """τ of the upper tail `p ~ x^{−τ}`: 5 − 3/L; at depth 1, on both sides, 2 + c."""
        return 5 - 3 / self.depth if self.depth > 1 else 2 + self.stiffness

    @property
    def foot(self) -> float:
        """The slope of ln F against ln|x| at the lower end.

        At depth 2 κ of `p ~ x^{κ−1}`, `2c/(2 + n²) − ½`, which a law needs above 0; at depth 1
        that of the other tail; beyond 2, where p vanishes faster than any power, infinite.
        """
        if self.depth == 2:
            return 2 * self.stiffness / (2 + self.noise**2) - 0.5
        return np.inf if self.depth > 2 else 1 - self.tail


class Pieces(NamedTuple):
    """Panels in ascending order: the first `low` in x, the others in y = x − 1.

    `starts` and `widths` [panel]; `potential` holds 2cΦ as coefficients from each lower edge on,
    and `levels` its value there. `top` is the largest x.
    """

    low: int
    starts: Array
    widths: Array
    potential: Array
    levels: Array
    shares: Array
    offsets: Array

    @property
    def bottom(self) -> float:
        return float(self.starts[0] + (0 if self.low else 1))

    @property
    def top(self) -> float:
        return float(self.starts[-1] + self.widths[-1] + 1)


def _edges(law: Scaled) -> tuple[Array, Array]:
    """Edges up to ½ in x (none at depth 1), and edges from there on in x − 1."""
    width = min(0.5, law.noise, law.noise / np.sqrt(2 * law.stiffness))
    inner = np.exp2(np.arange(np.floor(np.log2(width)) - 3, 0))
    outer = np.exp2(np.arange(0, _FAR + max(0, np.ceil(np.log2(law.noise)))))
    upper = np.concatenate([[0.0], inner, outer])
    if law.depth == 1:
        return np.zeros(0), np.concatenate([-upper[:0:-1], upper])
    lowest = float(_LOWEST)
    if law.depth > 2:
        # Φ ≈ −x^{−order}/((2 + n²) order) near 0: below this foot e^{2cΦ} < e^{−10⁵}.
        order = 1 - 2 / law.depth
        foot = np.log2(1 + 5e4 * (2 + law.noise**2) * order / law.stiffness) / order
        lowest = max(lowest, -np.ceil(foot) - 1)
    return np.exp2(np.arange(lowest, 0)), np.concatenate([-inner[::-1], upper])


def _slope(law: Scaled, share: Array, offset: Array) -> Array:
    """2cΦ'."""
    strength = 2 * offset**2 + law.noise**2
    return -2 * law.stiffness * offset / (np.abs(share) ** (2 - 2 / law.depth) * strength)


def log_density(law: Scaled, share: Array, offset: Array, potential: Array) -> Array:
    """ln p, up to the norm."""
    strength = 2 * offset**2 + law.noise**2
    with np.errstate(divide="ignore"):
        power = 3 * (1 - 1 / law.depth) * np.log(np.abs(share)) if law.depth > 1 else 0.0
    return np.asarray(potential - power - np.log(strength))


def integrated(law: Scaled) -> Pieces:
    """The panels, with 2cΦ integrated outwards from x = 1."""
    below, above = _edges(law)
    near, far = panels.nodes(below), panels.nodes(above)
    shares, offsets = np.concatenate([near, 1 + far]), np.concatenate([near - 1, far])
    widths = np.concatenate([np.diff(below), np.diff(above)])
    slopes = _slope(law, shares, offsets)
    gains = panels.totals(slopes, widths)
    centre = len(near) + int(np.searchsorted(above, 0.0))
    falling = -np.cumsum(gains[:centre][::-1])[::-1]
    rising = np.cumsum(np.concatenate([[0.0], gains[centre:-1]]))
    return Pieces(
        low=len(near),
        starts=np.concatenate([below[:-1], above[:-1]]),
        widths=widths,
        potential=panels.antiderivative(slopes, widths),
        levels=np.concatenate([falling, rising]),
        shares=shares,
        offsets=offsets,
    )
