"""Deeper and more pathways of unequal depths: again the flattest division at η*, shallow below.

As figure 4, for depths {5, 7} and {3, 5, 7}: under small steps the shallowest pathway takes nearly
everything from an equal start, at η* = 2/λ^min the mode is divided as Lagrange's condition says.
With {5, 7} the depths are so much alike that the shallow one needs a small start to win.
"""

import dataclasses

from dlnlab.claims import Claim
from dlnlab.papers.kim2026 import fig4

EXPERIMENT = dataclasses.replace(
    fig4.EXPERIMENT,
    title="Deeper and more pathways of unequal depths",
    coords={"edge_ratio": (0.3, 1.0), "depths": [(5, 7), (3, 5, 7)]},
)

CLAIMS = (
    Claim(
        "kim2026.2b",
        "At η* = 2/λ^min pathways of depths {5, 7} and {3, 5, 7} end at the flattest division, "
        "that of Lagrange's condition, within 1 % of the target; under small steps they do not.",
        fig4.check_lagrange,
        (fig4.ALIGNED,),
    ),
    Claim(
        "kim2026.3b",
        "Under small steps and from equal starts the shallowest pathway of {5, 7} and {3, 5, 7} "
        "takes more than 95 %, as gradient flow says.",
        fig4.check_shallow,
        (fig4.ALIGNED, "equal starts of 0.001, the shallowest pathway first"),
    ),
)

plot = fig4.plot
