"""Fixtures of the panel's tests."""

import pytest
from sessions import new_debugger


@pytest.fixture
def dbg():
    debugger = new_debugger()
    yield debugger
    debugger.close()
