"""Convergence: the lines are the recording's numbers; phases, downtime, the estimate."""

from types import SimpleNamespace

import numpy as np
import pytest
from bokeh.models import GlyphRenderer, Legend

from vfiokit.accesses import Enter, Sample
from vfiokit.recording import Recording
from vfiokit.view import convergence
from vfiokit.view.estimate import estimate
from vfiokit.view.phases import downtime, phases

MS = 1_000_000


def sample(turn, ram, device=0, threshold=100, transferred=0, syncs=1, name="dev0"):
    return Sample(turn, (("ram", ram), (name, device)), threshold, 0.0, transferred, ram // 4096, syncs)


def enter(recording, time_ns, machine, state, side="source"):
    recording.access(side, Enter(machine, state), None, None, time_ns, 0)


def turn(recording, number, time_ns, ram, **more):
    recording.access("source", sample(number, ram, **more), None, None, time_ns, 0)


def sources(picture):
    """By the legend's label, the data of each line."""
    found = {}
    for item in picture.root.select_one({"type": Legend}).items:
        if hasattr(item.label, "value"):
            label, (shown, *_) = item.label.value, item.renderers
            if (shown.name or "").startswith("key of"):
                shown = next(one for one in picture.root.select({"type": GlyphRenderer}) if one.name == label)
            found[label] = shown.data_source.data
    return found


def words(picture):
    return " ".join(child.text for child in picture.root.children[:2])


@pytest.fixture
def run():
    recording = Recording()
    enter(recording, 5 * MS, "vm", "running")
    enter(recording, 10 * MS, "migration", "setup")
    enter(recording, 11 * MS, "migration", "active")
    for number in range(5):
        turn(recording, number, (20 + number) * MS, 2**53 - 1 - number * 2**50, device=7 + number)
    enter(recording, 30 * MS, "vm", "finish-migrate")
    enter(recording, 34 * MS, "migration", "completed")
    enter(recording, 36 * MS, "vm", "running", "destination")
    return recording


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_lines_are_the_recordings_numbers(run, theme):
    data = sources(convergence(run, theme=theme))
    assert data["pending ram"]["bytes"].tolist() == [2**53 - 1 - n * 2**50 for n in range(5)]
    assert data["pending dev0"]["bytes"].tolist() == [7, 8, 9, 10, 11]
    assert data["total"]["text"][4].endswith(f"= {2**53 + 10 - 4 * 2**50:,} B ({2**53 + 10 - 4 * 2**50:#x})")
    assert data["threshold"]["bytes"].tolist() == [100] * 5
    assert data["total"]["x"].tolist() == [(15 + n) * MS for n in range(5)]


def test_throughput_is_what_went_into_the_stream():
    recording = Recording()
    turn(recording, 1, 0, 900, transferred=0)
    turn(recording, 2, MS, 500, transferred=3 << 20)
    rate = sources(convergence(recording))["throughput"]
    assert rate["rate"].tolist() == [(3 << 20) * 1000]
    assert rate["text"][0].endswith("3,145,728 B in 1,000,000 ns")


def test_phases_and_downtime(run):
    found = phases(run.states, "source", 36 * MS)
    assert [(one.name, one.start // MS, one.end // MS) for one in found] == [
        ("setup", 10, 11),
        ("pre-copy", 11, 30),
        ("stop-and-copy", 30, 34),
        ("completed", 34, 36),
    ]
    down = downtime(run.states)
    assert (down.start, down.end, down.side) == (30 * MS, 36 * MS, "destination")
    told = words(convergence(run))
    assert "Converged" in told
    assert "Downtime 6.00 ms" in told


def test_a_cancelled_migration_runs_again_on_the_source():
    recording = Recording()
    for time, machine, state in (
        (0, "migration", "active"),
        (1, "vm", "finish-migrate"),
        (2, "migration", "cancelled"),
        (5, "vm", "running"),
    ):
        enter(recording, time * MS, machine, state)
    told = words(convergence(recording))
    assert "was cancelled" in told
    assert "Downtime 4.00 ms until the VM ran on the source again" in told


def row(time_ms, total, syncs=1, threshold=100):
    return SimpleNamespace(time_ns=time_ms * MS, total=total, syncs=syncs, threshold=threshold)


def test_pending_that_never_falls_does_not_converge():
    told = estimate([row(10 * n, 5000, syncs=n) for n in range(6)])
    assert told.verdict == "never"
    assert told.ns is None
    assert "Does not converge at this dirty rate" in str(told)
    rising = estimate([row(10 * n, 5000 + n, syncs=n) for n in range(6)])
    assert (rising.verdict, "rises" in str(rising)) == ("never", True)


def test_windows_are_compared_not_what_is_sent_within_one():
    # Within each window pending falls to 200; each begins as high as the one before.
    teeth = [row(10 * n, total, syncs=n // 2) for n, total in enumerate([5000, 200] * 4)]
    assert estimate(teeth).verdict == "never"


def test_a_steady_fall_tells_when():
    told = estimate([row(10 * n, 1100 - 100 * n) for n in range(6)])  # 600 now, 10 000 bytes/s
    assert told.verdict == "converges"
    assert told.ns == pytest.approx(50 * MS, rel=1e-6)
    assert told.slope == pytest.approx(-10_000)


def test_too_little_or_enough():
    assert estimate([]).verdict == "unknown"
    assert estimate([row(0, 500)]).verdict == "unknown"
    assert estimate([row(0, 500), row(0, 400)]).verdict == "unknown"
    assert estimate([row(0, 99)]).verdict == "reached"
    assert estimate([row(0, 0, threshold=0)]).verdict == "reached"


def test_a_live_recording_is_followed():
    recording = Recording()
    picture = convergence(recording)
    assert "nothing to show" in words(picture)
    assert not picture.update()
    turn(recording, 1, 0, 900)
    assert picture.update()
    turn(recording, 2, MS, 800)
    assert picture.update()
    assert not picture.update()
    assert sources(picture)["pending ram"]["bytes"].tolist() == [900, 800]


def test_many_turns_are_decimated_and_the_peak_stays():
    recording = Recording()
    for number in range(3000):
        turn(recording, number, number, 10_000 + (number * 7919) % 1000 + (50_000 if number == 1234 else 0))
    data = sources(convergence(recording, points=100))["pending ram"]
    assert len(data["bytes"]) <= 100
    assert data["bytes"].max() == recording.samples.column("total").max()
    assert len(data["text"]) == len(data["x"]) == len(data["bytes"])


def test_a_devices_name_is_text(tmp_path):
    recording = Recording()
    turn(recording, 1, 0, 900, name="<script>alert(1)</script>$$x$$")
    page = convergence(recording).html("x")
    assert "<script>alert" not in page
    assert "$$x$$" not in page


def test_a_loaded_recording_looks_the_same(run, tmp_path):
    run.save(tmp_path / "x.vfk")
    loaded, live = convergence(Recording.load(tmp_path / "x.vfk")), convergence(run)
    assert words(loaded) == words(live)
    for name, data in sources(live).items():
        assert np.array_equal(data["text"], sources(loaded)[name]["text"])
