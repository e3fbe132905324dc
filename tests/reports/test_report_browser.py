"""The report in a browser, opened from disk with the network off."""

import io
import zipfile

import pytest
from reports.pages import EVIL

from vfiokit.recording import Recording
from vfiokit.reports import report
from vfiokit.reports.events import template_parts
from vfiokit.trace import Record, parse
from vfiokit.view import inspector, states
from vfiokit.view.theme import plain

READY = "document.documentElement.dataset.ready !== undefined"
MOMENT = "vfiokit.link.data.seq[0] ?? null"
# The figure whose title begins so.
PLOT = """const plot = [...Bokeh.documents.at(-1)._all_models.values()].find(
  (model) => model.type === "Figure" && model.title?.text?.startsWith(title))
"""
# Where a point of a figure is on the screen; its middle where nothing is said.
PLACE = f"""([title, x, lane]) => {{
  {PLOT}
  const view = Bokeh.index.find_one(plot), {{bbox}} = view.frame
  view.el.scrollIntoView({{block: "center"}})
  const box = view.el.getBoundingClientRect()
  return [box.x + (x === null ? bbox.hcenter : view.frame.x_scale.compute(x)),
          box.y + (lane === null ? bbox.vcenter : view.frame.y_scale.compute(lane))]
}}"""
RANGE = f"(title) => {{ {PLOT} return [plot.x_range.start, plot.x_range.end] }}"
CURSORS = """[...Bokeh.documents.at(-1)._all_models.values()]
  .filter((model) => model.type === "Span" && model.visible).map((model) => model.location)"""
IS_TOLD = "(text) => [...Bokeh.documents.at(-1)._all_models.values()].some((one) => one.text === text)"
# Every property that a moment may change.
SHOWN = """vfiokit.moments.keys.map(([id, attr]) => {
  const given = Bokeh.documents.at(-1).get_model_by_id(id)[attr]
  if (attr !== "data") return given?.attributes ? given.attributes.ticks ?? given.type : given
  const columns = given instanceof Map ? [...given] : Object.entries(given)
  const plain = (one) => one?.buffer ? Array.from(one) : one
  return columns.map(([name, values]) => [name, Array.from(values, plain)])
})"""


@pytest.fixture(scope="module")
def page(browser, migrated, tmp_path_factory):
    """One page for all tests of the module; each leaves it as it was."""
    file = report(migrated, tmp_path_factory.mktemp("report") / "run.html")
    opened = browser.page(file.as_uri())
    opened.wait_for_function(READY)
    return opened


@pytest.fixture(autouse=True)
def rested(page):
    yield
    page.locator("#clear").click()
    page.locator("#all").click()
    settle(page)


def settle(page):
    page.evaluate("(async () => { await vfiokit.moments.busy })()")


def place(page, title, x=None, lane=None):
    return page.evaluate(PLACE, [title, x, lane])


def test_a_wheel_zooms_all_pictures_over_time(page):
    before = page.evaluate(RANGE, "Timeline")
    page.mouse.move(*place(page, "Timeline"))
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"(start) => ({RANGE})('Timeline')[0] !== start", arg=before[0])
    zoomed = page.evaluate(RANGE, "Timeline")
    assert zoomed[1] - zoomed[0] < before[1] - before[0]
    assert page.evaluate(RANGE, "Convergence") == page.evaluate(RANGE, "States over time") == zoomed


def test_hovering_tells_what_is_under_the_mouse(page):
    page.mouse.move(*place(page, "States over time", lane="dev0 asked (src)"))
    page.locator(".bk-Tooltip", has_text="dev0 asked (src)").first.wait_for()
    page.mouse.move(5, 5)


def test_searching_counts_what_python_counts(page, migrated):
    texts = [f"{record.name} {record.text}".lower() for record in migrated.records()]
    page.keyboard.press("/")
    for words in ("offset 0x1000", "PRECOPY", "update dev0", "nothing like it"):
        page.locator("#search").fill(words)
        wanted = sum(all(word in text for word in words.lower().split()) for text in texts)
        page.wait_for_function(
            "(text) => document.getElementById('hits').textContent === text",
            arg=f"{wanted:,} of {len(texts):,} events",
        )
    assert page.evaluate("document.activeElement.id") == "search"


def test_filters_leave_what_they_name(page, migrated):
    frame = migrated.events.to_pandas()
    page.locator("#by-name").select_option("vfio_update_pending")
    page.locator("#by-side").select_option("source")
    page.locator("#by-device").select_option("dev0")
    wanted = int(((frame.name == "vfio_update_pending") & (frame.side == "source")).sum())
    assert page.locator("#hits").inner_text() == f"{wanted:,} of {len(frame):,} events"
    page.locator("#by-device").select_option("dev1")
    assert page.locator("#hits").inner_text() == f"0 of {len(frame):,} events"


def test_every_event_has_the_text_that_python_has(page, migrated):
    told = page.evaluate(
        "[...Array(vfiokit.store.count).keys()].map((i) => [vfiokit.store.name(i), vfiokit.store.text(i)])"
    )
    assert told == [[record.name, record.text] for record in migrated.records()]


FORMATS = """e_d(int a) "%d"
e_5d(int a) "%5d|%-5d|%05d"
e_x(int a) "%x %X %08x %#x %#010x %o %#o"
e_u(unsigned a) "%u %hhu %hu %hhd %hd"
e_l(uint64_t a) "%" PRIx64 " %ld %lu %08lx %lld"
e_p(void *a) "%p %20p"
e_precision(int a) "%.3d %.0d %8.3d %-8.3x|%+d|% d|%+.4d"
e_c(int a) "%c%%"
"""


def test_numbers_are_printed_as_python_prints_them(page):
    values = (0, 1, 9, 65, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63, 2**64 - 1)
    cases, wanted = [], []
    for line in FORMATS.splitlines():
        name, rest = line.split("(", 1)
        argument, text = rest.split(") ", 1)
        many = ", ".join(f"{argument[:-1]}a{k}" for k in range(text.count("%") - 2 * text.count("%%")))
        event = parse(f"{name}({many}) {text}\n", strict=False).event(name)
        signature = "Q" * len(event.arguments)
        for value in values:
            parts = template_parts(parse(f"{name}({many}) {text}\n", strict=False), name, signature)
            cases.append([parts, value & 0xFFFFFFFF, value >> 32])
            wanted.append(Record(None, None, event, (value,) * len(event.arguments)).text)
    found = page.evaluate(
        """(cases) => cases.map(([parts, low, high]) => parts.map((part) => typeof part === "string" ? part :
             vfiokit.printer(part)({low, high, negative: false})).join(""))""",
        cases,
    )
    assert found == wanted


def test_strings_are_printed_as_python_prints_them(page):
    events = parse('e_s(const char *a, const char *b, const char *c) "%s|%8s|%-8.3s|"\n')
    parts = template_parts(events, "e_s", "sss")
    texts = ("", "ab", "äöü€😀x", "long enough to be cut", None)
    found = page.evaluate(
        """([parts, texts]) => texts.map((text) => parts.map((part) => typeof part === "string" ? part :
             vfiokit.printer(part)(text)).join(""))""",
        [parts, texts],
    )
    # Python counts characters where JavaScript's padding counts UTF-16 units: one less blank for 😀.
    assert [text.replace(" ", "") for text in found] == [
        Record(None, None, events.event("e_s"), (text,) * 3).text.replace(" ", "") for text in texts
    ]


def test_the_scrubber_shows_each_moment_and_leads_back(page, migrated):
    before = page.evaluate(SHOWN)
    graph, registers = states(migrated), inspector(migrated)
    moments = page.evaluate("vfiokit.moments.seq")
    for number in (0, len(moments) // 3, len(moments) // 2, len(moments) // 3, len(moments) - 1):
        page.locator("#scrub").fill(str(number))
        settle(page)
        assert page.evaluate(MOMENT) == moments[number]
        assert f"access {moments[number]:,}" in page.locator("#moment").inner_text()
        for picture in (graph, registers):
            picture.update(at=moments[number])
            for part in picture.root.children[:2]:
                assert page.evaluate(IS_TOLD, part.text), part.text
    page.keyboard.press("Escape")
    settle(page)
    assert page.evaluate(MOMENT) is None
    assert page.evaluate(SHOWN) == before


def test_arrows_and_buttons_go_from_moment_to_moment(page):
    moments = page.evaluate("vfiokit.moments.seq")
    page.locator("#before").click()
    assert page.evaluate(MOMENT) == moments[-1]
    page.locator("#before").click()
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(MOMENT) == moments[-3]
    page.keyboard.press("ArrowRight")
    page.locator("#after").click()
    assert page.evaluate(MOMENT) == moments[-1]


def test_an_event_moves_every_picture(page, migrated):
    page.locator("#search").fill("vfio_save_complete_precopy")
    page.locator("#rows .row:visible").first.click()
    settle(page)
    record = migrated.events.to_pandas().query("name == 'vfio_save_complete_precopy'").iloc[0]
    origin = page.evaluate("vfiokit.link.data.x[0]")
    assert page.evaluate(MOMENT) == record.seq
    assert len(cursors := page.evaluate(CURSORS)) >= 3
    assert set(cursors) == {origin}
    graph = states(migrated)
    graph.update(at=page.evaluate("vfiokit.moments.seq[vfiokit.moments.until(vfiokit.link.data.seq[0])]"))
    assert page.evaluate(IS_TOLD, graph.root.children[0].text)
    page.locator("#rows").press("End")
    assert page.evaluate(MOMENT) == record.seq  # the only one


def test_a_tap_in_a_picture_moves_the_table(page):
    page.mouse.click(*place(page, "States over time", lane="vm (src)"))
    page.wait_for_function(f"({MOMENT}) !== null")
    settle(page)
    seq = page.evaluate(MOMENT)
    assert page.evaluate("vfiokit.store.seq[vfiokit.table.now]") <= seq
    assert page.locator("#rows .row.now").count() == 1
    assert f"access {seq:,}" in page.locator("#moment").inner_text()


def test_keys_reach_the_last_event_of_a_table_too_tall_for_the_browser(page):
    page.evaluate("vfiokit.EventTable.TALLEST = 3000; vfiokit.table.done()")
    page.locator("#rows").press("End")
    last = page.evaluate("vfiokit.store.count") - 1
    assert page.locator("#rows .row.now").get_attribute("data-event") == str(last)
    assert page.locator("#rows .row.now").bounding_box()["height"] == 22
    page.locator("#rows").press("Home")
    assert page.locator("#rows .row.now").get_attribute("data-event") == "0"
    page.evaluate("vfiokit.EventTable.TALLEST = 8e6; vfiokit.table.done()")


def test_the_recording_can_be_saved(page, migrated, tmp_path):
    with page.expect_download() as started:
        page.locator("#download").click()
    assert started.value.suggested_filename == "run.vfk.zip"
    zipfile.ZipFile(io.BytesIO(started.value.path().read_bytes())).extractall(tmp_path)
    assert Recording.load(tmp_path / "recording.vfk").metadata == migrated.metadata


def test_a_hostile_device_stays_text(browser, evil, tmp_path):
    opened = browser.page(report(evil, tmp_path / "x.html").as_uri())
    opened.on("dialog", lambda dialog: browser.complaints.append("a dialog"))
    opened.wait_for_function(READY)
    rows = opened.locator("#rows .row:visible").all_inner_texts()
    assert len(rows) == 2
    assert all(EVIL in text for text in rows)
    assert opened.evaluate("vfiokit.store.text(0)") == f" (</script>{EVIL}), pending 0xffffffffffffffff"
    assert f"{EVIL}, 0xffffffffffffffff, (null)" in rows[1]
    assert plain("\u202e") in opened.locator("#verdicts").inner_text()
    opened.locator("#scrub").fill("3")
    opened.evaluate("(async () => { await vfiokit.moments.busy })()")
    opened.close()


@pytest.mark.parametrize("width", [600, 1600])
def test_nothing_is_wider_than_the_window(browser, migrated, tmp_path, width):
    opened = browser.page(
        report(migrated, tmp_path / "x.html", theme="dark", moments=4).as_uri(), width=width
    )
    opened.wait_for_function(READY)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    opened.close()
