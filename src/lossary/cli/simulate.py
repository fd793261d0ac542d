"""`lossary simulate`: what the gradient of a loss alone does, without a network. A skin over `lossary.studies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lossary.core.loss import Loss
    from lossary.studies.boxes import Regression

TARGET = (10.0, 10.0, 1.0, 1.0)


def simulate(
    experiment: Annotated[str, typer.Argument(help="boxes: the regression experiment of the DIoU paper")],
    losses: Annotated[
        str, typer.Option(help="Losses of boxes, comma separated: iou:form=log,giou,cdiou,diou+0.5*wiou.")
    ] = "iou,giou,diou,ciou",
    cases: Annotated[int, typer.Option(help="34300 to 1715000, a multiple of 343.")] = 34_300,
    start: Annotated[
        tuple[float, float, float, float],
        typer.Option(
            help="The box of the animation at first: centre and size. Its target is 10 10 1 1.", metavar="BOX"
        ),
    ] = (10.5, 11.6, 2.2, 3.0),
    out: Annotated[Path, typer.Option(help="Folder for the pictures and results.json.")] = Path("reports/boxes"),
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON instead of a table.")] = False,
) -> None:
    """Move simulated boxes onto their targets by the gradient of each loss, and show which arrive.

    Writes the summed error over the steps, the error over the starting positions, and an animation of one box. After
    Ctrl-C it does so for the losses that were done.
    """
    from lossary.core.extras import needed

    with needed("simulate", "studies"):
        import torch

    from lossary.studies.boxes import Cases
    from lossary.studies.comparison import make_folder
    from lossary.studies.errors import InputError
    from lossary.studies.files import only_here, write_whole
    from lossary.studies.specs import parse, split
    from lossary.views.plots import save
    from lossary.views.regression import animate, error_curves, error_surfaces

    if experiment != "boxes":
        raise InputError(f"there is no experiment {experiment!r}; there is 'boxes'")
    named = {spec: parse(spec, options={"task": "binary"}) for spec in split(losses)}
    placed = Cases(cases)
    torch.set_num_threads(threads)
    results: list[Regression] = []
    with only_here(make_folder(out)):
        try:
            _run(named, cases, results, show=not as_json)
        finally:
            if results:
                record = {"cases": cases, "results": [result.to_dict() for result in results]}
                write_whole(out / "results.json", json.dumps(record))
                save(error_curves(results), out / "errors.svg")
                save(error_surfaces(results, placed.centers), out / "surface.png")
                animate({result.loss: named[result.loss] for result in results}, start, TARGET, out / "case.gif")
                if as_json:
                    typer.echo(json.dumps(record, allow_nan=False))
                else:
                    _table(results, cases)
                    typer.echo(f"Pictures: {out / 'errors.svg'}, {out / 'surface.png'}, {out / 'case.gif'}")


def _run(named: dict[str, Loss], cases: int, results: list[Regression], *, show: bool) -> None:
    """Adds what each loss did to `results` as it comes, with a bar for each."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from lossary.studies.boxes import simulate as run

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not show,
    ) as bars:
        tasks = {name: bars.add_task(name, total=cases) for name in named}
        for result in run(named, cases, progress=lambda name, done: bars.update(tasks[name], completed=done)):
            results.append(result)  # one by one: those before an interruption stay


def _table(results: list[Regression], cases: int) -> None:
    from rich.console import Console
    from rich.text import Text

    from lossary.cli import grid

    columns = [
        grid.Column(f"error\nat {step}", [Text(f"{result.errors[step - 1]:.3g}") for result in results])
        for step in (50, 100, 160, 200)
    ]
    columns.append(grid.Column("mean IoU", [Text(f"{result.iou:.4f}") for result in results]))
    columns.append(grid.Column("seconds", [Text(f"{result.seconds:.1f}") for result in results]))
    names = [Text(result.loss) for result in results]
    grid.show(Console(), f"{cases:,} cases; errors scaled to 1,715,000", "loss", names, columns)
