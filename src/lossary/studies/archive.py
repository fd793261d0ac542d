"""The user's .npz file, read without trusting it: what its headers say is held against what it has before any array is
made, and what would need more memory than there is, or would run code, is refused."""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lossary.studies import memory
from lossary.studies.errors import InputError

_WORK = 12
"""Bytes for each number beside the file's own: it becomes float32 or an integer, is looked at, and is standardised."""

_EXPANSION = 1032
"""Times as long as its compressed form is the most that deflate can make: what claims more lies about its length."""

_HOW = "numpy.savez('own.npz', {})"


@dataclasses.dataclass(frozen=True)
class _Header:
    """What an array in the file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int  # bytes before its first number

    @property
    def count(self) -> int:
        return math.prod(self.shape)  # of Python's integers: NumPy's would wrap

    @property
    def size(self) -> int:
        return self.count * self.dtype.itemsize


def read_arrays(path: Path, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of those names; the file's others are not read. All that are `needed` are there."""
    how = _HOW.format(", ".join(f"{name}=…" for name in needed))
    _check_kind(path, needed, how)
    try:
        with zipfile.ZipFile(path) as file:
            members = {name.removesuffix(".npy"): name for name in file.namelist()}
            for name in needed:
                if name not in members:
                    known = ", ".join(sorted(members)[:20]) or "none"
                    raise InputError(f"{path} has no array {name!r}; it has {known}")
            wanted = [name for name in (*needed, *optional) if name in members]
            headers = {name: _header(file, members[name], path) for name in wanted}
            memory.require(
                sum(header.size + _WORK * header.count for header in headers.values()),
                f"{path}, {', '.join(f'{name} {header.shape}' for name, header in headers.items())},",
                "use fewer or smaller samples",
            )
            return {name: _read(file, members[name], header) for name, header in headers.items()}
    except InputError:
        raise
    except Exception as error:  # a broken archive raises whatever zipfile, zlib and numpy meet in it
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path} cannot be read as an .npz file of plain arrays: {told}; save it with {how}"
        ) from error


def _check_kind(path: Path, needed: Sequence[str], how: str) -> None:
    """Raises InputError for what is no archive of arrays, and says what it is."""
    if not path.exists():
        raise InputError(f"there is no file {path}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; give one .npz file of arrays, as {how} writes it")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return
    if head.startswith(b"\x93NUMPY"):
        raise InputError(f"{path} holds a single array; save named arrays with {how}")
    if _is_text(head):
        raise InputError(f"{path} is text, such as a CSV, and not an .npz file; {_from_text(path, needed, how)}")
    raise InputError(f"{path} cannot be read: it is no .npz file, nor a table of text; save its arrays with {how}")


def _is_text(head: bytes) -> bool:
    """Whether these are letters and digits in UTF-8; the last letter may be cut off."""
    try:
        head[:-3].decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return bool(head) and not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)


def _from_text(path: Path, needed: Sequence[str], how: str) -> str:
    """What to do with a table."""
    if "features" not in needed:
        return f"read it into arrays and save them with {how}"
    own = path.with_suffix(".npz").name
    return (
        f"where its last column is the target, convert it: import numpy as np; t = np.genfromtxt({path.name!r}, "
        f"delimiter=',', skip_header=1); np.savez({own!r}, features=t[:, :-1], targets=t[:, -1])"
    )


def _header(file: zipfile.ZipFile, member: str, path: Path) -> _Header:
    """Shape and dtype, if the file has as many bytes as they ask for."""
    with file.open(member) as stream:
        version = np.lib.format.read_magic(stream)  # pyright: ignore[reportArgumentType]
        read: Any = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
            version
        )
        if read is None:
            raise InputError(f"{path}: {member} is of version {version} of NumPy's format, for fields with odd names")
        shape, _, dtype = read(stream)
        header = _Header(shape, dtype, stream.tell())
    if dtype.hasobject:
        raise InputError(
            f"{path}: {member} holds Python objects, which are not read, for they can run code; save plain numbers or "
            "texts of one dtype, such as numpy.asarray(x, dtype=float)"
        )
    info = file.getinfo(member)
    there = info.file_size - header.start
    if any(side < 0 for side in shape) or header.size != there or info.file_size > _EXPANSION * info.compress_size:
        raise InputError(
            f"{path}: {member} says that it is {dtype} of shape {shape}, {memory.readable(max(header.size, 0))}, but "
            f"has {memory.readable(max(there, 0))}; the file is damaged"
        )
    return header


def _read(file: zipfile.ZipFile, member: str, header: _Header) -> np.ndarray:
    with file.open(member) as stream:
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)  # pyright: ignore
    return array.astype(header.dtype.newbyteorder("="), copy=False)
