"""How the suite runs: on one thread a worker, with compiled programs kept, and all tests of one loss in one worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# all of this before a framework is imported: it is read once
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")  # two workers share two cores
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# JAX compiles every operation, most of the time of a test that calls it for the first time. The key of a program is
# its text, so that what one worker compiled the other reads, also in the next run and under a planted fault.
PROGRAMS = Path(__file__).resolve().parent.parent / ".pytest_cache" / "programs"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(PROGRAMS / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(PROGRAMS / "inductor"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--loss", help="only the tests of this loss, by any of its names: Dice, focal, CIoULoss")


def pytest_configure(config: pytest.Config) -> None:
    """The test modules make their cases when they are imported, of these classes only."""
    if name := config.getoption("loss"):
        import lossary
        import variants

        try:
            variants.chosen = (lossary.find(name.removesuffix("Loss")),)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None


def _loss_class(item: pytest.Item) -> type | None:
    """The class of the first loss among the parameters of a test; None where there is none."""
    from lossary.core.loss import Loss

    for value in item.callspec.params.values() if hasattr(item, "callspec") else ():
        cls = value if isinstance(value, type) else type(value)
        if issubclass(cls, Loss):
            return cls
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one loss go to one worker, which traces and compiles it once; those of no loss go there by their file.
    The files come first, because some of them take minutes: what comes last should be short."""
    owners = {item: _loss_class(item) for item in items}
    if config.getoption("loss"):
        import variants

        config.hook.pytest_deselected(items=[item for item in items if owners[item] not in variants.chosen])
        items[:] = [item for item in items if owners[item] in variants.chosen]
    items.sort(key=lambda item: owners[item] is not None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            owner = owners[item]
            item.add_marker(pytest.mark.xdist_group(item.path.stem if owner is None else owner.__name__))
