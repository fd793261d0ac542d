"""From measurements to rows, bars and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from benchmarks import measure
from benchmarks.case import Bar, Case, agrees
from benchmarks.contenders import Call, Contender, Ours
from benchmarks.measure import Saved, Spread


@dataclasses.dataclass
class Result:
    """What was measured of one contender."""

    contender: Contender
    value: float
    saved: Saved
    operations: int | None = None
    times: list[float] = dataclasses.field(default_factory=list)
    peak: float | None = None


@dataclasses.dataclass
class Row:
    """What was measured of one case: ours first, then the native limit and the peers that are installed."""

    case: Case
    results: list[Result]

    @property
    def ours(self) -> Result:
        return self.results[0]

    @property
    def native(self) -> Result | None:
        return next((r for r in self.results if r.contender is self.case.native), None)

    @property
    def peers(self) -> list[Result]:
        return [r for r in self.results if r is not self.ours and r is not self.native]

    @property
    def fastest(self) -> Result | None:
        """The peer of the least median time; at its speed even one that computes something else is a competitor."""
        return min((p for p in self.peers if p.times), key=lambda p: Spread.of(p.times).median, default=None)

    def same_number(self, other: Result) -> bool:
        factor = other.contender.factor if isinstance(other.contender, Call) else 1.0
        return agrees(self.ours.value, factor * other.value)

    def ratio(self, other: Result | None) -> Spread | None:
        return measure.ratio(self.ours.times, other.times) if other and self.ours.times else None

    def quantity(self, name: str) -> float | None:
        """The number that a bar limits; None where it was not measured (a peer is absent, or the run was quick)."""
        if name.startswith("time/"):
            spread = self.ratio(self.native if name == "time/native" else self.fastest)
            return None if spread is None else spread.median
        if name == "saved beyond/peer":
            least = min((peer.saved.beyond for peer in self.peers), default=None)
            return None if least is None else self.ours.saved.beyond / least
        if name == "peak":
            return self.ours.peak
        if name == "operations":
            return self.ours.operations
        return self.ours.saved.beyond if name == "saved beyond" else self.ours.saved.total

    def verdict(self, bar: Bar) -> bool | None:
        value = self.quantity(bar.quantity)
        return None if value is None else value <= bar.limit


def run(case: Case, repeats: int, seconds: float, with_peak: bool, tick: Callable[[], None]) -> Row:
    """Measures a case; `tick` is called after each round."""
    prediction, target = case.inputs.make()
    contenders = [(c.make(), c.target(target)) for c in case.contenders]
    results = [
        Result(contender, float(evaluate(prediction, form).detach()), measure.saved(evaluate, prediction, form))
        for contender, (evaluate, form) in zip(case.contenders, contenders, strict=True)
    ]
    if case.timed:
        timed = contenders
        if case.calls > 1:
            timed = [(measure.often(evaluate, case.calls), form) for evaluate, form in contenders]
        for times in measure.rounds(timed, prediction, repeats, seconds):
            for result, time in zip(results, times, strict=True):
                result.times.append(time / case.calls)
            tick()
    if any(bar.quantity == "operations" for bar in case.bars):
        for result, (evaluate, form) in zip(results, contenders, strict=True):
            result.operations = measure.operations(evaluate, prediction, form)
    prediction.grad = None
    barred = any(bar.quantity == "peak" for bar in case.bars)
    for result in results if barred else results[:1]:
        if with_peak or barred:
            contender = result.contender
            path = contender.library if isinstance(contender, Ours) else contender.path
            result.peak = measure.peak(case.id, path)
    return Row(case, results)


# --- tables ----------------------------------------------------------------------------------------------------------


def table(group: str, rows: list[Row]) -> Table:
    made = Table(title=group, title_justify="left", title_style="bold")
    for heading in ("case", "shape", "ours ms", "× native", "× fastest peer", "saved, beyond inputs", "peak", "bars"):
        made.add_column(heading, justify="left" if heading in ("case", "shape", "bars") else "right")
    for row in rows:
        made.add_row(
            row.case.name,
            row.case.inputs.label,
            milliseconds(row.ours.times),
            shown(row.ratio(row.native)),
            _against_peer(row),
            f"{row.ours.saved.total:.2f}, {row.ours.saved.beyond:.2f}",
            "" if row.ours.peak is None else f"{row.ours.peak:.2f}",
            _bars(row),
        )
    return made


def details(group: str, rows: list[Row]) -> Table:
    """Every contender of every case."""
    made = Table(title=f"{group}: all contenders", title_justify="left", title_style="bold")
    for heading in ("case", "contender", "ms (quartiles)", "ours/this", "saved, beyond inputs", "peak", "number"):
        made.add_column(heading, justify="left" if heading in ("case", "contender", "number") else "right")
    for row in rows:
        for result in row.results:
            contender = result.contender
            made.add_row(
                row.case.name if result is row.ours else "",
                contender.name,
                _spread_of(result.times),
                shown(row.ratio(result)) if result is not row.ours else "",
                f"{result.saved.total:.2f}, {result.saved.beyond:.2f}",
                "" if result.peak is None else f"{result.peak:.2f}",
                f"{result.value:.6g}" + ("" if _comparable(row, result) else " ≠"),
            )
        for library in row.case.absent:
            made.add_row("", f"{library}: absent, not installed here")
    return made


def _comparable(row: Row, result: Result) -> bool:
    """The native limit is a limit, not the same loss; it is not compared by value."""
    return result is row.native or row.same_number(result)


def milliseconds(times: list[float]) -> str:
    return f"{1e3 * Spread.of(times).median:.3g}" if times else ""


def _spread_of(times: list[float]) -> str:
    if not times:
        return ""
    spread = Spread.of(times)
    return f"{1e3 * spread.median:.3g} ({1e3 * spread.low:.3g}–{1e3 * spread.high:.3g})"


def shown(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}–{spread.high:.2f})"


def _against_peer(row: Row) -> str:
    fastest = row.fastest
    if fastest is None:
        return f"absent: {', '.join(row.case.absent)}" if row.case.absent else ""
    different = "" if row.same_number(fastest) else " ≠"
    return f"{shown(row.ratio(fastest))} {fastest.contender.name}{different}"


def _bars(row: Row) -> Text:
    text = Text()
    for bar in row.case.bars:
        verdict, value = row.verdict(bar), row.quantity(bar.quantity)
        word, style = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("not measured", "dim")}[verdict]
        text.append("\n" if text else "")
        text.append(word, style)
        text.append(f" {bar.quantity}{'' if value is None else f' {value:.2f}'} ≤ {bar.limit:g}")
        if bar.quantity == "operations":
            others = ", ".join(f"{r.contender.name} {r.operations}" for r in row.results[1:])
            text.append(f" ({others})", "dim")
    return text


def sources(rows: list[Row]) -> list[str]:
    """The words behind the bars of these rows, failures first."""
    failed = {bar.source: False for row in rows for bar in row.case.bars}
    for row in rows:
        for bar in row.case.bars:
            failed[bar.source] |= row.verdict(bar) is False
    return sorted((f"{'FAIL' if bad else '    '} {source}" for source, bad in failed.items()), reverse=True)


def as_dict(row: Row) -> dict[str, object]:
    """A row for a program."""
    return {
        "group": row.case.group,
        "case": row.case.name,
        "shape": list(row.case.inputs.shape),
        "absent": row.case.absent,
        "contenders": [
            {
                "library": result.contender.library,
                "name": result.contender.name,
                "value": result.value if math.isfinite(result.value) else None,
                "same_number": _comparable(row, result),
                "seconds": dataclasses.asdict(Spread.of(result.times)) if result.times else None,
                "saved": dataclasses.asdict(result.saved),
                "peak": result.peak,
                "operations": result.operations,
            }
            for result in row.results
        ],
        "bars": [
            {**dataclasses.asdict(bar), "value": row.quantity(bar.quantity), "passed": row.verdict(bar)}
            for bar in row.case.bars
        ],
    }
