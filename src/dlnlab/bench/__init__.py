"""The benchmark: each workload by us, by what people run instead, and against the limit."""

from dlnlab.bench.measure import Contender, Row, measure
from dlnlab.bench.results import markdown, plain
from dlnlab.bench.workloads import WORKLOADS

__all__ = ["WORKLOADS", "Contender", "Row", "markdown", "measure", "plain"]
