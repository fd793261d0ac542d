"""What a check found, for a person, a page and a program."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from lossary.checker.claims import SEVERITIES, Severity
from lossary.checker.engines import Dtype, Framework
from lossary.checker.subject import Trial

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


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
        not_asked: the claims that have nothing to say of such a loss.
        unfinished: the claims that the time did not suffice for.
        seconds: how long it took.
    """

    loss: str
    convention: str
    equals: str
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_asked: tuple[str, ...]
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
        plain |= {name: tuple(description[name]) for name in ("passed", "not_asked", "unfinished")}
        return cls(**plain)

    def show(self, console: Console | None = None) -> None:
        """Prints the table, and for each fault the code that shows it."""
        from rich.console import Console
        from rich.markup import escape
        from rich.padding import Padding
        from rich.rule import Rule
        from rich.syntax import Syntax

        console = console or Console()
        console.print(f"[bold]{escape(self.loss)}[/bold] is understood as {escape(self.convention)}", highlight=False)
        if self.equals:
            console.print(f"It equals {self.equals}.", highlight=False, markup=False)
        if self.findings:
            console.print()
            console.print(self._table())
            for number, finding in enumerate(self.findings, 1):
                console.print(Rule(f"[bold]{number}[/bold] {escape(finding.claim)}", align="left", style="dim"))
                shown = Syntax(finding.code, "python", background_color="default", word_wrap=True)
                console.print(Padding(shown, (0, 0, 1, 2)))
        console.print(self.summary(), highlight=False)

    def _table(self) -> Table:
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 1, 0), show_header=False)
        table.add_column(justify="right")
        table.add_column()
        table.add_column(overflow="fold")
        colours = {"wrong value": "bold red", "wrong gradient": "bold red", "fragile": "yellow"}
        for number, finding in enumerate(self.findings, 1):
            colour = colours.get(finding.severity, "cyan")
            said = (
                f"[bold]{escape(finding.claim)}[/bold]\n{escape(finding.words)}\n"
                f"[dim]In a training run: {escape(finding.means)}.[/dim]"
            )
            table.add_row(str(number), f"[{colour}]{finding.severity}[/]", said)
        return table

    def summary(self) -> str:
        """One line: how many claims hold, fail, do not apply and were not reached."""
        line = f"{len(self.passed)} claims hold"
        by_severity = [(s, sum(f.severity == s for f in self.findings)) for s in SEVERITIES]
        if self.findings:
            counts = ", ".join(f"{n} {s}" for s, n in by_severity if n)
            line += f", {len(self.findings)} {'does' if len(self.findings) == 1 else 'do'} not ({counts})"
        if self.not_asked:
            line += f", {len(self.not_asked)} {'does' if len(self.not_asked) == 1 else 'do'} not apply"
        if self.unfinished:
            line += f", {len(self.unfinished)} not tried for lack of time"
        return f"{line}; {self.seconds:.0f} s"

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
        return f"{x.shape} of {x.flat[0]:.4g}"
    return _listed(x.tolist()) if 0 < x.size <= FEW else str(x.shape)


def _listed(x: Any) -> str:
    return "[" + ", ".join(map(_listed, x)) + "]" if isinstance(x, list) else f"{x:.4g}"  # pyright: ignore


def code(trial: Trial, statement: str, shows: str = "", dtype: Dtype | None = None) -> str:
    """A program that shows a trial; `statement` makes the loss, named `loss`, and `shows` calls it, with torch."""
    framework = trial.subject.framework
    lines = [*_IMPORTS[framework], statement]
    if trial.subject.target_first:
        lines += ["given = loss", "loss = lambda prediction, target: given(target, prediction)"]
    for name, x in (
        ("prediction", trial.batch.prediction),
        ("target", trial.batch.target),
        *trial.batch.keywords.items(),
    ):
        lines.append(f"{name} = {_array(framework, x, dtype)}")
    keywords = "".join(f", {name}={name}" for name in trial.batch.keywords)
    if framework != "torch":
        lines.append(f"print(loss(prediction, target{keywords}))")
    elif shows:
        lines.append(shows)
    else:
        lines += [
            "prediction.requires_grad_()",
            f"value = loss(prediction, target{keywords})",
            "value.sum().backward()",
            "print(value, prediction.grad)",
        ]
    return "\n".join(lines)


_IMPORTS: dict[Framework, list[str]] = {
    "torch": ["import torch"],
    "jax": ["import jax.numpy as jnp"],
    "tensorflow": ["import tensorflow as tf"],
    "numpy": ["import numpy as np"],
}


def _array(framework: Framework, x: np.ndarray[Any, Any], dtype: Dtype | None) -> str:
    make = {"torch": "torch.tensor", "jax": "jnp.asarray", "tensorflow": "tf.constant", "numpy": "np.array"}[framework]
    full = {"torch": "torch.full", "jax": "jnp.full", "tensorflow": "tf.fill", "numpy": "np.full"}[framework]
    kind = ""
    if dtype is not None and x.dtype.kind == "f" and framework == "torch":
        kind = f", dtype=torch.{dtype}"
    if not x.size or (x.size > 4 and (x == x.flat[0]).all()):
        return f"{full}({x.shape}, {_number(x.flat[0] if x.size else x.dtype.type(0))}{kind})"
    return f"{make}({_nested(x.tolist())}{kind})"


def _nested(x: Any) -> str:
    return "[" + ", ".join(map(_nested, x)) + "]" if isinstance(x, list) else _number(x)  # pyright: ignore


def _number(x: Any) -> str:
    x = x.item() if hasattr(x, "item") else x
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    return repr(float(f"{x:.8g}")) if isinstance(x, float) else repr(x)
