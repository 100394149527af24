"""What could go wrong or slow on the chip, found by reading a file (and, with data, by running it)."""

from espdl.report.lint.finding import Finding, Severity
from espdl.report.lint.lint import RULES, Rule, lint_file, lint_model

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint_file", "lint_model"]
