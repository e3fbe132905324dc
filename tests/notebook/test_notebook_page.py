"""The page's side of pane and canvas, in Chromium, with a kernel that is played by the test: no Jupyter."""

import base64
import json

import numpy as np
import pytest
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Div
from bokeh.plotting import figure
from browser import chromium

from vfiokit.notebook.bokeh_js import VERSION, script_html
from vfiokit.notebook.bokeh_pane import BokehPane
from vfiokit.notebook.canvas import DirtyCanvas
from vfiokit.view.link import MOMENT

# What anywidget gives a widget: a model with traits, events and a way to the kernel.
MODEL = """
window.start = async (source, traits) => {
  const { default: make } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
  const hooks = {}
  const model = {
    get: (name) => traits[name],
    send: (content) => window.told.push(content),
    on: (names, hook) => names.split(" ").forEach((name) => (hooks[name] ??= []).push(hook)),
  }
  window.told = []
  window.say = (name, ...given) => (hooks[name] ?? []).forEach((hook) => hook(...given))
  window.set = (changed) => {
    Object.assign(traits, changed)
    Object.keys(changed).forEach((name) => window.say(`change:${name}`))
  }
  window.bytes = (text) => new DataView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer)
  if (traits.levels) traits.levels = window.bytes(traits.levels)
  const widget = make()
  widget.initialize({ model })
  window.show = () => {
    const el = document.createElement("div")
    document.body.append(el)
    return widget.render({ model, el })
  }
  window.gone = window.show()
}
"""


class Kernel:
    """A widget in the kernel whose messages go to the page."""

    def __init__(self, page, widget, esm, traits):
        self.page, self.widget = page, widget
        widget.send = self.send
        page.evaluate(f"() => {{ {MODEL} }}")
        page.evaluate("([source, traits]) => start(source, traits)", [str(esm), traits])

    def send(self, content, buffers=None):
        parts = [base64.b64encode(part).decode() for part in buffers or []]
        self.page.evaluate(
            "([content, parts]) => say('msg:custom', content, parts.map(bytes))", [content, parts]
        )

    def told(self, count=1):
        """Return the next messages of the page, once there are so many."""
        self.page.wait_for_function("count => told.length >= count", arg=count)
        return self.page.evaluate("told.splice(0)")

    def answer(self, content):
        self.widget._handle_custom_msg(content, [])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture
def page(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text("<!doctype html><title>page</title><meta charset=utf-8><body>")
    page = browser.page(file.as_uri(), width=900)
    yield page
    page.close()
    assert browser.complaints == []


class Shown:
    """A pane with a text, a line and a moment."""

    def __init__(self, page):
        self.page = page
        self.text = Div(text="one", name="text")
        self.source = ColumnDataSource({"x": [1, 2], "y": [3.0, 4.0]})
        self.moment = ColumnDataSource({"seq": [], "x": []}, name=MOMENT)
        plot = figure(height=200)
        plot.line("x", "y", source=self.source)
        plot.line("x", "seq", source=self.moment)
        self.pane = BokehPane(column(self.text, plot))
        self.kernel = Kernel(page, self.pane, BokehPane._esm, {"item": self.pane.item})

    def load(self, views=1):
        """Give the page what it asks for first."""
        [wish] = self.kernel.told()
        assert wish == {"want": "bokehjs"}
        self.kernel.answer(wish)
        assert self.kernel.told(views) == [{"want": "snapshot", "at": 0}] * views

    def words(self):
        return self.page.locator(".vfiokit-pane >> nth=0").inner_text()

    def on_page(self, script):
        return self.page.evaluate(f"(() => {{ const d = Bokeh.documents.at(-1); return {script} }})()")


def test_a_page_asks_for_bokehjs_and_follows(page):
    shown = Shown(page)
    shown.load()
    with shown.pane.changing():
        shown.text.text = "two"
        shown.source.data = {"x": np.arange(50), "y": np.arange(50.0)}
    assert shown.kernel.told() == [{"ack": 1}]
    assert shown.on_page("d.get_model_by_name('text').text") == "two"
    lengths = (
        "[...d._all_models.values()].filter(m => m.type == 'ColumnDataSource').map(m => m.data.x.length)"
    )
    assert sorted(shown.on_page(lengths)) == [0, 50]


def test_bokehjs_is_evaluated_once_however_many_ask(page):
    shown = Shown(page)
    page.evaluate("void show()")
    shown.load(views=2)
    page.evaluate("window.first = Bokeh[Object.keys(Bokeh).find(name => /^[0-9]/.test(name))]")
    shown.kernel.answer({"want": "bokehjs"})
    assert page.evaluate("(version) => Bokeh[version] === first", VERSION)
    page.wait_for_function("Bokeh.documents.length == 2")


def test_a_page_that_missed_a_patch_asks_and_is_whole_again(page):
    page.clock.install()
    shown = Shown(page)
    shown.load()
    page.clock.fast_forward(1500)  # it asks once a second at most
    shown.pane.send = lambda content, buffers=None: None  # lost
    with shown.pane.changing():
        shown.text.text = "lost"
    shown.pane.send = shown.kernel.send
    with shown.pane.changing():
        shown.source.data = {"x": [9], "y": [9.0]}
    assert {"want": "snapshot", "at": 0} in shown.kernel.told(2)
    shown.kernel.answer({"want": "snapshot", "at": 0})
    page.evaluate("item => set({item})", shown.pane.item)
    page.wait_for_function("Bokeh.documents.at(-1)?.get_model_by_name('text')?.text == 'lost'")
    assert page.evaluate("Bokeh.documents.length") == 1
    with shown.pane.changing():
        shown.text.text = "after"
    page.wait_for_function("Bokeh.documents.at(-1).get_model_by_name('text').text == 'after'")


def test_a_patch_that_the_snapshot_has_is_not_applied_again(page):
    shown = Shown(page)
    sent = []
    shown.pane.send = lambda content, buffers=None: sent.append((content, buffers))
    with shown.pane.changing():
        shown.source.stream({"x": [3], "y": [5.0]})
    page.evaluate("item => set({item})", json.dumps({**json.loads(shown.pane.get_state()["item"])}))
    shown.pane.send = shown.kernel.send
    [wish] = shown.kernel.told()
    shown.kernel.answer(wish)
    assert shown.kernel.told() == [{"want": "snapshot", "at": 1}]
    shown.pane.send(*sent[0])
    assert shown.kernel.told() == [{"ack": 1}]
    source = "[...d._all_models.values()].find(m => m.type == 'ColumnDataSource' && m.name === null).data"
    assert shown.on_page(f"[...{source}.x]") == [1, 2, 3]


def test_a_moment_chosen_in_the_page_is_told_and_one_that_the_kernel_sets_is_not(page):
    shown = Shown(page)
    shown.load()
    shown.on_page(f"d.get_model_by_name('{MOMENT}').data = {{seq: [7], x: [1.5]}}")
    assert shown.kernel.told() == [{"moment": 7, "x": 1.5}]
    with shown.pane.changing():
        shown.moment.data = {"seq": [8], "x": [2.5]}
    assert shown.kernel.told() == [{"ack": 1}]
    shown.on_page(f"d.get_model_by_name('{MOMENT}').data = {{seq: [], x: []}}")
    assert shown.kernel.told() == [{"moment": None, "x": None}]


def test_without_a_kernel_the_page_says_what_to_do(page):
    page.clock.install()
    shown = Shown(page)
    page.clock.run_for(7000)
    assert "If no kernel is running, start one and run the cells again" in shown.words()


def test_a_page_with_a_static_figures_script_needs_no_kernel(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><body>{script_html()}{script_html()}")
    page = browser.page(file.as_uri())
    shown = Shown(page)
    page.wait_for_function("Bokeh.documents.length == 1")
    assert shown.kernel.told() == [{"want": "snapshot", "at": 0}]
    assert shown.on_page("d.get_model_by_name('text').text") == "one"
    page.close()


def test_a_view_that_goes_leaves_no_document_behind(page):
    shown = Shown(page)
    shown.load()
    page.evaluate("gone()")
    assert page.evaluate("Bokeh.documents.length") == 0


def page_traits(widget):
    state = widget.get_state()
    names = (name for name in state if not name.startswith("_") and name not in ("layout", "tooltip"))
    return {name: state[name] for name in names} | {"levels": base64.b64encode(state["levels"]).decode()}


@pytest.fixture
def canvas(page):
    """A heatmap of 2 x 4 cells, 16 pages each."""
    palette, meanings = ["#ffffff", "#ff0000", "#0000ff"], ["clean", "<b>once</b>", "often"]
    widget = DirtyCanvas(palette, meanings, height=100)
    widget.on_cell(lambda first, pages: f"{pages} pages from {first:#x}")
    widget.show(np.array([[0, 1, 2, 9], [0, 0, 0, 1]], np.uint8), first=1 << 51, each=16, note="<i>note</i>")
    page.add_style_tag(content=str(DirtyCanvas._css))
    return Kernel(page, widget, DirtyCanvas._esm, page_traits(widget))


def colours(page):
    script = "(() => { const c = document.querySelector('canvas'); const d = c.getContext('2d')"
    script += ".getImageData(0, 0, c.width, c.height).data; return [c.width, c.height, ...d] })()"
    width, height, *data = page.evaluate(script)
    return np.array(data, np.uint8).reshape(height, width, 4)[:, :, :3].tolist()


WHITE, RED, BLUE = [255, 255, 255], [255, 0, 0], [0, 0, 255]


def test_levels_are_colours_and_a_frame_is_answered(page, canvas):
    assert colours(page) == [[WHITE, RED, BLUE, BLUE], [WHITE, WHITE, WHITE, RED]]
    canvas.widget.show(np.array([[2], [0], [1]], np.uint8))
    changed = page_traits(canvas.widget)
    page.evaluate("traits => set({...traits, levels: bytes(traits.levels)})", changed)
    assert colours(page) == [[BLUE], [WHITE], [RED]]
    assert canvas.told()[-1] == {"ack": 2}


def test_a_lone_dirty_cell_is_seen_where_pixels_are_fewer_than_cells(page, canvas):
    levels = np.zeros((3, 4000), np.uint8)
    levels[1, 1234] = 1
    canvas.widget.show(levels)
    page.evaluate("traits => set({...traits, levels: bytes(traits.levels)})", page_traits(canvas.widget))
    above, row, below = colours(page)
    assert len(row) < 900
    assert [at for at, colour in enumerate(row) if colour == RED] == [1234 * len(row) // 4000]
    assert above == below == [WHITE] * len(row)


def test_the_cell_under_the_cursor_is_told_exactly_and_as_text(page, canvas):
    page.locator("canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft", "ArrowDown", "End"):
        page.keyboard.press(key)
    tip = page.locator(".tip")
    first = (1 << 51) + 7 * 16
    lines = [f"pages {first:#x} – {first + 15:#x}", f"address {first * 4096:#x}", "<b>once</b>"]
    assert tip.text_content().splitlines() == lines
    [asked] = [said for said in canvas.told() if "cell" in said]  # once, as it rests only here
    assert asked == {"cell": 7}
    canvas.answer(asked)
    assert tip.text_content().splitlines() == [*lines, f"16 pages from {first:#x}"]
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    assert page.locator(".note").inner_text() == "<i>note</i>"
    assert page.locator(".legend").inner_text().splitlines() == ["clean", "<b>once</b>", "often"]


def test_the_pointer_tells_the_same(page, canvas):
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.25)
    assert f"pages {(1 << 51) + 16:#x} –" in page.locator(".tip").inner_text()
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] + 300)
    assert not page.locator(".tip").is_visible()


def test_who_cannot_see_it_is_told_what_it_is(page, canvas):
    shown = page.locator("canvas")
    assert shown.get_attribute("role") == "img"
    assert shown.get_attribute("aria-label").startswith("Dirty pages of guest memory")
    assert page.locator(".tip").get_attribute("role") == "status"
