"""In a real page: a tap moves all cursors, and a notebook's piece draws itself."""

from bokeh.layouts import column
from browser import chromium

from vfiokit.accesses import Read, Sample, Write
from vfiokit.recording import Recording
from vfiokit.view import Picture, convergence, states, timeline
from vfiokit.view.link import Link

# Where on the page the mark of an access lies, in the glyph that has one a mark.
PLACE = """([title, seq]) => {
  const views = [...Bokeh.index.query((view) => view.model.type === "Figure")]
  const plot = views.find((view) => view.model.title.text.startsWith(title))
  for (const view of plot.renderer_views.values()) {
    const at = view.model.data_source?.data.seq?.indexOf(seq) ?? -1
    if (view.glyph?.model.type !== "Scatter" || at < 0) continue
    const corner = plot.canvas_view.el.getBoundingClientRect()
    return [corner.x + view.glyph.sx[at], corner.y + view.glyph.sy[at]]
  }
}"""
# Above the only bar of the lanes.
EMPTY = """() => {
  const views = [...Bokeh.index.query((view) => view.model.type === "Figure")]
  const plot = views.find((view) => view.model.title.text === "States over time")
  const corner = plot.canvas_view.el.getBoundingClientRect()
  return [corner.x + plot.frame.bbox.hcenter, corner.y + plot.frame.bbox.top + 3]
}"""
CURSORS = """() => [...Bokeh.index.query((view) => view.model.type === "Span")]
  .filter((view) => view.model.visible).map((view) => view.model.location)"""
READY = "() => window.Bokeh?.documents.length && Bokeh.documents.every((one) => one.is_idle)"


def recorded():
    recording = Recording()
    write = Write("dev0", 9, 0, 4, "device_state", 1)
    recording.access("source", write, None, None, 0, 1000)
    for number in range(1, 5):
        read = Read("dev0", 9, 8, 8, "pending_bytes")
        recording.access("source", read, number, None, number * 10_000, 1000)
        sample = Sample(number, (("ram", 900 - number),), 1, 0.0, number, 0, 1)
        recording.access("source", sample, None, None, number * 10_000 + 5000, 0)
    return recording


def test_a_tap_moves_all_cursors_and_empty_space_leaves_them(tmp_path):
    recording, link = recorded(), Link()
    pictures = [make(recording, link=link) for make in (convergence, states, timeline)]
    page = Picture(
        recording, column(*(one.root for one in pictures), sizing_mode="stretch_width"), lambda at: False
    )
    page.save(tmp_path / "page.html")
    with chromium(tmp_path / "profile") as browser:
        shown = browser.page((tmp_path / "page.html").as_uri(), height=1900)
        shown.wait_for_function(READY)
        assert shown.evaluate(CURSORS) == []
        # One in each picture: two within 300 ms in the same are a double tap.
        for title, seq, x in (("Timeline", 5, 30_000), ("Convergence", 4, 25_000)):
            shown.mouse.click(*shown.evaluate(PLACE, [title, seq]))
            shown.wait_for_function(f"() => ({CURSORS})().every((at) => at === {x}) && ({CURSORS})().length")
            assert shown.evaluate(CURSORS) == [x] * 3
        shown.mouse.click(*shown.evaluate(EMPTY))
        assert shown.evaluate(CURSORS) == [25_000] * 3
    assert browser.complaints == []


def test_a_piece_waits_for_bokehjs_and_may_be_shown_twice(tmp_path):
    from vfiokit.notebook.bokeh_js import script_html

    picture = timeline(recorded())
    pieces = picture._repr_html_() + picture._repr_html_()
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><body>{pieces}{script_html()}</body>", "utf-8")
    with chromium(tmp_path / "profile") as browser:
        shown = browser.page((tmp_path / "page.html").as_uri())
        shown.wait_for_function(READY)
        assert shown.evaluate("() => Bokeh.documents.length") == 2
        assert shown.evaluate("() => document.body.innerText.includes('load_ext')") is False
    assert browser.complaints == []
