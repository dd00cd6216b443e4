"""What all tests share: no window, no chance, no clock."""

import os

import hypothesis
import pytest

from dlnlab.cli.environment import LOOPS, collect_rarely

os.environ.setdefault("MPLBACKEND", "Agg")
# The settings of the command line, so that what is tested is what people run.
os.environ.setdefault("XLA_FLAGS", LOOPS)
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
collect_rarely()

pytest.register_assert_rewrite("laws")

# The same examples in every run, so that a test that passed does not fail tomorrow; and no
# deadline, because the first call of anything compiles.
hypothesis.settings.register_profile("dlnlab", derandomize=True, deadline=None)
hypothesis.settings.load_profile("dlnlab")
