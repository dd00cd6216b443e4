"""A paper's report: figures, datasets, verdicts and one page, in a directory of its own."""

import contextlib
import datetime
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path

from dlnlab import papers, plotting, results
from dlnlab.papers import Entry
from dlnlab.report import place
from dlnlab.report.earlier import earlier
from dlnlab.report.figures import Announce, Reproduced, carry_out, choose
from dlnlab.report.page import page
from dlnlab.report.picture import picture
from dlnlab.simulate import Monitor

RESULTS = Path("results")


def reproduce(
    keys: Sequence[str],
    *,
    out: Path | None = None,
    only: Sequence[str] | None = None,
    full: bool = False,
    force: bool = False,
    threads: int | None = None,
    monitor: Monitor | None = None,
    announce: Announce | None = None,
) -> list[Path]:
    """Compute the figures of papers and write a report of each to `out/<paper>`.

    **Arguments:** `out` is `results` by default; `only` names the figures to compute (others are
    kept from an earlier report there, if it is of the same version and source); `full` takes the
    long settings of those figures that have them; `force` writes into a directory that is not
    ours, leaving all else in it. `monitor` sees the finished share of the present paper,
    `announce` the id of each figure before it is computed. `threads` is the number of tiles
    computed at a time.

    **Returns:** the path of each `index.html`. A report appears whole; an earlier one stays until
    the new one is finished. Where something stops it, the figures that were finished become a
    report of their own, `out/<paper>-unfinished`, and a note on the exception says so.

    **Raises:** `InputError`, before computing, for an unknown paper or figure and for a place that
    holds something else or cannot be written; `Interrupted` on Ctrl-C.
    """
    chosen = choose(keys, only)
    root = RESULTS if out is None else Path(out)
    with contextlib.ExitStack() as drafts:
        folders = {k: drafts.enter_context(place.draft(root / k, force=force)) for k in chosen}
        for key, entries in chosen.items():
            figures = _others(root / key, key, entries, full)
            computed = carry_out(
                entries, full=full, threads=threads, monitor=monitor, announce=announce
            )
            made: dict[str, Reproduced] = {}
            try:
                for figure in computed:
                    made[figure.entry.id] = figure
            except BaseException as stop:
                if made:
                    stop.add_note(_left(root / f"{key}-unfinished", key, figures | made, full))
                raise
            _write(folders[key], key, figures | made, full)
            place.install(folders[key], root / key)
    return [root / key / "index.html" for key in chosen]


def _others(before: Path, key: str, entries: Sequence[Entry], full: bool) -> dict[str, Reproduced]:
    """The paper's other figures, as far as the report that stands there holds them."""
    chosen = [entry.id for entry in entries]
    rest = [figure for figure in papers.figure_ids(key) if figure not in chosen]
    return earlier(before, map(papers.load, rest), full)


def _left(root: Path, key: str, figures: dict[str, Reproduced], full: bool) -> str:
    """Write what was finished before it stopped, and say where."""
    with place.draft(root, force=True) as folder:
        _write(folder, key, figures, full)
        place.install(folder, root)
    return f"What was finished is in {root}."


def _write(folder: Path, key: str, figures: dict[str, Reproduced], full: bool) -> None:
    for part in ("figures", "data"):
        (folder / part).mkdir()
    found = [figures[i] for i in papers.figure_ids(key) if i in figures]
    for figure in found:
        _write_figure(folder, figure)
    verdicts = [verdict for figure in found for verdict in figure.verdicts]
    text = json.dumps(verdicts, indent=2, ensure_ascii=False)
    (folder / "claims.json").write_text(text + "\n", encoding="utf-8")
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    html = page(papers.papers()[key], found, folder / "figures", now, full=full)
    (folder / "index.html").write_text(html, encoding="utf-8")
    about = {
        "dlnlab": importlib.metadata.version("dlnlab"),
        "paper": key,
        "created": now.isoformat(),
        "full": full,
        "figures": [figure.entry.id for figure in found],
    }
    place.write_manifest(folder, about)


def _write_figure(folder: Path, figure: Reproduced) -> None:
    results.write(figure.measured, folder / "data" / f"{figure.name}.nc")
    results.write(figure.predicted, folder / "data" / f"{figure.name}.predicted.nc")
    with plotting.style(figure.entry.id):
        drawn = picture(figure)
        for suffix in (".svg", ".png"):
            path = folder / "figures" / f"{figure.name}{suffix}"
            plotting.save(drawn, path, figure.entry.id)
