"""The graph of a device's states: the arcs that may be asked for, those taken, those refused."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from vfiokit.view.picture import fill
from vfiokit.view.state_accesses import StateAccess
from vfiokit.view.state_colors import color_of, text_over
from vfiokit.view.state_graph import ARCS, HEIGHT, INVALID, NODE, PLACES, WIDTH, curve, node_of
from vfiokit.view.theme import Theme, add_hover, exact, exact_ns, new_figure, plain

__all__ = ("Chart", "few")

_TOLD = 5  # times that a hover tells of an arc


class Chart:
    """The figure; the present state is lit, the arcs taken are numbered, refused ones dashed."""

    def __init__(self, look: Theme, side: str) -> None:
        self.look = look
        plot = new_figure(
            look,
            title=f"Device states of the {side}",
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
        self.plot = plot
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

    def show(self, path: list[Any], refused: list[StateAccess], origin: int) -> bool:
        """Draw the states entered, rows of the states table, and the writes that were refused.

        :param origin: the time that is called 0, ns
        :returns: whether anything changed
        """
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
        taken["order"] = [few([str(order) for order, _ in steps], 3) for steps in arcs.values()]
        taken["times"] = [few([time for _, time in steps]) for steps in arcs.values()]
        taken["at_x"], taken["at_y"] = [x for x, _ in middles], [y for _, y in middles]
        changed |= fill(self.taken, taken)
        changed |= self._show_refused(path, refused, origin)
        fills = [color_of(name) if name == before else look.background for name in PLACES]
        return changed | fill(
            self.nodes,
            {
                "x": [float(x) for x, _ in PLACES.values()],
                "y": [float(y) for _, y in PLACES.values()],
                "name": list(PLACES),
                "fill": fills,
                "text": [text_over(color) if color != look.background else look.text for color in fills],
                "line": [look.lit if name == before else color_of(name) for name in PLACES],
                "width": [4 if name == before else 2 if name in visits else 1 for name in PLACES],
                "values": [
                    ", ".join(exact(number) for number in range(8) if node_of(number) == name)
                    for name in PLACES
                ],
                "entered": [few(visits.get(name, ["never"])) for name in PLACES],
            },
        )

    def _show_refused(self, path: list[Any], refused: list[StateAccess], origin: int) -> bool:
        arcs: dict[tuple[str, str], list[StateAccess]] = {}
        for one in refused:
            states = [entered.state for entered in path if entered.seq < one.seq]
            # What it was in before anything was written is what a device starts in (v5 spec 3.1).
            start = _node_named(states[-1]) if states else "running"
            arcs.setdefault((start, node_of(one.value)), []).append(one)
        columns = _drawn(arcs)
        columns["times"] = [few([exact_ns(one.time - origin) for one in some]) for some in arcs.values()]
        columns["why"] = [plain(some[-1].error) for some in arcs.values()]
        return fill(self.refused, columns)


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


def few(items: list[str], most: int = _TOLD, between: str = ", ") -> str:
    """Join the last items, and say how many came before."""
    left = len(items) - most
    shown = between.join(items[-most:])
    return f"… {left} more{between}{shown}" if left > 0 else shown
