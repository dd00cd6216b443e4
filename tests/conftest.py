"""What all tests share: no window, no chance, no clock."""

import os
import time
from pathlib import Path

import hypothesis
import pytest

from dlnlab.cli.environment import LOOPS, collect_rarely

os.environ.setdefault("MPLBACKEND", "Agg")
# The settings of the command line, so that what is tested is what people run.
os.environ.setdefault("XLA_FLAGS", LOOPS)
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
collect_rarely()

# Nearly all the time goes into compiling, and most programs are those of the last run.
PROGRAMS = Path(__file__).parents[1] / "build" / "test-programs"
PROGRAMS.mkdir(parents=True, exist_ok=True)
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
WEEK = 7 * 24 * 3600

pytest.register_assert_rewrite("laws")

# The same examples in every run, so that a test that passed does not fail tomorrow; and no
# deadline, because the first call of anything compiles.
hypothesis.settings.register_profile("dlnlab", derandomize=True, deadline=None)
hypothesis.settings.load_profile("dlnlab")


def pytest_sessionstart(session):
    """Programs that no run of the last week wrote are dropped, by the first process alone."""
    if hasattr(session.config, "workerinput"):
        return
    for path in PROGRAMS.iterdir():
        if time.time() - path.stat().st_mtime > WEEK:
            path.unlink(missing_ok=True)
