"""`dln claims`: the sentences of papers, and whether they hold."""

import json as json_format
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from dlnlab.cli.console import number, show, show_json, table
from dlnlab.cli.options import argument, option, switch
from dlnlab.cli.progress import progress
from dlnlab.errors import InputError, nearest

KEYS = (
    "id",
    "paper",
    "sentence",
    "verdict",
    "statistic",
    "expected",
    "uncertainty",
    "sample_size",
)
_GLYPHS = {"holds": ("✓", "green"), "fails": ("✗", "red"), "inconclusive": ("?", "yellow")}

Judged = dict[str, Any]


def claims(
    *papers: Annotated[
        str,
        argument("Keys of papers, such as kim2026, or files of your own; all papers by default."),
    ],
    source: Annotated[
        str | None,
        option("Read what `dln reproduce` wrote to DIR.", "DIR", name="--from"),
    ] = None,
    json: Annotated[bool, switch("Print one JSON array.")] = False,
) -> int:
    """Judge the claims of papers: compute, or read what was computed."""
    files = [name for name in papers if name.endswith(".py")]
    papers = tuple(name for name in papers if name not in files)
    keys = [] if files and not papers else _known(papers)
    if source is not None and files:
        raise InputError(f"the claims of {files[0]} are computed, not read; leave out --from.")
    judged = _computed(keys, files) if source is None else _read(Path(source), papers)
    from dlnlab.claims import numbered

    judged.sort(key=lambda claim: (str(claim["paper"]), numbered(str(claim["id"]))))
    if json:
        show_json([{key: claim[key] for key in KEYS} for claim in judged])
    else:
        show(_tabulated(judged), Text(_counted(judged), style="bold"))
    return 0


def _counted(judged: list[Judged]) -> str:
    """How many there are, and how many of each verdict."""
    counts = Counter(str(claim["verdict"]) for claim in judged)
    words = ", ".join(f"{counts[word]} {word}" for word in _GLYPHS if counts[word])
    return f"{len(judged)} claims: {words}" if judged else "no claims"


def _known(papers: tuple[str, ...]) -> list[str]:
    from dlnlab.papers import paper_keys

    for paper in papers:
        if paper not in paper_keys():
            raise InputError(f"there is no paper {paper}; {nearest(paper, paper_keys())}")
    return list(dict.fromkeys(papers)) or paper_keys()


def _computed(keys: list[str], files: list[str]) -> list[Judged]:
    from dlnlab import report
    from dlnlab.papers import load

    own = [load(file) for file in files]
    with progress("claims") as monitor:
        judged = [claim for key in keys for claim in report.judge(key, monitor)]
        return judged + report.judge_entries(own, monitor)


def _read(place: Path, papers: tuple[str, ...]) -> list[Judged]:
    files = [place / "claims.json"]
    if not files[0].is_file():
        files = sorted(place.glob("*/claims.json")) if place.is_dir() else []
    if not files:
        raise InputError(
            f"{place} holds no claims.json; name a directory that `dln reproduce` wrote."
        )
    judged = [claim for file in files for claim in _parsed(file)]
    for paper in papers:
        if not any(claim["paper"] == paper for claim in judged):
            raise InputError(f"{place} holds no claims of {paper}; reproduce that paper first.")
    return [claim for claim in judged if not papers or claim["paper"] in papers]


def _parsed(file: Path) -> list[Judged]:
    try:
        judged = json_format.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        words = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read ({words}); run `dln reproduce` again.") from None
    whole = isinstance(judged, list) and all(
        isinstance(claim, dict) and set(KEYS) <= set(claim) for claim in judged
    )
    if not whole:
        raise InputError(
            f"{file} is no list of claims with {', '.join(KEYS)}; run `dln reproduce` again."
        )
    claims: list[Judged] = judged
    return claims


def _tabulated(judged: list[Judged]) -> RenderableType:
    rows = table("claim", "verdict", "statistic", "expected", "sentence", "figure")
    for claim in judged:
        glyph, colour = _GLYPHS.get(claim["verdict"], (" ", ""))
        rows.add_row(
            str(claim["id"]),
            Text(f"{glyph} {claim['verdict']}", style=colour),
            _measured(claim),
            str(claim["expected"]),
            str(claim["sentence"]),
            str(claim.get("figure", "")),
        )
    return rows


def _measured(claim: Judged) -> str:
    spread = f" ± {number(claim['uncertainty'])}" if claim["uncertainty"] else ""
    return f"{number(claim['statistic'])}{spread} ({claim['sample_size']})"
