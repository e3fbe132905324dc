"""A picture as a notebook shows it; and what is said when bokeh is not there."""

import re
import subprocess
import sys

import pytest
from bokeh.document import Document
from bokeh.layouts import column

from vfiokit.accesses import Read
from vfiokit.recording import Recording
from vfiokit.view import inspector, timeline


def recorded(name="dev0"):
    recording = Recording()
    recording.access("source", Read(name, 9, 8, 8, "pending_bytes"), 1, None, 0, 1)
    return recording


def place_of(text):
    return re.match(r'<div id="([^"]+)"', text)[1]


def test_a_picture_shown_twice_has_two_places():
    picture = timeline(recorded())
    first, second = picture._repr_html_(), picture._repr_html_()
    assert place_of(first) != place_of(second)
    for text in (first, second):
        assert f'"target_id": "{place_of(text)}"' in text
        assert f'"root_id": "{picture.root.id}"' in text


def test_what_is_shown_is_the_picture_as_it_is_then():
    recording = recorded()
    picture = inspector(recording)
    assert "0x2a" not in picture._repr_html_()
    recording.access("source", Read("dev0", 9, 8, 8, "pending_bytes"), 42, None, 5, 1)
    picture.update()
    assert "0x2a" in picture._repr_html_()


def test_a_picture_of_a_live_page_is_shown_as_well():
    picture, document = timeline(recorded()), Document()
    page = column(picture.root)
    document.add_root(page)
    assert f'"root_id": "{picture.root.id}"' in picture._repr_html_()
    assert picture.root.document is document
    assert document.roots == [page]


def test_words_stand_where_scripts_are_not_run_and_nothing_is_fetched():
    text = timeline(recorded())._repr_html_()
    place, script = text.split("<script>")
    assert "run %load_ext vfiokit" in place
    assert "http" not in script
    assert len(text) < 100_000  # BokehJS is not in it


def test_a_devices_name_does_not_end_the_script():
    text = inspector(recorded("</script><script>alert(1)//"))._repr_html_()
    assert text.count("</script") == 1
    assert text.count("<script") == 1
    assert "alert(1)" in text


@pytest.mark.parametrize(
    ("package", "use"),
    [
        ("bokeh", "import vfiokit.view"),
        ("jinja2", "vfiokit.report"),
        ("ipywidgets", "vfiokit.panel"),
        ("anywidget", "vfiokit.load_ipython_extension(None)"),
    ],
)
def test_without_a_package_of_the_extra_the_error_names_both(package, use):
    program = f"""
import sys
sys.modules[{package!r}] = None  # importing it fails as if it were not installed
import vfiokit
from vfiokit.errors import MissingExtraError
try:
    {use}
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert package in done.stdout
    assert "vfiokit[notebook]" in done.stdout
