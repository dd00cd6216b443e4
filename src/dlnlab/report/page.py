"""The page of a report: what the template is filled with. One file, no network."""

import base64
import datetime
import importlib.metadata
import json
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import plotly.offline
import xarray as xr

from dlnlab import papers
from dlnlab.claims import numbered
from dlnlab.papers.paper import Paper
from dlnlab.report.figures import Reproduced
from dlnlab.report.interactive import plot_data
from dlnlab.report.text import inline, math, number, powers, prose, rough, words
from dlnlab.schema import Parameter
from dlnlab.typing import Any

GLYPHS = {"holds": "✓", "fails": "✗", "inconclusive": "?"}
_HERE = Path(__file__).parent


def page(
    paper: Paper,
    found: Sequence[Reproduced],
    pictures: Path,
    now: datetime.datetime,
    *,
    full: bool = False,
) -> str:
    """The HTML of a report on `found`, whose static figures stand in `pictures` as SVG files."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "math": math,
        "number": number,
        "rough": rough,
        "powers": powers,
        "inline": inline,
        "words": words,
    }
    verdicts = [verdict for figure in found for verdict in figure.verdicts]
    return environment.get_template("page.html.j2").render(
        paper=paper,
        now=now,
        full=full,
        partial=len(found) < len(papers.figure_ids(paper.key)),
        version=importlib.metadata.version("dlnlab"),
        figures=[_figure(figure, pictures) for figure in found],
        verdicts=sorted(verdicts, key=lambda verdict: numbered(verdict["id"])),
        failing=[verdict for verdict in verdicts if verdict["verdict"] == "fails"],
        counts={word: sum(v["verdict"] == word for v in verdicts) for word in GLYPHS},
        glyphs=GLYPHS,
        references=_references(paper, found),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
        script=(_HERE / "page.js").read_text(encoding="utf-8"),
        plotly=plotly.offline.get_plotlyjs(),
    )


def _figure(figure: Reproduced, pictures: Path) -> dict[str, Any]:
    experiment = figure.entry.experiment
    headline, _, rest = figure.entry.caption.partition("\n\n")
    picture = (pictures / f"{figure.name}.svg").read_bytes()
    return {
        "name": figure.name,
        "id": figure.entry.id,
        "label": _label(figure.name),
        "title": experiment.title,
        "headline": prose(headline),
        "prose": prose(rest),
        "picture": "data:image/svg+xml;base64," + base64.b64encode(picture).decode(),
        "alternative": " ".join(headline.split()) or experiment.title,
        "plot": plot_data(figure),
        "verdicts": figure.verdicts,
        "theory": [_theory(figure, str(name)) for name in figure.predicted],
        "coordinates": _coordinates(figure),
        "facts": _facts(figure),
        "commands": _commands(figure),
        "provenance": _provenance(figure.measured),
        "source": str(figure.measured.attrs.get("source", "")),
    }


def _label(name: str) -> str:
    """Figure 1 for fig1, and the name in words for a study."""
    numbered = re.fullmatch(r"fig(\d+)", name)
    return f"Figure {numbered[1]}" if numbered else words(name).capitalize()


def _theory(figure: Reproduced, name: str) -> dict[str, Any]:
    said, stretched = figure.predicted[name], figure.stretched[name]
    return {
        "name": words(name),
        "symbol": said.attrs.get("symbol", ""),
        "of": words(said.attrs.get("of", "")),
        "range": _range(stretched),
        "source": said.attrs.get("source", ""),
        "assumes": said.attrs.get("assumes", ""),
        "stretched": stretched.attrs.get("stretched", "") or said.attrs.get("broken", ""),
    }


def _range(values: xr.DataArray) -> str:
    finite = np.asarray(values, dtype=float)[np.isfinite(values)]
    if not finite.size:
        return "–"
    low, high = number(float(finite.min())), number(float(finite.max()))
    return low if low == high else f"{low} … {high}"


def _coordinates(figure: Reproduced) -> list[dict[str, str]]:
    points = figure.entry.experiment.grid(**figure.coords)
    rows = []
    for name, parameter in points.parameters.items():
        values = points.axes.get(name) or (points.fixed[name],)
        shown = [_shown(parameter, value) for value in values[:8]]
        rows.append(
            {
                "flag": parameter.flag,
                "symbol": parameter.coordinate.symbol,
                "values": ("  ·  ".join(shown)) + ("  · …" if len(values) > 8 else ""),
                "count": str(len(values)) if len(values) > 1 else "",
                "allowed": _allowed(parameter),
            }
        )
    return rows


def _shown(parameter: Parameter, value: Any) -> str:
    return number(value) if parameter.kind == "float" else parameter.text(value)


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        return " or ".join(map(str, parameter.choices))
    if parameter.kind == "bool":
        return "true or false"
    bounds, c = [], parameter.coordinate
    for sign, bound in ((">", c.above), ("≥", c.least), ("<", c.below), ("≤", c.most)):
        if bound is not None:
            bounds.append(f"{sign} {number(bound)}")
    return ", ".join(bounds) or "any"


def _facts(figure: Reproduced) -> str:
    """How much was computed, in one line."""
    measured = figure.measured
    axis = "step" if "step" in measured.dims else "time"
    far, records = float(measured[axis][-1]), measured.sizes[axis]
    runs, seconds = measured.status.size, float(measured.attrs["seconds"])
    plural = "s" if runs != 1 else ""
    told = [
        f"{runs} run{plural} to {axis} {number(far)}, recorded {records} times"
        if far > 0
        else f"{runs} point{plural}, without training",
        f"computed in {seconds:.0f} s" if seconds >= 1 else "computed in under 1 s",
    ]
    if figure.entry.full:
        told.append(_size(figure))
    if figure.at:
        at = ", ".join(f"{words(name)} {value}" for name, value in figure.at.items())
        told.append(f"picture and claims at {at}")
    if figure.kept:
        told.append(f"kept from {measured.attrs['computed'][:16].replace('T', ' ')} UTC")
    for code, meaning in enumerate(measured.status.attrs["flag_meanings"].split()):
        count = int((measured.status == code).sum())
        if count and meaning not in ("ran_to_end", "arrived"):
            told.append(f"{count} {words(meaning)}")
    return " · ".join(told)


def _size(figure: Reproduced) -> str:
    """Whether this is the default size of a study or its long form, and how large that is."""
    experiment = figure.entry.experiment
    asked = {**experiment.coords, **figure.entry.full}
    steps, time = (asked.pop(name, getattr(experiment, name)) for name in ("steps", "time"))
    far = f"{steps:,} steps" if steps is not None else f"time {number(time)}"
    long = f"{experiment.grid(**asked).size:,} runs to {far}"
    if figure.measured.status.size == experiment.grid(**asked).size:
        return f"the full study ({long})"
    return f"default size; the full study, --full, is {long}"


def _commands(figure: Reproduced) -> list[dict[str, str]]:
    """One run of the figure, its whole sweep kept in a file, and the figure itself."""
    points = figure.entry.experiment.grid(**figure.coords)
    swept, point = [], []
    for name, values in points.axes.items():
        parameter = points.parameters[name]
        texts = [parameter.text(value) for value in values]
        listed = len(texts) if parameter.kind in ("float", "int") else 1
        swept += [parameter.flag, ",".join(texts[:listed])]
        middle = values[len(values) // 2]
        rounded = float(f"{middle:.6g}") if parameter.kind == "float" else middle
        point += [parameter.flag, parameter.text(rounded)]
    for name, value in points.fixed.items():
        parameter = points.parameters[name]
        if value != parameter.default:
            swept += [parameter.flag, parameter.text(value)]
            point += [parameter.flag, parameter.text(value)]
    paper, _, name = figure.entry.id.rpartition("/")
    commands = [{"what": "One run", "line": " ".join(["dln run", figure.entry.id, *point])}]
    if points.size > 1 and points.size <= 24:
        line = " ".join(["dln run", figure.entry.id, *swept, "--out", f"{name}.nc"])
        commands.append({"what": "All its runs, to a file", "line": line})
    commands.append({"what": "This figure again", "line": f"dln reproduce {paper} --only {name}"})
    return commands


def _provenance(measured: xr.Dataset) -> str:
    told = json.loads(measured.attrs.get("provenance", "{}"))
    return json.dumps(told, indent=2, ensure_ascii=False)


def _references(paper: Paper, found: Sequence[Reproduced]) -> list[Paper]:
    known = papers.papers()
    cited = [key for figure in found for key in figure.entry.experiment.cites]
    others = dict.fromkeys(key for key in cited if key in known and key != paper.key)
    return [paper, *(known[key] for key in others)]
