"""One singular mode of a deep linear network: its recursion, its flow, what they conserve.

On the aligned (SVS) set gradient descent and flow decouple over the singular modes of the target;
a mode is then a set of scalar chains, one for each pathway, that share one residual.
"""

from dlnlab.theory.modes import descent, flow, pathways
from dlnlab.theory.modes.descent import balance_factor, balance_gap_next, descent_map
from dlnlab.theory.modes.flow import flow_time, flow_value
from dlnlab.theory.modes.pathways import (
    conserved_z_increment,
    flow_constant,
    flow_endpoint,
    rebalancing_condition,
)

__all__ = [
    "PREDICTIONS",
    "balance_factor",
    "balance_gap_next",
    "conserved_z_increment",
    "descent_map",
    "flow_constant",
    "flow_endpoint",
    "flow_time",
    "flow_value",
    "rebalancing_condition",
]

PREDICTIONS = descent.PREDICTIONS + flow.PREDICTIONS + pathways.PREDICTIONS
