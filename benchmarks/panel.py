"""The live display's parts in a real JupyterLab, counted in the page, against the widget that is in stock.

Each notebook draws at 20 Hz a convergence of a recording that grows, and a heatmap of 1024 x 1024 cells:

- panes: `BokehPane` and `DirtyCanvas`, as in the panel; the same again while a thread records events as fast
  as it can
- pane: both as bokeh figures in one `BokehPane`
- stock: both as bokeh figures in a `BokehModel` of jupyter_bokeh

A frame carries the time of its drawing; the page notes the delay in the animation frame that paints it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.cdp import Page, browser_page
from benchmarks.measure import Pair
from tests.jupyter_lab import READY_JS, RUN_ALL_JS, Lab, jupyter_lab, write_notebook

HZ = 20  # more than the aim, so that the page is what limits it
AIM = 15
SECONDS = 10
PATIENCE = 5000  # ms that are waited for a cell's answer

_COMMON = f"""
import threading, time
import numpy as np
from bokeh.layouts import column
from bokeh.models import Div
from IPython.display import HTML, display
from vfiokit import accesses as a
from vfiokit.notebook.bokeh_js import script_html
from vfiokit.notebook.pages import POINTS
from vfiokit.notebook.painter import Painter
from vfiokit.recording import Recording
from vfiokit.view import convergence
from vfiokit.view.theme import LIGHT, new_figure

recording = Recording()
turn = 0
def grow():
    "One more turn of the migration loop, as the flow would record it."
    global turn
    turn += 1
    left = int(2**30 * (0.6 + 0.4 * np.sin(turn / 40)))
    pending = ("ram", left), ("dev0", left // 3)
    sample = a.Sample(turn, pending, 2**20, 0.0, turn * 2**20, left // 4096, turn)
    recording.access("source", sample, None, None, time.monotonic_ns(), 0)
for _ in range(1000):
    grow()

picture = convergence(recording, points=POINTS)
levels = np.random.default_rng(1).integers(0, 8, (1024, 1024), dtype=np.uint8)
stamp = lambda: repr(time.time() * 1000)
clock = Div(text=stamp(), name="bench-clock")

def heatmap():
    plot = new_figure(LIGHT, title="dirty", x_label="page", y_label="page", height=320, tools="")
    shown = plot.image(image=[levels], x=0, y=0, dw=1024, dh=1024, palette="Cividis8")
    return plot, shown.data_source

def draw_bokeh():
    levels[turn % 1024] ^= 7
    source.data = {{"image": [levels.copy()]}}

errors = []  # as texts
def begin(draw):
    def tick():
        grow()
        draw()
    global painter
    painter = Painter(tick, hz={HZ}, on_error=lambda error: errors.append(repr(error)))
    painter.start()
"""
_PANES = """
from vfiokit.notebook.bokeh_pane import BokehPane
from vfiokit.notebook.canvas import DirtyCanvas
pane = BokehPane(column(clock, picture.root, sizing_mode="stretch_width"))
canvas = DirtyCanvas(["#dfe3e8"] + ["#0072B2"] * 7, ["clean"] + ["dirty"] * 7)
def draw():
    if pane.ready():
        with pane.changing():
            picture.update()
            clock.text = stamp()
    if canvas.ready():
        levels[turn % 1024] ^= 7
        canvas.show(levels, note=stamp())
display(pane, canvas)
begin(draw)
"""
_FLOOD = """
from vfiokit.trace import load
flooded = Recording()
read = a.Read("0000:3b:00.1", 9, 8, 8, "pending_bytes")
total = 0
def flood():
    global total
    begun, number, appenders = time.monotonic(), *flooded.fast_path("source")
    append = appenders[type(read)]
    while True:
        for _ in range(2000):
            append(number, read, total, time.monotonic_ns(), 700)
        total += 2000
        time.sleep(max(0.0, begun + total / 150_000 - time.monotonic()))
threading.Thread(target=flood, daemon=True).start()
"""
_PANE = """
from vfiokit.notebook.bokeh_pane import BokehPane
plot, source = heatmap()
pane = BokehPane(column(clock, picture.root, plot, sizing_mode="stretch_width"))
def draw():
    if pane.ready():
        with pane.changing():
            picture.update()
            draw_bokeh()
            clock.text = stamp()
display(pane)
begin(draw)
"""
_STOCK = """
from jupyter_bokeh import BokehModel
plot, source = heatmap()
shown = BokehModel(column(clock, picture.root, plot, sizing_mode="stretch_width"))
def draw():
    picture.update()
    draw_bokeh()
    clock.text = stamp()
display(HTML(script_html()))
display(shown)
begin(draw)
"""
_ANSWER = "total if 'total' in globals() else 0, errors, painter.running"

# Counts what the page is told, and how old it is once it is painted. A pane may build its document anew.
_COUNT = """
(() => {
  const seen = { clock: [], note: [] }
  const painted = (list, text) => requestAnimationFrame(() => list.push(Date.now() - Number(text)))
  const known = new WeakSet()
  const look = () => {
    for (const document of window.Bokeh?.documents ?? []) {
      const clock = document.get_model_by_name("bench-clock")
      if (!clock || known.has(clock)) continue
      known.add(clock)
      clock.properties.text.change.connect(() => painted(seen.clock, clock.text))
    }
    const note = document.querySelector(".vfiokit-canvas .note")
    if (!note || known.has(note)) return
    known.add(note)
    new MutationObserver(() => painted(seen.note, note.textContent)).observe(note, { childList: true })
  }
  setInterval(look, 100)
  window.vfiokitSeen = seen
})()
"""
_BEGUN = "window.vfiokitSeen.clock.length > 0"
_KERNEL = "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel"
_ASK = f"""
(async () => {{
  const begun = performance.now()
  const future = {_KERNEL}.requestExecute({{ code: CODE, store_history: false }})
  let told = ""
  future.onIOPub = (message) => {{ told += message.content?.data?.["text/plain"] ?? "" }}
  await Promise.race([future.done, new Promise((resolve) => setTimeout(resolve, PATIENCE))])
  return [performance.now() - begun, told]
}})()
"""


@dataclass
class Seen:
    """What one notebook did: frames a second, delays and answers in ms."""

    line: float
    heatmap: float
    delays: list[float]
    answers: list[float]
    events: float = 0.0

    @property
    def rate(self) -> float:
        """Updates of the whole a second: of its slower part."""
        return min(self.line, self.heatmap)


def rows() -> Iterator[Pair]:
    """Rates, delays and answers, side by side."""
    if find_spec("jupyterlab") is None:
        print("the panel: not measured, as JupyterLab is not installed: pip install 'vfiokit[notebook]'")
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch,
        jupyter_lab(Path(scratch)) as lab,
    ):
        folder = Path(scratch)
        panes = seen(lab, folder, "panes", _PANES)
        flooded = seen(lab, folder, "flooded", _PANES, _FLOOD)
        pane = seen(lab, folder, "pane", _PANE)
        if find_spec("jupyter_bokeh") is not None:
            stock = seen(lab, folder, "stock", _STOCK)
            yield from compared("panes", panes, "stock", stock)
            yield from compared("one bokeh pane", pane, "stock", stock)
        else:
            print("the stock widget: not measured, as it is not installed: pip install jupyter_bokeh")
            yield from compared("panes", panes, "one bokeh pane", pane)
        events = f"{flooded.events / 1000:.0f}k events/s"
        yield from compared(f"panes, {events}", flooded, "no events", panes)


def compared(name: str, ours: Seen, other_name: str, other: Seen) -> Iterator[Pair]:
    """Yield the rows of two notebooks."""
    names = f"{name} / {other_name}: "
    rate = "{:.1f} /s"
    yield Pair(names + "updates", ours.rate, other.rate, ours.rate / other.rate, rate, f"aim {AIM}/s, 3")
    milliseconds = "{:.0f} ms"
    for text, aim, of in (
        ("median delay", "aim < 100 ms", lambda one: statistics.median(one.delays)),
        ("p95 delay", "", lambda one: statistics.quantiles(one.delays, n=20)[-1]),
        ("a cell's answer", "aim < 100 ms", lambda one: statistics.median(one.answers)),
    ):
        mine, theirs = of(ours), of(other)
        yield Pair(names + text, mine, theirs, theirs / mine, milliseconds, aim)


def seen(lab: Lab, folder: Path, name: str, *cells: str) -> Seen:
    """Run a notebook in a browser of its own, and count."""
    write_notebook(folder / f"{name}.ipynb", _COMMON, *reversed(cells))
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,  # Chromium ends in its own time
        browser_page(Path(profile)) as page,
    ):
        page.open(lab.notebook(f"{name}.ipynb"))
        page.wait(READY_JS)
        page.evaluate(_COUNT)
        page.evaluate(RUN_ALL_JS)
        page.wait(_BEGUN)
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 2000))")  # everything is loaded
        _ask(page, "None")
        counts = page.evaluate(_FRAMES)
        before = _events(page)
        answers = []
        for _ in range(SECONDS):
            page.evaluate("new Promise((resolve) => setTimeout(resolve, 1000))")
            answers.append(_ask(page, "None")[0])
        after = _events(page)
        end = page.evaluate(_FRAMES)
        took = (end["now"] - counts["now"]) / 1000
        line, note = (end[kind][len(counts[kind]) :] for kind in ("clock", "note"))
        rates = [len(delays) / took for delays in (line, note if end["note"] else line)]
        page.evaluate(f"{_KERNEL}.shutdown()")
        return Seen(*rates, delays=[*line, *note], answers=answers, events=(after - before) / took)


_FRAMES = "({ ...window.vfiokitSeen, now: performance.now() })"


def _ask(page: Page, code: str) -> tuple[float, str]:
    milliseconds, told = page.evaluate(_ASK.replace("CODE", repr(code)).replace("PATIENCE", str(PATIENCE)))
    return milliseconds, told


def _events(page: Page) -> int:
    told = _ask(page, _ANSWER)[1]
    if not told:  # not answered in time, which the row of the answers tells
        return 0
    count, errors, running = literal_eval(told)
    if errors or not running:
        raise RuntimeError(f"the notebook's painter stopped: {errors}")
    return count


if __name__ == "__main__":
    sys.exit("python -m benchmarks panel")
