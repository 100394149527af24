"""Whether ESP-DL can load a file: the storage rules of its format, each as a check of its own (runtime spec 1)."""

from espdl.report.interop.check import FileReport, check_file
from espdl.report.interop.rules import RULES, Rule

__all__ = ["RULES", "FileReport", "Rule", "check_file"]
