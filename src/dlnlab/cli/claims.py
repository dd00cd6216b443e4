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
    *names: Annotated[
        str,
        argument(
            "Papers, figures or claims, such as kim2026, kim2026/fig1 or kim2026.1, or files of "
            "your own; all papers by default."
        ),
    ],
    source: Annotated[
        str | None,
        option("Read what `dln reproduce` wrote to DIR.", "DIR", name="--from"),
    ] = None,
    json: Annotated[bool, switch("Print one JSON array.")] = False,
) -> int:
    """Judge claims of papers: compute, or read what was computed."""
    judged = _computed(names) if source is None else _read(Path(source), names)
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


def _computed(names: tuple[str, ...]) -> list[Judged]:
    from dlnlab import report
    from dlnlab.papers import load, paper_keys

    papers = [name for name in dict.fromkeys(names or paper_keys()) if name in paper_keys()]
    parts = {name: _figure(name) for name in names if name not in papers}
    entries = {figure: load(figure) for figure in parts.values()}
    whole = {entries[figure].id for name, figure in parts.items() if name == figure}
    with progress("claims") as monitor:
        judged = [claim for paper in papers for claim in report.judge(paper, monitor)]
        some = report.judge_entries([*entries.values()], monitor)
    return judged + [claim for claim in some if claim["figure"] in whole or claim["id"] in parts]


def _figure(name: str) -> str:
    """The figure that this is, or of which this is a claim."""
    from dlnlab.papers import figure_ids, load, paper_keys

    if "/" in name or name.endswith(".py"):
        return name
    paper = name.partition(".")[0]
    if paper not in paper_keys():
        raise InputError(f"there is no paper {paper}; {nearest(paper, paper_keys())}")
    held = {claim.id: figure for figure in figure_ids(paper) for claim in load(figure).claims}
    if name not in held:
        raise InputError(f"{paper} has no claim {name}; {nearest(name, [*held])}")
    return held[name]


def _read(place: Path, names: tuple[str, ...]) -> list[Judged]:
    for name in names:
        if name.endswith(".py"):
            raise InputError(f"the claims of {name} are computed, not read; leave out --from.")
    files = [place / "claims.json"]
    if not files[0].is_file():
        files = sorted(place.glob("*/claims.json")) if place.is_dir() else []
    if not files:
        raise InputError(
            f"{place} holds no claims.json; name a directory that `dln reproduce` wrote."
        )
    judged = [claim for file in files for claim in _parsed(file)]
    told = [{claim["paper"], claim["id"], claim.get("figure")} for claim in judged]
    for name in names:
        if not any(name in words for words in told):
            raise InputError(f"{place} holds no claims of {name}; reproduce that paper first.")
    pairs = zip(judged, told, strict=True)
    return [claim for claim, words in pairs if not names or words & {*names}]


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
