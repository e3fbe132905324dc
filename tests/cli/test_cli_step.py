"""``vfiokit step`` and ``vfiokit replay``: scripts, batch, completion, and a real terminal."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from vfiokit.cli.main import main
from vfiokit.console.commands import COMMANDS, Commands, QuitRequested
from vfiokit.console.display import sparkline
from vfiokit.console.places import parse_place
from vfiokit.errors import AddressError

ADDRESSES = ("emulated:v5?state=256K&chunk=64K&dirty=1M/s&name=a", "emulated:v5?state=256K&name=b")
OPTIONS = ("--memory", "1M", "--bandwidth", "50M", "--downtime-limit", "20ms")


@pytest.fixture
def vfiokit(capsys):
    def call(*argv):
        with pytest.raises(SystemExit) as stop:
            main(list(argv))
        out = capsys.readouterr()
        return stop.value.code, out.out, out.err

    return call


def script(tmp_path, *lines):
    path = tmp_path / "script"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_script(vfiokit, tmp_path):
    path = script(
        tmp_path,
        "# comments and empty lines are passed over",
        "",
        "s 3",
        "n",
        "b read data_offset if pending_bytes > 0",
        "c",
        "info",
        "bt",
        "p pending_bytes",
        "info b",
        "d",
        "until pending < 100K",
        "watch device_state",
        "c",
        "rewind 20",
        "info events",
        "l 3",
        f"save {tmp_path}/x.vfk",
        "d",
        "fin",
        "q",
    )
    code, out, err = vfiokit("step", *ADDRESSES, *OPTIONS, "-x", path, "--batch")
    assert code == 0, out + err
    for words in (
        "next, source",
        "in save_iterate: a: read data_offset",
        "stage the next chunk",
        "[pre-copy]",
        "#0 save_buffer (protocol.v5.save:",
        "pending_bytes = 0x",
        "watch device_state",
        "after 20 accesses",
        "vfio_save_",
        "kept in",
        "the migration has ended",
    ):
        assert words in out, words
    assert (tmp_path / "x.vfk").is_dir()


def test_replay_of_a_saved_session(vfiokit, tmp_path):
    code, out, err = vfiokit(
        "step",
        *ADDRESSES,
        *OPTIONS,
        "--record",
        str(tmp_path / "x.vfk"),
        "-x",
        script(tmp_path, "c"),
        "--batch",
    )
    assert code == 0, out + err
    code, out, err = vfiokit(
        "replay", str(tmp_path / "x.vfk"), "-x", script(tmp_path, "until state stop-and-copy", "c"), "--batch"
    )
    assert code == 0, out + err
    assert "the migration has ended" in out
    assert err == ""


def test_batch_fails_when_a_command_does(vfiokit, tmp_path):
    for line, words in (
        ("frobnicate", "no command"),
        ("until", "where?"),
        ("print nothing", "is not known yet"),
        ("rewind 99999", "the session has 0 to"),
        ("delete 999", "no breakpoint 999"),
        ("until state 'x", "No closing quotation"),
        ("force", "force what?"),
        ("side left", "no side"),
    ):
        code, out, _ = vfiokit("step", ADDRESSES[0], *OPTIONS, "-x", script(tmp_path, line), "--batch")
        assert code == 1
        assert words in out


def test_force_and_cancel(vfiokit, tmp_path):
    lines = ("until read data_offset", "force EIO", "c")
    _, out, _ = vfiokit("step", ADDRESSES[0], *OPTIONS, "-x", script(tmp_path, *lines), "--batch")
    assert "the migration failed" in out
    assert "forced in the debugger" in out
    lines = ("until vfio_save_iterate", "cancel", "info")
    _, out, _ = vfiokit("step", *ADDRESSES, *OPTIONS, "-x", script(tmp_path, *lines), "--batch")
    assert "cancelled in the debugger" in out
    assert "migration cancelled" in out
    assert "[running]" in out


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("vfio_save_*", {"event": "vfio_save_*"}),
        ("read data_offset", {"access": "read data_offset"}),
        ("write", {"access": "write *"}),
        ("put END_OF_STATE", {"access": "put END_OF_STATE"}),
        ("state stop-and-copy", {"state": "stop-and-copy"}),
        ("pending < 1M", {"register": "pending_bytes", "condition": "value < 1048576"}),
        ("turn 5 side source", {"condition": "turn >= 5", "side": "source"}),
        ("time 2ms", {"condition": "time >= 2000000"}),
        ("if data_size > 1M", {"condition": "data_size > 1M"}),
        ("map device dev1 if stream > 0", {"access": "map", "device": "dev1", "condition": "stream > 0"}),
    ],
)
def test_places(text, place):
    assert parse_place(text.split()) == place


def test_places_that_are_none():
    for words in ([], ["a", "b", "c"], ["pending", "<", "x"]):
        with pytest.raises(AddressError):
            parse_place(words)


def test_every_command_has_an_action_and_a_completion():
    for command in COMMANDS:
        assert callable(getattr(Commands, f"_{command.name}"))
    commands = Commands(None)
    assert commands.complete("un") == ["until"]
    assert "vfio_save_iterate" in commands.complete("until vfio_save_i")
    with pytest.raises(QuitRequested):
        commands.run("q")
    assert any("advance" in line for line in commands.run("help"))
    assert any("stop-and-copy" in line for line in commands.run("help break"))


def test_sparkline():
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([0, 7, 8]) == "▁▇█"
    assert len(sparkline(list(range(100)))) == 40


def test_on_a_real_terminal(tmp_path):
    """A person types: the prompt, an empty line that repeats, Tab, and quit."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vfiokit", "step", *ADDRESSES, *OPTIONS],
        stdin=child,
        stdout=child,
        stderr=child,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm"},
    )
    os.close(child)
    seen = b""

    def wait_for(pattern):
        nonlocal seen
        deadline = time.monotonic() + 30
        while not re.search(pattern, seen):
            assert time.monotonic() < deadline, seen.decode(errors="replace")
            if select.select([parent], [], [], 0.5)[0]:
                seen += os.read(parent, 65536)
            # prompt_toolkit asks where the cursor is; a terminal answers.
            if b"\x1b[6n" in seen:
                seen = seen.replace(b"\x1b[6n", b"")
                os.write(parent, b"\x1b[1;1R")
        seen = b""

    wait_for(rb"\(vfiokit\)")
    os.write(parent, b"step\r")
    wait_for(rb"next, ")
    os.write(parent, b"unt\t")
    wait_for(rb"il")  # the rest of the word comes from the completion
    os.write(parent, b" vfio_save_setup\r")
    wait_for(rb"breakpoint")
    os.write(parent, b"quit\r")
    process.wait(timeout=30)
    os.close(parent)
    assert process.returncode == 0
    assert "until" in (tmp_path / "vfiokit" / "history").read_text()
