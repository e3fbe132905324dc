"""States over time, on a lane each.

There is one of the VM, one of the migration, and of a device those of what was asked for (written), what was
read back, and where it came to after a refusal.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range

from vfiokit.uapi.migration_v5 import state_name
from vfiokit.view.legends import add_key
from vfiokit.view.link import Link
from vfiokit.view.picture import fill
from vfiokit.view.state_accesses import StateAccess
from vfiokit.view.state_colors import color_of, text_over
from vfiokit.view.theme import Theme, add_hover, brief, exact, exact_ns, new_figure, plain, time_axis

__all__ = ("Lanes", "Stay", "lanes_of")

_LONGEST = 30  # letters of a lane's name
_WIDE = 0.25  # of the picture: a bar that has its name written on it


class Stay(NamedTuple):
    """A state on a lane, until the next one there if *until* does not say."""

    seq: int
    time: int  # ns
    state: str
    value: str = ""  # of device_state, exactly
    until: int | None = None  # ns


def lanes_of(rows: Iterable[Any], accesses: Iterable[StateAccess]) -> dict[str, list[Stay]]:
    """Return what is on each lane: the source's first.

    A device whose accesses are not there, as in a log, has one lane, of the states that it entered.

    :param rows: of the states table
    """
    lanes: dict[tuple[str, str], list[Stay]] = {}
    accessed = {(one.side, one.device) for one in accesses}
    for row in rows:
        if (row.side, row.machine) not in accessed:
            lanes.setdefault((row.side, row.machine), []).append(Stay(row.seq, row.time_ns, row.state))
    devices: dict[tuple[str, str], list[StateAccess]] = {}
    for one in accesses:
        devices.setdefault((one.side, one.device), []).append(one)
    for (side, device), some in devices.items():
        for what, stays in _device_lanes(some).items():
            lanes[side, f"{device} {what}"] = stays
    named: dict[str, list[Stay]] = {}
    for key in sorted(lanes, key=lambda key: key[0] != "source"):
        named.setdefault(lane_name(*key), []).extend(lanes[key])
    return named


def _device_lanes(accesses: list[StateAccess]) -> dict[str, list[Stay]]:
    """Return the lanes of one device.

    A state that is read again is one stay. After a refused write "recovered" has what was read back, and the
    next write that goes well, until the one after it: what the VMM recovered to.
    """
    asked: list[Stay] = []
    read: list[Stay] = []
    recovered: list[Stay] = []
    refused = False  # and not written well since
    for one in accesses:
        stay = Stay(one.seq, one.time, state_name(one.value), exact(one.value))
        if one.error:
            refused |= one.write
            continue
        lane = asked if one.write else read
        if one.write and recovered and recovered[-1].until is None and not refused:
            recovered[-1] = recovered[-1]._replace(until=one.time)
        for each in (lane, recovered) if refused else (lane,):
            if one.write or not each or each[-1].value != stay.value:
                each.append(stay)
        refused &= not one.write
    found = {"asked": asked}
    if read:
        found["read"] = read
    if any(one.error and one.write for one in accesses):
        found["recovered"] = recovered
    return found


def lane_name(side: str, what: str) -> str:
    """Return what a lane is called."""
    return f"{brief(what, _LONGEST)} ({'src' if side == 'source' else 'dst'})"


class Lanes:
    """The figure."""

    def __init__(self, look: Theme, x_range: Range | None, link: Link | None) -> None:
        self.look = look
        self.factors = FactorRange()
        self.plot = new_figure(
            look,
            title="States over time",
            x_label="time since the first record",
            y_label="",
            height=400,
            min_width=500,
            x_range=x_range or DataRange1d(range_padding=0.03),
            y_range=self.factors,
        )
        time_axis(self.plot.xaxis[0])
        self.plot.ygrid.grid_line_color = None
        self.plot.legend.click_policy = "none"  # its entries are colours of one glyph
        self.bars = _empty("seq", "lane", "x", "x1", "name", "kind", "color", "from", "for", "exact")
        self.names = _empty("lane", "x", "name", "color")
        self.crosses = _empty("seq", "lane", "x", "name", "time", "why")
        self._draw(link)

    def _draw(self, link: Link | None) -> None:
        plot, look = self.plot, self.look
        bars = plot.hbar(
            y="lane",
            left="x",
            right="x1",
            height=0.72,
            source=self.bars,
            fill_color="color",
            line_color="color",  # a short stay is a line at least
            legend_field="kind",
        )
        plot.text(
            "x",
            "lane",
            text="name",
            source=self.names,
            text_color="color",
            text_font=value(look.font),
            text_font_size="12px",
            text_align="center",
            text_baseline="middle",
        )
        crosses = plot.scatter(
            "x", "lane", source=self.crosses, marker="x", size=14, line_width=3, color=look.bad
        )
        add_key(plot, "refused", crosses)
        add_hover(
            plot,
            [bars],
            [("lane", "lane"), ("state", "name"), ("value", "exact"), ("from", "from"), ("for", "for")],
        )
        add_hover(plot, [crosses], [("refused", "name"), ("at", "time"), ("error", "why")])
        if link is not None:
            link.tap(plot, bars, crosses)
            link.cursor(plot, look)

    def show(self, rows: Iterable[Any], accesses: list[StateAccess], origin: int, end: int) -> bool:
        """Draw states from *origin* to *end*, ns; return whether anything changed."""
        lanes = lanes_of(rows, accesses)
        factors = list(reversed(lanes))
        changed = factors != list(self.factors.factors)
        if changed:
            self.factors.factors = factors
            self.plot.height = 250 + 30 * max(4, len(factors))
        bars = _bars(lanes, origin, end)
        changed |= fill(self.bars, bars)
        wide = [k for k in range(len(bars["x"])) if bars["x1"][k] - bars["x"][k] > (end - origin) * _WIDE]
        changed |= fill(
            self.names,
            {
                "lane": [bars["lane"][k] for k in wide],
                "x": [(bars["x"][k] + bars["x1"][k]) / 2 for k in wide],
                "name": [bars["name"][k] for k in wide],
                "color": [text_over(bars["color"][k]) for k in wide],
            },
        )
        wrong = [one for one in accesses if one.error and one.write]
        return changed | fill(
            self.crosses,
            {
                "seq": [one.seq for one in wrong],
                "lane": [lane_name(one.side, f"{one.device} asked") for one in wrong],
                "x": [float(one.time - origin) for one in wrong],
                "name": [f"{state_name(one.value)}, {exact(one.value)}" for one in wrong],
                "time": [exact_ns(one.time - origin) for one in wrong],
                "why": [plain(one.error) for one in wrong],
            },
        )


def _bars(lanes: dict[str, list[Stay]], origin: int, end: int) -> dict[str, list[Any]]:
    found = []
    for lane, stays in lanes.items():
        ends = [*(stay.time for stay in stays[1:]), max(end, origin)][: len(stays)]
        for stay, following in zip(stays, ends, strict=True):
            kind = stay.state.split(" | ")[0]  # bits 3 to 31 stand behind a bar
            until = max(following, stay.time) if stay.until is None else stay.until
            found.append(
                {
                    "seq": stay.seq,
                    "lane": lane,
                    "x": float(stay.time - origin),
                    "x1": float(until - origin),
                    "name": plain(stay.state),
                    "kind": plain(kind),
                    "color": color_of(kind),
                    "from": exact_ns(stay.time - origin),
                    "for": exact_ns(until - stay.time),
                    "exact": stay.value or "—",
                }
            )
    names = ("seq", "lane", "x", "x1", "name", "kind", "color", "from", "for", "exact")
    return {name: [bar[name] for bar in found] for name in names}


def _empty(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})
