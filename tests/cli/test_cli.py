"""The command line as a user and as a script meets it: output, JSON, exit codes, completion."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from vfiokit.cli.exits import EXIT_CODES
from vfiokit.cli.layout import Part, draw, parts
from vfiokit.cli.main import main
from vfiokit.cli.units import DURATION, SIZE
from vfiokit.trace import load, read_log
from vfiokit.uapi.info import Area, Region
from vfiokit.units import show_ns, show_rate, show_size

SOURCE = "emulated:v5?state=2M&dirty=1M/s&dma=1M/s&name=a"
THERE = "emulated:v5?state=2M&fill=zero&name=b"


@pytest.fixture
def vfiokit(capsys):
    def call(*argv):
        with pytest.raises(SystemExit) as stop:
            main(list(argv))
        out = capsys.readouterr()
        return stop.value.code, out.out, out.err

    return call


def test_migrate_prints_a_table_and_verifies(vfiokit):
    code, out, err = vfiokit("migrate", SOURCE, THERE, "--memory", "8M")
    assert code == 0, err
    assert "downtime" in out
    assert out.count("equal") == 2
    assert re.search(r"pre-copy.*\n.*stop-and-copy: .* sent", err)  # progress where there is no terminal


def test_migrate_as_json(vfiokit):
    code, out, err = vfiokit("migrate", SOURCE, THERE, "--memory", "8M", "--json", "--downtime-limit", "50ms")
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert report["verified"] is True
    assert report["transferred_bytes"] == report["loaded_bytes"] > 2 << 20
    assert report["memory_bytes"] == 8 << 20


def test_save_and_load_and_traces(vfiokit, tmp_path):
    stream, log = tmp_path / "stream", tmp_path / "trace.log"
    code, _, err = vfiokit(
        *("migrate", SOURCE, "--memory", "4M", "--save", str(stream)),
        *("--trace", "vfio_save_*", "--trace", "-vfio_save_pending", "--trace-file", str(log)),
    )
    assert code == 0, err
    names = {record.name for record in read_log(log.read_text().splitlines(), load("v5"))}
    assert "vfio_save_buffer" in names
    assert "vfio_save_pending" not in names
    assert all(name.startswith("vfio_save_") for name in names)
    code, out, err = vfiokit("migrate", "--load", str(stream), THERE, "--memory", "4M")
    assert code == 0, err
    assert "loaded" in out
    code, _, err = vfiokit("migrate", "--load", str(stream), THERE, "--memory", "8M")
    assert code == 5
    assert "block size" in err or "pc.ram" in err


def test_trace_to_stderr_is_qemus_log(vfiokit):
    _, _, err = vfiokit(
        "migrate", SOURCE, THERE, "--memory", "4M", "--json", "--trace", "vfio_migration_probe"
    )
    assert re.fullmatch(r"(\d+@\d+\.\d{6}:vfio_migration_probe  \([ab]\) Region 9\n){2}", err)


def test_as_posted_shows_its_quirks(vfiokit):
    states = {}
    for vmm in ("interface", "as-posted", "saving-written-twice"):
        _, _, err = vfiokit(
            "migrate",
            SOURCE,
            THERE,
            "--memory",
            "4M",
            "--vmm",
            vmm,
            "--json",
            "--trace",
            "vfio_migration_set_state",
        )
        states[vmm] = re.findall(r"\(a\) state (\d)", err)
    assert states["interface"] == ["1", "3", "2", "0"]
    assert states["as-posted"] == states["saving-written-twice"] == ["1", "3", "2", "2", "0"]


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("migrate", "emulated:none", THERE, "--memory", "1M"), 4, "doesn't support migration"),
        (("migrate", "emulated:v6", THERE), 2, "no emulated device"),
        (("migrate", SOURCE, "nonsense:x"), 2, "nonsense"),
        (("migrate", SOURCE), 2, "SRC DST"),
        (("migrate", SOURCE, THERE, "--memory", "x"), 2, "256M"),
        (("migrate", SOURCE, THERE, "--vmm", "no-such"), 2, "no such quirk"),
        (("migrate", SOURCE, THERE, "--trace", "vfio_sav"), 1, "matches no event"),
        (("show", "vfio:0000:ff:1f.7"), 3, "0000:ff:1f.7"),
        (("migrate", SOURCE + "&fault=data_offset:0", THERE, "--memory", "1M"), 5, "lies in the header"),
        (("migrate", SOURCE + "&fault=errno:EIO@data_size#2", THERE, "--memory", "1M"), 5, "EIO"),
        (("migrate", SOURCE, THERE.replace("2M", "4M"), "--memory", "1M"), 5, "EINVAL"),
    ],
)
def test_exit_codes_and_words(vfiokit, argv, code, words):
    got, _, err = vfiokit(*argv)
    assert got == code, err
    assert words in err
    assert code in EXIT_CODES


def test_a_migration_that_cannot_converge_gives_up(vfiokit):
    code, _, err = vfiokit(
        *("migrate", "emulated:v5?state=8M&dirty=100M/s", THERE.replace("2M", "8M"), "--memory", "1M"),
        *("--bandwidth", "10M", "--downtime-limit", "10ms", "--give-up-after", "5s"),
    )
    assert code == 5
    assert "not converged" in err
    assert "raise the downtime limit" in err


def test_show_draws_and_decodes(vfiokit):
    code, out, _ = vfiokit("show", "emulated:v5?irq=msix")
    assert code == 0
    assert "MSI-X table" in out
    assert "type (2, 1): v5 migration region" in out
    assert "VENDOR_ID" in out
    shown = json.loads(vfiokit("show", "emulated:v5", "--json")[1])
    assert shown["regions"][9]["type"] == [2, 1]
    assert "blocks migration" in vfiokit("show", "emulated:none")[1]


def test_devices(vfiokit):
    code, out, _ = vfiokit("devices", "--json", "--all")
    assert code == 0
    assert isinstance(json.loads(out), list)
    assert vfiokit("devices")[0] == 0


def test_lint_exit_codes(vfiokit, tmp_path):
    from importlib.resources import files

    sets = files("vfiokit.trace.sets")
    code, out, _ = vfiokit("trace", "lint", str(sets / "v5-as-posted.trace-events"))
    assert code == 1
    assert "vfio_save_pending" in out
    assert 'precopy 0x%"PRIx64" postcopy 0x%"PRIx64" compatible 0x%"PRIx64' in out
    assert vfiokit("trace", "lint", str(sets / "v5.trace-events"))[0] == 0
    findings = json.loads(vfiokit("trace", "lint", "--json", str(sets / "v5-as-posted.trace-events"))[1])
    assert {finding["event"] for finding in findings if finding["severity"] == "error"} == {
        "vfio_save_pending",
        "vfio_load_state_device_data",
    }


def test_trace_events_lists(vfiokit):
    code, out, _ = vfiokit("trace", "events", "vfio_load_*")
    assert code == 0
    assert len(out.splitlines()) == 3


def test_demo_keeps_files(vfiokit, tmp_path):
    code, out, err = vfiokit("demo", "--out", str(tmp_path / "demo"))
    assert code == 0, err
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"stream.bin", "trace.log", "report.json"}
    assert json.loads((tmp_path / "demo" / "report.json").read_text())["verified"] is True
    assert "equal" in out


def test_demo_on_a_kernel_without_the_driver(vfiokit, tmp_path):
    code, _, err = vfiokit("demo", "--kernel", "--out", str(tmp_path))
    assert code == 2
    assert "vfiokit lab demo" in err


def test_help_names_commands_and_exit_codes(vfiokit):
    code, out, _ = vfiokit("--help")
    assert code == 0
    for word in ("demo", "devices", "lab", "migrate", "show", "trace", "Exit codes"):
        assert word in out


def test_completion(vfiokit, monkeypatch):
    assert "_VFIOKIT_COMPLETE" in vfiokit("completion", "bash")[1]
    done = subprocess.run(
        [sys.executable, "-m", "vfiokit"],
        env=os.environ
        | {"_VFIOKIT_COMPLETE": "bash_complete", "COMP_WORDS": "vfiokit show emul", "COMP_CWORD": "2"},
        capture_output=True,
        text=True,
    )
    assert "emulated:v5" in done.stdout, done.stderr


def test_ctrl_c_cancels_and_the_source_runs_on(tmp_path):
    log = tmp_path / "trace.log"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "vfiokit", "migrate"),
            *("emulated:v5?clock=real&dma=4M/s", "emulated:v5?clock=real&name=b"),
            *("--memory", "64M", "--bandwidth", "4M", "--trace-file", str(log)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stderr:
        if "pre-copy" in line:
            break
    time.sleep(0.2)  # of the migration's own real time; any moment of pre-copy will do
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelled by the user" in err
    events = [line.split(":", 1)[1] for line in log.read_text().splitlines() if "(0000:00:04.0)" in line]
    assert any(line.startswith("vfio_migration_state_notifier  (0000:00:04.0) state 3") for line in events)
    assert [line for line in events if "set_state" in line][-1].endswith("state 1")


def test_sizes_and_times():
    for text, size in (("256M", 256 << 20), ("1.5K", 1536), ("7", 7), ("10MiB/s", 10 << 20)):
        assert SIZE.convert(text, None, None) == size
    for text, ns in (("300ms", 300_000_000), ("1.5s", 1_500_000_000), ("2min", 120 * 10**9)):
        assert DURATION.convert(text, None, None) == ns
    assert [show_size(n) for n in (0, 1023, 1024, 1 << 40)] == ["0 B", "1023 B", "1.00 KiB", "1.00 TiB"]
    assert [show_ns(n) for n in (5, 1500, 300_000_000)] == ["5 ns", "1.5 µs", "300 ms"]
    assert show_rate(2048) == "2.00 KiB/s"


def test_parts_cover_a_region_once():
    region = Region(9, 7, 0x10000, sparse=(Area(0x1000, 0x2000), Area(0x8000, 0x1000)))
    pieces = parts(region, [Part("header", 0, 64)])
    assert [piece.kind for piece in pieces] == ["header", "trapped", "mapped", "trapped", "mapped", "trapped"]
    assert pieces[0].offset == 0
    assert sum(piece.size for piece in pieces) == region.size
    assert len(draw(pieces, 40)) == 42
