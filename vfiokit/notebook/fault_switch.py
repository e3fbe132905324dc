"""The panel's fault switch: an emulated device misbehaves from now on, or no longer."""

from __future__ import annotations

import errno
from collections.abc import Callable

import ipywidgets as widgets

from vfiokit.debugger import Debugger
from vfiokit.emulated import FailAccess, Fault, FaultyDevice, ForceRead, parse_fault
from vfiokit.errors import VfioError

__all__ = ("FAULTS", "FaultSwitch")

FAULTS = (
    "pending_bytes:never-falls",
    "data_offset:past-end",
    "data_offset:0x20",
    "data_size:too-large",
    "data_size:0",
    "copied_pfns:more",
    "errno:EIO@device_state",
    "errno:EIO@pending_bytes",
    "short:4@pending_bytes",
)
"""Suggestions; `vfiokit.emulated.faults` has all that may be typed."""


class FaultSwitch:
    """The widget and what it does to the debugger's emulated devices.

    :param failed: called with an error when a fault cannot be understood
    """

    def __init__(self, debugger: Debugger, failed: Callable[[str, VfioError], None]) -> None:
        self._failed = failed
        names = {f"{name} ({side})": device for (side, name), device in debugger.faulty.items()}
        self.device = widgets.Dropdown(options=names, layout=widgets.Layout(width="220px"))
        self.fault = widgets.Combobox(
            placeholder="REGISTER:VALUE, errno:EIO@REGISTER#3 …",
            options=FAULTS,
            ensure_option=False,
            tooltip="How the device misbehaves",
            layout=widgets.Layout(width="260px"),
        )
        self.switch = widgets.Button(description="Switch on", icon="bolt", tooltip="Misbehave from now on")
        self.switch.on_click(lambda _button: self.add())
        self.rows = widgets.VBox()
        self._on: dict[int, list[tuple[str, object]]] = {
            id(device): [(_words(fault), fault) for fault in device.faults] for device in names.values()
        }
        self.device.observe(lambda _change: self._show(), "value")
        self.widget = widgets.VBox([widgets.HBox([self.device, self.fault, self.switch]), self.rows])
        self._show()
        if not names:
            self.widget.children = [
                widgets.HTML("Faults can be switched on emulated devices; there is none here.")
            ]

    def add(self) -> None:
        """Switch the fault on that is typed in."""
        device: FaultyDevice | None = self.device.value
        if device is None:
            return
        try:
            fault = parse_fault(self.fault.value)
        except VfioError as error:
            self._failed("fault", error)
            return
        device.faults = (*device.faults, fault)
        self._on.setdefault(id(device), []).append((self.fault.value, fault))
        self.fault.value = ""
        self._show()

    def _show(self) -> None:
        device: FaultyDevice | None = self.device.value
        rows = self._on.get(id(device), [])
        self.rows.children = [self._row(device, text, fault) for text, fault in rows] if device else []

    def _row(self, device: FaultyDevice, text: str, fault: object) -> widgets.HBox:
        off = widgets.Button(description="Switch off", tooltip="Behave again")

        def remove(_button: widgets.Button) -> None:
            device.faults = tuple(one for one in device.faults if one is not fault)
            self._on[id(device)] = [row for row in self._on[id(device)] if row[1] is not fault]
            self._show()

        off.on_click(remove)
        return widgets.HBox([widgets.Label(text), off])


def _words(fault: Fault) -> str:
    """Return a fault that was there before, as it is typed where that can be known."""
    if isinstance(fault, ForceRead):
        return f"{fault.register}: forced by the address"
    what = f"errno:{errno.errorcode[fault.errno]}" if isinstance(fault, FailAccess) else f"short:{fault.size}"
    return f"{what}@{fault.register}" + (f"#{fault.at}" if fault.at is not None else "")
