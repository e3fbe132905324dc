"""The recording in its report, or beside it, is the recording."""

import base64
import io
import zipfile

import pytest

from vfiokit.errors import RecordingError
from vfiokit.recording import Recording
from vfiokit.reports import extract, report
from vfiokit.reports.embedded import BLOCK


def same(one, other):
    assert one.metadata == other.metadata
    for name, table in one.tables.items():
        assert table.to_arrow().to_pylist() == other.tables[name].to_arrow().to_pylist()


def test_it_comes_back_whole(migrated, tmp_path):
    report(migrated, tmp_path / "x.html", moments=4)
    same(extract(tmp_path / "x.html", tmp_path / "back.vfk"), migrated)
    same(Recording.load(tmp_path / "back.vfk"), migrated)


def test_beside_the_report_it_is_a_folder(migrated, tmp_path):
    path = report(migrated, tmp_path / "x.html", moments=4, embed=False)
    same(Recording.load(tmp_path / "x.vfk"), migrated)
    assert BLOCK not in path.read_text().split("<main>")[0]
    with pytest.raises(RecordingError, match="no recording is in it"):
        extract(path, tmp_path / "back.vfk")


def test_a_recording_that_lies_beside_already_is_left_as_it_is(migrated, tmp_path):
    migrated.save(tmp_path / "x.vfk")
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "x.vfk").iterdir()}
    report(tmp_path / "x.vfk", embed=False, moments=4)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "x.vfk").iterdir()} == before


def test_extract_replaces_nothing(evil, tmp_path):
    report(evil, tmp_path / "x.html", moments=4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(RecordingError, match="holds something"):
        extract(tmp_path / "x.html", tmp_path / "full")
    with pytest.raises(RecordingError, match="read the report"):
        extract(tmp_path / "none.html", tmp_path / "back")


def archive(name, data, how=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as file:
        file.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"no zip",
        archive("../../events.parquet", b"x"),
        archive("recording.vfk/../events.parquet", b"x"),
        archive("recording.vfk/strange", b"x"),
        archive("recording.vfk/events.parquet", b"0" * 100_000, zipfile.ZIP_DEFLATED),
        archive("recording.vfk/events.parquet", b"no Parquet"),
    ],
    ids=["no zip", "upwards", "upwards within", "strange file", "compressed", "no Parquet"],
)
def test_a_hostile_archive_is_refused(tmp_path, data):
    text = base64.b64encode(data).decode()
    (tmp_path / "x.html").write_text(f'<script type="application/zip" id="{BLOCK}">{text}</script>')
    with pytest.raises(RecordingError):
        extract(tmp_path / "x.html", tmp_path / "back")
    assert [file.name for file in tmp_path.iterdir() if file.name not in ("x.html", "back")] == []
