"""Runs the check of a named loss in a process of its own, with a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lossary.checker.report import Report

LOADING = 120.0
"""Seconds that importing a module and its framework may take."""

GRACE = 20.0
"""Seconds beyond the limit for the claim that is being tried when it passes."""


class CheckFailedError(ValueError):
    """The check came to no report; the message is for the user."""


def run(order: dict[str, Any], seconds: float, progress: Callable[[str, int, int], None]) -> Report:
    """The report of `lossary.checker.worker`.

    Raises:
        CheckFailedError: the loss could not be loaded or understood, ended its process, or did not return in time.
    """
    with tempfile.TemporaryDirectory(prefix="lossary-check-") as folder:
        given, events = Path(folder) / "order.json", Path(folder) / "events"
        given.write_text(json.dumps(order))
        events.touch()
        command = [sys.executable, "-m", "lossary.checker.worker", str(given), str(events)]
        # the inputs are small: on a busy machine threads that wait for each other take most of the time
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                return _follow(process, events, seconds, progress)
            finally:
                process.kill()


def _follow(
    process: subprocess.Popen[str], events: Path, seconds: float, progress: Callable[[str, int, int], None]
) -> Report:
    start, limit, seen = time.monotonic(), LOADING, 0
    doing = "importing it"
    while True:
        ended = process.poll() is not None  # asked before reading, so that the last lines are read
        lines = events.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        for line in whole[seen:]:
            event = json.loads(line)
            if "report" in event:
                return Report.from_dict(event["report"])
            if "error" in event:
                raise CheckFailedError(event["error"])
            if "loaded" in event:
                start, limit, doing = time.monotonic(), seconds + GRACE, "finding out what it takes"
            else:
                doing = f"trying whether {event['claim']}"
                progress(event["claim"], event["number"], event["of"])
        seen = len(whole)
        if ended:
            said = (process.stderr.read() if process.stderr else "").strip().splitlines()
            raise CheckFailedError(
                f"the process of the loss ended (exit code {process.returncode}) while {doing}"
                + (f": {said[-1]}" if said else "")
            )
        if time.monotonic() - start > limit:
            raise CheckFailedError(f"the loss did not return within {limit:.0f} s while {doing}; its process was ended")
        time.sleep(0.05)
