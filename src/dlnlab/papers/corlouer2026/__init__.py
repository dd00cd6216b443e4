"""Corlouer and others: what the noise of SGD says of the features that are learned."""

from dlnlab.papers.paper import Paper

PAPER = Paper(
    key="corlouer2026",
    title=("Stochastic Gradient Descent in the Saddle-to-Saddle Regime of Deep Linear Networks"),
    authors=("Corlouer", "Semler", "Strang", "Gietelink Oldenziel"),
    year=2026,
    arxiv="2604.06366",
)
