"""Runs carried out: one, or a grid of them, labelled."""

from dlnlab.simulate.grids import simulate, simulate_grid
from dlnlab.simulate.record import record
from dlnlab.simulate.workers import Interrupted, Monitor

__all__ = ["Interrupted", "Monitor", "record", "simulate", "simulate_grid"]
