"""What the library says when it is given something it cannot use.

A message says what was given, what was needed, and the usual mend, in one sentence. The command
line prints these sentences and exits with 2; every other exception is a fault of ours and keeps
its traceback.
"""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """The input cannot be used: a value out of range, shapes that do not fit, a missing file."""


class InputTypeError(InputError, TypeError):
    """The input is of the wrong kind altogether."""


def nearest(given: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the known names nearest to `given`.

    >>> nearest("learning_rat", ["learning_rate", "depth"])
    'did you mean learning_rate?'
    >>> nearest("zzz", ["alpha", "beta"])
    'known are alpha, beta.'
    """
    names = list(known)
    close = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(names)}."
