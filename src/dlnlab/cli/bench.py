"""`dln bench`: how fast this machine does our workloads, by us and by what people run instead."""

import sys
from pathlib import Path
from typing import Annotated

from dlnlab.cli.console import show_json, tell, write
from dlnlab.cli.options import argument, option, switch
from dlnlab.errors import InputError, nearest


def bench(
    *workloads: Annotated[
        str, argument("Of W1, W2, W3, W4, flow and growth, all by default; or layout, alone.")
    ],
    rounds: Annotated[int, option("Rounds of each case; medians are taken over them.", "N")] = 6,
    out: Annotated[Path | None, option("Write the table to this Markdown file.", "FILE")] = None,
    json: Annotated[bool, switch("Print all numbers as JSON.")] = False,
) -> int:
    """Time every workload, all contenders in turn, and print rates and ratios.

    Takes minutes. Peers that are not installed are left out and named; `pip install dlnlab[bench]`
    brings them.
    """
    from dlnlab.bench import GROWTHS, WORKLOADS, grow, markdown, measure, plain

    known = [*WORKLOADS, "growth"]
    for name in workloads:
        if name not in [*known, "layout"]:
            raise InputError(f"there is no workload {name}; {nearest(name, known)}")
    if "layout" in workloads and len(workloads) > 1:
        raise InputError("layout makes a table of its own; ask for it alone.")
    if rounds < 1:
        raise InputError(f"a benchmark takes 1 round or more, and {rounds} was given; raise it.")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"the directory {out.parent} does not exist; make it first.")
    words = " ".join(["dln bench", *workloads, *([f"--rounds {rounds}"] if rounds != 6 else [])])
    if workloads == ("layout",):
        return _layout(rounds, out, json, words)
    rows, grown = [], []
    for name in workloads or known:
        for case in WORKLOADS[name]() if name in WORKLOADS else ():
            _say(f"{case.workload}, {case.name} …")
            rows += measure(case, rounds)
        for growth in GROWTHS.values() if name == "growth" else ():
            _say(f"growth with {growth.axis} …")
            grown.append(grow(growth, rounds))
    table = markdown(rows, words, grown)
    if out is not None:
        out.write_text(table, encoding="utf-8")
    if json:
        show_json(plain(rows, grown))
    elif out is None:
        write(table)
    return 0


def _say(text: str) -> None:
    if sys.stderr.isatty():
        tell(text)


def _layout(rounds: int, out: Path | None, json: bool, words: str) -> int:
    import dataclasses

    from dlnlab.bench import layout
    from dlnlab.bench.results import machine

    found = []
    for cell in layout.measure_layout(rounds):
        _say(f"{cell.name} …")
        found.append(cell)
    told = machine()
    where = f"{told['processors']} cores ({told['processor']}), JAX {told['versions']['jax']}"
    table = layout.markdown(found, words, where)
    if out is not None:
        out.write_text(table, encoding="utf-8")
    if json:
        show_json({"machine": told, "cells": [dataclasses.asdict(cell) for cell in found]})
    elif out is None:
        write(table)
    return 0
