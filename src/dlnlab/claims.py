"""Claims: one sentence of a paper each, with a check that can say no."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import xarray as xr

from dlnlab.typing import Any

Word = Literal["holds", "fails", "inconclusive"]


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
    leaves unsaid.
    """

    id: str
    sentence: str
    check: Callable[[xr.Dataset, xr.Dataset], Verdict]
    assumes: tuple[str, ...] = ()

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
        }


def _plain(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
