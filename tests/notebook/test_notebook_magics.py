"""`%load_ext vfiokit`: the terminal's commands in a cell, and cells whose runs are recorded."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from sessions import new_ends

import vfiokit
from vfiokit.debugger import Debugger
from vfiokit.recording import Recording


@pytest.fixture
def shell(capsys):
    made = InteractiveShell()
    made.run_line_magic("load_ext", "vfiokit")
    capsys.readouterr()
    yield made
    made.reset(new_session=False)


@pytest.fixture
def dbg(shell):
    debugger = vfiokit.debug(*new_ends(), memory=1 << 20)
    shell.user_ns["dbg"] = debugger
    yield debugger
    debugger.close()


def test_the_extension_loads_bokehjs_once_without_an_address(monkeypatch):
    published = []
    monkeypatch.setattr("vfiokit.notebook.extension.display", published.append)
    made = InteractiveShell()
    made.run_line_magic("load_ext", "vfiokit")
    (html,) = [shown.data for shown in published]
    assert html.lstrip().startswith("<script>")
    assert "src=" not in html[:200]
    made.run_line_magic("load_ext", "vfiokit")
    assert len(published) == 1


def test_commands_are_the_terminals(shell, dbg, capsys):
    shell.run_line_magic("vfio", "step 3")
    assert len(dbg.history) == 3
    shell.run_line_magic("vfio", "until vfio_save_setup")
    assert dbg.history[-1].name == "vfio_save_setup"
    shell.run_line_magic("vfio", "status")
    shown = capsys.readouterr().out
    assert f"after {len(dbg.history)} accesses" in shown
    assert "next, source" in shown


def test_without_arguments_it_shows_where_the_debugger_stands(shell, dbg, capsys):
    shell.run_line_magic("vfio", "")
    assert "after 0 accesses" in capsys.readouterr().out
    assert dbg.history == []


def test_what_cannot_be_understood_is_said_and_nothing_is_done(shell, dbg, capsys):
    shell.run_line_magic("vfio", "until no such place")
    shell.run_line_magic("vfio", "frobnicate")
    shown = capsys.readouterr().out
    assert "'no such place' is no place" in shown
    assert "no command 'frobnicate'" in shown
    assert dbg.history == []


def test_the_side_that_was_chosen_stays_chosen(shell, dbg, capsys):
    shell.run_line_magic("vfio", "side source")
    shell.run_line_magic("vfio", "step 2")
    assert {fact.side for fact in dbg.history} == {"source"}


def test_another_debugger_is_used_by_its_name(shell, dbg, capsys):
    other = vfiokit.debug(*new_ends(), memory=1 << 20)
    shell.user_ns["other"] = other
    shell.run_line_magic("vfio", "use other")
    shell.run_line_magic("vfio", "step")
    assert (len(other.history), len(dbg.history)) == (1, 0)
    other.close()


@pytest.mark.parametrize("line", ["step", "use nobody"])
def test_without_a_debugger_it_says_how_to_make_one(shell, line):
    from IPython.core.error import UsageError

    with pytest.raises(UsageError, match=r"vfiokit\.debug\(source\)"):
        shell.run_line_magic("vfio", line)


def test_every_run_of_a_cell_is_recorded(shell, capsys, tmp_path):
    shell.user_ns.update(ends=new_ends, vfiokit=vfiokit)
    folder = tmp_path / "run.vfk"
    shell.run_cell_magic(
        "vfio_record", f"run -o {folder}", "report = vfiokit.migrate(*ends(), memory=1 << 20)"
    )
    run = shell.user_ns["run"]
    assert isinstance(run, Recording)
    assert "run = <Recording" in capsys.readouterr().out
    assert shell.user_ns["report"].verified
    assert Recording.load(folder).seq == run.seq > 100
    replayed = vfiokit.replay(run)
    assert isinstance(replayed, Debugger)
    assert replayed.finish().reason == "ended"


def test_of_several_runs_there_is_a_list_and_of_none_a_word(shell, capsys):
    shell.user_ns.update(ends=new_ends, vfiokit=vfiokit)
    shell.run_cell_magic("vfio_record", "two", "for _ in range(2): vfiokit.migrate(*ends(), memory=1 << 20)")
    assert [type(one) for one in shell.user_ns["two"]] == [Recording, Recording]
    shell.run_cell_magic("vfio_record", "none", "1 + 1")
    assert "nothing was recorded" in capsys.readouterr().out
    assert "none" not in shell.user_ns


def test_a_cell_that_fails_keeps_its_recording_and_its_error(shell, capsys):
    shell.user_ns.update(ends=new_ends, vfiokit=vfiokit)
    cell = "vfiokit.migrate(*ends(), memory=1 << 20)\nraise ValueError('after it')"
    with pytest.raises(ValueError, match="after it"):
        shell.run_cell_magic("vfio_record", "kept", cell)
    assert shell.user_ns["kept"].seq > 100
