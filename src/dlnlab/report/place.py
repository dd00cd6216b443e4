"""The directory of a report: whose it is, and how a new one takes its place."""

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dlnlab.errors import InputError
from dlnlab.typing import Any

MANIFEST = "manifest.json"
TOOL = "dln reproduce"


@contextlib.contextmanager
def draft(place: Path, *, force: bool) -> Iterator[Path]:
    """A directory beside `place` to build the next report in; gone at the end.

    **Raises:** `InputError` where `place` holds what is not ours (unless `force`), or where its
    surroundings do not exist or cannot be written.
    """
    check(place, force=force)
    try:
        place.parent.mkdir(exist_ok=True)
        shelter = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise InputError(
            f"{place} cannot be written ({error.strerror}); choose another directory with --out."
        ) from None
    try:
        folder = shelter / place.name
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(shelter, ignore_errors=True)


def check(place: Path, *, force: bool) -> None:
    """Refuse a place that is no directory, or that is not ours to replace."""
    root = place.parent
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file and a directory is needed; choose another with --out.")
    if not root.exists() and not root.parent.is_dir():
        raise InputError(f"the directory {root.parent} does not exist; make it first.")
    if place.exists() and not place.is_dir():
        raise InputError(f"{place} is a file and a directory is needed; choose another with --out.")
    if place.is_dir() and any(place.iterdir()) and owned(place) is None and not force:
        raise InputError(
            f"{place} holds files that `dln reproduce` did not write; choose another directory "
            "with --out, or add --force to write the report among them."
        )


def owned(place: Path) -> set[str] | None:
    """The files that the directory's own manifest lists; None where it has no such manifest."""
    manifest = read_manifest(place)
    return None if manifest is None else {MANIFEST, *(item["path"] for item in manifest["files"])}


def read_manifest(place: Path) -> dict[str, Any] | None:
    """The directory's own manifest; None where it has none that `dln reproduce` wrote."""
    try:
        manifest: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        ours = manifest["tool"] == TOOL and all(item["path"] for item in manifest["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if ours else None


def write_manifest(folder: Path, about: dict[str, Any]) -> None:
    """List all files of a finished report with their digests."""
    files = [
        {
            "path": path.relative_to(folder).as_posix(),
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    text = json.dumps({"tool": TOOL, **about, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def install(folder: Path, place: Path) -> None:
    """Put a finished report in its place, in one rename; files that are not ours stay."""
    place = place.resolve()
    if not place.exists():
        folder.rename(place)
        return
    _bring_along(place, folder, owned(place) or set())
    before = folder.with_name("before")
    place.rename(before)
    try:
        folder.rename(place)
    except BaseException:
        before.rename(place)
        raise


def _bring_along(place: Path, folder: Path, listed: set[str]) -> None:
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        if name.as_posix() in listed or (folder / name).exists():
            continue
        if path.is_dir() and not path.is_symlink():
            (folder / name).mkdir(parents=True)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, folder / name, follow_symlinks=False)
