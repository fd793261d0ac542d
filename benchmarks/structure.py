"""What a reader and a call must go through: classes above a loss, Python calls and files of a call, circles of imports.

`python -m benchmarks structure` prints all three. Nothing is timed, so every number is the same on every machine.
"""

from __future__ import annotations

import ast
import collections
import sys
import types
from pathlib import Path

import networkx
from rich.console import Group
from rich.table import Table

import lossary as L
from benchmarks.case import Inputs
from lossary.core.loss import Loss

PACKAGE = Path(L.__file__).parent
ROWS, ANSWERS = Inputs("classes", (32, 10)), Inputs("binary", (32, 1))
CALLS = (
    (L.MSELoss(), Inputs("elements", (320,))),
    (L.BCELoss(), ANSWERS),
    (L.CrossEntropyLoss(), ROWS),
    (L.FocalLoss("binary"), ANSWERS),
    (L.FocalLoss("multiclass"), ROWS),
    (L.DiceLoss("multiclass"), ROWS),
    (L.DiceLoss("multiclass") + L.CrossEntropyLoss(), ROWS),
    (L.CIoULoss(), Inputs("boxes", (16, 4))),
)


def structure() -> tuple[Group, dict[str, object]]:
    """The three tables, and their numbers."""
    deep, calls, circles = depths(), [calls_of(loss, inputs) for loss, inputs in CALLS], import_circles()
    numbers: dict[str, object] = {"depths": deep, "calls": calls, "circles": circles}
    return Group(_depth_table(deep), _call_table(calls), _circle_table(circles)), numbers


# --- classes ----------------------------------------------------------------------------------------------------------


def depths() -> dict[str, int]:
    """How many classes stand above each loss, `object` not counted."""
    return {cls.__name__: len(cls.__mro__) - 2 for cls in L.catalogue()}


# --- calls ------------------------------------------------------------------------------------------------------------


def calls_of(loss: Loss, inputs: Inputs) -> dict[str, object]:
    """Python calls within this package in one call of the loss, the second with these inputs, and their files."""
    prediction, target = inputs.make()
    loss(prediction, target)
    functions: collections.Counter[tuple[str, str]] = collections.Counter()

    def note(frame: types.FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            functions[code.co_filename, code.co_qualname] += 1

    sys.setprofile(note)
    try:
        loss(prediction, target)
    finally:
        sys.setprofile(None)
    files = {Path(file).relative_to(PACKAGE).as_posix() for file, _ in functions}
    return {"loss": repr(loss), "calls": functions.total(), "functions": len(functions), "files": sorted(files)}


# --- imports ----------------------------------------------------------------------------------------------------------


def import_circles() -> list[list[str]]:
    """Modules that import each other round, imports within functions included: what a reader cannot read in order."""
    modules = {_module(file): file for file in sorted(PACKAGE.rglob("*.py"))}
    graph: networkx.DiGraph[str] = networkx.DiGraph()
    for name, file in modules.items():
        for node in ast.walk(ast.parse(file.read_text())):
            for target in _imported(node, name, modules):
                graph.add_edge(name, target)
    circles = [sorted(found) for found in networkx.strongly_connected_components(graph) if len(found) > 1]
    return sorted(circles, key=len, reverse=True)


def _module(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(node: ast.AST, name: str, modules: dict[str, Path]) -> list[str]:
    """The modules of this package that a statement imports, less those that only type checkers see."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        node.body = []  # `walk` comes to the body after this
        return []
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in modules and alias.name != name]
    if isinstance(node, ast.ImportFrom) and node.module in modules and not node.level:
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        return sorted((inner & set(modules)) or {node.module} - {name})
    return []


# --- tables -----------------------------------------------------------------------------------------------------------


def _depth_table(deep: dict[str, int]) -> Table:
    table = Table(title="classes above a loss, without object", title_justify="left", title_style="bold")
    table.add_column("classes", justify="right")
    table.add_column("losses")
    for depth in sorted(set(deep.values()), reverse=True):
        table.add_row(str(depth), ", ".join(name for name, d in deep.items() if d == depth))
    return table


def _call_table(calls: list[dict[str, object]]) -> Table:
    table = Table(title="Python calls of one call, in this package", title_justify="left", title_style="bold")
    for heading in ("loss", "calls", "functions", "files"):
        table.add_column(heading, justify="left" if heading == "loss" else "right")
    for row in calls:
        files = row["files"]
        assert isinstance(files, list)
        table.add_row(str(row["loss"]), str(row["calls"]), str(row["functions"]), str(len(files)))
    return table


def _circle_table(circles: list[list[str]]) -> Table:
    table = Table(title=f"circles of imports: {len(circles)}", title_justify="left", title_style="bold")
    table.add_column("modules", justify="right")
    table.add_column("which")
    for circle in circles:
        table.add_row(str(len(circle)), ", ".join(name.removeprefix("lossary.") for name in circle))
    return table
