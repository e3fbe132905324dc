"""The state machine of a device, the path that it took, and what else had a state meanwhile.

The graph has the arcs that a VMM may ask for (v5 spec 3.2); the present state is lit, the arcs taken are
numbered in order, writes of ``device_state`` that were refused are red and dashed. The lanes show over
time the VM's run state, the migration's status, and of each device what was asked for (written) and what
was read back, where it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from bokeh.core.properties import value
from bokeh.layouts import column, row
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, Range, Range1d
from bokeh.plotting import figure

from vfiokit.uapi.migration_v5 import state_name
from vfiokit.view.picture import Picture, fill, frozen, last_ns, origin_ns, row_counts, texts
from vfiokit.view.state_graph import ARCS, HEIGHT, INVALID, NODE, PLACES, WIDTH, curve, node_of
from vfiokit.view.theme import (
    LIGHT,
    Theme,
    add_hover,
    brief,
    escaped,
    exact,
    exact_ns,
    new_figure,
    new_note,
    plain,
    theme,
    time_axis,
)

if TYPE_CHECKING:
    from vfiokit.recording import Recording

__all__ = ("states",)

_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY = LIGHT.categories[:5]
# States that mean the same wear the same; what is not named here is grey.
_COLORS = {
    "running": _BLUE,
    "pre-copy": _SKY,
    "active": _SKY,
    "stop-and-copy": _ORANGE,
    "finish-migrate": _ORANGE,
    "device": _ORANGE,
    "resuming": _PURPLE,
    "inmigrate": _PURPLE,
    "completed": _GREEN,
    "failed": LIGHT.bad,
    "cancelling": LIGHT.bad,
    "cancelled": LIGHT.bad,
}
_GREY = "#9aa3ad"
_TOLD = 5  # times that a hover tells of an arc
_LONGEST = 26  # letters of a lane's name


class _Access(NamedTuple):
    """An access to ``device_state``."""

    seq: int
    time: int
    side: str
    device: str
    write: bool
    value: int
    error: str  # "" when it came back well


def states(
    recording: Recording,
    *,
    theme: str | Theme = "light",
    side: str = "source",
    device: str | None = None,
    x_range: Range | None = None,
) -> Picture:
    """Return the picture of a device's states, and of all states over time.

    :param side: whose device the graph shows; the lanes show both sides
    :param device: its name in the recording; the first that has a state when not given
    :param x_range: the time axis of another picture, to be linked with the lanes
    :raises AddressError: there is no such theme
    """
    drawn = _States(recording, _theme(theme), side, device, x_range)
    picture = Picture(recording, drawn.root, drawn.refresh, drawn.look)
    picture.update()
    return picture


_theme = theme


class _States:
    def __init__(
        self, recording: Recording, look: Theme, side: str, device: str | None, x_range: Range | None
    ) -> None:
        self.recording, self.look, self.side, self.device = recording, look, side, device
        self._seen: tuple[int, ...] | None = None
        self._read = 0
        self._accesses: list[_Access] = []
        self.said, self.more = new_note(look, strong=True), new_note(look)
        self.graph = self._new_graph()
        self.lanes = self._new_lanes(x_range)
        self.pictures = row(
            self.graph, self.lanes, sizing_mode="stretch_width", styles={"flex-wrap": "wrap"}, spacing=8
        )
        self.root = column(self.said, self.more, self.pictures, sizing_mode="stretch_width")

    def _new_graph(self) -> figure:
        look = self.look
        plot = new_figure(
            look,
            title=f"Device states of the {self.side}",
            x_label="",
            y_label="",
            legend=None,
            tools="save",
            x_range=Range1d(start=0, end=WIDTH),
            y_range=Range1d(start=0, end=HEIGHT),
            toolbar_location=None,
            x_axis_location=None,
            y_axis_location=None,
            frame_width=WIDTH,
            frame_height=HEIGHT,
        )
        plot.sizing_mode, plot.width, plot.height = "fixed", WIDTH + 22, HEIGHT + 33
        plot.grid.visible = False
        self.legal = _empty("xs", "ys", "tip_x", "tip_y", "angle", "name")
        self.taken = _empty("xs", "ys", "tip_x", "tip_y", "angle", "name", "order", "at_x", "at_y", "times")
        self.refused = _empty("xs", "ys", "tip_x", "tip_y", "angle", "name", "times", "why")
        self.nodes = _empty("x", "y", "name", "fill", "text", "line", "width", "values", "entered")
        self._arcs(plot, self.legal, look.muted, 1, 0.55)
        taken = self._arcs(plot, self.taken, look.categories[0], 3, 1)
        refused = self._arcs(plot, self.refused, look.bad, 3, 1, "dashed")
        font: dict[str, Any] = {
            "text_font": value(look.font),
            "text_align": "center",
            "text_baseline": "middle",
            "text_font_size": "13px",
        }
        plot.scatter("at_x", "at_y", source=self.taken, size=20, color=look.background)
        plot.text(
            "at_x",
            "at_y",
            text="order",
            source=self.taken,
            text_color=look.text,
            **font,
        )
        boxes = plot.rect(
            "x",
            "y",
            width=NODE[0],
            height=NODE[1],
            source=self.nodes,
            fill_color="fill",
            line_color="line",
            line_width="width",
        )
        plot.text("x", "y", text="name", source=self.nodes, text_color="text", **font)
        add_hover(plot, [boxes], [("state", "name"), ("device_state", "values"), ("entered", "entered")])
        add_hover(plot, [taken], [("arc", "name"), ("taken", "times")])
        add_hover(plot, [refused], [("refused", "name"), ("at", "times"), ("error", "why")])
        return plot

    def _arcs(
        self,
        plot: figure,
        source: ColumnDataSource,
        color: str,
        width: float,
        alpha: float,
        dash: str = "solid",
    ) -> Any:
        lines = plot.multi_line(
            "xs",
            "ys",
            source=source,
            line_color=color,
            line_width=width,
            line_alpha=alpha,
            line_dash=dash,
        )
        # A triangle points up at angle 0.
        plot.scatter(
            "tip_x",
            "tip_y",
            source=source,
            marker="triangle",
            angle="angle",
            size=8 + width,
            color=color,
            alpha=alpha,
        )
        return lines

    def _new_lanes(self, x_range: Range | None) -> figure:
        look = self.look
        self.factors = FactorRange()
        plot = new_figure(
            look,
            title="States over time",
            x_label="time since the first record",
            y_label="",
            height=400,
            min_width=500,
            x_range=x_range or DataRange1d(range_padding=0.03),
            y_range=self.factors,
        )
        time_axis(plot.xaxis[0])
        plot.ygrid.grid_line_color = None
        self.bars = _empty("lane", "x0", "x1", "name", "color", "from", "for", "exact")
        self.names = _empty("lane", "x", "name", "color")
        self.crosses = _empty("lane", "x", "name", "time", "why")
        bars = plot.hbar(
            y="lane",
            left="x0",
            right="x1",
            height=0.72,
            source=self.bars,
            fill_color="color",
            line_color="color",  # a short stay is a line at least
            legend_field="name",
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
            "x",
            "lane",
            source=self.crosses,
            marker="x",
            size=14,
            line_width=3,
            color=look.bad,
            legend_label="refused",
        )
        add_hover(
            plot,
            [bars],
            [("lane", "lane"), ("state", "name"), ("value", "exact"), ("from", "from"), ("for", "for")],
        )
        add_hover(plot, [crosses], [("refused", "name"), ("at", "time"), ("error", "why")])
        return plot

    def refresh(self, at: int | None = None) -> bool:  # noqa: ARG002
        counts = row_counts(self.recording)
        if counts == self._seen:
            return False
        self._seen = counts
        self._read_accesses()
        rows = list(self.recording.states)
        origin, end = origin_ns(self.recording), last_ns(self.recording)
        device = self.device or self._first_device(rows)
        there = bool(rows or self._accesses)
        self.pictures.visible = there
        if not there:
            text = escaped("No states are recorded yet: there is nothing to show.")
            changed = text != self.said.text
            self.said.text = text
            return changed
        path = [one for one in rows if one.machine == device and one.side == self.side]
        refused = [
            one for one in self._accesses if (one.side, one.device) == (self.side, device) and one.error
        ]
        changed = self._show_graph(path, refused, origin)
        changed |= self._show_lanes(rows, origin, end)
        return changed | self._say(device, path, refused)

    def _read_accesses(self) -> None:
        new = frozen(self.recording.accesses, self._read)
        self._read += len(new)
        places = (texts(new, "what") == "device_state").nonzero()[0]
        if not len(places):
            return
        numbers = [new.column(name)[places] for name in ("seq", "time_ns", "value")]
        names = ("side", "device", "kind", "error", "message")
        columns = numbers + [texts(new, name)[places] for name in names]
        for seq, time, number, side, device, kind, error, message in zip(*columns, strict=True):
            if kind in ("Read", "Write"):
                why = "" if error is None else f"{error}: {message or ''}"
                self._accesses.append(
                    _Access(int(seq), int(time), side, device, kind == "Write", int(number), why)
                )

    def _first_device(self, rows: Iterable[Any]) -> str | None:
        for one in rows:
            if one.side == self.side and one.machine not in ("vm", "migration"):
                return str(one.machine)
        return next((one.device for one in self._accesses if one.side == self.side), None)

    def _show_graph(self, path: list[Any], refused: list[_Access], origin: int) -> bool:
        look = self.look
        legal = [(node_of(start), node_of(end)) for start, ends in ARCS.items() for end in ends]
        changed = fill(self.legal, _drawn(legal))
        visits: dict[str, list[str]] = {}
        arcs: dict[tuple[str, str], list[tuple[int, str]]] = {}
        before = None
        for entered in path:
            node = _node_named(entered.state)
            time = exact_ns(entered.time_ns - origin)
            visits.setdefault(node, []).append(time)
            if before is not None:
                arcs.setdefault((before, node), []).append((sum(map(len, arcs.values())) + 1, time))
            before = node
        taken = _drawn(arcs)
        middles = [curve(*arc).middle for arc in arcs]
        taken["order"] = [_few([str(order) for order, _ in steps], 3) for steps in arcs.values()]
        taken["times"] = [_few([time for _, time in steps]) for steps in arcs.values()]
        taken["at_x"], taken["at_y"] = [x for x, _ in middles], [y for _, y in middles]
        changed |= fill(self.taken, taken)
        changed |= self._show_refused(path, refused, origin)
        fills = [_COLORS.get(name, _GREY) if name == before else look.background for name in PLACES]
        return changed | fill(
            self.nodes,
            {
                "x": [float(x) for x, _ in PLACES.values()],
                "y": [float(y) for _, y in PLACES.values()],
                "name": list(PLACES),
                "fill": fills,
                "text": [_over(color) if color != look.background else look.text for color in fills],
                "line": [look.lit if name == before else _COLORS.get(name, look.muted) for name in PLACES],
                "width": [4 if name == before else 2 if name in visits else 1 for name in PLACES],
                "values": [
                    ", ".join(exact(number) for number in range(8) if node_of(number) == name)
                    for name in PLACES
                ],
                "entered": [_few(visits.get(name, ["never"])) for name in PLACES],
            },
        )

    def _show_refused(self, path: list[Any], refused: list[_Access], origin: int) -> bool:
        arcs: dict[tuple[str, str], list[_Access]] = {}
        for one in refused:
            states = [entered.state for entered in path if entered.seq < one.seq]
            # What it was in before anything was written is what a device starts in (v5 spec 3.1).
            start = _node_named(states[-1]) if states else "running"
            arcs.setdefault((start, node_of(one.value)), []).append(one)
        columns = _drawn(arcs)
        columns["times"] = [_few([exact_ns(one.time - origin) for one in some]) for some in arcs.values()]
        columns["why"] = [some[-1].error for some in arcs.values()]
        return fill(self.refused, columns)

    def _show_lanes(self, rows: list[Any], origin: int, end: int) -> bool:
        lanes: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
        for one in rows:
            if one.machine in ("vm", "migration"):
                lanes.setdefault((one.side, one.machine), []).append((one.time_ns, one.state, ""))
        for access in self._accesses:
            key = (access.side, f"{access.device} {'asked' if access.write else 'read'}")
            told = (access.time, state_name(access.value), exact(access.value))
            if not access.error:
                lanes.setdefault(key, []).append(told)
            elif access.write:
                lanes.setdefault(key, [])
        order = sorted(lanes, key=lambda key: (key[0] != "source", list(lanes).index(key)))
        names = {key: _lane(*key) for key in order}
        bars: dict[str, list[Any]] = {name: [] for name in self.bars.data}
        for key in order:
            steps = lanes[key]
            ends = [time for time, _, _ in steps[1:]] + [max(end, origin)]
            for (time, name, number), until in zip(steps, ends, strict=True):
                bars["lane"].append(names[key])
                bars["x0"].append(float(time - origin))
                bars["x1"].append(float(max(until, time) - origin))
                bars["name"].append(plain(name))
                bars["color"].append(_COLORS.get(name, _GREY))
                bars["from"].append(exact_ns(time - origin))
                bars["for"].append(exact_ns(max(until, time) - time))
                bars["exact"].append(number or "—")
        factors = list(dict.fromkeys(reversed(list(names.values()))))
        changed = factors != list(self.factors.factors)
        if changed:
            self.factors.factors = factors
            self.lanes.height = 250 + 30 * max(4, len(factors))
        changed |= fill(self.bars, bars)
        wide = [k for k in range(len(bars["x0"])) if bars["x1"][k] - bars["x0"][k] > (end - origin) * 0.25]
        changed |= fill(
            self.names,
            {
                "lane": [bars["lane"][k] for k in wide],
                "x": [(bars["x0"][k] + bars["x1"][k]) / 2 for k in wide],
                "name": [bars["name"][k] for k in wide],
                "color": [_over(bars["color"][k]) for k in wide],
            },
        )
        wrong = [one for one in self._accesses if one.error and one.write]
        return changed | fill(
            self.crosses,
            {
                "lane": [_lane(one.side, f"{one.device} asked") for one in wrong],
                "x": [float(one.time - origin) for one in wrong],
                "name": [f"{state_name(one.value)}, {exact(one.value)}" for one in wrong],
                "time": [exact_ns(one.time - origin) for one in wrong],
                "why": [one.error for one in wrong],
            },
        )

    def _say(self, device: str | None, path: list[Any], refused: list[_Access]) -> bool:
        if device is None:
            said = f"No device of the {self.side} has a state yet."
        elif not path:
            said = f"{device} ({self.side}): no state entered yet."
        else:
            said = f"{device} ({self.side}) is in {path[-1].state}."
        if refused:
            said += f" Refused: {len(refused)} write{'s' if len(refused) > 1 else ''} of device_state."
        more = "Path: " + _few([one.state for one in path], 12, " → ") if path else ""
        words = escaped(said), escaped(more)
        changed = words != (self.said.text, self.more.text)
        self.said.text, self.more.text = words
        return changed


def _empty(*names: str) -> ColumnDataSource:
    return ColumnDataSource({name: [] for name in names})


def _node_named(state: str) -> str:
    # Bits 3 to 31 stand behind a bar.
    name = state.split(" | ")[0]
    return name if name in PLACES else INVALID


def _drawn(arcs: Iterable[tuple[str, str]]) -> dict[str, list[Any]]:
    pairs = list(arcs)
    drawn = [curve(*pair) for pair in pairs]
    return {
        "xs": [one.xs for one in drawn],
        "ys": [one.ys for one in drawn],
        "tip_x": [one.xs[-1] for one in drawn],
        "tip_y": [one.ys[-1] for one in drawn],
        "angle": [one.angle - 1.5707963267948966 for one in drawn],
        "name": [f"{start} → {end}" for start, end in pairs],
    }


def _few(items: list[str], most: int = _TOLD, between: str = ", ") -> str:
    """Join the last ones, and say how many came before."""
    left = len(items) - most
    shown = between.join(items[-most:])
    return f"… {left} more{between}{shown}" if left > 0 else shown


def _lane(side: str, what: str) -> str:
    return f"{brief(what, _LONGEST)} ({'src' if side == 'source' else 'dst'})"


def _over(color: str) -> str:
    """Return black or white, whichever reads better over a colour (luma of ITU-R BT.601)."""
    red, green, blue = (int(color[k : k + 2], 16) for k in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"
