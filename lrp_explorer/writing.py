"""Files are written beside their place and then put there: whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lrp_explorer.errors import DataError

LEFTOVER = re.compile(r"^\..*\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.part$", re.DOTALL)
"""Names of unfinished files: of what machine, of what process."""

OLD = 24 * 3600.0
"""Seconds after which an unfinished file is nobody's, whatever machine its process ran on."""

HERE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files so that all are there as a whole, or all as they were before.

    A full disk, or a killed process, leaves what was there. What killed processes have left unfinished in the same
    folders is removed.

    Raises
    ------
    DataError
        If that is not possible; what was begun is removed, and what was replaced is put back.
    """
    begun: list[tuple[Path, Path]] = []
    for path in contents:
        if is_folder(path):
            raise DataError(f"{str(path)!r} could not be written: there is a folder of that name; choose another name")
    for folder in {path.parent for path in contents}:
        sweep(folder)
    try:
        for path, content in contents.items():
            begun.append((_beside(path), path))
            with begun[-1][0].open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        _put(begun)
    except OSError as error:
        raise unwritten(next(iter(contents)), error) from error
    finally:
        _remove(name for name, _ in begun)


def sweep(folder: Path) -> None:
    """Remove what killed processes have left unfinished in a folder; what a living one is writing stays."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (found := LEFTOVER.match(entry.name)) and _abandoned(found[1], int(found[2]), entry):
                with suppress(OSError):
                    os.unlink(entry.path)


def _abandoned(machine: str, process: int, entry: os.DirEntry[str]) -> bool:
    if machine == HERE and process != os.getpid() and not _alive(process):
        return True
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD


def _alive(process: int) -> bool:
    if os.name == "nt":
        return True  # where a signal of 0 would end it; age tells
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{HERE}-{os.getpid()}-{uuid.uuid4().hex[:8]}.part")


def _put(begun: Sequence[tuple[Path, Path]]) -> None:
    """Give finished files their names; if one cannot have it, the others are as they were before."""
    aside = [(_beside(path), path) for _, path in begun]
    try:
        for old, path in aside:
            _keep(path, old)
    except BaseException:
        _remove(old for old, _ in aside)
        raise
    try:
        for name, path in begun:
            os.replace(name, path)
    except BaseException:
        for (name, path), (old, _) in zip(begun, aside, strict=True):
            if os.path.lexists(name):
                continue  # not put yet
            if os.path.lexists(old):
                os.replace(old, path)
            else:
                path.unlink(missing_ok=True)
        _remove(old for old, _ in aside)
        raise
    _remove(old for old, _ in aside)


def _keep(path: Path, aside: Path) -> None:
    """Give what is there a second name; nothing is moved, so that the first one is never missing."""
    if not os.path.lexists(path):
        return
    try:
        os.link(path, aside, follow_symlinks=False)
    except (OSError, NotImplementedError):
        # Not every file system has links.
        shutil.copy2(path, aside, follow_symlinks=False)


def _remove(names: Iterable[Path]) -> None:
    for name in names:
        name.unlink(missing_ok=True)


def is_folder(path: Path) -> bool:
    """Whether there is a folder of this name; `DataError` where it cannot be told."""
    try:
        return path.is_dir()
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> DataError:
    """Say that a file could not be written."""
    return DataError(
        f"{str(path)!r} could not be written ({error.strerror or error}); nothing of it was left behind. "
        "Free some space, or choose another folder or name"
    )
