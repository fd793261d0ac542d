"""Packages that a part of Lossary needs and `pip install lossary` does not bring."""

from __future__ import annotations

import contextlib
from collections.abc import Generator


@contextlib.contextmanager
def needed(what: str, extra: str, also: str = "") -> Generator[None]:
    """Around imports: where a package is missing, the error says what needs it and which extra brings it.

    >>> with needed("pictures", "studies"):
    ...     import matplotlib.nowhere
    Traceback (most recent call last):
    ImportError: pictures need matplotlib: pip install "lossary[studies]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "lossary").split(".")[0]
        if package == "lossary":
            raise
        verb = "need" if what.endswith("s") and "." not in what else "needs"  # lossary.keras is one thing
        raise ImportError(f'{what} {verb} {package}: pip install "lossary[{extra}]"{also}', name=error.name) from error
