"""Themes, words, decimation, and the page of a picture."""

from html.parser import HTMLParser

import numpy as np
import pytest
from bokeh.models import ColumnDataSource
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.errors import AddressError, RecordingError
from vfiokit.recording import Recording
from vfiokit.view import Picture, convergence, theme
from vfiokit.view.picture import decimate, fill
from vfiokit.view.theme import THEMES, brief, escaped, exact, exact_bytes, new_figure, people_ns, plain


def luminance(color):
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", THEMES.values(), ids=THEMES)
def test_text_stands_out_from_the_background(look):
    # WCAG 2.1, 1.4.3: 4.5 to 1.
    assert contrast(look.text, look.background) >= 4.5
    assert contrast(look.muted, look.background) >= 4.5


def test_an_unknown_theme_is_refused_with_those_there_are():
    with pytest.raises(AddressError, match="light, dark"):
        theme("mauve")
    assert theme(theme("dark")) is theme("dark")


def test_64_bits_are_told_exactly():
    assert exact(2**64 - 1) == "18,446,744,073,709,551,615 (0xffffffffffffffff)"
    assert exact_bytes(np.uint64(2**53 + 1)) == "8.00 PiB = 9,007,199,254,740,993 B (0x20000000000001)"
    assert people_ns(1_234_567_890) == "1.235 s"


@given(st.text())
def test_no_text_is_tex_html_or_broken_unicode(text):
    shown = plain(text)
    assert "$$" not in shown
    assert not any(mark in shown for mark in ("\\(", "\\["))
    shown.encode()
    assert "<" not in escaped(text)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=300), st.integers(4, 60))
def test_decimation_keeps_the_highest_and_the_lowest(numbers, points):
    values = np.array(numbers, np.uint64)
    kept = decimate(values, points)
    assert len(kept) <= points
    assert (np.diff(kept) > 0).all()
    if numbers:
        assert (values[kept].min(), values[kept].max()) == (values.min(), values.max())
        assert (kept[0], kept[-1]) == (0, len(values) - 1)


@given(st.text(), st.integers(5, 30))
def test_a_long_name_keeps_its_ends(text, most):
    told, whole = brief(text, most), plain(text)
    assert len(told) <= most
    if len(whole) > most:
        assert (told[:2], told[-2:]) == (whole[:2], whole[-2:])
    else:
        assert told == whole


def test_a_source_is_filled_once_and_only_when_something_differs():
    source = ColumnDataSource({"x": []})
    seen = []
    source.on_change("data", lambda attr, old, new: seen.append(new))
    assert fill(source, {"x": np.array([1.0]), "text": ["a"]})
    assert not fill(source, {"x": np.array([1.0]), "text": ["a"]})
    assert fill(source, {"x": np.array([1.0]), "text": ["b"]})
    assert len(seen) == 2


def _addresses(page):
    """The src and href of all tags; scripts' texts hold addresses that they do not use."""
    found = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value or "" for name, value in attrs if name in ("src", "href"))

    Tags().feed(page)
    return found


def test_a_page_escapes_its_title_and_needs_nothing_else(tmp_path):
    picture = Picture(Recording(), new_figure(theme("dark"), title="a", x_label="", y_label=""), bool)
    picture.root.scatter([1], [1])
    page = picture.html("<script>alert(1)</script>")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "http" not in " ".join(_addresses(page))
    with pytest.raises(RecordingError, match="write the picture"):
        picture.save(tmp_path / "none" / "x.html")


def test_two_pictures_share_no_model():
    one, other = convergence(Recording()), convergence(Recording())
    assert not one.root.references() & other.root.references()
