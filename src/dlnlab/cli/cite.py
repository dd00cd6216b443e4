"""`dln cite`: what to cite for a result."""

import importlib.metadata
from typing import Annotated

from dlnlab.cli.options import argument, switch
from dlnlab.errors import InputError, nearest

TITLE = "dlnlab: a laboratory for the training dynamics of deep linear networks"


def cite(
    *references: Annotated[
        str, argument("Papers, experiments or experiment files; all papers by default.")
    ],
    bibtex: Annotated[bool, switch("Print entries for BibTeX.")] = False,
) -> int:
    """Print the references of a paper, of an experiment, or of everything here."""
    from dlnlab.papers import papers

    known = papers()
    keys = [key for reference in references for key in _keys(reference)]
    keys = list(dict.fromkeys(keys)) if references else list(known)
    for key in keys:
        if key not in known:
            raise InputError(f"there is no paper {key} to cite; {nearest(key, known)}")
    chosen = [known[key] for key in keys]
    if bibtex:
        print("\n\n".join([_own_bibtex(), *(paper.bibtex for paper in chosen)]))
    else:
        print("\n".join([_own(), *(paper.reference for paper in chosen)]))
    return 0


def _keys(reference: str) -> tuple[str, ...]:
    """The papers that a reference leads to."""
    from dlnlab.papers import load, paper_keys

    if reference in paper_keys():
        return (reference,)
    if "/" in reference or reference.endswith(".py"):
        return load(reference).experiment.cites
    raise InputError(f"there is no paper {reference}; {nearest(reference, paper_keys())}")


def _own() -> str:
    return f"The dlnlab developers. {TITLE}, version {importlib.metadata.version('dlnlab')}."


def _own_bibtex() -> str:
    return (
        f"@software{{dlnlab,\n  title = {{{TITLE}}},\n  author = {{{{The dlnlab developers}}}},\n"
        f"  version = {{{importlib.metadata.version('dlnlab')}}}\n}}"
    )
