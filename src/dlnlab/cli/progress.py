"""Progress on a terminal, with the time left; silence elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Monitor = Callable[[float, float | None], None]


@contextmanager
def progress(title: str) -> Iterator[Monitor | None]:
    """A monitor that draws a bar on stderr, or None where stderr is no terminal.

    The monitor takes the finished fraction and the seconds left (None if not known yet).
    """
    if not sys.stderr.isatty():
        yield None
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
