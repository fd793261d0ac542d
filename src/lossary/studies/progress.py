"""What a person sees while a comparison runs."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from lossary.studies.results import Column, Run


class Display:
    """Two bars on stderr: all epochs of all runs, and the current run with its validation metric."""

    def __init__(self, *, show: bool, runs: int, epochs: int, metric: Column) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not show,
        )
        self._metric, self._epochs = metric, epochs
        self._all = self._progress.add_task("all epochs", total=runs * epochs, note=f"{runs} runs")
        self._run = self._progress.add_task("", total=epochs, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, run: Run) -> None:
        self._progress.reset(self._run, description=f"{run.loss} · seed {run.seed}", note="")

    def epoch(self, run: Run) -> None:
        value = run.epochs[-1].validation[self._metric.name]
        self._progress.update(self._run, advance=1, note=f"{self._metric.label} {value:.3f}")
        self._progress.update(self._all, advance=1)

    def end(self, run: Run) -> None:
        """A run that diverged leaves the remaining epochs out."""
        self._progress.update(self._all, advance=self._epochs - len(run.epochs))
        if run.status == "diverged":
            self._progress.console.print(f"{run.loss}, seed {run.seed}: diverged, {run.note}", markup=False)
