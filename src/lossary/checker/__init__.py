"""The loss checker: anyone's loss, told what is wrong with it."""

from lossary.core.extras import needed

with needed("the checker", "check"):
    from lossary.checker.check import check
    from lossary.checker.report import Finding, Report

__all__ = ["Finding", "Report", "check"]
