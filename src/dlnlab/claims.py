"""Claims: one sentence of a paper each, with a check that can say no."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from dlnlab.typing import Any

Word = Literal["holds", "fails", "inconclusive"]

FALSE_ALARM = 0.01
"""The probability that any of a paper's statistical claims says `fails` by chance alone, where
each is just true. It is shared equally between at most `STATISTICAL_CLAIMS` of them."""

STATISTICAL_CLAIMS = 60


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    `statistic` is the number that decided, `expected` what the claim needs of it, `uncertainty`
    its numerical or statistical error, `sample_size` the number of runs or points looked at.
    """

    verdict: Word
    statistic: float
    expected: str
    uncertainty: float
    sample_size: int

    @classmethod
    def at_most(
        cls, statistic: float, limit: float, *, uncertainty: float = 0.0, sample_size: int
    ) -> "Verdict":
        """Holds where the statistic is at most `limit`, beyond its uncertainty either way."""
        return cls(
            _judge(limit - statistic, uncertainty),
            float(statistic),
            f"at most {limit:.6g}",
            uncertainty,
            sample_size,
        )

    @classmethod
    def at_least(
        cls, statistic: float, limit: float, *, uncertainty: float = 0.0, sample_size: int
    ) -> "Verdict":
        """Holds where the statistic is at least `limit`, beyond its uncertainty either way."""
        return cls(
            _judge(statistic - limit, uncertainty),
            float(statistic),
            f"at least {limit:.6g}",
            uncertainty,
            sample_size,
        )

    @classmethod
    def all_at_least(cls, hits: Any, counts: Any, limit: float) -> "Verdict":
        """Holds where the fraction `hits/counts` is at least `limit` in every one of the cells.

        The statistic is the least fraction, its uncertainty the distance to its far one-sided
        Wilson bound, at a confidence that shares `FALSE_ALARM` between all statistical claims and
        these cells.

        >>> Verdict.all_at_least([90, 80], [100, 100], 0.5).verdict
        'holds'
        >>> Verdict.all_at_least([90, 50], [100, 100], 0.5).verdict
        'inconclusive'
        """
        import scipy.stats  # which takes longer to import than all else that a run needs

        hits, counts = np.asarray(hits), np.asarray(counts)
        each = f" in each of {len(hits)} cells" if len(hits) != 1 else ""
        expected = f"at least {limit:.6g}{each}"
        if not len(hits) or not counts.all():
            return cls("fails", np.nan, expected, 0.0, int(counts.sum()))
        confidence = 1 - 2 * FALSE_ALARM / STATISTICAL_CLAIMS / len(hits)
        bounds = [
            scipy.stats.binomtest(int(k), int(n)).proportion_ci(confidence, "wilson")
            for k, n in zip(hits, counts, strict=True)
        ]
        low = min(float(bound.low) for bound in bounds)
        worst = int(np.argmin([bound.high for bound in bounds]))
        high, least = float(bounds[worst].high), float((hits / counts).min())
        word: Word = "holds" if low >= limit else "fails" if high < limit else "inconclusive"
        spread = max(least - low, high - least)
        return cls(word, least, expected, spread, int(counts.sum()))

    @classmethod
    def mean_at_least(cls, sample: Any, limit: float) -> "Verdict":
        """Holds where the mean of independent numbers is at least `limit`, by Student's t.

        The confidence shares `FALSE_ALARM` between all statistical claims.

        >>> Verdict.mean_at_least([1.0, 1.1, 0.9, 1.0], 0.0).verdict
        'holds'
        """
        import scipy.stats

        sample = np.asarray(sample, float)
        count = sample.size
        if count < 2 or not np.isfinite(sample).all():
            return cls("fails", np.nan, f"at least {limit:.6g}", 0.0, count)
        error = float(sample.std(ddof=1)) / count**0.5
        spread = float(scipy.stats.t.isf(FALSE_ALARM / STATISTICAL_CLAIMS, count - 1)) * error
        return cls.at_least(float(sample.mean()), limit, uncertainty=spread, sample_size=count)

    @classmethod
    def bootstrap_at_least(
        cls, statistic: Callable[..., Any], columns: tuple[Any, ...], limit: float
    ) -> "Verdict":
        """Holds where a statistic of independent rows is at least `limit`, by the bootstrap.

        `statistic(*columns)` returns a number; all columns have a row for each independent unit
        (a seed, say), and rows are drawn anew together. The uncertainty is the larger distance to
        an end of the interval of percentiles whose confidence shares `FALSE_ALARM` between all
        statistical claims.

        >>> Verdict.bootstrap_at_least(np.median, (np.linspace(1, 2, 40),), 1.0).verdict
        'holds'
        """
        count = len(columns[0])
        value = float(statistic(*columns))
        if count < 2 or not np.isfinite(value):
            return cls("fails", np.nan, f"at least {limit:.6g}", 0.0, count)
        low, high = bootstrap_interval(statistic, columns, 1 - 2 * FALSE_ALARM / STATISTICAL_CLAIMS)
        spread = max(value - low, high - value)
        return cls.at_least(value, limit, uncertainty=spread, sample_size=count)


def bootstrap_interval(
    statistic: Callable[..., Any], columns: tuple[Any, ...], confidence: float = 0.95
) -> tuple[float, float]:
    """The interval of percentiles of a statistic of rows, drawn anew together 10,000 times.

    >>> low, high = bootstrap_interval(np.mean, (np.arange(100.0),))
    >>> 40 < low < 49.5 < high < 59
    True
    """
    import scipy.stats

    rows = np.arange(len(columns[0]))
    found = scipy.stats.bootstrap(
        (rows,),
        lambda drawn: statistic(*(np.asarray(column)[drawn] for column in columns)),
        n_resamples=9999,
        vectorized=False,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def _judge(margin: float, uncertainty: float) -> Word:
    """Says no to NaN and to a margin on the wrong side, nothing where the error could decide."""
    if not np.isfinite(margin):
        return "fails"
    if abs(margin) < uncertainty:
        return "inconclusive"
    return "holds" if margin >= 0 else "fails"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and a check of it against what was measured and predicted.

    **Arguments:** `id` is the paper's key and the number of the statement (`kim2026.5a`);
    `check(measured, predicted)` returns a `Verdict`; `assumes` lists in words what the sentence
    leaves unsaid; `statistical` says that chance can decide it (seeds are fixed all the same).
    """

    id: str
    sentence: str
    check: Callable[[xr.Dataset, xr.Dataset], Verdict]
    assumes: tuple[str, ...] = ()
    statistical: bool = False

    @property
    def paper(self) -> str:
        return self.id.split(".")[0]

    def judge(self, measured: xr.Dataset, predicted: xr.Dataset) -> dict[str, Any]:
        """The verdict with the claim's own words, as plain data; non-finite numbers are None."""
        verdict = self.check(measured, predicted)
        return {
            "id": self.id,
            "paper": self.paper,
            "sentence": self.sentence,
            "verdict": verdict.verdict,
            "statistic": _plain(verdict.statistic),
            "expected": verdict.expected,
            "uncertainty": _plain(verdict.uncertainty),
            "sample_size": int(verdict.sample_size),
            "assumes": list(self.assumes),
            "statistical": self.statistical,
        }


def numbered(claim_id: str) -> list[tuple[int, str]]:
    """What claims are sorted by: 2 before 10, 5 before 5a.

    >>> sorted(["a1.10", "a1.5a", "a1.5", "a1.2"], key=numbered)
    ['a1.2', 'a1.5', 'a1.5a', 'a1.10']
    """
    parts = re.split(r"(\d+)", claim_id.partition(".")[2])
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _plain(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
