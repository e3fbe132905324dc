"""Shared by all tests: where skipping is not allowed, a skip is a failure."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Nothing is held by the clock: a slow machine is no failure.
settings.register_profile("vfiokit", deadline=None)
settings.load_profile("vfiokit")

sys.path.insert(0, str(Path(__file__).parent))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("VFIOKIT_NO_SKIP") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped where nothing may be: {report.longrepr}"
