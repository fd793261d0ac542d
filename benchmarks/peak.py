"""Peak memory of one contender of one case: `python -m benchmarks.peak CASE CONTENDER` prints a number.

`measure.peak` runs it, with an allocator that hands memory back.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import measure
from benchmarks.cases import find


def resident(field: str) -> int:
    """`VmRSS`, the resident set, or `VmHWM`, its highest, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def main(case_name: str, contender_name: str) -> None:
    case = find(case_name)
    contender = case.contender(contender_name)
    evaluate = contender.make()
    # a small call first, so that imports, thread pools and caches are not counted
    small, target = case.inputs.make(small=True)
    measure.once(evaluate, small, contender.target(target))
    prediction, target = case.inputs.make()
    target = contender.target(target)
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is forgotten
    before = resident("VmRSS")
    measure.once(evaluate, prediction, target)
    print((resident("VmHWM") - before) / prediction.untyped_storage().nbytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
