"""Which moments a report keeps, and that each is kept as the pictures showed it."""

import json

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Div
from reports.pages import Page

from vfiokit.accesses import Enter, Now
from vfiokit.recording import Recording
from vfiokit.reports.moments import bake, key_moments
from vfiokit.view import Picture


def idle(count):
    recording = Recording()
    for number in range(count):
        recording.access("source", Now(), number, None, number, 0)
    return recording


def test_of_few_accesses_every_one_is_a_moment():
    assert key_moments(idle(7)) == list(range(7))
    assert key_moments(Recording()) == []


def test_states_errors_first_and_last_are_moments_whatever_else(migrated):
    found = key_moments(migrated, 60)
    assert len(found) <= 60
    assert found == sorted(set(found))
    assert {0, migrated.seq, *migrated.states.column("seq").tolist()} <= set(found)


@pytest.mark.parametrize("most", [5, 50, 200])
def test_there_are_at_most_as_many_as_asked_for(most):
    recording = idle(400)
    for number in range(300):
        recording.access("source", Enter("vm", f"s{number % 2}"), None, None, 400 + number, 0)
    found = key_moments(recording, most)
    assert len(found) <= most
    assert (found[0], found[-1]) == (0, 699)


class Counting(Picture):
    """Shows the number of the moment; its text for every third one, its data always."""

    def __init__(self, recording):
        self.source = ColumnDataSource({"same": [70], "now": [-1]})
        self.div = Div(text="all", name="text", tags=[self.source])
        super().__init__(recording, self.div, self._show)

    def _show(self, at):
        self.source.data = {"same": [70], "now": [-1 if at is None else at]}
        self.div.text = "all" if at is None else f"<b>{at // 3}"
        return True


def test_values_of_every_moment_are_kept_once():
    recording, document = idle(9), Document()
    picture = Counting(recording)
    document.add_root(picture.root)
    page = Page(bake(recording, document, [picture], list(range(9))))
    about = page.json("vfiokit-moments")
    chunks = [json.loads(page.octets(name)) for name in page.blocks if "values" in name]

    def value(number):
        chunk, place = about["values"][number]
        return chunks[chunk][place]

    text = about["keys"].index([picture.div.id, "text"])
    data = about["keys"].index([picture.source.id, "data"])
    assert [value(frame[text]) for frame in about["frames"]] == [f"<b>{k // 3}" for k in range(9)] + ["all"]
    columns = [{name: value(number) for name, number in frame[data]} for frame in about["frames"]]
    assert columns == [{"same": [70], "now": [k]} for k in [*range(9), -1]]
    # three texts and "all", nine numbers and -1, and what is the same
    assert sum(map(len, chunks)) == 4 + 10 + 1
    assert about["x"] == [float(k) for k in range(9)]
    assert picture.div.text == "all"


def test_a_property_that_changes_late_begins_as_it_was():
    recording, document = idle(4), Document()
    div = Div(text="never set before", name="text")
    picture = Picture(recording, div, lambda at: at == 3 and bool(div.update(text="set")) is None)
    document.add_root(div)
    about = Page(bake(recording, document, [picture], [0, 1, 2, 3])).json("vfiokit-moments")
    column = [frame[0] for frame in about["frames"]]
    assert column[0] == column[1] == column[2] == column[4] != column[3]
