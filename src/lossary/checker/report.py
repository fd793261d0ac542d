"""What a check found, for a person, a page and a program."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from lossary.checker.claims import CLAIMS, SEVERITIES, Severity

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Finding:
    """A claim that fails, and the smallest input that shows it."""

    name: str  # of the claim, in a word: `--fail-on` takes it
    claim: str  # what should be true
    fails: str  # what is true instead
    severity: Severity
    words: str  # what is wrong there
    means: str  # what it does to a training run
    input: str  # the call in short: numbers where they are few, shapes where they are many
    code: str  # to paste and see


LEVELS: dict[str, tuple[str, ...]] = {
    "any": SEVERITIES,
    "slow": SEVERITIES[:4],
    "fragile": SEVERITIES[:3],
    "wrong": SEVERITIES[:2],
}
"""What `--fail-on` means by a word: severities."""

EQUALS = "equals"
"""The name of the finding that a loss is not the one that it is meant to be."""


def fail_on(words: str) -> set[str]:
    """The severities and the names of claims that words name.

    >>> sorted(fail_on("wrong,compiles"))
    ['compiles', 'wrong gradient', 'wrong value']
    """
    known = {EQUALS, *(claim.key for claim in CLAIMS)}
    chosen: set[str] = set()
    for word in (w.strip() for w in words.split(",")):
        if word not in LEVELS and word not in known:
            raise ValueError(
                f"--fail-on takes {', '.join(LEVELS)} and names of claims (docs/checker.md lists them); got {word!r}"
            )
        chosen |= set(LEVELS[word]) if word in LEVELS else {word}
    return chosen


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
        without_gradients: why no gradient could be looked at; empty where they were.
    """

    loss: str
    convention: str
    equals: str
    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_asked: tuple[str, ...]
    unfinished: tuple[str, ...]
    seconds: float
    without_gradients: str = ""

    @property
    def ok(self) -> bool:
        """Whether every claim that was tried holds, and any was."""
        return not self.findings and bool(self.passed)

    def failing(self, on: str = "any") -> tuple[Finding, ...]:
        """The findings that matter to a caller.

        Args:
            on: `"any"`; `"wrong"`, those of wrong values and gradients; `"fragile"` or `"slow"`, those and what is
                graver; names of claims; or several of these, with commas between them.
        """
        chosen = fail_on(on)
        return tuple(f for f in self.findings if f.name in chosen or f.severity in chosen)

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
        from rich.rule import Rule
        from rich.syntax import Syntax

        console = console or Console()
        console.print(f"[bold]{escape(self.loss)}[/bold] is understood as {escape(self.convention)}", highlight=False)
        if self.equals:
            console.print(f"It equals {self.equals}.", highlight=False, markup=False)
        if self.without_gradients:
            console.print(f"Gradients could not be looked at: {self.without_gradients}.", highlight=False)
        if self.findings:
            console.print()
            console.print(self._table())
            for number, finding in enumerate(self.findings, 1):
                console.print(Rule(f"[bold]{number}[/bold] {finding.name}", align="left", style="dim"))
                shown = Syntax("", "python", background_color="default").highlight(finding.code)
                console.print(shown, soft_wrap=True)  # as it is, to be pasted
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
                f"[bold]{escape(finding.fails)}[/bold]\n{escape(finding.words)}\n"
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
