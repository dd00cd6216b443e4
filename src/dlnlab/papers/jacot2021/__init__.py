"""Jacot and others: how networks of small initial weights go from saddle to saddle."""

from dlnlab.papers.paper import Paper

PAPER = Paper(
    key="jacot2021",
    title=(
        "Saddle-to-Saddle Dynamics in Deep Linear Networks: "
        "Small Initialization Training, Symmetry, and Sparsity"
    ),
    authors=("Jacot", "Ged", "Şimşek", "Hongler", "Gabriel"),
    year=2021,
    arxiv="2106.15933",
)
