"""The file as such: it asks for nothing, shows what there is, and no text in it is markup."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from reports.pages import EVIL, Page

from vfiokit.errors import AddressError, RecordingError
from vfiokit.recording import Recording
from vfiokit.reports import report

SECTIONS = (
    *("summary", "verdicts", "convergence", "states", "timeline", "regions", "dirty", "registers"),
    *("events", "environment", "recording"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_element_names_an_address(migrated, tmp_path, theme):
    html = report(migrated, tmp_path / "x.html", moments=4, theme=theme).read_text()
    page = Page(html)
    for name, given in page.elements:
        assert "src" not in given, name
        assert given.get("href", "#").startswith("#"), name
    assert not re.search(r"url\(|@import", "".join(page.scripts))
    policy = next(given["content"] for name, given in page.elements if given.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert [given["id"] for name, given in page.elements if name == "section"] == list(SECTIONS)


def test_what_the_run_was_is_told(migrated, tmp_path):
    text = Page(report(migrated, tmp_path / "x.html", moments=4).read_text()).text
    for wanted in (
        "dev0 → dev1",
        "completed",
        "downtime",
        "The migration completed.",
        "4.00 MiB (4,194,304)",
    ):
        assert wanted in text
    assert f"{len(migrated.accesses):,}" in text
    assert migrated.metadata["kernel"] in text


def test_text_from_devices_is_never_markup(evil, tmp_path):
    html = report(evil, tmp_path / "x.html", moments=4, title=f"about {EVIL}").read_text()
    page = Page(html)
    assert EVIL not in html
    assert page.text.count(EVIL) >= 6  # as text: title, subject, rule, hint, message, metadata
    assert f"</style>{EVIL}" in page.text
    assert "\x1b" not in html
    assert "\u202e" not in html
    ours = [given for name, given in page.elements if name == "script"]
    assert all(given.get("type", "").startswith("application/") for given in ours if given)
    assert len(page.scripts) == len([given for given in ours if not given]) + 2  # a style, and the recording
    assert "alert(1)" not in "".join(page.scripts)


def test_an_empty_recording_has_a_report(tmp_path):
    page = Page(report(Recording(), tmp_path / "x.html").read_text())
    assert "No migration is recorded." in page.text
    assert page.json("vfiokit-moments")["seq"] == []
    assert page.json("vfiokit-events")["count"] == 0


def test_the_file_is_named_after_the_recording(migrated, tmp_path):
    migrated.save(tmp_path / "bringup.vfk")
    assert report(tmp_path / "bringup.vfk") == tmp_path / "bringup.html"
    assert (tmp_path / "bringup.html").stat().st_mode & 0o444 == 0o444


def test_a_report_replaces_one_that_is_there_and_leaves_nothing_beside_it(evil, tmp_path):
    (tmp_path / "x.html").write_text("old")
    report(evil, tmp_path / "x.html", moments=4)
    assert [file.name for file in tmp_path.iterdir()] == ["x.html"]


def test_what_cannot_be_is_refused_in_words(evil, tmp_path):
    with pytest.raises(RecordingError, match="write the report"):
        report(evil, tmp_path / "no" / "x.html")
    with pytest.raises(RecordingError, match="there is nothing"):
        report(tmp_path / "none.vfk", tmp_path / "x.html")
    with pytest.raises(AddressError, match="light, dark"):
        report(evil, tmp_path / "x.html", moments=4, theme="mauve")
    assert list(tmp_path.iterdir()) == []


def test_the_docs_example_runs(tmp_path):
    docs = Path(__file__).parents[2] / "docs" / "report.md"
    (code,) = re.findall(r"```python\n(.*?)```", docs.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "bringup.html").exists()
