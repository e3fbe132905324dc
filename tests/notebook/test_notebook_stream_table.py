"""A stream in a cell: rows, the runs of pages, the bar; and text from a stream is text."""

import re

import vfiokit
from vfiokit.notebook.stream_table import stream_bar, stream_table
from vfiokit.vmm.stream_items import Item, read_items


def items_of(tmp_path, memory):
    path = tmp_path / "stream"
    with vfiokit.open("emulated:v5?state=32K&chunk=16K&dirty=20M/s") as device:
        vfiokit.save_file(device, path, memory=memory)
    return list(read_items(path.read_bytes()))


def test_each_item_is_a_row_but_long_runs_of_pages(tmp_path):
    items = items_of(tmp_path, memory=0)
    assert stream_table(items)._repr_html_().count("<tr") == len(items)
    many = stream_table(items_of(tmp_path, memory=256 << 10))
    assert str(many).count("64 pages of guest memory") == 1
    assert "VFIO_MIG_FLAG_DEV_CONFIG_STATE" in many._repr_html_()


def test_the_bar_has_every_section_and_the_stop(tmp_path):
    items = items_of(tmp_path, memory=64 << 10)
    bar = stream_bar(items)
    sections = sum(item.what == "section type" and item.data[0] != 0 for item in items)
    assert bar._repr_html_().count("min-width") == sections
    runs, stopped = re.findall(r"in (\d+) sections", str(bar))
    assert (int(runs) + int(stopped), int(stopped)) == (sections, 2)


def test_text_of_a_stream_is_text():
    evil = "<script>alert(1)</script>"
    items = [Item(0, memoryview(b"x"), "idstr", evil, f"1 END {evil}")]
    for shown in (stream_table(items), stream_bar(items)):
        assert "<script" not in shown._repr_html_()
