"""BokehPane: one message a refresh, whole ones from any thread, snapshots that agree with what was sent."""

import json
import threading

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div
from bokeh.plotting import figure

from vfiokit.errors import StateError
from vfiokit.notebook import bokeh_js
from vfiokit.notebook.bokeh_pane import BokehPane
from vfiokit.notebook.direct import heard_directly
from vfiokit.notebook.in_flight import TIME_OUT, InFlight
from vfiokit.view.link import Link
from vfiokit.view.theme import LIGHT


class Now:
    """Seconds that pass when told."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


class Caught(BokehPane):
    """Keeps what it would send."""

    def __init__(self, *args, **options):
        self.sent = []
        super().__init__(*args, **options)

    def send(self, content, buffers=None):
        self.sent.append((content, buffers))

    @property
    def patches(self):
        return [(content, buffers) for content, buffers in self.sent if content["kind"] == "patch"]

    def says(self, content):
        """As if the page had sent it."""
        self._handle_custom_msg(content, [])


class Line:
    def __init__(self):
        self.source = ColumnDataSource({"x": np.arange(3), "y": np.arange(3.0)})
        self.plot = figure()
        self.plot.line("x", "y", source=self.source)


class Page:
    """What bokeh_pane.js does with snapshot and patches, by bokeh's own reader."""

    def __init__(self, pane):
        item = json.loads(pane.get_state()["item"])
        self.seq = item["seq"]
        self.document = Document.from_json(item["doc"])
        self.root = self.document.get_model_by_id(item["root"])

    def take(self, content, buffers):
        if content["seq"] <= self.seq:
            return
        assert content["seq"] == self.seq + 1
        assert len(content["ids"]) == len(buffers)
        from bokeh.core.serialization import Buffer, Serialized

        parts = [Buffer(id, data) for id, data in zip(content["ids"], buffers, strict=True)]
        self.document.apply_json_patch(Serialized(json.loads(content["patch"]), parts))
        self.seq = content["seq"]


def columns(document):
    return {model.id: dict(model.data) for model in document.select({"type": ColumnDataSource})}


def assert_same(one, other):
    """The same models, with the same data."""
    assert {model.id for model in one.models} == {model.id for model in other.models}
    np.testing.assert_equal(columns(one), columns(other))


@pytest.fixture
def line():
    return Line()


def test_a_refresh_is_one_message_with_all_its_buffers(line):
    pane = Caught(line.plot)
    with pane.changing():
        line.source.data = {"x": np.arange(100), "y": np.arange(100.0)}
        line.plot.title.text = "more"
    [(content, buffers)] = pane.sent
    assert content["kind"] == "patch"
    assert content["seq"] == 1
    assert len(content["ids"]) == len(buffers) == 2
    pane.push()
    assert len(pane.sent) == 1  # nothing is new


def test_a_page_that_follows_shows_the_document(line):
    pane = Caught(line.plot)
    page = Page(pane)
    for count in (5, 50, 500):
        with pane.changing():
            line.source.data = {"x": np.arange(count), "y": np.arange(count) / 2}
        with pane.changing():
            line.source.stream({"x": [-1], "y": [-2.0]})
    for message in pane.patches:
        page.take(*message)
    assert page.seq == 6
    assert_same(page.document, line.plot.document)


def test_a_snapshot_after_pushes_is_the_document(line):
    pane = Caught(line.plot)
    with pane.changing():
        line.source.data = {"x": np.arange(7), "y": np.arange(7.0)}
    pane.refresh()
    page = Page(pane)
    assert page.seq == 1
    assert_same(page.document, line.plot.document)


def test_a_page_that_comes_between_a_change_and_its_message_applies_it_once(line):
    pane = Caught(line.plot)
    line.source.stream({"x": [3], "y": [3.0]})  # not pushed yet
    page = Page(pane)
    assert pane.sent == []  # by the thread of a page that goes: see vfiokit.notebook.direct
    pane.push()
    for message in pane.patches:
        page.take(*message)
    assert list(page.root.select_one(ColumnDataSource).data["x"]) == [0, 1, 2, 3]


def test_of_many_values_unsent_the_newest_is_sent(line):
    pane = Caught(line.plot)
    for number in range(100):
        line.source.data = {"x": np.arange(number), "y": np.arange(number)}
    pane.push()
    [(content, _)] = pane.sent
    assert len(json.loads(content["patch"])["events"]) == 1
    line.source.stream({"x": [5], "y": [5]})
    line.source.data = {"x": [], "y": []}
    pane.push()
    assert len(json.loads(pane.sent[1][0]["patch"])["events"]) == 2  # in their order


def test_two_threads_tear_no_message():
    texts = [Div(text=""), Div(text="")]
    from bokeh.layouts import column

    pane = Caught(column(*texts))
    page = Page(pane)
    start = threading.Barrier(2)

    def write(div):
        start.wait()
        for number in range(200):
            with pane.changing():
                div.text = str(number)

    threads = [threading.Thread(target=write, args=(div,)) for div in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [content["seq"] for content, _ in pane.patches] == list(range(1, 401))
    for message in pane.patches:
        page.take(*message)
    assert [div.text for div in page.root.children] == ["199", "199"]


def test_a_busy_page_is_left_alone_until_it_answers(line):
    now = Now()
    pane = Caught(line.plot, flight=InFlight(now=now))
    for number in range(2):
        assert pane.ready()
        with pane.changing():
            line.plot.title.text = str(number)
    assert not pane.ready()
    pane.says({"ack": 1})
    assert pane.ready()


def test_a_lost_answer_costs_a_time_out_and_two_the_waiting():
    now = Now()
    flight = InFlight(now=now)
    flight.sent(), flight.sent()
    for _ in range(2):
        assert not flight.ready()
        now.time += TIME_OUT
        assert flight.ready()
        flight.sent()
    assert flight.ready()  # by the clock alone
    flight.sent()
    assert flight.ready()
    flight.answered(5)
    flight.sent(), flight.sent()
    assert not flight.ready()  # it answers again: it is waited for again


def test_who_never_answers_is_told_seldom_but_is_told():
    now = Now()
    flight = InFlight(now=now)
    told = 0
    for _ in range(10 * 600):  # ten minutes at 10 Hz
        now.time += 0.1
        if flight.ready():
            flight.sent()
            told += 1
    assert 600 < told < 800  # a minute at 10 Hz, then every five seconds
    flight.present()
    assert flight.ready()


@pytest.mark.parametrize("number", [None, "1", -5, 99, 1.5, [1]])
def test_an_answer_that_is_none_answers_nothing(number):
    flight = InFlight(now=Now())
    flight.sent(), flight.sent()
    flight.answered(number)
    assert not flight.ready()


def with_link():
    link, line = Link(), Line()
    link.cursor(line.plot, LIGHT)
    line.plot.js_on_change("name", *link.moment.js_property_callbacks["change:data"])  # in the document by it
    return link, line


def test_a_moment_chosen_in_the_page_is_told_and_is_the_documents():
    link, line = with_link()
    pane = Caught(line.plot)
    page = Page(pane)
    told = []
    pane.on_moment(told.append)
    pane.says({"moment": 41, "x": 1500})
    assert told == [41]
    pane.push()
    assert link.moment.data == {"seq": [41], "x": [1500]}
    with pane.changing():
        link.show(None)  # a change against what the page shows, so it is sent
    assert link.moment.data == {"seq": [], "x": []}
    for message in pane.patches:
        page.take(*message)
    assert_same(page.document, line.plot.document)
    pane.says({"moment": None, "x": None})
    assert told == [41, None]


@pytest.mark.parametrize(
    "content", [{"moment": "<b>", "x": 1}, {"moment": 1, "x": "1"}, {"moment": []}, 7, {}]
)
def test_what_is_no_moment_chooses_none(content):
    link, line = with_link()
    pane = Caught(line.plot)
    told = []
    pane.on_moment(told.append)
    pane.says(content)
    pane.push()
    assert told == pane.sent == []
    assert link.moment.data == {"seq": [], "x": []}


def test_a_page_without_bokehjs_is_given_it(line):
    pane = Caught(line.plot)
    pane.says({"want": "bokehjs"})
    [(content, [source])] = pane.sent
    assert content == {"kind": "bokehjs", "version": bokeh_js.VERSION}
    assert source.decode() == bokeh_js.source()


def test_a_page_that_missed_something_is_given_a_snapshot(line):
    pane = Caught(line.plot)
    with pane.changing():
        line.plot.title.text = "new"
    before = pane.item
    pane.says({"want": "snapshot", "at": 1})
    assert pane.item == before  # it has all
    pane.says({"want": "snapshot", "at": 0})
    assert json.loads(pane.item)["seq"] == 1
    assert pane.item != before


def test_models_are_free_again_after_close(line):
    first = BokehPane(line.plot)
    with pytest.raises(StateError, match="make a second picture"):
        BokehPane(line.plot)
    first.close()
    line.plot.title.text = "after"
    pane = Caught(line.plot)
    with pane.changing():
        line.plot.title.text = "again"
    assert len(pane.sent) == 1


def test_bokehs_protocol_is_the_one_we_use(line):
    """Who updates bokeh is told here, not by an empty picture."""
    from bokeh.protocol import Protocol

    pane = Caught(line.plot)
    document = line.plot.document
    events = []
    document.on_change(events.append)
    line.source.data = {"x": np.arange(9), "y": np.arange(9)}
    message = Protocol().create("PATCH-DOC", events)
    assert json.loads(message.content_json)["events"][0]["kind"] == "ColumnDataChanged"
    assert [type(buffer.to_bytes()) for buffer in message.buffers] == [bytes, bytes]
    assert {"version", "roots"} <= document.to_json(deferred=False).keys()
    assert pane is not None


def test_the_script_holds_bokehjs_whole_and_cannot_end_early():
    script = bokeh_js.script_html()
    assert script.startswith("<script>")
    assert script.count("</script") == 1
    assert "<!--" not in script
    for name in ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-gl.min.js"):
        assert f"BEGIN {name}" in script
    for module in bokeh_js.MODULES:
        assert f'"{module}":' in script


def test_what_the_page_says_goes_where_the_page_sent_it(line):
    """See vfiokit.notebook.direct: the route that ipykernel keeps is forgotten after each sending."""
    pane = BokehPane(line.plot)
    vars(pane.comm)["_reply_subshell_id"] = "one that is gone"
    with pane.changing():
        line.plot.title.text = "new"
    assert "_reply_subshell_id" not in vars(pane.comm)
    vars(pane.comm)["_reply_subshell_id"] = "one that is gone"
    heard_directly(pane)
    assert "_reply_subshell_id" not in vars(pane.comm)


def test_ipykernel_still_keeps_the_route_that_we_forget():
    """Should it change its name, this fails and vfiokit.notebook.direct has to be looked at again."""
    from importlib.util import find_spec
    from pathlib import Path

    source = (Path(find_spec("ipykernel").origin).parent / "comm" / "comm.py").read_text()
    assert 'getattr(self, "_reply_subshell_id", default)' in source or "_reply_subshell" not in source
