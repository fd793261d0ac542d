"""How much memory there is, so that what does not fit is refused before it is asked for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lossary.studies.errors import InputError


def require(needed: int, what: str, cure: str) -> None:
    """Raises InputError where `what` needs more bytes than are free."""
    if needed > (left := free()):
        raise InputError(f"{what} needs about {readable(needed)} of memory, and {readable(left)} are free; {cure}")


def readable(size: int) -> str:
    """
    >>> readable(5), readable(3 * 2**29), readable(4 * 10**30)
    ('5 B', '1.5 GiB', 'over 1000 TiB')
    """
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return "over 1000 TiB"


def free() -> int:
    """Bytes that this process may still take: of the machine, of its control group, of its own limit (`ulimit -v`)."""
    return max(0, min(_of_machine(), _of_group(), _of_process()))


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # no Linux: what the machine has at all
        known = getattr(os, "sysconf_names", {})
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in known else sys.maxsize


def _of_group(folder: Path = Path("/sys/fs/cgroup")) -> int:
    try:
        limit = (folder / "memory.max").read_text().strip()
        if limit == "max":
            return sys.maxsize
        taken = int((folder / "memory.current").read_text())
        # what was read of files is kept in memory that nothing else asks for
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(limit) - taken + int(stat["inactive_file"]) + int(stat["active_file"])
    except (OSError, ValueError, KeyError):
        return sys.maxsize


def _of_process() -> int:
    try:
        import resource
    except ImportError:  # Windows has none
        return sys.maxsize
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        taken = 0
    return limit - taken
