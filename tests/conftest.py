"""Shared fixtures: where the conformance data lies, and which arithmetic properties are drawn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("default", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("default")

ROOT = Path(__file__).resolve().parent.parent


def conformance_directory() -> Path | None:
    """The conformance data: ``ESPDL_CONFORMANCE``, else ``../shared/conformance`` beside the project; None where absent."""
    candidates = (
        [Path(os.environ["ESPDL_CONFORMANCE"])] if "ESPDL_CONFORMANCE" in os.environ else [ROOT.parent / "shared/conformance"]
    )
    return next((path for path in candidates if path.is_dir()), None)


@pytest.fixture(scope="session")
def conformance() -> Path:
    """Directory of the conformance data; skips the test where there is none."""
    directory = conformance_directory()
    if directory is None:
        pytest.skip("no conformance data: set ESPDL_CONFORMANCE to its directory")
    return directory


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests recorded with ``record_property("snr", ...)``."""
    reports = [*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())]
    figures = sorted(value for report in reports for key, value in report.user_properties if key == "snr")
    if figures:
        terminalreporter.section("SNR of the integer run against the float network")
        for figure in figures:
            terminalreporter.line(figure)
