"""What the process settles before it imports JAX: the compilation cache, the encoding of output."""

import gc
import importlib.util
import io
import os
import sys
import warnings
from collections.abc import Mapping, MutableMapping
from pathlib import Path

CACHE_BYTES = 2**30
LOOPS = (
    "--xla_backend_extra_options=xla_cpu_use_multi_output_fusion,"
    "xla_cpu_small_while_loop_byte_threshold=262144"
)
"""One pass over the numbers for all that a step computes of them, and loops over as much as the
cache holds compiled whole, without a call for each operation: up to ten times the speed."""

_OFF = ("off", "no", "false", "0")


def prepare(environ: MutableMapping[str, str]) -> None:
    """Set JAX's flags, where they are not set yet: quiet logs, fast loops, and a persistent cache
    of compiled programs of at most 1 GiB; without one where `DLNLAB_CACHE=off` or its place is not
    writable.
    """
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Which lines of Python each operation came from takes time to write down, and nobody reads it.
    environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")
    if "xla_backend_extra_options" not in environ.get("XLA_FLAGS", ""):
        environ["XLA_FLAGS"] = f"{environ.get('XLA_FLAGS', '')} {LOOPS}".strip()
    if environ.get("DLNLAB_CACHE", "").lower() in _OFF:
        environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
        return
    # A cache entry that cannot be read costs a compilation, not a word.
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation")
    place = cache_directory(environ)
    if place is None:
        return
    environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(place))
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")
    # With a limit but without filelock JAX would not cache at all.
    if importlib.util.find_spec("filelock") is not None:
        environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(CACHE_BYTES))


def cache_directory(environ: Mapping[str, str]) -> Path | None:
    """The writable directory of the cache, made if need be; None if there is none."""
    given = Path(environ.get("XDG_CACHE_HOME", ""))
    try:
        place = (given if given.is_absolute() else Path.home() / ".cache") / "dlnlab" / "programs"
        place.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return place if os.access(place, os.W_OK | os.X_OK) else None


def collect_rarely() -> None:
    """Look for unused cycles of objects after every 200,000 new ones instead of every 700.

    Imports and tracing make half a million objects that stay; going through them again and again
    takes a sixth of the time until the first picture.
    """
    gc.set_threshold(200_000, 10, 10)


def speak_utf8() -> None:
    """JSON is UTF-8 wherever it goes, and a name that is no text is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = stream.encoding if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
