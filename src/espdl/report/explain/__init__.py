"""Why two runs of a network differ: the first node that diverges, and the rule or ingredient behind it."""

from espdl.report.explain.causes import CAUSES, Cause
from espdl.report.explain.dump import Value, read_dump, write_dump
from espdl.report.explain.explain import explain
from espdl.report.explain.explanation import Divergence, Explanation
from espdl.report.explain.sides import Side, run_side

__all__ = ["CAUSES", "Cause", "Divergence", "Explanation", "Side", "Value", "explain", "read_dump", "run_side", "write_dump"]
