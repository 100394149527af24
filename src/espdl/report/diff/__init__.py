"""What differs between two files."""

from espdl.report.diff.diff import FileDiff, diff_files
from espdl.report.diff.text import diff_lines

__all__ = ["FileDiff", "diff_files", "diff_lines"]
