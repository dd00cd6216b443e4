"""The balance of the layers of one chain: what flow conserves and large steps restore."""

from dlnlab.theory.balance import decay, flow_end, precise
from dlnlab.theory.balance.decay import (
    first_growth_edge,
    gaps_left,
    largest_stable_gap,
    lasting_balance_factor,
    partial_balance_gap,
)
from dlnlab.theory.balance.flow_end import chain_flow_end, chain_flow_end_sharpness
from dlnlab.theory.balance.precise import trusted_gap
from dlnlab.theory.balance.regime import Balance, balance_regime

PREDICTIONS = flow_end.PREDICTIONS + decay.PREDICTIONS + precise.PREDICTIONS

__all__ = [
    "PREDICTIONS",
    "Balance",
    "balance_regime",
    "chain_flow_end",
    "chain_flow_end_sharpness",
    "first_growth_edge",
    "gaps_left",
    "largest_stable_gap",
    "lasting_balance_factor",
    "partial_balance_gap",
    "trusted_gap",
]
