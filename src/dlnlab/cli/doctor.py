"""`dln doctor`: what the numbers of this machine are made with."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from dlnlab.cli.console import pairs, show, show_json
from dlnlab.cli.options import switch


def doctor(*, json: Annotated[bool, switch("Print one JSON object.")] = False) -> int:
    """Tell versions, devices, threads, memory and the compilation cache."""
    found = _found()
    if json:
        show_json(found)
        return 0
    cache = found["cache"]
    place = f"{cache['directory']} ({_size(cache['bytes'])}, {cache['entries']} programs)"
    show(
        pairs(
            {
                **found["versions"],
                "python": found["python"],
                "platform": found["platform"],
                "devices": ", ".join(found["devices"]),
                "threads": str(found["threads"]),
                "memory free": _size(found["memory_bytes"]),
                "cache": "off" if cache["directory"] is None else place,
            }
        )
    )
    return 0


def _found() -> dict[str, Any]:
    import jax

    from dlnlab import results
    from dlnlab.simulate.limits import available_memory
    from dlnlab.simulate.workers import default_threads

    return {
        "versions": results.versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": [f"{device.platform}: {device.device_kind}" for device in jax.devices()],
        "threads": default_threads(),
        "memory_bytes": available_memory(),
        "cache": _cache(os.environ),
    }


def _cache(environ: Mapping[str, str]) -> dict[str, Any]:
    directory = environ.get("JAX_COMPILATION_CACHE_DIR")
    off = environ.get("JAX_ENABLE_COMPILATION_CACHE", "").lower() in ("false", "0", "off", "no")
    if off or not directory or not Path(directory).is_dir():
        return {"directory": None, "bytes": 0, "entries": 0}
    sizes = [item.stat().st_size for item in Path(directory).iterdir() if item.is_file()]
    programs = len(list(Path(directory).glob("*-cache")))
    return {"directory": directory, "bytes": sum(sizes), "entries": programs}


def _size(count: float) -> str:
    """A number of bytes in words.

    >>> _size(2_000_000)
    '1.9 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
