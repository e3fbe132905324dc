"""``vfiokit report``."""

import pytest
from reports.pages import Page

import vfiokit as package
from vfiokit.cli.main import main
from vfiokit.recording import Recording


@pytest.fixture
def vfiokit(capsys):
    def call(*argv):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in argv])
        out = capsys.readouterr()
        return stop.value.code, out.out, out.err

    return call


def test_a_recording_becomes_a_file_and_comes_back(vfiokit, migrated, tmp_path):
    migrated.save(tmp_path / "run.vfk")
    out = tmp_path / "out.html"
    code, told, err = vfiokit(
        "report", tmp_path / "run.vfk", "-o", out, "--title", "Bring-up", "--theme", "dark"
    )
    assert (code, told) == (0, ""), err
    assert "opens offline" in err
    assert ("title", {}) in Page(out.read_text()).elements
    assert "Bring-up" in Page(out.read_text()).text
    code, _, err = vfiokit("report", "--extract", out, "-o", tmp_path / "back.vfk")
    assert code == 0, err
    assert Recording.load(tmp_path / "back.vfk").metadata == migrated.metadata


def test_without_a_name_the_file_lies_beside(vfiokit, migrated, tmp_path):
    migrated.save(tmp_path / "run.vfk")
    assert vfiokit("report", tmp_path / "run.vfk", "--beside")[0] == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.html", "run.vfk"]


def test_what_is_no_recording_is_refused(vfiokit, tmp_path):
    (tmp_path / "x.vfk").mkdir()
    code, _, err = vfiokit("report", tmp_path / "x.vfk")
    assert code == 1
    assert "no table can be read" in err
    assert vfiokit("report", tmp_path / "none.vfk")[0] == 2


def test_options_of_recordings_do_not_go_with_notebooks(vfiokit, tmp_path):
    (tmp_path / "x.ipynb").write_text("{}")
    code, _, err = vfiokit("report", tmp_path / "x.ipynb", "--title", "x")
    assert code == 2
    assert "--title" in err


def test_the_function_is_at_the_front_door(migrated, tmp_path):
    assert package.report(migrated, tmp_path / "x.html").exists()
