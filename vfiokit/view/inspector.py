"""The migration region's registers, the last accesses in words, config space decoded.

::

    inspector(recording).save("inspector.html")

A register's row shows what it was last seen to hold, and what before when that was another value; the last
access is marked. Config space is what was read of it, with what was written since. When both sides were
recorded, the devices that correspond are the first of each side, the second, and so on, and registers
that differ are marked. What devices say is data: all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bokeh.layouts import column
from bokeh.models.widgets import Div

from vfiokit.recording import Recording
from vfiokit.uapi.migration_v5 import REGISTERS
from vfiokit.uapi.pci_config import Row, decode
from vfiokit.view.device_facts import DeviceFacts, SideFacts, meaning
from vfiokit.view.picture import Picture, origin_ns
from vfiokit.view.theme import Theme, escaped, new_note, people_ns
from vfiokit.view.theme import theme as named

__all__ = ("inspector",)

_SIDES = ("source", "destination")
_MARK = "●"  # colour is never the only sign


class _Inspector(Picture):
    def __init__(self, recording: Recording, look: Theme, side: str, device: str | None) -> None:
        self._sides = {name: SideFacts(recording, name) for name in dict.fromkeys((side, *_SIDES))}
        self._side, self._device = side, device
        self.title = new_note(look, strong=True)
        self.registers, self.accesses, self.config = (_div(look) for _ in range(3))
        root = column(self.title, self.registers, self.accesses, self.config, sizing_mode="stretch_width")
        super().__init__(recording, root, self._read, look)
        self._read()
        self._draw()

    def _read(self, at: int | None = None) -> bool:  # noqa: ARG002
        came = [facts.update() for facts in self._sides.values()]  # every side, whatever the first says
        changed = any(came)
        if changed:
            self._draw()
        return changed

    def _draw(self) -> None:
        mine = self._sides[self._side]
        facts = mine.device(self._device)
        if facts is None:
            self.title.text = escaped(f"No device on the {self._side} yet")
            self.registers.text = self.accesses.text = self.config.text = ""
            return
        self.title.text = escaped(f"{facts.name}, {self._side}")
        origin = origin_ns(self.recording)
        self.registers.text = _registers(facts, origin)
        self.accesses.text = _accesses(facts, origin)
        number = list(mine.devices).index(facts.name)
        pair = {}
        for name in _SIDES:
            others = list(self._sides[name].devices.values())
            other = facts if name == self._side else others[number] if number < len(others) else None
            if other is not None and other.config is not None and other.is_pci:
                pair[f"{name}: {other.name}"] = decode(bytes(other.config)).rows()
        self.config.text = _config(pair)


def _div(look: Theme) -> Div:
    css = f"""
    :host {{ background: {look.background}; color: {look.text}; font-family: {look.font}; font-size: 13px; }}
    table {{ border-collapse: collapse; width: 100%; }}
    h4 {{ margin: 10px 0 4px; font-size: 14px; }}
    th, td {{ text-align: left; vertical-align: top; padding: 2px 10px 2px 4px;
              border-bottom: 1px solid {look.grid}; white-space: nowrap; }}
    td:last-child {{ white-space: normal; overflow-wrap: anywhere; }}
    th {{ font-weight: 600; color: {look.muted}; }}
    td.n {{ font-family: 'DejaVu Sans Mono', monospace; }}
    tr.lit {{ background: {look.lit}40; }}
    b.mark {{ color: {look.bad}; }}
    """
    return Div(sizing_mode="stretch_width", stylesheets=[css], margin=(0, 8), disable_math=True)


def _table(title: str, heads: Sequence[str], rows: Iterable[tuple[bool, Sequence[str]]]) -> str:
    """Return a table; *rows* are (lit, cells), and every text is escaped here."""
    body = "".join(
        f"<tr{' class=lit' if lit else ''}>" + "".join(_cell(text) for text in cells) + "</tr>"
        for lit, cells in rows
    )
    head = "".join(f"<th>{escaped(text)}</th>" for text in heads)
    return f"<h4>{escaped(title)}</h4><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    numeric = " class=n" if text.removeprefix(f"{_MARK} ").startswith("0x") else ""
    shown = escaped(text.removeprefix(_MARK))
    return f"<td{numeric}>{f'<b class=mark>{_MARK}</b>' if text.startswith(_MARK) else ''}{shown}</td>"


def _registers(facts: DeviceFacts, origin: int) -> str:
    rows = []
    for register in REGISTERS.values():
        known = facts.registers.get(register.name)
        last = facts.last_register == register.name
        cells = [f"{register.offset:#04x}", f"{_MARK} {register.name}" if last else register.name]
        if known is None:
            cells += ["", "not accessed yet", "", ""]
        else:
            before = f"{known.before:#x}" if known.changed and known.before is not None else ""
            how = "written" if known.written else "read"
            when = f"{how} at {people_ns(known.time_ns - origin)}, access {known.seq}"
            cells += [f"{known.value:#x}", meaning(register.name, known.value), before, when]
        rows.append((last, cells))
    where = f", {facts.migration.name}" if facts.migration else ""
    title = f"Registers of the migration region{where} ({_MARK} the last access)"
    return _table(title, ("offset", "register", "value", "meaning", "before", "last access"), rows)


def _accesses(facts: DeviceFacts, origin: int) -> str:
    rows = [
        (number == 0, (str(seq), people_ns(time - origin), text))
        for number, (seq, time, text) in enumerate(reversed(facts.last))
    ]
    return _table("Last accesses, newest first", ("access", "time", "what"), rows)


def _config(pair: dict[str, list[Row]]) -> str:
    if not pair:
        return "<h4>Config space</h4>It was not read yet."
    keyed = [{(row.offset, row.name, row.width): row for row in rows} for rows in pair.values()]
    rows = []
    for key in sorted(set().union(*keyed)):
        here = [registers.get(key) for registers in keyed]
        values = [f"{row.value:#0{2 + 2 * row.width}x}" if row else "not there" for row in here]
        differs = len(set(values)) > 1
        texts = list(dict.fromkeys(row.text for row in here if row))
        cells = [f"{key[0]:#05x}", f"{_MARK} {key[1]}" if differs else key[1], *values, " / ".join(texts)]
        rows.append((differs, cells))
    count = sum(differs for differs, _ in rows)
    title = f"Config space: {count} registers differ ({_MARK})" if len(pair) == 2 else "Config space"
    return _table(title, ("offset", "register", *pair, "meaning"), rows)


def inspector(
    recording: Recording, *, theme: str | Theme = "light", side: str = "source", device: str | None = None
) -> Picture:
    """Return the registers, the last accesses and config space of a device, as tables.

    :param device: its name in the recording; the first with a migration region if not given
    :param side: "source" or "destination"
    :raises AddressError: there is no such theme, or no such device among those that are recorded
    """
    return _Inspector(recording, named(theme), side, device)
