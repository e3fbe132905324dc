"""The live panel without a browser: its verbs, its moments, what it says, its static figures."""

import base64
import re
import threading

import nbformat
import pytest
from sessions import WORK, new_debugger

import vfiokit
from vfiokit.errors import RecordingError
from vfiokit.notebook.in_flight import InFlight
from vfiokit.recording import Recording


@pytest.fixture
def panel(dbg):
    made = vfiokit.panel(dbg)
    made.painter.stop()  # the tests draw themselves
    yield made
    made.close()


@pytest.fixture(autouse=True)
def page_that_has_painted(monkeypatch):
    """Nobody answers here: frames would be left out after the second."""
    monkeypatch.setattr(InFlight, "ready", lambda self: True)


def press(panel, name):
    panel.toolbar.buttons[name].click()
    assert panel.wait(30)
    panel._draw()


def test_a_press_is_one_access_and_the_panel_says_what_comes_next(panel, dbg):
    press(panel, "Step")
    assert len(dbg.history) == 1
    assert "after 1 accesses" in panel.status.value
    assert str(dbg.next_access) in panel.next_line.value


def test_until_stops_there_and_finish_goes_to_the_end(panel, dbg):
    panel.toolbar.place.value = "state stop-and-copy"
    panel.toolbar.until.click()
    assert panel.wait(30)
    panel._draw()
    assert dbg.moment.side("source").devices["a"].state == 2
    assert "stop-and-copy" in panel.status.value
    assert "stopped at breakpoint" in panel.message.value
    press(panel, "Finish")
    assert dbg.ended
    assert "the migration has ended" in panel.message.value
    assert all(button.disabled for button in panel.toolbar.buttons.values())


def test_next_cancel_and_run_are_the_debuggers(panel, dbg):
    press(panel, "Next")
    assert len(dbg.history) > 1
    dbg.until(state="active", side="source")
    press(panel, "Cancel")
    assert dbg.ended
    assert any(row.state == "cancelled" for row in dbg.recording.states)


def test_a_slow_run_is_paused_and_goes_on(panel, dbg):
    panel.toolbar.pace.value = 0.001
    panel.toolbar.buttons["Run"].click()
    while not dbg.history:
        panel.wait(0.001)
    panel._draw()
    assert "<b>run</b> runs" in panel.next_line.value
    assert not panel.toolbar.buttons["Pause"].disabled
    panel.toolbar.buttons["Pause"].click()
    while panel.stepper.busy:
        panel._draw()
        panel.wait(0.001)
    panel._draw()
    assert "paused" in panel.message.value
    press(panel, "Finish")
    assert dbg.ended


def test_rewound_everything_shows_the_moment_and_a_verb_goes_back_to_the_newest(panel, dbg):
    dbg.step(count=200)
    panel._draw()
    panel.rewind.slider.value = 50
    panel._draw()
    assert "after 50 accesses" in panel.status.value
    assert dbg.history[50].text[:20] in panel.next_line.value
    assert panel.pages[0].pages[0].link.moment.data["seq"] == [49]
    press(panel, "Step")
    assert panel.rewind.at is None
    assert "after 201 accesses" in panel.status.value
    assert panel.pages[0].pages[0].link.moment.data["seq"] == []


def test_a_moment_chosen_in_a_picture_is_shown_by_all(panel, dbg):
    dbg.finish()
    panel._draw()
    pane = panel.pages[1].pane
    pane._hear(pane, {"moment": 99, "x": 1.0}, [])
    panel._draw()
    assert panel.rewind.at == 100
    assert "after 100 accesses" in panel.status.value
    pane._hear(pane, {"moment": None, "x": None}, [])
    assert panel.rewind.at is None


def test_every_page_is_drawn_from_before_the_first_access_to_the_end(panel, dbg):
    for verb in (lambda: None, dbg.next, dbg.finish):
        verb()
        for number in range(len(panel.pages)):
            panel.tabs.selected_index = number
            panel._draw()
    dirty = panel.pages[-1]
    assert dirty.canvas.note.startswith(f"{dirty.levels.counts.sum():,} pages found dirty in ")
    assert dirty.levels.counts.sum() > 0


def test_an_error_is_told_with_its_rule_and_hint_and_escaped(dbg):
    broken = new_debugger("&fault=data_offset:0x20")
    made = vfiokit.panel(broken)
    made.painter.stop()
    press(made, "Finish")
    assert "data_offset 0x20" in made.message.value
    assert 'role="alert"' in made.message.value
    made.until("state <script>")
    assert made.wait(30)
    made.until("no such <script>")
    assert "&lt;script&gt;" in made.message.value
    assert "<script>" not in made.message.value
    made.close()
    broken.close()


def test_a_device_named_like_a_tag_is_text_everywhere():
    debugger = new_debugger(names=("<script>a", "<script>b"))
    made = vfiokit.panel(debugger)
    made.painter.stop()
    press(made, "Finish")
    assert "&lt;script&gt;a" in made.status.value
    assert "<script>a" not in made.status.value + made.next_line.value + made.message.value
    assert "<script>a" not in made._repr_mimebundle_()["text/html"]
    made.close()
    debugger.close()


def test_a_fault_of_drawing_is_shown_and_the_painter_stops(panel, monkeypatch):
    told = threading.Event()
    failed = panel._failed
    monkeypatch.setattr(panel, "_failed", lambda *what: (failed(*what), told.set()))

    def burst(*_):
        raise ZeroDivisionError("a picture of ours")

    monkeypatch.setattr(panel.pages[0], "draw", burst)
    panel.painter.start()
    assert told.wait(30)
    assert "ZeroDivisionError" in panel.message.value
    assert not panel.painter.running


def test_another_panel_of_the_same_debugger_ends_the_first(dbg):
    first = vfiokit.panel(dbg)
    second = vfiokit.panel(dbg)
    assert not first.painter.running
    assert second.painter.running
    second.close()
    assert not second.painter.running


def test_a_saved_session_is_shown_again_and_stepped_without_its_device(dbg, tmp_path):
    dbg.finish()
    dbg.recording.save(tmp_path / "run.vfk")
    made = vfiokit.panel(tmp_path / "run.vfk")
    made.painter.stop()
    made._draw()
    # The recording is whole; the pictures show no more than what was stepped again.
    assert made.pages[0].pages[0].link.moment.data["seq"] == [-1]
    press(made, "Step")
    assert made.pages[0].pages[0].link.moment.data["seq"] == [0]
    press(made, "Finish")
    assert made.debugger.ended
    assert len(made.debugger.history) == len(dbg.history)
    made.close()


def test_a_recording_that_no_session_made_is_told(tmp_path):
    with pytest.raises(RecordingError, match="does not say how it was made"):
        vfiokit.panel(Recording())
    with pytest.raises(RecordingError):
        vfiokit.panel(tmp_path / "none.vfk")


def test_one_press_writes_the_report_and_another_keeps_the_recording(panel, dbg, tmp_path):
    dbg.finish()
    panel.keep.name.value = str(tmp_path / "kept")
    told = []
    for button in (panel.keep.report, panel.keep.save):
        button.click()
        for thread in threading.enumerate():
            if thread.name in ("vfiokit-report", "vfiokit-save"):
                thread.join(60)
        told.append(panel.keep.told.value)
    sent = re.search(r'download="kept\.html" href="data:text/html;base64,([^"]+)"', told[0])[1]
    assert base64.b64decode(sent) == (tmp_path / "kept.html").read_bytes()
    assert b"</html>" in (tmp_path / "kept.html").read_bytes()[-100:]
    assert Recording.load(tmp_path / "kept.vfk").seq == dbg.recording.seq
    assert "kept.vfk" in panel.keep.told.value


def test_a_report_that_cannot_be_written_is_told(panel, dbg, tmp_path):
    (tmp_path / "taken.vfk").touch()
    panel.keep.name.value = str(tmp_path / "taken")
    panel.keep.save.click()
    for thread in threading.enumerate():
        if thread.name == "vfiokit-save":
            thread.join(60)
    assert "taken.vfk" in panel.message.value
    assert not panel.keep.save.disabled


@pytest.mark.xdist_group("kernel")
def test_without_a_front_end_there_are_figures(tmp_path):
    from nbclient import NotebookClient

    cells = [
        "%load_ext vfiokit\nimport vfiokit\n"
        "from vfiokit.addresses import open_device\nfrom vfiokit.clock import SimulatedClock\n"
        "clock = SimulatedClock()\n"
        f"ends = [open_device(f'{WORK}&name={{n}}', clock=clock) for n in 'ab']\n"
        "dbg = vfiokit.debug(*ends, memory=1 << 20)\n_ = dbg.finish()",
        "vfiokit.panel(dbg)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    data = notebook.cells[1].outputs[0]["data"]
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "Convergence" in data["text/html"]
    assert "Dirty pages" in data["text/html"]
