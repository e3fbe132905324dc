"""The migration region's registers, the last accesses in words, config space decoded.

::

    inspector(recording).save("inspector.html")

A register's row shows what it was last seen to hold, and what before when that was another value; the last
access is marked. Above the last accesses stands the next: of an earlier moment the one that was recorded
then, of now what `next_text` says. Config space is what was read of it, with what was written since. When
both sides were recorded, the devices that correspond are the first of each side, the second, and so on, and
registers that differ are marked. What devices say is data: all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bokeh.layouts import column
from bokeh.models.widgets import Div

from vfiokit.recording import Recording
from vfiokit.uapi.migration_v5 import REGISTERS
from vfiokit.uapi.pci_config import Row
from vfiokit.view.device_facts import DeviceFacts, SideFacts, Told, decoded, meaning
from vfiokit.view.link import Link
from vfiokit.view.picture import Picture, origin_ns
from vfiokit.view.theme import Theme, escaped, new_note, people_ns
from vfiokit.view.theme import theme as named

__all__ = ("InspectorPicture", "inspector")

_SIDES = ("source", "destination")
_MARK = "●"  # colour is never the only sign


class InspectorPicture(Picture):
    """The tables of `inspector`."""

    def __init__(
        self,
        recording: Recording,
        look: Theme,
        side: str,
        device: str | None,
        next_text: str | None,
        link: Link | None,
    ) -> None:
        self._sides = {name: SideFacts(recording, name) for name in dict.fromkeys((side, *_SIDES))}
        self._side, self._device = side, device
        self._at: int | None = None
        self._next_text = next_text
        self.title = new_note(look, strong=True)
        self.registers, self.accesses, self.config = (_div(look) for _ in range(3))
        root = column(self.title, self.registers, self.accesses, self.config, sizing_mode="stretch_width")
        super().__init__(recording, root, self._read, look, link)
        self._read()
        self._draw()

    @property
    def next_text(self) -> str | None:
        """The access that comes next, in words: plain text, escaped here; None for not known.

        Whoever drives the flow sets it; it is shown at once. Of an earlier moment the recording knows the
        next access, and that is shown.
        """
        return self._next_text

    @next_text.setter
    def next_text(self, text: str | None) -> None:
        if text != self._next_text:
            self._next_text = text
            self._draw()

    def _read(self, at: int | None = None) -> bool:
        came = [facts.update() for facts in self._sides.values()]  # every side, whatever the first says
        changed = any(came) or at != self._at
        self._at = at
        if changed:
            self._draw()
        return changed

    def _draw(self) -> None:
        facts = self._sides[self._side].device(self._device, self._at)
        if facts is None:
            self.title.text = escaped(f"No device on the {self._side} yet")
            coming = self._next_text if self._at is None else None
            self.accesses.text = _accesses([], coming, 0) if coming else ""
            self.registers.text = self.config.text = ""
            return
        moment = f", after access {self._at}" if self._at is not None else ""
        self.title.text = escaped(f"{facts.name}, {self._side}{moment}")
        origin = origin_ns(self.recording)
        self.registers.text = _registers(facts, origin)
        following = self._next_text if self._at is None else facts.next
        self.accesses.text = _accesses(facts.last, following, origin)
        number = self._sides[self._side].names(self._at).index(facts.name)
        pair = {}
        for side in _SIDES:
            others = self._sides[side].names(self._at)
            name = facts.name if side == self._side else others[number] if number < len(others) else None
            config = self._sides[side].config(name, self._at) if name is not None else None
            if config is not None:
                pair[f"{side}: {name}"] = decoded(config).rows()
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


def _accesses(last: Sequence[Told], following: Told | str | None, origin: int) -> str:
    rows = [
        (number == 0, (str(one.seq), people_ns(one.time_ns - origin), one.text))
        for number, one in enumerate(reversed(last))
    ]
    if isinstance(following, Told):
        rows.insert(
            0, (False, (f"next: {following.seq}", people_ns(following.time_ns - origin), following.text))
        )
    elif following is not None:
        rows.insert(0, (False, ("next", "", following)))
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
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    device: str | None = None,
    next_text: str | None = None,
    link: Link | None = None,
) -> InspectorPicture:
    """Return the registers, the next and the last accesses, and config space of a device, as tables.

    :param device: its name in the recording; the first with a migration region if not given
    :param side: "source" or "destination"
    :param next_text: what comes next, in words, where somebody knows; `InspectorPicture.next_text` sets it
    :param link: the moment of the page; these tables follow it by `Picture.update`
    :raises AddressError: there is no such theme, or no such device among those that are recorded
    """
    return InspectorPicture(recording, named(theme), side, device, next_text, link)
