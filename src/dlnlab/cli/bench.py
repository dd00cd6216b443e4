"""`dln bench`: how fast this machine does our workloads, by us and by what people run instead."""

import sys
from pathlib import Path
from typing import Annotated

from dlnlab.cli.console import show_json, tell, write
from dlnlab.cli.options import argument, option, switch
from dlnlab.errors import InputError, nearest


def bench(
    *workloads: Annotated[str, argument("Of W1, W2, W3 and W4; all by default.")],
    rounds: Annotated[int, option("Rounds of each case; medians are taken over them.", "N")] = 6,
    out: Annotated[Path | None, option("Write the table to this Markdown file.", "FILE")] = None,
    json: Annotated[bool, switch("Print all numbers as JSON.")] = False,
) -> int:
    """Time every workload, all contenders in turn, and print rates and ratios.

    Takes minutes. Peers that are not installed are left out and named; `pip install dlnlab[bench]`
    brings them.
    """
    from dlnlab.bench import WORKLOADS, markdown, measure, plain

    for name in workloads:
        if name not in WORKLOADS:
            raise InputError(f"there is no workload {name}; {nearest(name, list(WORKLOADS))}")
    if rounds < 1:
        raise InputError(f"a benchmark takes 1 round or more, and {rounds} was given; raise it.")
    if out is not None and not out.parent.is_dir():
        raise InputError(f"the directory {out.parent} does not exist; make it first.")
    rows = []
    for name in workloads or tuple(WORKLOADS):
        for case in WORKLOADS[name]():
            if sys.stderr.isatty():
                tell(f"{case.workload}, {case.name} …")
            rows += measure(case, rounds)
    words = " ".join(["dln bench", *workloads, *([f"--rounds {rounds}"] if rounds != 6 else [])])
    table = markdown(rows, words)
    if out is not None:
        out.write_text(table, encoding="utf-8")
    if json:
        show_json(plain(rows))
    elif out is None:
        write(table)
    return 0
