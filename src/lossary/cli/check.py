"""`lossary check`: anyone's loss, told what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lossary.checker.report import Report


def check(
    loss: Annotated[
        str,
        typer.Argument(
            help="MODULE:NAME, or MODULE:NAME(option=value, …) to make it with options; MODULE may be a .py file."
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(help="Of segmentation, classification, boxes, regression, sequence, embedding. [what fits]"),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(help="The loss it should be, as in focal:gamma=2:task=binary. [the one it equals]"),
    ] = None,
    scores: Annotated[str | None, typer.Option(help="The prediction: logits or probabilities. [what fits]")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            help="A place has one label of several: multiclass; of two: binary; or any: multilabel. [what fits]"
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="How many classes it was made for. [what it takes]", min=2)
    ] = None,
    framework: Annotated[str | None, typer.Option(help="torch, jax, tensorflow or numpy. [where it is from]")] = None,
    target_first: Annotated[
        bool | None, typer.Option("--target-first/--prediction-first", help="Order of arguments. [where it is from]")
    ] = None,
    ignore_index: Annotated[
        int | None, typer.Option(help="The label that it leaves out. [its attribute of that name]")
    ] = None,
    seconds: Annotated[float, typer.Option(help="No claim is begun after this time.", min=1)] = 60.0,
    fail_on: Annotated[
        str,
        typer.Option(
            help="What exit code 1 is for: any, slow, fragile or wrong (each with what is graver), or names of claims; "
            "several with commas."
        ),
    ] = "any",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Also write the report as a page.")] = None,
) -> None:
    """Run any loss through the claims that a loss should keep; say what fails, with the smallest input that shows it.

    Exit code 0 if everything holds, 1 if something fails that --fail-on names, 2 if the loss could not be checked.
    """
    from lossary.checker.report import fail_on as known
    from lossary.checker.scenes import TASKS

    known(fail_on)
    _check_choice("--task", task, TASKS)
    _check_choice("--scores", scores, ("logits", "probabilities"))
    _check_choice("--kind", kind, ("multiclass", "binary", "multilabel"))
    _check_choice("--framework", framework, ("torch", "jax", "tensorflow", "numpy"))
    options = {
        "task": task,
        "scores": scores,
        "kind": kind,
        "classes": classes,
        "framework": framework,
        "target_first": target_first,
        "ignore_index": ignore_index,
        "seconds": seconds,
    }
    order: dict[str, Any] = {"spec": loss, "like": _meant(like, kind), "options": options}
    report = _run(order, seconds, quiet=as_json)
    if html is not None:
        html.write_text(report.html(), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=1))
    else:
        report.show()
    if report.failing(fail_on):
        raise typer.Exit(1)
    if not report.findings and not report.passed:
        raise ValueError(f"no claim could be tried in {seconds:g} s; pass --seconds with more")


def _check_choice(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")


def _meant(like: str | None, kind: str | None) -> dict[str, Any] | None:
    """The loss of `--like`. One that needs a task says so (`focal:task=binary`), or is of `--kind`, or multiclass."""
    if like is None:
        return None
    from lossary.studies.specs import parse

    return parse(like, options={"task": kind or "multiclass"}).to_dict()


def _run(order: dict[str, Any], seconds: float, quiet: bool) -> Report:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lossary.checker.sandbox import run

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        bar = progress.add_task("what it takes", total=None)

        def advance(claim: str, number: int, of: int) -> None:
            progress.update(bar, description=claim, completed=number, total=of)

        return run(order, seconds, advance)
