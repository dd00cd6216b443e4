"""The rows of a benchmark as a table for people, and as plain data."""

import dataclasses
import os
import platform
from collections.abc import Iterable, Sequence

import numpy as np

from dlnlab.bench import growth
from dlnlab.bench.growth import Grown
from dlnlab.bench.measure import Row
from dlnlab.results import versions
from dlnlab.typing import Any


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": versions(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as table:
            return next(line.partition(":")[2].strip() for line in table if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def plain(rows: Iterable[Row], grown: Iterable[Grown] = ()) -> dict[str, Any]:
    """Rows and machine as plain data."""
    return {
        "machine": machine(),
        "rows": [dataclasses.asdict(row) for row in rows],
        "growth": [dataclasses.asdict(row) for row in grown],
    }


def markdown(rows: Sequence[Row], command: str, grown: Sequence[Grown] = ()) -> str:
    """The tables, with the command that made them."""
    told = machine()
    lines = [
        "# Benchmark results",
        "",
        f"Made by `{command}` on {told['processors']} cores ({told['processor']}), "
        f"JAX {told['versions']['jax']}, Python {told['python']}.",
        f"Flags: `{told['XLA_FLAGS'] or 'none'}`.",
        "",
        "Contenders of a case are timed in turn, round after round. A rate is the median over the",
        "rounds; *ours over it* is the median of the ratios within a round, with the least and the",
        "largest (96.9 % of the median for six rounds). *First* is preparing, compiling and one",
        "call, in seconds.",
    ]
    for workload in dict.fromkeys(row.workload for row in rows):
        mine = [row for row in rows if row.workload == workload]
        lines += ["", f"## {workload}", ""]
        lines += [f"| case | contender | {mine[0].unit} | ours over it | first, s | found |"]
        lines += ["|---|---|---:|---:|---:|---:|"]
        lines += [_line(row) for row in mine]
    if grown:
        lines += ["", growth.markdown(grown).rstrip()]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    if row.missing:
        return f"| {row.case} | {row.name} | – | – | – | {row.missing} |"
    ratio = "" if row.ratio is None else "{:.3g} ({:.3g} … {:.3g})".format(*row.ratio)
    # What is found can be compared where it is an answer, not the end of a run.
    found = str(row.found) if row.unit == "answers/s" else ""
    rate = float(np.median(row.rates))
    return f"| {row.case} | {row.name} | {rate:.4g} | {ratio} | {row.first:.2f} | {found} |"
