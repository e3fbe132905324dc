"""The lanes of the regions' picture: boxes as wide as the logarithm of what they stand for, and labels."""

from __future__ import annotations

from typing import Any

from vfiokit.uapi.info import Region
from vfiokit.uapi.migration_v5 import REGISTERS
from vfiokit.uapi.pci_config import ConfigSpace
from vfiokit.view.device_facts import DeviceFacts, decoded, meaning
from vfiokit.view.region_parts import KINDS, Part, parts
from vfiokit.view.theme import Theme, exact_bytes, people_bytes, plain

__all__ = ("Lanes", "color_of")

_SHORT = {"MSI-X table": "table", "MSI-X PBA": "PBA", "registers": "header"}
_LETTER = 0.0138  # of the lane, as wide as a letter where the page is 600 pixels wide
_HEIGHT = 0.36  # half of a lane's


def color_of(kind: str, look: Theme) -> str:
    """Return the colour of a kind of parts."""
    number = KINDS[kind]
    return look.grid if number is None else look.category(number)


class Lanes:
    """Boxes and labels of all lanes.

    :ivar boxes: a dict of columns each
    :ivar lit: those of the window and of the last register
    :ivar labels: of the lanes, by their height
    :ivar config: the device's config space, if it was read
    """

    def __init__(self, facts: DeviceFacts | None, look: Theme) -> None:
        self.look = look
        self.boxes: list[dict[str, Any]] = []
        self.lit: list[dict[str, Any]] = []
        self.labels: dict[float, str] = {}
        self.config = decoded(facts.config) if facts and facts.config else None
        self.count = 0
        if facts is None:
            return
        present = [region for _, region in sorted(facts.regions.items()) if region.size]
        migration = facts.migration
        cut = {r.index: parts(r, self._config(facts), migration=r == migration) for r in present}
        # A common scale, so that a longer lane is a larger region; the widest fills the picture.
        widest = max((sum(part.weight for part in some) for some in cut.values()), default=1.0)
        for region in present:
            self._region(facts, region, cut[region.index], widest)
            if region == migration:
                self._registers(facts, 0, 32)
                self._registers(facts, 32, 64)

    def _config(self, facts: DeviceFacts) -> ConfigSpace | None:
        return self.config if facts.is_pci else None

    def _lane(self, label: str) -> float:
        self.count += 1
        self.labels[float(self.count)] = plain(label)
        return float(self.count)

    def _region(self, facts: DeviceFacts, region: Region, some: list[Part], widest: float) -> None:
        y = self._lane(f"{region.name}, {people_bytes(region.size)}")
        left = 0.0
        window = facts.window if region == facts.migration else None
        for part in some:
            width = part.weight / widest
            area = next((n for n, a in enumerate(region.areas) if a.offset <= part.offset < a.end), None)
            state = "trapped" if area is None else f"mappable, area {area}"
            if area is not None and (region.index, area) in facts.mapped:
                state += ", mapped now"
            chunk = "none here"
            if window is not None and window[0] < part.offset + part.size and part.offset < sum(window):
                chunk = f"[{window[0]:#x}, +{window[1]:#x}), {window[1]:,} bytes"
            name = f"{part.name}, {people_bytes(part.size)}" if part.kind == "mappable" else part.name
            self._box(
                y, left, left + width, part.kind, name or people_bytes(part.size), f"{part.offset:#x}",
                offset=exact_bytes(part.offset), size=exact_bytes(part.size),
                what=f"{region.name}: {part.name or part.kind}", more=state, chunk=chunk,
            )  # fmt: skip
            if window is not None:
                self._window(y, left, width, part, *window)
            left += width

    def _window(self, y: float, left: float, width: float, part: Part, offset: int, size: int) -> None:
        start, stop = max(offset, part.offset), min(offset + size, part.offset + part.size)
        if start < stop:
            a, b = (left + width * (edge - part.offset) / part.size for edge in (start, stop))
            self.lit.append({"left": a, "right": max(b, a + 0.004), "top": y - 0.44, "bottom": y + 0.44,
                             "offset": exact_bytes(offset), "size": exact_bytes(size),
                             "what": "data_offset, data_size", "more": "the chunk last staged",
                             "chunk": ""})  # fmt: skip

    def _registers(self, facts: DeviceFacts, start: int, stop: int) -> None:
        y = self._lane(f"  registers {start:#x}")
        some = [register for register in REGISTERS.values() if start <= register.offset < stop]
        whole = float(sum(8 + register.width for register in some))
        left = 0.0
        for register in some:
            known = facts.registers.get(register.name)
            more = "not accessed yet"
            short = ""
            if known is not None:
                said = meaning(register.name, known.value)
                short = said if register.name == "device_state" else f"{known.value:#x}"
                how = "written" if known.written else "read"
                more = f"{known.value:#x}{f' ({said})' if said else ''}, {how} by access {known.seq}"
            right = left + (8 + register.width) / whole
            self._box(
                y, left, right, "registers", register.name, short,
                offset=exact_bytes(register.offset), size=exact_bytes(register.width),
                what=f"{register.name}: {register.meaning}", more=more, chunk="",
            )  # fmt: skip
            if facts.last_register == register.name:
                self.lit.append({"left": left, "right": right, "top": y - 0.44, "bottom": y + 0.44,
                                 "offset": f"{register.offset:#x}", "size": f"{register.width} bytes",
                                 "what": register.name, "more": "the last access", "chunk": ""})  # fmt: skip
            left = right

    def _box(
        self, y: float, left: float, right: float, kind: str, name: str, below: str, **told: str
    ) -> None:
        colour = color_of(kind, self.look)
        room = int((right - left) / _LETTER)
        short = _SHORT.get(name, name.partition(",")[0])
        words = [
            next((plain(text) for text in some if len(text) <= room), "")
            for some in ((name, short), (below,))
        ]
        self.boxes.append({
            "left": left, "right": right, "top": y - _HEIGHT, "bottom": y + _HEIGHT, "colour": colour,
            "name": words[0], "below": words[1], "y": y, "middle": (left + right) / 2,
            **{key: plain(text) for key, text in told.items()},
        })  # fmt: skip
