"""The `dln` command: what must be settled before JAX is imported, and how the process ends."""

import contextlib
import os
import signal
import sys
import traceback
from typing import NoReturn

BROKEN_PIPE = 141
INTERRUPTED = 130


def main() -> NoReturn:
    """Carry out the command line; exit with 0, 2 (bad input), 130 (stopped) or 1 (our fault).

    Being terminated, by a queue whose time is up, say, is taken as Ctrl-C is: what was finished is
    written.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = _carry_out(sys.argv[1:])
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; nothing is to be flushed to them at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = BROKEN_PIPE
    except Exception:
        traceback.print_exc()
        status = 1
    _leave(status)


def _carry_out(argv: list[str]) -> int:
    from dlnlab.cli import environment

    environment.collect_rarely()
    environment.prepare(os.environ)
    environment.speak_utf8()
    from dlnlab.cli.app import execute

    status = execute(argv)
    sys.stdout.flush()
    return status


def _leave(status: int) -> NoReturn:
    """Exit at once: threads that are left may be deep in a compilation, and taking all modules
    down one by one lasts longer than a small run."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
