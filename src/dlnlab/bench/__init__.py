"""The benchmark: each workload by us, by what people run instead, and against the limit."""

from dlnlab.bench.growth import GROWTHS, grow
from dlnlab.bench.measure import Contender, Row, measure
from dlnlab.bench.results import markdown, plain
from dlnlab.bench.workloads import WORKLOADS

__all__ = ["GROWTHS", "WORKLOADS", "Contender", "Row", "grow", "markdown", "measure", "plain"]
