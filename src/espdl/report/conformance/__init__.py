"""Every ``.espdl`` file with test values under a directory, run and told as a matrix of operator, type and chip."""

from espdl.report.conformance.cases import Case
from espdl.report.conformance.report import ConformanceReport, run_directory

__all__ = ["Case", "ConformanceReport", "run_directory"]
