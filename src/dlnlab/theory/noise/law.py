"""A stationary law of one mode: density, distribution, quantiles and moments from its panels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, finite
from dlnlab.theory.noise import panels
from dlnlab.theory.noise.pieces import Pieces, Scaled, integrated, log_density


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """A stationary law of w, as `stationary_law` makes it.

    `pdf`, `logpdf`, `cdf` and `ppf` are those of a law of SciPy's and take arrays. `mean` and
    `variance` are None where they do not exist. `lower` and `upper` are the shares of the law
    beyond the panels.
    """

    scaled: Scaled
    target: float
    pieces: Pieces
    weights: Array
    masses: Array
    cumulative: Array
    lower: float
    upper: float
    log_norm: float

    def __repr__(self) -> str:
        """Where it lies, not its thousands of panels."""
        return (
            f"<StationaryLaw: target {self.target:g}, mean {self.mean}, variance {self.variance}>"
        )

    @property
    def mean(self) -> float | None:
        return self.moment(1)

    def moment(self, order: int) -> float | None:
        """`E[w^order]`, or None where the tail `w^{−τ}` is too heavy: order ≥ τ − 1."""
        if not self.scaled.tail > order + 1:
            return None
        made = float(np.sum(self.weights * self.pieces.shares**order)) + self._far(order)
        return self.target**order * made

    @property
    def variance(self) -> float | None:
        """`E[(w − E w)²]`: distances are taken from x = 1 above ½, so that nothing cancels."""
        if not self.scaled.tail > 3:
            return None
        offsets, shares = self.pieces.offsets, self.pieces.shares
        mean = float(np.sum(self.weights * shares)) + self._far(1)
        at_zero = self.lower if self.scaled.depth == 2 else 0.0
        shift = float(np.sum(self.weights * offsets)) + self._far(1) - at_zero
        spread = np.where(shares < 0.5, shares - mean, offsets - shift)
        made = np.sum(self.weights * spread**2) + at_zero * mean**2 + self._far(2)
        return self.target**2 * float(made)

    def _far(self, order: int) -> float:
        """What the tails beyond the panels add to `E[x^order]`."""
        slope = self.scaled.tail - 1
        both = self.upper + (self.lower * (-1) ** order if self.scaled.depth == 1 else 0.0)
        return both * self.pieces.top**order * slope / (slope - order)

    def pdf(self, values: ArrayLike) -> Array:
        """The density at w, [...], with respect to w."""
        return np.exp(self.logpdf(values))

    def logpdf(self, values: ArrayLike) -> Array:
        """The logarithm of the density; −∞ where there is none."""
        share = finite("values", values) / self.target
        near = np.clip(share, self.pieces.bottom, self.pieces.top)
        panel, position = self._place(near)
        level = panels.at(self.pieces.potential, panel, position) + self.pieces.levels[panel]
        made = log_density(self.scaled, near, near - 1, level)
        beyond = _ratio(share, near)
        with np.errstate(divide="ignore"):
            logs = np.log(np.where(share == near, 1.0, beyond))
        power = np.where(share > near, -self.scaled.tail, min(self.scaled.foot, 1e300) - 1)
        made = np.where(beyond > 0, made + power * np.where(beyond > 0, logs, 0), -np.inf)
        return np.asarray(made - self.log_norm - np.log(self.target))

    def cdf(self, values: ArrayLike) -> Array:
        """The share of the law at or below w, [...]."""
        share = finite("values", values) / self.target
        near = np.clip(share, self.pieces.bottom, self.pieces.top)
        panel, position = self._place(near)
        made = self.cumulative[panel] + panels.at(self.masses, panel, position)
        ratio = _ratio(share, near)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            above = 1 - self.upper * ratio ** (1 - self.scaled.tail)
            below = self.lower * ratio**self.scaled.foot
        made = np.where(share > near, above, np.where(share < near, below, made))
        return np.asarray(np.clip(made, 0, 1))

    def ppf(self, shares: ArrayLike) -> Array:
        """The w below which these shares of the law lie, [...]."""
        wanted = finite("shares", shares)
        if ((wanted < 0) | (wanted > 1)).any():
            raise InputError(
                "shares of a law lie between 0 and 1, and others were given; divide percentages "
                "by 100."
            )
        pieces = self.pieces
        panel = np.searchsorted(self.cumulative, wanted, side="right") - 1
        panel = np.asarray(np.clip(panel, 0, len(pieces.widths) - 1))
        position = panels.solve(self.masses, panel, wanted - self.cumulative[panel])
        made = pieces.starts[panel] + pieces.widths[panel] * (1 + position) / 2
        made = made + (panel >= pieces.low)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            below = pieces.bottom * (wanted / self.lower) ** (1 / self.scaled.foot)
            above = pieces.top * ((1 - wanted) / self.upper) ** (1 / (1 - self.scaled.tail))
        made = np.where(wanted < self.lower, below, made)
        return np.asarray(self.target * np.where(wanted > 1 - self.upper, above, made))

    def _place(self, share: Array) -> tuple[panels.Indices, Array]:
        """The panel of each x, and where it lies in it, from −1 to 1."""
        pieces = self.pieces
        inside = np.where(share < 0.5, share, share - 1) if pieces.low else share - 1
        below = np.searchsorted(pieces.starts[: pieces.low], inside, side="right") - 1
        above = np.searchsorted(pieces.starts[pieces.low :], inside, side="right") - 1
        first = np.clip(below, 0, max(0, pieces.low - 1))
        panel = np.where((share < 0.5) & (pieces.low > 0), first, pieces.low + np.maximum(above, 0))
        position = 2 * (inside - pieces.starts[panel]) / pieces.widths[panel] - 1
        return panel, np.clip(position, -1, 1)


def _ratio(share: Array, near: Array) -> Array:
    """x over the end of the panels beyond which it lies, 1 between them; 0 where it is none."""
    outside = share != near
    with np.errstate(over="ignore"):
        made = np.divide(share, near, out=np.ones_like(near), where=outside)
    return np.asarray(np.maximum(made, 0))


def _ends(law: Scaled, pieces: Pieces, heights: Array) -> tuple[float, float]:
    """The mass below and above the panels: power laws, from their outermost nodes on."""
    up = float(heights[-1, -1]) * (pieces.top / pieces.shares[-1, -1]) ** -law.tail
    last = pieces.top * up / (law.tail - 1)
    if not np.isfinite(law.foot):
        return 0.0, float(last)
    down = float(heights[0, 0]) * (pieces.bottom / pieces.shares[0, 0]) ** (law.foot - 1)
    return float(abs(pieces.bottom) * down / abs(law.foot)), float(last)


def normalised(law: Scaled, target: float) -> StationaryLaw:
    """The law with its norm, from one pass over all panels.

    Raises InputError where a law beyond depth 2 lies below every number that panels reach.
    """
    pieces = integrated(law)
    potential = panels.at_nodes(pieces.potential) + pieces.levels[:, None]
    logs = log_density(law, pieces.shares, pieces.offsets, potential)
    largest = float(np.max(logs + np.log(pieces.widths)[:, None]))
    heights = np.exp(logs - largest)
    masses = panels.totals(heights, pieces.widths)
    first, last = _ends(law, pieces, heights)
    norm = float(masses.sum() + last + first)
    if law.depth > 2 and pieces.bottom * heights[0, 0] > 1e-12 * norm:
        raise InputError(
            f"the stationary law lies below {pieces.bottom:.0e} of the target, and larger values "
            "are needed for it to be integrated; lower label_noise or learning_rate."
        )
    parts = heights / norm
    edges = np.concatenate([[0.0], np.cumsum(masses)])
    half = pieces.widths[:, None] / 2
    return StationaryLaw(
        scaled=law,
        target=target,
        pieces=pieces,
        weights=parts * half * panels.RULE,
        masses=panels.antiderivative(parts, pieces.widths),
        cumulative=(first + edges) / norm,
        lower=first / norm,
        upper=last / norm,
        log_norm=float(np.log(norm) + largest),
    )
