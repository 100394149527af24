"""Everything about one model on one HTML page that needs nothing else: what ``espdl report`` writes."""

from espdl.report.page.collect import Report, ReportJob, collect
from espdl.report.page.page import page

__all__ = ["Report", "ReportJob", "collect", "page"]
