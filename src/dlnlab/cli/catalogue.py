"""`dln list` and `dln show`: what there is, and what it holds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from dlnlab.cli.console import pairs, show, show_json, table
from dlnlab.cli.options import argument, switch

if TYPE_CHECKING:
    from dlnlab.experiment import Bound, Experiment
    from dlnlab.papers import Entry


def list_experiments(*, json: Annotated[bool, switch("Print one JSON array.")] = False) -> int:
    """List the experiments, by paper."""
    from dlnlab.papers import figure_ids, load, paper_keys

    if json:
        rows = [(load(figure), key) for key in paper_keys() for figure in figure_ids(key)]
        show_json([{"id": e.id, "title": e.experiment.title, "paper": key} for e, key in rows])
        return 0
    for key in paper_keys():
        show(*_paper(key))
    return 0


def _paper(key: str) -> Iterator[RenderableType]:
    """A paper with its figures."""
    from dlnlab.papers import figure_ids, load, papers

    paper, entries = papers()[key], [load(figure) for figure in figure_ids(key)]
    yield Text(f"{', '.join(paper.authors)} ({paper.year}). {paper.title}", style="bold")
    yield Padding(pairs({entry.id: entry.experiment.title for entry in entries}), (0, 0, 1, 2))


def show_experiment(
    reference: Annotated[
        str, argument("A paper, an id such as kim2026/fig1, or an experiment file.py.")
    ],
    /,
) -> int:
    """Show an experiment: its coordinates, what it records, what is predicted and claimed."""
    from dlnlab.papers import load, paper_keys

    show(*(_paper(reference) if reference in paper_keys() else _described(load(reference))))
    return 0


def _described(entry: "Entry") -> Iterator[RenderableType]:
    experiment = entry.experiment
    yield Text(f"{entry.id} · {experiment.title}", style="bold")
    for text in (entry.caption, experiment.about):
        if text:
            yield from (Text(), Text(text))
    yield from _section("Coordinates", _coordinates(experiment))
    if experiment.coords:
        yield from _section("The figure's own", pairs(_own(experiment)))
    yield from _section("Runs for", Text(_extent(experiment)))
    if experiment.observe:
        yield from _section("Recorded", _observables(experiment))
    if experiment.statistics:
        yield from _section("Statistics", _statistics(experiment))
    if experiment.predictions:
        yield from _section("Predicted", _predictions(experiment.predictions))
    if entry.claims:
        yield from _section("Claimed", pairs({c.id: c.sentence for c in entry.claims}))
    if experiment.cites:
        yield from _section("Cites", Text(", ".join(experiment.cites)))


def _section(title: str, body: RenderableType) -> Iterator[RenderableType]:
    yield from (Text(), Text(title, style="bold"), Padding(body, (0, 0, 0, 2)))


def _coordinates(experiment: "Experiment") -> RenderableType:
    from dlnlab.cli.flags import bounds

    rows = table("flag", "kind", "default", "range", "symbol", "")
    for parameter in experiment.parameters.values():
        coordinate = parameter.coordinate
        rows.add_row(
            parameter.flag,
            parameter.kind,
            "required" if parameter.required else parameter.text(parameter.default),
            bounds(coordinate) or "|".join(map(str, parameter.choices)),
            coordinate.symbol,
            coordinate.help,
        )
    return rows


def _own(experiment: "Experiment") -> dict[str, str]:
    return {name: _written(value) for name, value in experiment.coords.items()}


def _written(value: Any) -> str:
    values = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(values, list | tuple):
        return str(values)
    shown = ", ".join(map(str, values[:9]))
    return shown if len(values) <= 9 else f"{shown}, … ({len(values)} values)"


def _extent(experiment: "Experiment") -> str:
    if experiment.steps is not None:
        return f"{experiment.steps:,} steps"
    return f"time {experiment.time:g}"


def _observables(experiment: "Experiment") -> RenderableType:
    rows = table("name", "symbol", "dimensions", "formula")
    for item in experiment.observe:
        rows.add_row(item.name, item.symbol, ", ".join(item.dims), item.formula)
    return rows


def _statistics(experiment: "Experiment") -> RenderableType:
    def first_line(item: Any) -> str:
        return (type(item).__doc__ or "").strip().partition("\n")[0]

    return pairs({item.name: first_line(item) for item in experiment.statistics})


def _predictions(predictions: "tuple[Bound, ...]") -> RenderableType:
    rows = table("name", "symbol", "of", "source", "assumes that")
    for bound in predictions:
        prediction = bound.prediction
        assumed = "; ".join(assumption.sentence for assumption in prediction.assumes)
        rows.add_row(bound.variable, prediction.symbol, prediction.of, prediction.source, assumed)
    return rows
