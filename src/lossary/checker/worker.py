"""The process in which `lossary check` runs a foreign loss, so that one which never returns can be ended.

`python -m lossary.checker.worker ORDER EVENTS` reads the file ORDER and writes one JSON object a line to EVENTS:
`{"claim": …, "number": …, "of": …}` before each claim, then `{"report": …}`, or `{"error": …}`.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any


def main(order_file: str, events_file: str) -> None:
    order = json.loads(Path(order_file).read_text())
    with open(events_file, "a", buffering=1, encoding="utf-8") as events:

        def tell(**event: Any) -> None:
            events.write(json.dumps(event) + "\n")

        try:
            tell(report=_check(order, tell))
        except Exception as error:  # whatever a foreign module raises
            tell(error=f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error))


def _check(order: dict[str, Any], tell: Any) -> dict[str, Any]:
    from lossary.checker.check import check
    from lossary.checker.loading import load, statement
    from lossary.core.catalogue import from_dict

    warnings.simplefilter("ignore")
    loss = load(order["spec"])
    tell(loaded=True)
    like = None if order["like"] is None else from_dict(order["like"])
    return check(
        loss,
        like=like,
        name=order["spec"].partition(":")[2],
        statement=statement(order["spec"]),
        progress=lambda claim, number, of: tell(claim=claim, number=number, of=of),
        **order["options"],
    ).to_dict()


if __name__ == "__main__":
    main(*sys.argv[1:])
