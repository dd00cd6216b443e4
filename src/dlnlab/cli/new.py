"""`dln new`: begin an experiment of one's own."""

from pathlib import Path
from typing import Annotated

from dlnlab.cli.options import argument, switch
from dlnlab.errors import InputError

TEMPLATE = Path(__file__).with_name("template.py")


def new(
    file: Annotated[str, argument("The file to write, ending in .py.")],
    /,
    *,
    force: Annotated[bool, switch("Replace the file if it exists.")] = False,
) -> int:
    """Write a commented, working experiment to begin with."""
    path = Path(file)
    if path.suffix != ".py":
        raise InputError(f"an experiment is a file ending in .py, and {file} was given; rename it.")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as target:
            target.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise InputError(
            f"{path} exists already; choose another name, or add --force to replace it."
        ) from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); choose another place."
        ) from None
    print(f"{path} is an experiment; try: dln run {path}")
    return 0
