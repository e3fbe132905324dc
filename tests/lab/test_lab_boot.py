"""Two guests are really booted: one does everything right, one dies."""

import io
import json
import re
import sys

import pytest

from vfiokit import lab
from vfiokit.errors import LabError

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(lab.available() is not None, reason=f"the lab cannot start: {lab.available()}"),
]

DRIVER = """
#include <linux/module.h>
static int answer;
module_param(answer, int, 0444);
static int __init vdev_init(void) { pr_info("vdev: answer %d\\n", answer); return 0; }
static void __exit vdev_exit(void) { }
module_init(vdev_init);
module_exit(vdev_exit);
MODULE_LICENSE("GPL");
"""

# Runs in the guest; prints what it finds, one JSON object, and ends with status 3.
PROBE = """
import fcntl, json, mmap, os, pathlib, sys

def text(path):
    return pathlib.Path(path).read_text().strip()

def bind(address):
    device = pathlib.Path("/sys/bus/pci/devices") / address
    (device / "driver_override").write_text("vfio-pci")
    pathlib.Path("/sys/bus/pci/drivers_probe").write_text(address)
    group = os.readlink(device / "iommu_group").rpartition("/")[2]
    return [os.readlink(device / "driver").rpartition("/")[2], os.path.exists(f"/dev/vfio/{group}")]

def denied(path):
    try:
        pathlib.Path(path).touch()
    except OSError as error:
        return error.errno
    return 0

vfio = os.open("/dev/vfio/vfio", os.O_RDWR)
facts = {
    "host": os.uname().nodename,
    "release": os.uname().release,
    "cwd": os.getcwd(),
    "executable": sys.executable,
    "uid": os.getuid(),
    "machine": os.environ["VFIOKIT_LAB"],
    "given": os.environ["GIVEN"],
    "argument": sys.argv[1],
    "answer": text("/sys/module/vdev/parameters/answer"),
    "api": fcntl.ioctl(vfio, 0x3B64),
    "type1v2": fcntl.ioctl(vfio, 0x3B65, 3),
    "pci": {address: bind(address) for address in sys.argv[2:]},
    "huge": len(mmap.mmap(-1, 2 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000)),
    "root": denied("/vfiokit-lab-test"),
    "tmp": denied("/tmp/new"),
    "shm": denied("/dev/shm/new"),
}
pathlib.Path("made").write_text("by the guest")
os.write(1, json.dumps(facts).encode() + b"\\n")
os.write(2, b"\\xff last\\n")
sys.exit(3)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    (folder / "vdev.c").write_text(DRIVER)
    (folder / "Kbuild").write_text("obj-m := vdev.o\n")
    return folder


@pytest.fixture(scope="module")
def booted(driver, tmp_path_factory):
    """The one guest that does everything: its result, its facts, its folder and what came live."""
    folder = tmp_path_factory.mktemp("out")
    (folder / "probe.py").write_text(PROBE)
    addresses = [address for address, _ in lab.MACHINES["full"].pci]
    live = io.BytesIO()
    result = lab.run(
        [sys.executable, str(folder / "probe.py"), "it's $HOME\n2", *addresses],
        cwd=folder,
        writable=[folder],
        env={"GIVEN": 'a "b" $c'},
        driver=driver,
        parameters={"answer": 42},
        tee=live,
    )
    assert result.returncode == 3, result.output
    return result, json.loads(result.output.splitlines()[0]), folder, live.getvalue()


def test_command_runs_in_a_kernel_of_its_own(booted):
    _, facts, folder, _ = booted
    assert facts["host"] == "vfiokit-lab"
    assert facts["release"] == lab.prepare().release
    assert (facts["uid"], facts["machine"]) == (0, "full")
    assert (facts["cwd"], facts["executable"]) == (str(folder), sys.executable)


def test_arguments_and_variables_arrive_whole(booted):
    _, facts, _, _ = booted
    assert (facts["argument"], facts["given"]) == ("it's $HOME\n2", 'a "b" $c')


def test_output_comes_live_and_whole(booted):
    result, _, _, live = booted
    assert live.endswith(b"}\n\xff last\n")
    assert result.output == live.decode("utf-8", "replace")
    assert 0 < result.boot_seconds < result.seconds


def test_vfio_is_real(booted):
    _, facts, _, _ = booted
    assert facts["api"] == 0  # VFIO_API_VERSION
    assert facts["type1v2"] == 1
    assert facts["huge"] == 2 << 20


def test_pci_devices_can_be_taken(booted):
    _, facts, _, _ = booted
    assert facts["pci"] == {address: ["vfio-pci", True] for address, _ in lab.MACHINES["full"].pci}


def test_driver_is_loaded_with_its_parameters(booted):
    result, facts, _, _ = booted
    assert facts["answer"] == "42"
    assert "vdev: answer 42" in result.log
    assert "vfiokit-lab: ready" in result.console


def test_only_the_writable_folder_is_written(booted):
    _, facts, folder, _ = booted
    assert (folder / "made").read_text() == "by the guest"
    assert facts["root"] == 30  # EROFS
    assert (facts["tmp"], facts["shm"]) == (0, 0)


def test_driver_is_built_once_and_beside_its_sources_nothing(booted, driver):
    steps = []
    module = lab.build_driver(lab.prepare(), driver, steps.append)
    assert (module.name, steps) == ("vdev.ko", [])
    assert sorted(path.name for path in driver.iterdir()) == ["Kbuild", "vdev.c"]


def test_compiler_errors_name_the_source(tmp_path):
    (tmp_path / "Kbuild").write_text("obj-m := broken.o\n")
    (tmp_path / "broken.c").write_text("int broken(void) { return nothing; }\n")
    with pytest.raises(LabError, match=re.escape(f"{tmp_path}/broken.c:1") + ".*nothing"):
        lab.build_driver(lab.prepare(), tmp_path)


def test_build_without_a_module(tmp_path):
    (tmp_path / "Kbuild").write_text("")
    for _ in range(2):  # the first leaves nothing behind that the second could take for a module
        with pytest.raises(LabError, match="gave no module"):
            lab.build_driver(lab.prepare(), tmp_path)


def test_dead_kernel_is_an_error_with_its_last_words(driver):
    live = io.BytesIO()
    script = "echo so far; echo c >/proc/sysrq-trigger"
    with pytest.raises(LabError) as caught:
        lab.run(["sh", "-c", script], machine="mdev", driver=driver, tee=live)
    assert caught.value.message.startswith("the guest's kernel died while the command ran")
    assert "sysrq triggered crash" in caught.value.message
    assert live.getvalue() == b"so far\n"
