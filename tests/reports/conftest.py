"""Recordings for reports, and a browser for the module that asks for one."""

import errno

import pytest
from browser import chromium
from reports.pages import EVIL

import vfiokit
from vfiokit.accesses import Emit, Enter, Read, Sample, Say
from vfiokit.errors import AccessError
from vfiokit.recording import Recording


@pytest.fixture(scope="session")
def migrated():
    """A whole migration of one device, on both sides."""
    here = vfiokit.open("emulated:v5?state=1M&dirty=4M/s&dma=4M/s&chunk=64K&name=dev0")
    there = vfiokit.open("emulated:v5?state=1M&name=dev1")
    debugger = vfiokit.debug(here, there, memory=4 << 20)
    debugger.finish()
    yield debugger.recording
    debugger.close()


@pytest.fixture
def evil():
    """A short failed migration of a device whose name is markup, like all else that it says."""
    made = Recording(metadata={"source": EVIL, "note": f"</style>{EVIL}"})
    number = 0

    def put(access, result=None, error=None):
        nonlocal number
        made.access("source", access, result, error, number * 1000, 10)
        number += 1

    read = Read(EVIL, 9, 8, 8, "pending_bytes")
    put(Enter("vm", "running"))
    put(Enter(EVIL, "pre-copy"))
    put(Enter("migration", "active"))
    put(Emit("vfio_update_pending", (f"</script>{EVIL}", 2**64 - 1)))
    put(Emit("no_such_event", (EVIL, -1, None)))
    put(Sample(1, ((EVIL, 4096),), 0, 0.0, 0, 0, 0))
    put(read, 4096)
    put(read, None, AccessError(read, errno.EIO, rule=f"a rule {EVIL}", hint=f"a hint {EVIL}"))
    put(Say(EVIL, f"says {EVIL} \u202e\x1b[31m"))
    put(Enter("migration", "failed"))
    return made


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started
        assert started.complaints == []
