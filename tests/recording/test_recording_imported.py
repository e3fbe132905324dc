"""QEMU's logs as recordings: what they tell is there, exactly; what they do not tell is not made up."""

import pytest
from bokeh.models import FactorRange
from click.testing import CliRunner

import vfiokit
from vfiokit.addresses import open_device
from vfiokit.cli.main import cli
from vfiokit.clock import SimulatedClock
from vfiokit.errors import RecordingError
from vfiokit.migration import tracer_for
from vfiokit.recording import import_log
from vfiokit.trace import write_log
from vfiokit.view import states, timeline

WORK = "emulated:v5?state=256K&chunk=64K&dirty=1M/s&dma=1M/s"


@pytest.fixture
def records():
    clock = SimulatedClock()
    ends = [open_device(f"{WORK}&name={name}", clock=clock) for name in "ab"]
    tracer = tracer_for(clock)
    vfiokit.migrate(*ends, memory=1 << 20, tracer=tracer)
    return list(tracer)


@pytest.fixture
def log(records, tmp_path):
    path = tmp_path / "qemu.log"
    with open(path, "w") as file:
        write_log(records, file)
    return path


def test_the_events_are_those_of_the_log(records, log):
    recording = import_log(log)
    assert [record.text for record in recording.records()] == [record.text for record in records]
    assert [record.time_ns // 1000 for record in recording.records()] == [
        record.time_ns // 1000 for record in records
    ]
    assert recording.metadata["imported"] == "qemu.log"
    assert len(recording.accesses) == len(recording.samples) == len(recording.bitmaps) == 0


def test_the_devices_states_are_known_from_their_event(log):
    recording = import_log(log, side="destination")
    told = [(row.side, row.machine, row.state) for row in recording.states]
    assert told == [
        ("destination", "a", name) for name in ("running", "pre-copy", "stop-and-copy", "stopped")
    ]


def test_what_is_no_event_is_a_message_and_order_is_that_of_time(log, tmp_path):
    first, second, *rest = log.read_text().splitlines(keepends=True)
    mixed = tmp_path / "mixed.log"
    mixed.write_bytes("".join([second, first, *rest]).encode() + b"qemu: <b>hot\xff</b>\n\n")
    recording = import_log(mixed)
    assert [row.text for row in recording.messages] == ["qemu: <b>hot\N{REPLACEMENT CHARACTER}</b>"]
    times = recording.events.column("time_ns").tolist()
    assert times == sorted(times)


def test_without_times_a_line_is_a_microsecond_after_the_one_before(tmp_path):
    path = tmp_path / "bare.log"
    path.write_text("vfio_migration_probe  (dev0) Region 9\n" * 3)
    assert import_log(path).events.column("time_ns").tolist() == [1000, 2000, 3000]


@pytest.mark.parametrize("text", ["", "nothing of ours\n", "\x00\x01\x02\n"])
def test_a_file_without_events_is_told_to_have_none(tmp_path, text):
    path = tmp_path / "other.log"
    path.write_text(text)
    with pytest.raises(RecordingError, match="is a trace event of v5 or v5-as-posted"):
        import_log(path)
    with pytest.raises(RecordingError, match=r"none\.log"):
        import_log(tmp_path / "none.log")


def test_pictures_and_a_report_are_made_of_it(log, tmp_path):
    recording = import_log(log)
    picture = states(recording)
    assert "stopped" in picture.root.children[0].text
    factors = [model.factors for model in picture.root.references() if isinstance(model, FactorRange)]
    assert factors == [["a (src)"]]
    assert "trace events" in timeline(recording).root.children[0].text
    done = CliRunner().invoke(cli, ["report", str(log)])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "qemu.html").read_text()
    assert "does not tell how the migration ended" in page
    assert "vfiokit replay" not in page
    assert "<h1>qemu.log: migration report" in page.replace("\n", "")
