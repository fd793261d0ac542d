"""Speed and memory of every loss against other libraries and the native limit.

`python -m benchmarks [CASE…]` measures forward and backward in eager torch on the CPU and prints one table per group.
Times are processor seconds of one thread, unless `--threads` says otherwise. Ratios are medians over interleaved
rounds, with their quartiles; the control row, the native loss against itself, says how far two equal things differ on
this machine at this moment. Exit code 1 if a bar fails.

`python -m benchmarks false-alarms` is of the studies: how often a report on equal losses announces a difference.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import cases, extra, false_alarms, measure, results, structure, toll, vocabulary
from benchmarks.case import Case
from benchmarks.cases import CE, IMAGES

CASES = (*cases.CASES, *toll.CASES)
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))
FALSE_ALARMS = "false-alarms"
EXTRA = ("scaling", "overhead", "vocabulary", "structure")
console = Console(width=None if Console().is_terminal else 170)


def chosen(names: list[str]) -> tuple[list[Case], list[str]]:
    """The cases and extra tables of which a name is part of the group or the case; all but the slow table where no name
    is given."""
    if not names:
        return list(CASES), ["scaling", "overhead"]  # vocabulary takes minutes, structure times nothing: ask for them
    found = [case for case in CASES if any(name in f"{case.group} {case.id}" for name in names)]
    tables = [table for table in EXTRA if any(name in table for name in names)]
    if not found and not tables:
        known = ", ".join([*GROUPS, *EXTRA, FALSE_ALARMS])
        raise typer.BadParameter(f"no case is called {' or '.join(map(repr, names))}; the groups are {known}")
    return found, tables


def control(repeats: int, seconds: float) -> measure.Spread:
    """The native cross entropy against itself: the noise that every ratio below carries."""
    prediction, target = IMAGES.make()
    times = list(measure.rounds([(CE.make(), target)] * 2, prediction, repeats, seconds))
    return measure.ratio([t[0] for t in times], [t[1] for t in times])


def main(
    cases: Annotated[list[str] | None, typer.Argument(help="Parts of the names of groups or cases.")] = None,
    repeats: Annotated[int, typer.Option(min=measure.FEWEST_ROUNDS, help="Rounds per case.")] = 21,
    seconds: Annotated[float, typer.Option(help="A case stops after this time once it has enough rounds.")] = 20.0,
    quick: Annotated[bool, typer.Option(help="Few rounds, and peak memory only where a bar needs it.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch. More than one needs a quiet machine.")] = 1,
    compiled: Annotated[bool, typer.Option(help="Overhead with torch.compile too; half a minute per loss.")] = False,
    every: Annotated[bool, typer.Option("--all", help="A second table per group: every contender.")] = False,
    reports: Annotated[int, typer.Option(min=1, help="With false-alarms: reports in each cell of its table.")] = 2000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write every number to this file.")] = None,
) -> None:
    if cases == [FALSE_ALARMS]:
        study_reports(reports, json_file)
        return
    if quick:
        repeats, seconds = measure.FEWEST_ROUNDS, 5.0
    torch.set_num_threads(threads)
    selected, tables = chosen(cases or [])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows: list[results.Row] = []
    report: dict[str, object] = {"machine": machine()}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("control", total=len(selected) + len(tables))
        noise = control(repeats, seconds)
        report["control"] = noise.__dict__
        for case in selected:
            progress.update(task, description=f"{case.group}: {case.name}")
            rows.append(results.run(case, repeats, seconds, with_peak=not quick, tick=progress.refresh))
            progress.advance(task)
        made = {}
        for name in tables:
            progress.update(task, description=name)
            if name == "scaling":
                made[name], report[name] = extra.scaling(repeats, seconds / 4, progress.refresh)
            elif name == "overhead":
                made[name], report[name] = extra.overhead(repeats, compiled, progress.refresh)
            elif name == "structure":
                made[name], report[name] = structure.structure()
            else:
                made[name], report[name] = vocabulary.table(repeats, seconds, progress.refresh)
            progress.advance(task)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    console.print(f"control, F.cross_entropy against itself on {IMAGES.label}: {results.shown(noise)} times\n")
    for group in GROUPS:
        of_group = [row for row in rows if row.case.group == group]
        if of_group:
            console.print(results.table(group, of_group))
            if every:
                console.print(results.details(group, of_group))
    for table in made.values():
        console.print(table)
    console.print(LEGEND)
    console.print("\n".join(results.sources(rows)), highlight=False)
    report["rows"] = [results.as_dict(row) for row in rows]
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1))
    missed = vocabulary.failures(report["vocabulary"]) if "vocabulary" in report else []  # pyright: ignore
    for line in missed:
        console.print(f"FAIL {line}")
    if missed or any(row.verdict(bar) is False for row in rows for bar in row.case.bars):
        raise typer.Exit(1)


def study_reports(reports: int, json_file: Path | None) -> None:
    """The tables of false alarms and of power."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(FALSE_ALARMS, total=false_alarms.STEPS)
        found = list(false_alarms.tables(reports, lambda: progress.advance(task)))
    for table, _, _ in found:
        console.print(table)
    if json_file is not None:
        json_file.write_text(json.dumps({"reports": reports, "tables": [numbers for _, numbers, _ in found]}, indent=1))
    if any(high for _, _, high in found):
        console.print("FAIL more reports than the level allows announce a difference between equal losses")
        raise typer.Exit(1)


LEGEND = """
× native, × fastest peer: our time over theirs, median (quartiles) of interleaved rounds; ≠: theirs is another number.
saved: bytes that the result keeps for backward, in units of the prediction's; beyond inputs: without what was passed.
peak: highest resident memory of forward and backward above the inputs, gradient included, same unit.
Bars, in the words of the issues:"""


def machine() -> dict[str, object]:
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load": f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores",
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
    }


if __name__ == "__main__":
    measure.pin_allocator()
    typer.run(main)
