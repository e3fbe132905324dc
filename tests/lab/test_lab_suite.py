"""The device suite over the kernel's devices: the same files as on the host, run in the guest."""

import re
import sys

import pytest

from vfiokit import lab

pytestmark = [pytest.mark.lab, pytest.mark.skipif(lab.available() is not None, reason=str(lab.available()))]


@pytest.mark.xdist_group("lab")
def test_the_suite_passes_in_the_guest():
    """One boot; a failure shows what pytest printed in there, and the kernel's last words."""
    result = lab.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/suite"],
        env={"VFIOKIT_SUITE": "kernel"},
        timeout=900,
    )
    text = result.output.decode(errors="replace") if isinstance(result.output, bytes) else result.output
    assert result.returncode == 0, f"{text}\n{result.log[-2000:]}"
    passed = re.search(r"(\d+) passed", text)
    assert passed, text
    assert "skipped" not in text
    assert int(passed[1]) >= 50
    for word in ("BUG:", "WARNING:", "Oops", "general protection"):
        assert word not in result.log
