"""What commands take: arguments, switches, and options with a text."""

from cyclopts import Parameter


def switch(help: str) -> Parameter:
    """An option that is given or not, such as `--json`."""
    return Parameter(help=help, negative=(), show_default=False)


def option(help: str, metavar: str, name: str | None = None) -> Parameter:
    """An option that takes a text, shown as `metavar`."""
    return Parameter(name=name, help=help, metavar=metavar, negative=(), json_list=False)


def argument(help: str) -> Parameter:
    """What is given by its place."""
    return Parameter(help=help)


REFERENCE = argument("An id such as kim2026/fig1, or an experiment file.py.")
