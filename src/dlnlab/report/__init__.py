"""Reproducing papers: figures, data, verdicts, and a page that a person can read."""

from dlnlab.report.figures import judge, judge_entries
from dlnlab.report.reproduce import reproduce

__all__ = ["judge", "judge_entries", "reproduce"]
