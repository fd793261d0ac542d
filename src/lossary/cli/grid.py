"""Tables of numbers for a terminal of any width, or a pipe: what does not fit side by side goes below, and nothing is
broken. rich folds cells that do not fit, names of losses down to two letters a line."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

_GAP = 2


@dataclasses.dataclass(frozen=True)
class Column:
    """A heading, in one line or two, and a cell for each row."""

    heading: str
    cells: Sequence[Text]

    @property
    def width(self) -> int:
        return max(*(len(line) for line in self.heading.split("\n")), *(cell.cell_len for cell in self.cells))


def show(console: Console, title: str, first: str, names: Sequence[Text], columns: Sequence[Column]) -> None:
    """Prints a table whose first column, of the heading `first`, holds `names`, a line or more each."""
    paragraph(console, title, style="bold")
    for line in layout(first, names, columns, console.width):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    console.print()


def paragraph(console: Console, text: str, style: str = "") -> None:
    """Prints a sentence, broken between words only: a name or a path stays whole."""
    lines = textwrap.wrap(text, max(console.width, 20), break_long_words=False, break_on_hyphens=False)
    for line in lines:
        console.print(Text(line, style=style), no_wrap=True, overflow="ignore", crop=False)


def layout(first: str, names: Sequence[Text], columns: Sequence[Column], width: int) -> list[Text]:
    """The lines of the table: as many columns side by side as fit, the others below; one loss below the other where not
    even one column fits beside the names."""
    left = max(len(first), *(line.cell_len for name in names for line in name.split("\n")))
    room = width - left - _GAP
    if not columns or max(column.width for column in columns) > room:
        return _vertical(names, columns)
    lines: list[Text] = []
    for group in _groups(columns, room):
        if lines:
            lines.append(Text())
        lines += _side_by_side(first, names, group, left)
    return lines


def _groups(columns: Sequence[Column], room: int) -> list[list[Column]]:
    """Columns in groups that fit."""
    groups: list[list[Column]] = [[]]
    left = room
    for column in columns:
        need = column.width + (_GAP if groups[-1] else 0)
        if need > left:
            groups.append([])
            left, need = room, column.width
        groups[-1].append(column)
        left -= need
    return groups


def _side_by_side(first: str, names: Sequence[Text], columns: Sequence[Column], left: int) -> list[Text]:
    headings = [column.heading.split("\n") for column in columns]
    height = max(map(len, headings))
    lines: list[Text] = []
    for k in range(height):
        line = Text((first if k == height - 1 else "").ljust(left), style="bold")
        for column, heading in zip(columns, headings, strict=True):
            shown = [""] * (height - len(heading)) + heading
            line.append(" " * _GAP + shown[k].rjust(column.width))
        lines.append(line)
    for row, name in enumerate(names):
        parts = name.split("\n")
        line = parts[0] + Text(" " * (left - parts[0].cell_len))
        for column in columns:
            cell = column.cells[row]
            line = line + Text(" " * (_GAP + column.width - cell.cell_len)) + cell
        lines += [line, *parts[1:]]
    for line in lines:
        line.rstrip()
    return lines


def _vertical(names: Sequence[Text], columns: Sequence[Column]) -> list[Text]:
    headings = [column.heading.replace("\n", " ") for column in columns]
    left = max(map(len, headings), default=0)
    lines: list[Text] = []
    for row, name in enumerate(names):
        lines += name.split("\n")
        for heading, column in zip(headings, columns, strict=True):
            lines.append(Text("  " + heading.ljust(left + _GAP)) + column.cells[row])
    for line in lines:
        line.rstrip()
    return lines
