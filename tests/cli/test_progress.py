"""Progress where there is no terminal: a line a minute, and none of short work."""

from types import SimpleNamespace

from dlnlab.cli import progress as module
from dlnlab.cli.progress import progress


def test_a_log_gets_a_line_a_minute(monkeypatch, capsys):
    clock = iter((0.0, 1.0, 59.0, 61.0, 61.0, 100.0, 130.0, 130.0))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress("kim2026") as monitor:
        for fraction, left in ((0.1, None), (0.4, 80.0), (0.5, 61.0), (0.8, 20.0), (0.9, None)):
            monitor(fraction, left)
    said = capsys.readouterr()
    assert said.err.splitlines() == ["kim2026: 50% 1 min 1 s left", "kim2026: 90%"]
    assert said.out == ""
