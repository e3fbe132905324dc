"""The cpio writer, read back by an independent reader of the newc format."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.errors import LabError
from vfiokit.lab.initrd import Archive

names = st.text("abcxyz_.-é", min_size=1, max_size=12).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


def read_newc(data: bytes):
    """Return ``(name, mode, content)`` of each entry up to the trailer."""
    entries, at = [], 0
    while True:
        assert data[at : at + 6] == b"070701"
        values = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = values[6], values[11]
        start = at + 110
        assert data[start + name_size - 1] == 0
        name = data[start : start + name_size - 1].decode()
        start = -(-(start + name_size) // 4) * 4
        content = data[start : start + size]
        at = -(-(start + size) // 4) * 4
        if name == "TRAILER!!!":
            assert at == len(data)
            return entries
        entries.append((name, values[1], content))


@given(st.dictionaries(paths, st.binary(max_size=40), max_size=6))
def test_files_come_back_with_their_folders_before_them(files):
    archive, kept = Archive(), {}
    for name, data in files.items():
        try:
            archive.file(name, data)
        except LabError:  # "a" and "a/b" cannot both be files
            continue
        kept[name] = data
    entries = read_newc(archive.finish())
    assert {name: data for name, mode, data in entries if stat.S_ISREG(mode)} == kept
    seen = set()
    for name, mode, _ in entries:
        parent = name.rpartition("/")[0]
        assert not parent or parent in seen
        if stat.S_ISDIR(mode):
            seen.add(name)
    assert len({name for name, _, _ in entries}) == len(entries)


def test_modes_and_links():
    archive = Archive()
    archive.file("init", b"#!", executable=True)
    archive.link("bin/sh", "busybox")
    archive.folders(["proc"])
    entries = {name: (oct(mode), data) for name, mode, data in read_newc(archive.finish())}
    assert entries == {
        "init": ("0o100755", b"#!"),
        "bin": ("0o40755", b""),
        "bin/sh": ("0o120777", b"busybox"),
        "proc": ("0o40755", b""),
    }


@pytest.mark.parametrize("name", ["", "/etc", "../up", "a/../b", "TRAILER!!!", "twice", "twice/below"])
def test_refuses(name):
    archive = Archive()
    archive.file("twice", b"")
    with pytest.raises(LabError, match="initrd"):
        archive.file(name, b"")
