"""Chapter 9: the lab there, not there, or taken; and its recording."""

import shutil

import pytest
from course_files import FIGURE, FOLDER, code, read, shown
from nbclient import NotebookClient
from test_course_notebooks import kernels as kernels

import vfiokit
from vfiokit import course, lab
from vfiokit.course import lab_session


@pytest.fixture(scope="module")
def recorded():
    session = vfiokit.replay(lab_session.RECORDING)
    assert session.finish().reason == "ended"
    return session.recording


def slowest(recording):
    rows = [row for row in recording.accesses if row.kind in ("Read", "Write") and row.side == "source"]
    return max(rows, key=lambda row: row.duration_ns).what


def test_chapter_9_can_be_solved(recorded):
    for answer in (19, "ENODEV"):
        assert course.check("09.1", (recorded, answer)).kind == "right"
    assert course.check("09.2", (recorded, slowest(recorded))).kind == "right"


def test_chapter_9_tells_what_is_wrong(recorded):
    other = "page_size" if slowest(recorded) != "page_size" else "data_size"
    wrong = [
        ("09.1", (recorded, "EIO")),
        ("09.2", (recorded, other)),
        ("09.2", (recorded, "x")),
        ("09.1", 19),
    ]
    for number, answer in wrong:
        assert course.check(number, answer).kind == "wrong"
    with vfiokit.Recording() as empty:
        assert "run the session" in course.check("09.1", (empty, 19)).text
        assert "step the session" in course.check("09.2", (empty, "data_size")).text
    assert course.check("09.1", (recorded, ...)).kind == course.check("09.2", (recorded, ...)).kind == "open"


def test_the_recording_is_small_and_of_what_the_notebook_does(recorded):
    files = list(lab_session.RECORDING.iterdir())
    assert sum(file.stat().st_size for file in files) < 300_000
    about = recorded.metadata
    assert about["source_addresses"] == lab_session.SOURCE.partition("?")[0]
    assert about["destination_addresses"] == lab_session.DESTINATION
    assert int(about["memory"]) == lab_session.MEMORY
    assert int(about["downtime_limit_ns"]) == lab_session.LIMITS.downtime_limit_ns
    assert any(row.kind == "mark" and row.count for row in recorded.bitmaps)


def test_without_qemu_it_says_so_and_shows_the_recording(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = []
    session = lab_session.attach(said.append)
    assert not session.live
    assert "there is no qemu-system-x86_64 here" in said[0]
    assert "recording" in said[1]
    assert session.debugger.finish().reason == "ended"
    session.close()
    session.close()


def test_a_lab_that_does_not_start_is_as_one_that_is_not_there(monkeypatch, tmp_path):
    def up(*_arguments, **_options):
        raise lab_session.LabError("the guest did not come up")

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(lab, "available", lambda: None)
    monkeypatch.setattr(lab, "up", up)
    said = []
    with_recording = lab_session.attach(said.append)
    assert not with_recording.live
    assert "did not come up" in said[0]
    with_recording.close()


@pytest.mark.lab
@pytest.mark.xdist_group("lab-up")
@pytest.mark.skipif(lab.available() is not None, reason=f"the lab cannot start: {lab.available()}")
def test_with_qemu_it_steps_the_kernel_and_ends_the_guest_it_began(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    said = []
    session = lab_session.attach(said.append)
    try:
        assert session.live, said
        assert lab.status().alive
        # A second notebook of the same user finds the devices taken, and goes on without.
        second = lab_session.attach(said.append)
        assert not second.live
        assert "has it open" in "".join(said)
        second.close()
        assert lab.status().alive
        session.debugger.until("vfio_save_iterate")
        session.debugger.cancel()
    finally:
        session.close()
    assert lab.status() is None


def test_the_recording_is_made_only_where_there_is_a_lab(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(lab_session.LabError, match="qemu-system-x86_64"):
        lab_session.record(tmp_path / "x.vfk")
    assert not (tmp_path / "x.vfk").exists()


@pytest.mark.xdist_group("notebooks")
def test_the_whole_notebook_runs_without_qemu(kernels, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    notebook = read(FOLDER / "09-a-real-kernel.ipynb")
    NotebookClient(notebook, km=kernels, timeout=120).execute(cleanup_kc=True)
    cells = code(notebook)
    said = "".join(output.get("text", "") for output in cells[0].outputs)
    assert "there is no qemu-system-x86_64 here" in said
    assert sum(FIGURE in html for cell in cells for html in shown(cell, "text/html")) >= 4
