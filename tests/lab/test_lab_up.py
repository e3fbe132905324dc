"""A guest that stays: its real devices, opened and migrated from here; its end, and what is said then."""

import errno
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import vfiokit
from vfiokit import lab
from vfiokit.emulated import model
from vfiokit.emulated.program import read_register, write_register
from vfiokit.errors import AddressError, DeviceBusyError, DeviceError, LabError
from vfiokit.lab.machines import MACHINES
from vfiokit.lab.running import Running, boot_id, end_process, process_start, read_state
from vfiokit.lab.slots import slots
from vfiokit.uapi.pci_config import decode

PAGE = 4096

needs_lab = [
    pytest.mark.lab,
    pytest.mark.xdist_group("lab-up"),
    pytest.mark.skipif(lab.available() is not None, reason=f"the lab cannot start: {lab.available()}"),
]


def in_lab(test):
    for mark in needs_lab:
        test = mark(test)
    return test


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "vfiokit" / "lab"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The one guest of these tests, apart from one that the user may have."""
    with pytest.MonkeyPatch.context() as patch:
        # Longer than a socket's address may be.
        runtime = tmp_path_factory.mktemp("r" * 80)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        steps = []
        found = lab.up(steps.append, shared_mib=256)
        assert steps[-1].startswith("up in ")
        try:
            yield found
        finally:
            lab.down()
            assert process_start(found.pid) is None
            assert not found.shared.exists()
            assert [path.name for path in found.folder.iterdir()] == ["lock"]


def vfiokit_command(*words):
    return subprocess.run(
        [sys.executable, "-m", "vfiokit", *words], capture_output=True, text=True, check=False
    )


@in_lab
def test_a_second_up_says_that_it_is_up(running):
    steps = []
    assert lab.up(steps.append) == running
    assert "up already" in steps[0]
    assert lab.status() == running
    assert running.alive
    with pytest.raises(LabError, match="up already, with machine 'full'"):
        lab.up(machine="mdev")


@in_lab
def test_it_is_nobody_s_child_and_shown_by_status(running):
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    with vfiokit.open("lab:v5-2"):
        done = vfiokit_command("lab", "status")
        assert done.returncode == 0
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("lab:v5-2 "))
        assert line.endswith(f"(open in process {os.getpid()})")
    for slot in slots(MACHINES["full"]):
        assert slot.address in done.stdout


@in_lab
def test_the_kernel_s_device_from_here(running):
    with vfiokit.open("lab:v5") as device:
        assert device.address == "lab:v5"
        space = decode(device.pread(7, 0, 256))
        assert (space.value("PCI_VENDOR_ID"), space.value("PCI_DEVICE_ID")) == (0xFFF1, 0x5642)
        assert read_register(device, "ID") == model.ID_VALUE
        assert device.region(9).type == (2, 1)
        write_register(device, "SCRATCH", 7)
        with pytest.raises(DeviceError) as caught:
            device.pwrite(9, 0, b"\x06\0\0\0")
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(DeviceError, match="use pread and pwrite"):
            device.mmap(9, 0x1000, PAGE)
        with pytest.raises(DeviceBusyError, match="this process has it open"):
            vfiokit.open("lab:v5")
    with vfiokit.open("lab:v5") as device:
        assert read_register(device, "SCRATCH") == 0  # as after a reset


@in_lab
def test_doorbell_dma_lands_here_exactly(running):
    with vfiokit.open("lab:v5") as device, device.dma_memory(64 * PAGE) as memory:
        device.map_dma(0x40000000, memory.view)
        write_register(device, "WINDOW_IOVA", 0x40000000)
        write_register(device, "WINDOW_PAGES", 64)
        write_register(device, "DOORBELL", 50)
        for page in range(64):
            want = (page, model.mix(1 << 32 ^ page)) if page < 50 else (0, 0)
            assert struct.unpack_from("<QQ", memory.view, page * PAGE) == want
        assert not any(memory.view[16:PAGE])
        assert device.unmap_dma(0x40000000, 64 * PAGE) == 64 * PAGE
        try:
            write_register(device, "DOORBELL", 1)
        except DeviceError:
            pass
        assert read_register(device, "DMA_ERROR") == errno.EFAULT


@in_lab
@pytest.mark.parametrize("kind", ["v5", "v5-trapped"])
def test_a_live_migration_between_two_of_the_kernel_s_devices(running, kind):
    with (
        vfiokit.open(f"lab:{kind}?dma=4M/s&dirty=4M/s&pattern=random") as source,
        vfiokit.open(f"lab:{kind}-2") as there,
    ):
        report = vfiokit.migrate(source, there, memory=16 << 20)
        assert report.verified
        assert report.devices[0].equal
        assert report.outgoing.transferred > 8 << 20
        assert source.pread(9, 0, 4) == bytes(4)
        assert there.pread(9, 0, 4) == b"\1\0\0\0"
        assert read_register(there, "COUNTER") >= read_register(source, "COUNTER") > 0


@in_lab
def test_pci_devices_by_vfio_pci(running):
    with vfiokit.open("lab:nvme") as device, device.dma_memory(PAGE) as memory:
        assert device.name == "0000:00:11.0"
        assert decode(device.pread(7, 0, 256)).value("PCI_VENDOR_ID") == 0x1B36
        device.map_dma(0, memory.view)  # pinned, as the IOMMU is a real one there
        assert device.unmap_dma(0, PAGE) == PAGE


@in_lab
@pytest.mark.parametrize("what", ["pread", "pwrite"])
def test_a_client_that_was_killed_leaves_a_device_to_open(running, what):
    ask = "d.pread(7, 0, 256)" if what == "pread" else "d.pwrite(2, 0x2000, bytes(8192))"
    child = f"import vfiokit; d = vfiokit.open('lab:v5'); print(flush=True)\nwhile True: {ask}"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"\n"
        process.kill()
    with vfiokit.open("lab:v5") as device:
        assert read_register(device, "ID") == model.ID_VALUE


@in_lab
def test_names_that_it_does_not_have(running):
    with pytest.raises(AddressError, match="lab:v5-trapped"):
        vfiokit.open("lab:v6")
    with pytest.raises(AddressError, match="no device is named"):
        vfiokit.open("lab:")


@in_lab
def test_z_a_guest_that_dies_is_said_to_have_died(running):
    """The last of these, by its name and its place: the guest is killed."""
    with vfiokit.open("lab:v5") as device, vfiokit.open("lab:v5-2") as other:
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(LabError) as caught:
            device.pread(7, 0, 4)
        assert isinstance(caught.value, lab.GuestDiedError)
        assert caught.value.errno == errno.ENODEV
        assert "has died" in caught.value.message
        assert "vfiokit-lab: ready after" in caught.value.message
        with pytest.raises(LabError, match="has died"):
            vfiokit.migrate(device, other, memory=1 << 20)
    with pytest.raises(LabError, match="has died"):
        vfiokit.open("lab:v5")
    done = vfiokit_command("lab", "status")
    assert done.returncode == 125
    assert "vfiokit-lab: ready after" in done.stderr
    assert lab.down() == running
    assert lab.status() is None
    with pytest.raises(LabError, match="is not up"):
        vfiokit.open("lab:v5")


def test_nothing_is_up(empty):
    assert lab.status() is None
    assert lab.down() is None
    with pytest.raises(LabError, match="is not up") as caught:
        vfiokit.open("lab:v5")
    assert "vfiokit lab up" in caught.value.hint
    assert vfiokit_command("lab", "status").returncode == 1
    assert "was not up" in vfiokit_command("lab", "down").stderr


def state(folder, **more):
    folder.mkdir(parents=True)
    own = {"pid": os.getpid(), "started": process_start(os.getpid())}
    common = {"machine": "full", "release": "6.1", "since": 0.0, "seconds": 1.0, "shared_size": 4096}
    shared = folder / "shared"
    shared.touch()
    running = Running(folder=folder, shared=shared, **own | {"boot_id": boot_id()} | common | more)
    running.save()
    (folder / "console").write_text("first\nlast words\n")
    return running


@pytest.mark.parametrize("stale", [{"boot_id": "another"}, {"started": 1}, {"pid": 1 << 30}])
def test_what_a_reboot_or_another_process_left_is_known(empty, stale):
    running = state(empty, **stale)
    assert lab.status() == running
    assert not running.alive
    assert running.wait(0)
    with pytest.raises(lab.GuestDiedError, match="last words"):
        vfiokit.open("lab:v5")
    assert lab.down() == running  # and the process of that number lives on
    assert list(empty.iterdir()) == [empty / "lock"]


def test_a_state_that_is_no_state(empty):
    empty.mkdir(parents=True)
    for text in ("", "[]", "{}", '{"shared": 1}', "\xff"):
        (empty / "state.json").write_text(text)
        assert read_state(empty) is None
        assert lab.status() is None


def test_a_process_ends_that_is_meant_and_no_other():
    with subprocess.Popen(["sleep", "60"]) as process:
        started = process_start(process.pid)
        end_process(process.pid, (started or 0) + 1)
        assert process_start(process.pid) == started
        end_process(process.pid, started)
        assert process_start(process.pid) is None
    end_process(process.pid, started)


def test_shared_memory_is_a_bar(empty):
    with pytest.raises(LabError, match="power of two"):
        lab.up(shared_mib=300)


def test_every_device_has_a_name_of_its_own():
    for row in MACHINES.values():
        found = slots(row)
        for what in ("name", "port", "vfio_name"):
            assert len({getattr(slot, what) for slot in found}) == len(found)
    assert [slot.name for slot in slots(MACHINES["vtd"])] == ["edu", "nvme", "e1000e"]
    assert "edu" not in {slot.name for slot in slots(MACHINES["mdev"])}
