"""Reproducing papers: figures, data, verdicts, and a page that a person can read."""

from dlnlab.report.figures import judge, judge_entries
from dlnlab.report.picture import draw, place_of_figure
from dlnlab.report.reproduce import reproduce

__all__ = ["draw", "judge", "judge_entries", "place_of_figure", "reproduce"]
