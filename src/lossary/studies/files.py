"""Files and folders of results: written whole or not at all, and by one comparison at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path

from lossary.studies.errors import InputError


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all: a reader never meets half of it, and a full disk leaves what was there."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # some file systems tell only now that the disk is full
        scratch.replace(path)
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; it was not written", str(path)) from error
    finally:
        scratch.unlink(missing_ok=True)


@contextlib.contextmanager
def only_here(folder: Path) -> Generator[None]:
    """Holds the folder against others that would write to it.

    The lock is the system's own, on the folder itself: it ends with the process, however that ends, so none is ever
    stale, and it leaves no file behind. A system without such locks (Windows, some network drives) is not held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise InputError(
                    f"another run is writing to {folder}; wait until it ends, or choose another folder"
                ) from None
        yield
    finally:
        os.close(handle)
