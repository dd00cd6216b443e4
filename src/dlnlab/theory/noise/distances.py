"""How far a sample, or a histogram, is from a law, and how many independent draws it is worth."""

from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft

from dlnlab.errors import InputError
from dlnlab.theory.arguments import Array, at_least_zero, finite

_QUANTILES = 20_000
_PARTS = 64


class Law(Protocol):
    """What a law must have: its distribution function and its quantiles, as SciPy's laws do."""

    def cdf(self, values: Array, /) -> Array: ...

    def ppf(self, shares: Array, /) -> Array: ...


class Distances(NamedTuple):
    """Distances of a sample from a law; see `sample_distances`."""

    wasserstein: float
    kolmogorov_smirnov: float
    effective_size: float
    p_value: float


def autocorrelation_time(series: ArrayLike) -> float:
    """The integrated autocorrelation time `1 + 2Σ_k ρ_k` of a series, in its own steps.

    `series` [..., step]; ρ is averaged over the leading axes, whose common mean is taken off. The
    sum ends at the first window of 5 of its own lengths (Sokal 1997). At least 1. Raises
    InputError for fewer than 2 steps.

    >>> autocorrelation_time(np.tile([1.0, -1.0], 50))
    1.0
    """
    given = finite("series", series)
    if given.ndim < 1 or given.shape[-1] < 2:
        raise InputError(f"series has shape {given.shape}, and 2 steps or more are needed.")
    lanes = given.reshape(-1, given.shape[-1])
    count = lanes.shape[1]
    centred = lanes - lanes.mean()
    spectrum = np.abs(rfft(centred, next_fast_len(2 * count), axis=1)) ** 2
    covariance = irfft(spectrum.mean(axis=0), next_fast_len(2 * count))[:count]
    covariance = covariance / (count - np.arange(count))
    if covariance[0] <= 0:
        return float(count)
    sums = 2 * np.cumsum(covariance / covariance[0]) - 1
    inside = np.arange(count) >= 5 * sums
    window = int(np.argmax(inside)) if inside.any() else count - 1
    return float(max(1.0, sums[window]))


def effective_size(series: ArrayLike) -> float:
    """How many independent draws a series [..., step] is worth: its size over its memory.

    >>> effective_size(np.tile([1.0, -1.0], 50))
    100.0
    """
    given = finite("series", series)
    return given.size / autocorrelation_time(given)


def sample_distances(series: ArrayLike, law: Law) -> Distances:
    """Wasserstein-1 and Kolmogorov–Smirnov distance of a series from a law.

    `W_1 = ∫|F_n − F| dx` (over 20,000 quantiles of the law), `KS = sup|F_n − F|`, and the share of
    series of as many independent draws whose KS is larger: the p-value. `effective_size` is that of
    the indicators below the series' own deciles, the least of nine: what F_n is a mean of. The
    p-value of a series with memory is on the safe side, since its F_n wanders less between them.

    `series` [..., step], neighbours of the last axis dependent on each other; `law` has `cdf` and
    `ppf`. Raises InputError for fewer than 2 steps.

    >>> from scipy.stats import norm
    >>> found = sample_distances(norm.ppf((np.arange(1000) + 0.5) / 1000), norm())
    >>> round(found.wasserstein, 3), round(found.kolmogorov_smirnov, 6)
    (0.002, 0.0005)
    """
    from scipy import stats  # a third of a second to import

    given = finite("series", series)
    deciles = np.quantile(given, np.arange(1, 10) / 10)
    size = min(effective_size(given <= decile) for decile in deciles)
    quantiles = law.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    largest = float(stats.kstest(given.ravel(), cast(Any, law.cdf), method="asymp").statistic)
    return Distances(
        wasserstein=float(stats.wasserstein_distance(given.ravel(), quantiles)),
        kolmogorov_smirnov=largest,
        effective_size=size,
        p_value=float(stats.kstwobign.sf(largest * np.sqrt(size))),
    )


def histogram_distances(counts: ArrayLike, edges: ArrayLike, law: Law) -> tuple[float, float]:
    """Wasserstein-1 and Kolmogorov–Smirnov distance of a histogram from a law.

    Within a bin mass is taken as even; KS is the largest difference at an edge, the only places
    where a histogram knows its distribution. `counts` [bin] and `edges` [bin + 1], ascending.
    Raises InputError for shapes that do not fit and an empty histogram.

    >>> from scipy.stats import uniform
    >>> [round(part, 6) for part in histogram_distances([1, 1], [0, 0.5, 1], uniform())]
    [0.0, 0.0]
    """
    numbers, walls = at_least_zero("counts", counts), finite("edges", edges)
    if numbers.ndim != 1 or walls.shape != (len(numbers) + 1,) or not numbers.sum() > 0:
        raise InputError(
            f"counts have shape {numbers.shape} and edges {walls.shape}, and at least one count "
            "above 0 with one edge more than counts are needed; pass what numpy.histogram returns."
        )
    shares = np.concatenate([[0.0], np.cumsum(numbers) / numbers.sum()])
    ends = law.ppf(np.array([1e-9, 1 - 1e-9]))
    tails = [np.linspace(min(ends[0], walls[0]), walls[0], 8 * _PARTS, endpoint=False)]
    middle = walls[:-1, None] + np.diff(walls)[:, None] * np.arange(_PARTS) / _PARTS
    tails += [middle.ravel(), np.linspace(walls[-1], max(ends[1], walls[-1]), 8 * _PARTS)]
    grid = np.concatenate(tails)
    gaps = np.abs(np.interp(grid, walls, shares) - law.cdf(grid))
    worst = float(np.abs(shares - law.cdf(walls)).max())
    return float(np.trapezoid(gaps, grid)), worst
