"""How every verb fails: one line on stderr that says what was wrong, and an exit code, never a traceback."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

WRONG_INPUT = 2
INTERRUPTED = 130


class Verbs(TyperGroup):
    """The verbs of `lossary`. Errors that a person can put right (ValueError and TypeError of an argument, OSError of a
    file, ImportError of an extra that is not installed) leave any of them as one line and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of a pipe has seen enough; typer ends quietly
        except (ValueError, TypeError, OSError, ImportError) as error:
            if ctx.params.get("traceback"):
                raise
            typer.echo(f"lossary {ctx.invoked_subcommand}: {_one_line(error)}", err=True)
            raise typer.Exit(WRONG_INPUT) from None
        except KeyboardInterrupt:
            typer.echo(f"lossary {ctx.invoked_subcommand}: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
