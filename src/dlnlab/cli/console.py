"""What goes to the two streams: tables and JSON to stdout, sentences to stderr."""

import json
import math
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_PLAIN_WIDTH = 120


def console() -> Console:
    """The console of stdout; wide where nobody's terminal says how wide it is."""
    plain = Console(highlight=False, markup=False, emoji=False)
    if not plain.is_terminal:
        plain.width = _PLAIN_WIDTH
    return plain


def show(*parts: RenderableType) -> None:
    """Print parts to stdout, one below the other."""
    target = console()
    with target.capture() as captured:
        for part in parts:
            target.print(part)
    write(captured.get())


def write(text: str) -> None:
    """Write lines to stdout, without the blanks that fill tables up."""
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.splitlines()))
    sys.stdout.flush()


def show_json(value: Any) -> None:
    """Print one JSON value: numbers to full precision, what is not finite as null."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def tell(sentence: str) -> None:
    """Say one sentence on stderr."""
    sys.stderr.write(f"dln: {' '.join(sentence.split())}\n")
    sys.stderr.flush()


def plain(value: Any) -> Any:
    """A value as JSON has them: arrays and tuples as lists, numbers that are not finite as None.

    >>> import numpy as np
    >>> plain({"a": (1, np.inf), "b": np.array([[0.5, np.nan]])})
    {'a': [1, None], 'b': [[0.5, None]]}
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def table(*columns: str, title: str = "") -> Table:
    """An empty table in the style of all of them."""
    made = Table(box=None, pad_edge=False, title_justify="left", header_style="dim", title=title)
    for column in columns:
        made.add_column(Text(column), overflow="fold")
    return made


def pairs(rows: dict[str, str]) -> Table:
    """Names beside their values."""
    made = table("", "")
    made.show_header = False
    for name, value in rows.items():
        made.add_row(Text(name, style="dim"), Text(value))
    return made


def number(value: Any) -> str:
    """A number, a word or nested lists of them, short enough for a table.

    >>> number([[0.123456789, None], [1.0, 2e-12]])
    '[0.123457 –] [1 2e-12]'
    """
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        rows = [number(inner) for inner in value]
        nested = any(isinstance(inner, list | tuple) for inner in value)
        return " ".join(rows) if nested else f"[{' '.join(rows)}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
