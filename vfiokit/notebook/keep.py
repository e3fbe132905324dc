"""The panel's last row: one press writes the report, another keeps the recording."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from pathlib import Path

import ipywidgets as widgets

from vfiokit.errors import VfioError
from vfiokit.recording import Recording
from vfiokit.reports import report
from vfiokit.units import show_size
from vfiokit.view.theme import Theme, escaped

__all__ = ("Keep",)

_SENT = 8 << 20  # bytes of a report that go to the page, to be downloaded there


class Keep:
    """The widget; it writes beside the notebook unless told otherwise.

    :param failed: called with an error when a file cannot be written
    """

    def __init__(self, recording: Recording, look: Theme, failed: Callable[[str, Exception], None]) -> None:
        self._recording, self._look, self._failed = recording, look, failed
        self.name = widgets.Text(
            value="vfiokit-session",
            description="Name",
            tooltip="Of the files, without their ending",
        )
        self.report = widgets.Button(
            description="Report", icon="file", tooltip="Write one HTML file that opens offline"
        )
        self.save = widgets.Button(
            description="Recording", icon="save", tooltip="Keep the recording, to be loaded and replayed"
        )
        self.report.add_class("vfiokit-report")
        self.told = widgets.HTML()
        self.report.on_click(lambda _button: self._start("report", self._write_report))
        self.save.on_click(lambda _button: self._start("save", self._write_recording))
        self.widget = widgets.VBox([widgets.HBox([self.name, self.report, self.save]), self.told])

    def _start(self, verb: str, write: Callable[[Path], str]) -> None:
        # Of a long run it takes seconds, for which no callback may wait.
        threading.Thread(target=self._run, args=(verb, write), name=f"vfiokit-{verb}", daemon=True).start()

    def _run(self, verb: str, write: Callable[[Path], str]) -> None:
        self.report.disabled = self.save.disabled = True
        self.told.value = "writing …"
        try:
            self.told.value = write(Path(self.name.value))
        except VfioError as error:
            self.told.value = ""
            self._failed(verb, error)
        finally:
            self.report.disabled = self.save.disabled = False

    def _write_report(self, name: Path) -> str:
        path = name.with_name(name.name + ".html")
        report(self._recording, path, theme=self._look)
        size = path.stat().st_size
        told = escaped(f"{path.resolve()}: {show_size(size)}, opens offline")
        if size > _SENT:
            return told
        # The kernel may be on another machine, as on Binder, where nobody can reach its disk.
        data = base64.b64encode(path.read_bytes()).decode()
        link = f'<a download="{escaped(path.name)}" href="data:text/html;base64,{data}">download</a>'
        return f"{told} · {link}"

    def _write_recording(self, name: Path) -> str:
        path = name.with_name(name.name + ".vfk")
        self._recording.save(path)
        return escaped(f"{path}: vfiokit.panel({str(path)!r}) shows it again")
