"""`lossary list` and `lossary show`: the catalogue, read."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from lossary.core.elsewhere import Row
    from lossary.views.description import Description

WIDE = 160
"""Columns that the table of the catalogue needs."""

NARROW = 80
"""Columns below which a summary has one line."""

ROOMY = 100
"""Columns that the table of a loss's options needs."""

PIPE_WIDTH = 200
"""Columns where the output is no terminal: wide enough that a table's lines stay whole for grep."""


def list_losses(
    family: Annotated[str | None, typer.Option(help="Only losses of this family, such as likelihood.")] = None,
    task: Annotated[str | None, typer.Option(help="Only losses for this task: binary, multilabel, multiclass.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
) -> None:
    """List every loss, by family."""
    from lossary.core.catalogue import catalogue
    from lossary.views.description import describe

    every = [describe(cls) for cls in catalogue()]
    found = every
    if family is not None:
        _known("--family", family, [d.family for d in every])
        found = [d for d in found if d.family == family]
    if task is not None:
        _known("--task", task, [name for d in every for name in d.tasks])
        found = [d for d in found if task in d.tasks]
    if as_json:
        typer.echo(json.dumps([d.brief() for d in found], indent=1, ensure_ascii=False))
    elif found:
        console = _console()
        if console.width >= WIDE:
            console.print(_table(found))
        else:
            _lines(console, found)
    else:
        typer.echo("No loss is all of that at once.")


def show(
    name: Annotated[
        str,
        typer.Argument(help="A loss, an alias, or what a library calls it, such as monai.losses.DiceCELoss."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print an object.")] = False,
) -> None:
    """Show a loss: formula, paper, options, and what other libraries call it."""
    from lossary.core import catalogue
    from lossary.views.description import describe

    theirs: list[Row] = []
    try:
        description = describe(catalogue.find(name))
        theirs = catalogue.rows(name) if "." in name else []
    except ValueError:
        description, theirs = None, catalogue.rows(name)
        if not theirs:
            raise
    if as_json:
        shown = {} if description is None else description.to_dict()
        shown |= {"elsewhere_calls": [row._asdict() for row in theirs]} if theirs else {}
        typer.echo(json.dumps(shown, indent=1, ensure_ascii=False, allow_nan=False))
        return
    console = _console()
    for row in theirs:
        _print_row(console, row)
    if description is not None:
        _print(console, description)


def _known(option: str, value: str, names: Iterable[str]) -> None:
    listed = list(dict.fromkeys(names))
    if value not in listed:
        raise ValueError(f"`{option}` must be one of {', '.join(listed)}; got {value!r}")


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else int(shutil.get_terminal_size((PIPE_WIDTH, 24)).columns)
    return Console(width=width, highlight=False)


# --- list -------------------------------------------------------------------------------------------------------------


def _table(found: Sequence[Description]) -> Table:
    """A section for each family. The class name is what Python imports, the short name what commands take."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("loss", no_wrap=True)
    table.add_column("short name", no_wrap=True)
    table.add_column("summary", ratio=1)
    table.add_column("tasks", no_wrap=True)
    table.add_column("paper", max_width=30)
    for family in dict.fromkeys(d.family for d in found):
        table.add_row()
        table.add_row(Text(family, style="bold cyan"))
        for d in found:
            if d.family == family:
                cells = (d.name, d.short_name, d.summary, " ".join(d.tasks) or "–", d.paper)
                table.add_row(*map(Text, cells))
    return table


def _lines(console: Console, found: Sequence[Description]) -> None:
    """A line for each loss, or two where its names and what it is do not fit on one."""
    from rich.padding import Padding
    from rich.text import Text

    for family in dict.fromkeys(d.family for d in found):
        console.print(Text(f"\n{family}", style="bold cyan"))
        for d in found:
            if d.family == family:
                names = Text.assemble((d.name, "bold"), f"  {d.short_name}")
                if len(names) + len(d.summary) + 2 <= console.width:
                    console.print(names + Text(f"  {d.summary}"))
                else:
                    console.print(names)
                    # on a narrow terminal the catalogue would be longer than anyone reads: `show` has the whole
                    cut = console.width < NARROW
                    console.print(Padding(Text(d.summary, no_wrap=cut, overflow="ellipsis"), (0, 0, 0, 4)))


# --- show -------------------------------------------------------------------------------------------------------------


def _print_row(console: Console, row: Row) -> None:
    """What a library calls a loss, and our call that gives the same number."""
    from rich.padding import Padding
    from rich.text import Text

    from lossary.core.elsewhere import INPUTS

    console.print(Text(row.names.replace(" ", ", "), style="bold cyan"))
    said = {"with": INPUTS[row.inputs], "theirs": row.theirs, "here": row.code or "no call gives the same number"}
    for title, text in {**said, "note": row.note}.items():
        if text:
            console.print(Padding(Text.assemble((f"{title}: ", "bold"), text), (0, 0, 0, 4)))
    console.print()


def _print(console: Console, d: Description) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from lossary.views.formula import to_text

    console.print(Text.assemble((d.name, "bold cyan"), "  ", d.summary))
    for formula in d.formulas:
        console.print(Padding(Text(to_text(formula), style="bold"), (1, 0, 0, 4)))
    console.print()
    console.print(_facts(d))
    console.print()
    if console.width >= ROOMY:
        console.print(_options(d))
    else:
        _option_lines(console, d)
    for paragraph in d.prose:
        _paragraph(console, "", paragraph)
    _paragraph(console, "Shapes", d.shapes)
    _paragraph(console, "Elsewhere", d.elsewhere)
    if d.example:
        console.print(Text("\nExample:", style="bold"))
        console.print(Padding(Text(d.example), (0, 0, 0, 4)))


def _paragraph(console: Console, title: str, text: str) -> None:
    from rich.text import Text

    if title or text:
        console.print()
        console.print(Text.assemble((f"{title}: " if title else "", "bold"), text))


def _facts(d: Description) -> Table:
    from rich.table import Table
    from rich.text import Text

    facts = d.facts
    rows = {
        "Short name": " or ".join((d.short_name, *facts.aliases)),
        "Paper": facts.source + (f" ({d.arxiv_url})" if d.arxiv_url else ""),
        "Family": f"{d.family}, taxonomy class {facts.taxonomy}",
        "Tasks": ", ".join(d.tasks),
        "Range": d.span,
        "Finite": f"value and slope in float32 for magnitudes up to {facts.reach:g}",
        "Trains": "yes" if facts.differentiable else "no: its gradient is 0 wherever it exists",
        "Shards": "statistics add up to those of the batch" if d.decomposable else "statistics do not add up",
        "Also takes": ", ".join(d.operands),
    }
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in rows.items():
        if text:
            table.add_row(name, Text(text))
    return table


def _option_lines(console: Console, d: Description) -> None:
    """The options without a table, where its columns would be too narrow to read."""
    from rich.padding import Padding
    from rich.text import Text

    for option in d.options:
        default = "required" if option.required else f"default {option.default_text}"
        console.print(Text.assemble((option.name, "bold"), f"  {default}; {option.takes}"))
        if option.meaning:
            console.print(Padding(Text(option.meaning), (0, 0, 0, 4)))


def _options(d: Description) -> Table:
    """The options of the loss itself, and after a line those that it shares with its family."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title in ("option", "default", "takes", "meaning"):
        table.add_column(title, no_wrap=title == "option")
    for option, following in zip(d.options, (*d.options[1:], None), strict=True):
        cells = (option.name, option.default_text, option.takes, option.meaning)
        last_own = following is not None and option.own and not following.own
        table.add_row(*(Text(cell) for cell in cells), end_section=last_own)
    return table
