"""Kim and Lee: large steps restore symmetry between the pathways of a deep linear network."""

from dlnlab.papers.paper import Paper

PAPER = Paper(
    key="kim2026",
    title="Gradient Descent with Large Step Size Restores Symmetry in Deep Linear Networks with "
    "Multi-Pathway",
    authors=("Kim", "Lee"),
    year=2026,
    arxiv="2606.05219",
)
