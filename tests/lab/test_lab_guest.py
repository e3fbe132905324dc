"""What the lab would start, and what it refuses, without starting it."""

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vfiokit import lab
from vfiokit.errors import LabError
from vfiokit.lab import build, command, life
from vfiokit.lab.cache import Kernel, locked
from vfiokit.lab.machines import TRANSPORT, VFIO


@pytest.fixture
def kernel(tmp_path):
    """A kernel folder with the modules that machines name; each needs nothing."""
    from test_lab_modules import ko

    folder = tmp_path / "cache" / "kernel"
    kernel = Kernel(folder, "6.1-test")
    modules = folder / "root/lib/modules/6.1-test"
    modules.mkdir(parents=True)
    for name in (*TRANSPORT, *VFIO):
        (modules / f"{name}.ko").write_bytes(ko())
    (folder / "root/bin").mkdir()
    kernel.busybox.write_bytes(b"busybox")
    return kernel


def guest(kernel, **more):
    return lab.Guest(kernel, lab.MACHINES["full"], **more)


def test_host_root_is_read_only_and_others_are_not(kernel, monkeypatch):
    monkeypatch.delenv("VFIOKIT_LAB_ACCEL", raising=False)
    argv = guest(kernel, writable=[Path("/srv/a,b")]).command_line(Path("/c"), Path("/i"), Path("/o"))
    shares = [argv[i + 1] for i, word in enumerate(argv) if word == "-fsdev"]
    assert [("readonly=on" in share, share.split(",security")[0]) for share in shares] == [
        (True, "local,id=root,path=/"),
        (False, "local,id=control,path=/c"),
        (False, "local,id=writable0,path=/srv/a,,b"),
    ]
    assert "tcg,thread=multi" in argv


def test_accelerator_is_asked_for(kernel, monkeypatch):
    places = (Path("/c"), Path("/i"), Path("/o"))
    monkeypatch.setenv("VFIOKIT_LAB_ACCEL", "kvm")
    assert "kvm" in guest(kernel).command_line(*places)
    monkeypatch.setenv("VFIOKIT_LAB_ACCEL", "magic")
    with pytest.raises(LabError, match="magic"):
        guest(kernel).command_line(*places)


def test_initrd_tells_init_what_to_do(kernel, tmp_path):
    from test_lab_initrd import read_newc
    from test_lab_modules import ko

    driver = tmp_path / "vdev.ko"
    driver.write_bytes(ko("mdev"))
    made = guest(kernel, driver=driver, parameters={"region_type": 3, "x": "a,b"}, writable=[Path("/out")])
    files = {
        name: data.decode() for name, _, data in read_newc(made.initrd(limit=9.5)) if not name.endswith(".ko")
    }
    assert files["lab/transport"].split() == [f"{name}.ko" for name in TRANSPORT]
    assert files["lab/modules"].splitlines() == [
        *(f"{name}.ko" for name in VFIO),
        "vdev.ko region_type=3 x=a,b",
    ]
    assert files["lab/writable"] == "writable0 /out\n"
    assert files["lab/settings"] == "LIMIT=9\nTERMINAL=''\n"
    assert files["init"].startswith("#!/bin/sh\n")


def test_parameters_that_a_shell_would_split(kernel, tmp_path):
    made = guest(kernel, driver=tmp_path / "x.ko", parameters={"a": "1; reboot"})
    with pytest.raises(LabError, match="cannot be passed on"):
        made._module_lines([tmp_path / "x.ko"])


@pytest.mark.parametrize("more", [{"env": {"A B": "1"}}, {"argv": []}])
def test_refuses_before_it_starts(kernel, more):
    with pytest.raises(LabError):
        guest(kernel).run(**{"argv": ["true"]} | more)


def test_unknown_machine():
    with pytest.raises(LabError, match="'vax'") as caught:
        lab.run(["true"], machine="vax")
    assert "full" in caught.value.hint


def test_reason_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "qemu-system-x86" in lab.available()
    with pytest.raises(LabError, match="qemu-system-x86"):
        lab.run(["true"])


def test_cache_folder(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("VFIOKIT_CACHE", raising=False)
    assert lab.cache_folder() == Path("/x/vfiokit/lab")
    monkeypatch.setenv("VFIOKIT_CACHE", "/own")
    assert lab.cache_folder() == Path("/own")


def test_prepared_kernel_needs_no_apt(monkeypatch, tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/release").write_text("6.1-test\n")
    monkeypatch.setenv("PATH", "")
    assert lab.prepare(cache=tmp_path) == Kernel(tmp_path / "kernel", "6.1-test")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, "no apt-cache here"),
        ("exit 0", "is not in its package lists"),
        ("echo '  Depends: something-else'", "depends on something-else"),
    ],
)
def test_apt_that_knows_no_kernel(script, words, monkeypatch, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    if script is not None:
        (tools / "apt-cache").write_text(f"#!/bin/sh\n{script}\n")
        (tools / "apt-cache").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(LabError, match=words):
        lab.prepare(cache=tmp_path / "cache")
    assert not (tmp_path / "cache/kernel").exists()


def test_lock_makes_the_second_wait(tmp_path):
    waiting, order = threading.Event(), []

    def second():
        with locked(tmp_path, lambda text: waiting.set()):
            order.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_driver_without_kbuild_or_compiler(kernel, monkeypatch, tmp_path):
    source = tmp_path / "driver"
    source.mkdir()
    with pytest.raises(LabError, match="no Kbuild"):
        lab.build_driver(kernel, source)
    (source / "Kbuild").write_text("obj-m := x.o\n")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LabError, match="gcc, make, binutils missing"):
        lab.build_driver(kernel, source)


def test_model_header_comes_where_it_is_included(tmp_path):
    (tmp_path / "Kbuild").write_text("obj-m := x.o\n")
    (tmp_path / "x.c").write_text("int x;\n")
    assert sorted(build._sources(tmp_path)) == ["Kbuild", "x.c"]
    (tmp_path / "x.c").write_text('#include "vfiokit_model.h"\n')
    assert b"VK_FOR_EACH_REGISTER" in build._sources(tmp_path)["vfiokit_model.h"]
    (tmp_path / "vfiokit_model.h").write_text("/* own */")
    assert build._sources(tmp_path)["vfiokit_model.h"] == b"/* own */"


def test_hidden_paths_are_found_through_links(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "HIDDEN", (tmp_path / "tmp",))
    inside = tmp_path / "tmp" / "a"
    (inside / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to(inside)
    found = command._hidden([tmp_path / "link" / "b", tmp_path, inside / "missing", tmp_path / "tmp"])
    assert found == [inside / "b"]
    assert command._hidden([inside / "b", inside]) == [inside]


def test_last_words_are_those_about_the_death():
    lines = [f"line {i}" for i in range(100)]
    assert life._telling(lines)[-1] == "line 99"
    lines[40] = "[    2.0] Kernel panic - not syncing: why"
    assert lines[40] in life._telling(lines)


@pytest.mark.parametrize("action", [["run", "--machine", "vax"], ["run", "--parameter", "x"], []])
def test_command_line_refuses(action):
    done = subprocess.run([sys.executable, "-m", "vfiokit.lab", *action], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage" in done.stderr


def test_shell_wants_a_terminal():
    argv = [sys.executable, "-m", "vfiokit.lab", "shell"]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"needs a terminal" in done.stderr


@pytest.mark.skipif(shutil.which("sh") is None, reason="no sh here")
def test_init_is_a_shell_script():
    init = Path(lab.__file__).parent / "guest/init"
    subprocess.run(["sh", "-n", str(init)], check=True)
