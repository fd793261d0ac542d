"""What a check found, for a person, a page and a program."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.checker.claims import SEVERITIES, Severity
from lossary.checker.engines import Framework
from lossary.checker.subject import Trial

if TYPE_CHECKING:
    from rich.console import Console


@dataclasses.dataclass(frozen=True)
class Finding:
    """A claim that fails, and the smallest input that shows it."""

    claim: str
    severity: Severity
    words: str  # what is wrong there
    means: str  # what it does to a training run
    input: str  # the call in short: numbers where they are few, shapes where they are many
    code: str  # to paste and see


@dataclasses.dataclass(frozen=True)
class Report:
    """What `lossary.check` found out about a loss.

    Args:
        loss: its name.
        convention: how it wants prediction and target written down.
        equals: the loss of the catalogue that gives the same number, in words; empty where none does.
        findings: the claims that fail, the gravest first.
        passed: the claims that hold on everything that was tried.
        unfinished: the claims that the time did not suffice for.
        seconds: how long it took.
    """

    loss: str
    convention: str
    equals: str
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    unfinished: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every claim that was tried holds."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Plain types, which JSON can hold; `from_dict` reads them back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Report:
        plain: dict[str, Any] = dict(description)
        plain["findings"] = tuple(Finding(**finding) for finding in description["findings"])
        plain["passed"], plain["unfinished"] = tuple(description["passed"]), tuple(description["unfinished"])
        return cls(**plain)

    def show(self, console: Console | None = None) -> None:
        """Prints the table, and for each fault the code that shows it."""
        from rich.console import Console
        from rich.syntax import Syntax
        from rich.table import Table

        console = console or Console()
        console.print(f"[bold]{self.loss}[/bold]: {self.convention}", highlight=False)
        if self.equals:
            console.print(f"It equals {self.equals}.", highlight=False, markup=False)
        if self.findings:
            table = Table(box=None, padding=(0, 2, 1, 0))
            for heading in ("severity", "what should be true", "what is", "what it does to a training run"):
                table.add_column(heading, overflow="fold")
            for finding in self.findings:
                style = {"wrong value": "bold red", "wrong gradient": "bold red", "fragile": "yellow"}
                table.add_row(
                    f"[{style.get(finding.severity, 'cyan')}]{finding.severity}[/]",
                    finding.claim,
                    finding.words.replace("[", r"\["),
                    finding.means,
                )
            console.print(table)
            for finding in self.findings:
                console.print(f"[bold]{finding.claim}[/bold]")
                console.print(Syntax(finding.code, "python", background_color="default", word_wrap=True))
        console.print(self.summary(), highlight=False)

    def summary(self) -> str:
        """One line: how many claims hold, fail and were not reached."""
        counts = [f"{len(self.passed)} claims hold"]
        by_severity = [(s, sum(f.severity == s for f in self.findings)) for s in SEVERITIES]
        counts += [f"{n} {s}" for s, n in by_severity if n]
        if self.unfinished:
            counts.append(f"{len(self.unfinished)} not finished for lack of time")
        return f"{', '.join(counts)}; {self.seconds:.0f} s"

    def html(self) -> str:
        """One self-contained page."""
        from lossary.views.report import render

        return render("check.html", report=self)


FEW = 12
"""Numbers of an array that a line can hold."""


def short(trial: Trial) -> str:
    """The arrays of a trial in a line."""
    arrays = {"prediction": trial.batch.prediction, "target": trial.batch.target, **trial.batch.keywords}
    return ", ".join(f"{name} {_in_short(x)}" for name, x in arrays.items())


def _in_short(x: np.ndarray[Any, Any]) -> str:
    if x.size and (x == x.flat[0]).all() and x.size > 1:
        return f"{x.shape} of {x.flat[0]:g}"
    return str(np.array(x, dtype=float).tolist()).replace(".0", "") if 0 < x.size <= FEW else str(x.shape)


def code(trial: Trial, statement: str) -> str:
    """A program that shows a trial; `statement` makes the loss, named `loss`."""
    framework = trial.subject.framework
    lines = [*_IMPORTS[framework], statement]
    for name, x in (
        ("prediction", trial.batch.prediction),
        ("target", trial.batch.target),
        *trial.batch.keywords.items(),
    ):
        lines.append(f"{name} = {_array(framework, x)}")
    keywords = "".join(f", {name}={name}" for name in trial.batch.keywords)
    if framework == "torch":
        lines += [
            "prediction.requires_grad_()",
            f"value = loss(prediction, target{keywords})",
            "value.sum().backward()",
            "print(value, prediction.grad)",
        ]
    else:
        lines.append(f"print(loss(prediction, target{keywords}))")
    return "\n".join(lines)


_IMPORTS: dict[Framework, list[str]] = {
    "torch": ["import torch"],
    "jax": ["import jax.numpy as jnp"],
    "tensorflow": ["import tensorflow as tf"],
    "numpy": ["import numpy as np"],
}


def _array(framework: Framework, x: np.ndarray[Any, Any]) -> str:
    make = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant", "numpy": "np.array"}[framework]
    if x.size > 64 and (x == x.flat[0]).all():
        full = {"torch": "torch.full", "jax": "jnp.full", "tensorflow": "tf.fill", "numpy": "np.full"}[framework]
        return f"{full}({x.shape}, {_number(x.flat[0])})"
    return f"{make}({_nested(x.tolist())})"


def _nested(x: Any) -> str:
    return "[" + ", ".join(map(_nested, x)) + "]" if isinstance(x, list) else _number(x)  # pyright: ignore


def _number(x: Any) -> str:
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    return repr(float(f"{x:.8g}")) if isinstance(x, float) else repr(x)
