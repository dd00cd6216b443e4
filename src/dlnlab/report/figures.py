"""Carrying out a paper's figures: measured, predicted, judged."""

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import xarray as xr

from dlnlab import papers
from dlnlab.errors import InputError, nearest
from dlnlab.papers import Entry
from dlnlab.simulate import Monitor
from dlnlab.typing import Any

Announce = Callable[[str], None]
"""Called with the id of the figure that is about to be computed."""


@dataclass(frozen=True)
class Reproduced:
    """A figure as it came out: `predicted` is NaN outside its assumptions, `stretched` is not.

    `measured` bears when it was computed, and in how many seconds; `kept` says that this was for
    an earlier report. Of coordinates that only the long form sweeps, the picture and the claims
    are of the values `at`: those that the claims speak of. The data hold all.
    """

    entry: Entry
    coords: dict[str, Any]
    measured: xr.Dataset
    predicted: xr.Dataset
    stretched: xr.Dataset
    verdicts: list[dict[str, Any]]
    kept: bool = False
    at: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The figure's name within its paper."""
        return self.entry.id.rpartition("/")[2]


def judge(
    paper: str,
    monitor: Monitor | None = None,
    full: bool = False,
    announce: Announce | None = None,
) -> list[dict[str, Any]]:
    """Compute all figures of a paper and judge its claims, as plain data in the paper's order.

    **Raises:** `InputError` where there is no such paper; `Interrupted` on Ctrl-C.
    """
    entries = [papers.load(figure) for figure in papers.figure_ids(paper)]
    return judge_entries(entries, monitor, full, announce)


def judge_entries(
    entries: Sequence[Entry],
    monitor: Monitor | None = None,
    full: bool = False,
    announce: Announce | None = None,
) -> list[dict[str, Any]]:
    """The same for any entries, say an experiment of one's own."""
    judged = [entry for entry in entries if entry.claims]
    found = carry_out(judged, full=full, monitor=monitor, announce=announce)
    return [verdict for figure in found for verdict in figure.verdicts]


def carry_out(
    entries: Sequence[Entry],
    *,
    full: bool = False,
    threads: int | None = None,
    monitor: Monitor | None = None,
    announce: Announce | None = None,
) -> Iterator[Reproduced]:
    """The figures one after the other; the monitor sees the share of all of them."""
    began = time.perf_counter()
    for position, entry in enumerate(entries):
        if announce is not None:
            announce(entry.id)
        part = _part(monitor, position, len(entries), began)
        try:
            figure = _reproduced(entry, full, threads, part)
        except InputError as error:
            error.add_note(f"This was at {entry.id}.")
            raise
        yield figure


def _reproduced(
    entry: Entry, full: bool, threads: int | None, monitor: Monitor | None
) -> Reproduced:
    began = time.perf_counter()
    asked = _asked(entry, full)
    measured = entry.experiment.measure(threads=threads, monitor=monitor, **asked)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    measured.attrs |= {"computed": now, "seconds": time.perf_counter() - began}
    return interpreted(entry, measured, full)


def _asked(entry: Entry, full: bool) -> dict[str, Any]:
    return {**entry.experiment.coords, **(entry.full if full else {})}


def interpreted(
    entry: Entry, measured: xr.Dataset, full: bool, *, kept: bool = False
) -> Reproduced:
    """What was measured, with theory's word on it and the verdicts."""
    asked = _asked(entry, full)
    coords = {name: value for name, value in asked.items() if name not in ("steps", "time")}
    predicted = entry.experiment.predict(measured, **coords)
    stretched = entry.experiment.predict(measured, stretch=True, **coords)
    at = _at(entry, measured) if full else {}
    pair = measured.sel(at), predicted.sel(at)
    verdicts = [{**c.judge(*pair), "figure": entry.id} for c in entry.claims]
    return Reproduced(entry, coords, measured, predicted, stretched, verdicts, kept, at)


def _at(entry: Entry, measured: xr.Dataset) -> dict[str, Any]:
    """The defaults of the coordinates that only the long form sweeps, or their first values."""
    extra = [n for n in entry.full if n in measured.dims and n not in entry.experiment.coords]
    values = {name: measured[name].values for name in extra}
    usual = {name: entry.experiment.parameters[name].default for name in extra}
    return {n: usual[n] if usual[n] in values[n] else values[n][0] for n in extra}


def _part(monitor: Monitor | None, position: int, total: int, began: float) -> Monitor | None:
    if monitor is None:
        return None

    def part(fraction: float, _: float | None) -> None:
        done = (position + fraction) / total
        elapsed = time.perf_counter() - began
        monitor(done, elapsed * (1 - done) / done if done > 0 else None)

    return part


def choose(keys: Sequence[str], only: Sequence[str] | None) -> dict[str, list[Entry]]:
    """The entries to reproduce by paper; `only` names figures, with or without their paper.

    **Raises:** `InputError` for an unknown paper, and for a figure that none of the papers has.
    """
    if not keys:
        raise InputError("no paper was named; give one, say `dln reproduce kim2026`.")
    known = {key: papers.figure_ids(key) for key in dict.fromkeys(keys)}
    wanted = list(dict.fromkeys(only or ()))
    names = {n for ids in known.values() for i in ids for n in (i, i.rpartition("/")[2])}
    for name in wanted:
        if name not in names:
            # Each figure once: as it was written, with its paper or without.
            offered = sorted(n for n in names if ("/" in n) == ("/" in name))
            raise InputError(
                f"{' and '.join(known)} has no figure {name}; {nearest(name, offered)}"
            )
    chosen = {
        key: [i for i in ids if not wanted or i in wanted or i.rpartition("/")[2] in wanted]
        for key, ids in known.items()
    }
    return {key: [papers.load(i) for i in ids] for key, ids in chosen.items() if ids}
