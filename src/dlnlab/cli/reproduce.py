"""`dln reproduce`: the figures and claims of papers, as reports."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from dlnlab.cli.options import argument, option, switch
from dlnlab.cli.progress import progress
from dlnlab.errors import InputError


def reproduce(
    *papers: Annotated[str, argument("Keys of papers, such as kim2026.")],
    only: Annotated[
        list[str] | None,
        Parameter(
            help="Only these figures, such as fig1,fig2.",
            metavar="FIGURE…",
            consume_multiple=True,
            negative=(),
        ),
    ] = None,
    full: Annotated[bool, switch("The long settings of the figures.")] = False,
    out: Annotated[
        str | None, option("Write to DIR/PAPER instead of results/PAPER.", "DIR")
    ] = None,
    force: Annotated[bool, switch("Write into a directory that holds other files.")] = False,
    threads: Annotated[
        int | None, option("Tiles computed at a time; by default one for each core.", "N")
    ] = None,
) -> int:
    """Reproduce the figures and judge the claims of papers.

    Ends with the path of the report: figures, datasets, claims.json and a page that needs no
    network.
    """
    from dlnlab import report
    from dlnlab.papers import paper_keys

    if threads is not None and threads < 1:
        raise InputError(f"threads must be at least 1, and {threads} was given; raise it.")
    # A paper may follow the figures of --only.
    wanted = [name for text in only or () for name in text.split(",") if name]
    named = [name for name in wanted if name in paper_keys()]
    figures = [figure for figure in wanted if figure not in named]
    with progress("reproduce") as monitor:
        pages = report.reproduce(
            [*papers, *named],
            out=None if out is None else Path(out),
            only=figures or None,
            full=full,
            force=force,
            threads=threads,
            monitor=monitor,
        )
    for page in pages:
        print(page)
    return 0
