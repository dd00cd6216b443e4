"""Ghosh and others: deep linear networks beyond the edge of stability."""

from dlnlab.papers.paper import Paper

PAPER = Paper(
    key="ghosh2025",
    title="Learning Dynamics of Deep Linear Networks Beyond the Edge of Stability",
    authors=("Ghosh", "Kwon", "Wang", "Ravishankar", "Qu"),
    year=2025,
    arxiv="2502.20531",
    venue="ICLR",
)
