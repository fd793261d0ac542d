"""The command line. A verb is a function of its own module, registered here; heavy imports wait until it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from lossary.cli.catalogue import list_losses, show
from lossary.cli.check import check
from lossary.cli.compare import compare
from lossary.cli.errors import Verbs
from lossary.cli.plot import UNKNOWN_OPTIONS, plot
from lossary.cli.simulate import simulate

app = typer.Typer(name="lossary", cls=Verbs, no_args_is_help=True, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        from lossary import __version__

        typer.echo(f"lossary {__version__}")
        raise typer.Exit


@app.callback()
def lossary(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error arose.")] = False,
) -> None:
    """Deep-learning losses: look one up, draw it, compare it on real data, check your own."""


app.command("list")(list_losses)
app.command()(show)
app.command(context_settings=UNKNOWN_OPTIONS)(plot)
app.command()(compare)
app.command()(simulate)
app.command()(check)


def main() -> None:
    """The entry point of `lossary`."""
    app()
