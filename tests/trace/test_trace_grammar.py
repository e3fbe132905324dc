"""The grammar: what tracetool takes and what it refuses."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.errors import TraceError
from vfiokit.trace import EventSet, lint_text, load, parse, parse_file, render
from vfiokit.trace.conversions import Text, decode, put_together, take_apart
from vfiokit.trace.sets import names

# The order of the 17 events in the posting (v5 spec 8.1).
V5 = [
    "vfio_region_unmap",
    "vfio_migration_probe",
    "vfio_migration_set_state",
    "vfio_vmstate_change",
    "vfio_migration_state_notifier",
    "vfio_save_setup",
    "vfio_save_cleanup",
    "vfio_save_buffer",
    "vfio_update_pending",
    "vfio_save_device_config_state",
    "vfio_save_pending",
    "vfio_save_iterate",
    "vfio_save_complete_precopy",
    "vfio_load_device_config_state",
    "vfio_load_state",
    "vfio_load_state_device_data",
    "vfio_get_dirty_page_list",
]

OLDER = [
    "vfio_region_setup",
    "vfio_region_mmap_fault",
    "vfio_region_mmap",
    "vfio_region_exit",
    "vfio_region_finalize",
    "vfio_region_sparse_mmap_header",
    "vfio_region_sparse_mmap_entry",
    "vfio_get_dev_region",
    "vfio_pci_write_config",
]


def test_an_event_is_taken_apart():
    text = '# a comment\n\ndisable  vcpu name_1(const char *name, unsigned long  end, void **p) " %s" \n'
    events = parse(text, "x")
    event = events["name_1"]
    assert event.properties == ("disable", "vcpu")
    assert event.is_disabled
    assert [(a.ctype, a.name) for a in event.arguments] == [
        ("const char *", "name"),
        ("unsigned long", "end"),
        ("void **", "p"),
    ]
    assert (event.format, event.line, event.source) == ('" %s"', 3, "x")


def test_void_is_no_arguments_and_a_set_is_an_ordered_mapping():
    events = parse('b(void) ""\n   # skipped\na(int x) "%d"\n')
    assert list(events) == ["b", "a"]
    assert events["b"].arguments == ()
    assert "c" not in events
    with pytest.raises(KeyError):
        events["c"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(TraceError, match="vfio_save_setup"):
        load("v5").event("vfio_save_setp")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('e() "x"', "empty argument list"),
        ('e(int) "x"', "not TYPE NAME"),
        ('e(int a,) "x"', "not TYPE NAME"),
        ('e(hwaddr a) "x"', "'hwaddr' is not allowed"),
        ('e(struct x *a) "x"', "'struct' is not allowed"),
        ('enable e(void) "x"', "unknown property 'enable'"),
        ('e(int a) "%d\\n"', "new-line"),
        ('e(int a) "%d %m"', "%m is forbidden"),
        ("e(" + ", ".join(f"int a{i}" for i in range(11)) + ') "x"', "more than 10 arguments"),
        ("e(void", "not a trace event"),
        ("nothing at all", "not a trace event"),
        ('e (void) "x"', "not a trace event"),
    ],
)
def test_what_tracetool_refuses_is_refused_with_its_line(line, says):
    with pytest.raises(TraceError) as caught:
        parse(f'ok(void) ""\n{line}\n', "hw/vfio/trace-events")
    assert str(caught.value).startswith("hw/vfio/trace-events:2: ")
    assert says in str(caught.value)
    lenient = parse(f'ok(void) ""\n{line}\n', strict=False)
    assert "ok" in lenient
    assert any(says in refusal.message and refusal.fatal for refusal in lenient.refused)


def test_the_last_line_needs_its_new_line():
    with pytest.raises(TraceError, match="1: the file does not end with a new-line"):
        parse('e(void) "x"')


def test_a_name_declared_twice_is_refused():
    with pytest.raises(TraceError, match="3: e: event e is declared twice, first in line 1"):
        parse('e(void) "x"\nf(void) "x"\ne(void) "y"\n')


@pytest.mark.parametrize("rest", ["", ' , "%d"', ' %d"', " PRIx64"])
def test_what_is_not_a_quote_behind_the_arguments_is_silently_no_format(rest):
    assert parse(f"e(int a){rest}\n")["e"].format == ""


def test_mistakes_left_to_the_compiler_are_not_refused():
    assert parse('e(int a) "%s %q 0x%"PRIx6 "\n')["e"].format == '"%s %q 0x%"PRIx6 "'


def test_the_v5_sets():
    assert names() == ("v5", "v5-as-posted")
    for name in names():
        events = load(name)
        assert sorted(events) == sorted(V5 + OLDER)
        assert [event for event in events if event in V5] == V5
        assert events.refused == ()
    posted, sound = load("v5-as-posted"), load("v5")
    differ = [name for name in sound if sound[name].format != posted[name].format]
    assert differ == ["vfio_save_pending", "vfio_load_state_device_data"]
    assert posted[differ[0]].format.endswith('postcopy 0x%x"PRIx64" compatible 0x%""PRIx64')
    assert posted[differ[1]].format.endswith('size 0x%"PRIx6')
    assert all(sound[name].arguments == posted[name].arguments for name in sound)


def test_the_v5_events_stand_where_the_posting_has_them():
    events = load("v5")
    section = [name for name in events if events[name].line > events["vfio_get_dev_region"].line]
    assert section == V5[1:]
    assert list(events).index("vfio_region_unmap") == list(events).index("vfio_region_finalize") + 1


def test_an_unknown_set_is_answered_with_those_there_are():
    with pytest.raises(TraceError, match="v5-as-posted"):
        load("v4")


def test_files(tmp_path):
    path = tmp_path / "trace-events"
    path.write_text('e(void) "x"\n')
    assert isinstance(parse_file(path), EventSet)
    path.write_bytes(b'e(void) "\xff"\n')
    with pytest.raises(TraceError, match="UTF-8"):
        parse_file(path)
    assert "e" in parse_file(path, strict=False)
    with pytest.raises(TraceError, match="cannot be read"):
        parse_file(tmp_path / "none", strict=False)


WORDS = ["PRIx64", "PRIx6", "int ", "char *", "void", "%0x8"]
SOUP = st.lists(st.sampled_from([*'ab_ 1(),*"%\\x#dsn\n\t', *WORDS])).map("".join)


@settings(deadline=None)
@given(st.one_of(SOUP, st.binary().map(lambda raw: raw.decode("latin-1"))))
def test_hostile_files_give_findings_or_a_trace_error_and_nothing_else(text):
    render(lint_text(text))
    try:
        parse(text)
    except TraceError as error:
        assert "<trace-events>:" in str(error)


@settings(deadline=None)
@given(SOUP.map(lambda soup: f'e(char *a, uint64_t b, int c) "{soup}\n'))
def test_hostile_formats_are_taken_apart_without_a_loss(text):
    render(lint_text(text))


@pytest.mark.parametrize(
    "hostile", ["a" * 200_000, "a " * 100_000, '"' * 50_001, "e(int a) " + '"%' * 50_000]
)
def test_long_hostile_lines_take_no_long_time(hostile):
    assert lint_text(hostile + "\n")


INNER = st.lists(st.sampled_from([*"ab (),0x%", '\\"', "\\t", "%s", "%d", "%%", "%-5ld"])).map("".join)
LITERAL = INNER.map(lambda inner: f'"{inner}"')
SOUND = st.lists(st.one_of(LITERAL, st.sampled_from([" ", "PRIx64", "PRIu32", "\t"])), min_size=1)


@settings(deadline=None)
@given(SOUND)
def test_put_together_is_the_inverse_of_take_apart(pieces):
    source = "".join(pieces).strip()
    if "PRIx64PRI" not in source and "PRIu32PRI" not in source:
        assert put_together(take_apart(source)) == source


def test_escapes_are_decoded():
    assert take_apart(r'"a\"\x41\t"') == (Text(r"a\"\x41\t"),)
    assert decode(r"a\"\x41\t\\") == 'a"A\t\\'
