"""Progress with the time left: a bar on a terminal, and in a log a line each minute."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Monitor = Callable[[float, float | None], None]

MINUTE = 60.0


@contextmanager
def progress(title: str) -> Iterator[Monitor]:
    """A monitor that draws a bar on stderr, or writes lines there where that is no terminal.

    The monitor takes the finished fraction and the seconds left (None if not known yet).
    """
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, left="")

        def monitor(fraction: float, seconds: float | None) -> None:
            bar.update(task, completed=fraction, left=time_left(seconds))

        yield monitor


def _lines(title: str) -> Monitor:
    last = time.monotonic()

    def monitor(fraction: float, seconds: float | None) -> None:
        nonlocal last
        if time.monotonic() - last >= MINUTE:
            last = time.monotonic()
            print(
                f"{title}: {fraction:.0%} {time_left(seconds)}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    return monitor


def time_left(seconds: float | None) -> str:
    """The time left in words.

    >>> time_left(None), time_left(42.3), time_left(150), time_left(9000)
    ('', '42 s left', '2 min 30 s left', '2 h 30 min left')
    """
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min {rest} s left" if minutes else f"{rest} s left"
