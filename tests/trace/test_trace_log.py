"""The log: the three prefixes, several releases at once, and everything else that is in a log."""

import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.trace import LogWriter, Record, Tracer, Unknown, load, parse, read_log, write_log

V5 = load("v5")
V7 = parse(
    'vfio_update_pending(const char *name, uint64_t pending) " (%s) pending 0x%"PRIx64\n'
    'vfio_migration_state_notifier(const char *name, const char *state) " (%s) state %s"\n',
    "v7",
)


def only(line, *sets):
    (item,) = read_log([line], *(sets or (V5,)))
    return item


@pytest.mark.parametrize(
    ("prefix", "time_ns", "thread"),
    [
        ("4711@1562650000.000042:", 1_562_650_000_000_042_000, 4711),
        ("2026-01-31T12:00:00.000001Z ", 1_769_860_800_000_001_000, None),
        ("2026-01-31T12:00:00.5Z ", 1_769_860_800_500_000_000, None),
        ("2026-01-31T12:00:00Z ", 1_769_860_800_000_000_000, None),
        ("", None, None),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_prefixes(prefix, time_ns, thread, end):
    record = only(f"{prefix}vfio_update_pending  (a b), pending 0x2a{end}")
    assert isinstance(record, Record)
    assert (record.time_ns, record.thread, record.args) == (time_ns, thread, ("a b", 42))
    assert record.event is V5["vfio_update_pending"]


def test_a_record_without_a_time_is_written_without_a_prefix():
    assert only("vfio_save_setup  (a)").line == "vfio_save_setup  (a)\n"


@pytest.mark.parametrize(
    ("line", "reason", "name"),
    [
        ("", "no trace event", None),
        ("qemu-system-x86_64: warning: foo", "no trace event", None),
        ("2026-01-31 12:00:00.000+0000: starting up libvirt", "no trace event", None),
        ("1@2.000003:savevm_section_start x", "no event savevm_section_start", "savevm_section_start"),
        ("2026-02-31T12:00:00Z vfio_save_setup  (a)", "the date does not exist", None),
        ("1@2.000003:vfio_save_setup  a", "differs at character 1 of the text, 'a'", "vfio_save_setup"),
        ("vfio_save_setup  (a) and more", "differs at character", "vfio_save_setup"),
        ("vfio_save_setup  (" + "a" * 9000, "longer than", None),
    ],
)
def test_what_is_not_an_event_is_kept_with_the_reason(line, reason, name):
    item = only(line)
    assert isinstance(item, Unknown)
    assert (item.number, item.line, item.name) == (1, line, name)
    assert reason in item.reason


def test_an_unknown_line_keeps_what_its_prefix_says():
    item = only("1@2.000003:savevm_section_start x")
    assert (item.time_ns, item.thread) == (2_000_003_000, 1)


def test_an_event_whose_format_is_malformed_stays_unknown():
    item = only("vfio_save_pending  (a), precopy 0x1", load("v5-as-posted"))
    assert isinstance(item, Unknown)
    assert "cannot be compiled" in item.reason


def test_several_releases_at_once():
    number = only("vfio_migration_state_notifier  (a) state 8", V5, V7)
    text = only("vfio_migration_state_notifier  (a) state completed", V5, V7)
    assert (number.args, text.args) == (("a", 8), ("a", "completed"))
    assert text.event.source == "v7"
    for line in ("vfio_update_pending  (a), pending 0x1", "vfio_update_pending  (a) pending 0x1"):
        for events in (V5, V7):
            assert only(line, events).args == ("a", 1)


def value(argument):
    if argument.type.is_text:
        return st.text(st.characters(codec="utf-8", exclude_characters='()[]",\n\r'), max_size=12).filter(
            lambda text: " " not in text
        )
    return st.integers(*argument.type.range)


EMITTED = st.lists(
    st.sampled_from(sorted(V5)).flatmap(
        lambda name: st.tuples(st.just(name), st.tuples(*map(value, V5[name].arguments)))
    ),
    max_size=10,
)


@settings(deadline=None)
@given(EMITTED, st.integers(0, 2**60))
def test_emit_log_read_gives_the_same_at_microseconds(emitted, start):
    ticks = itertools.count(start, 1_234_567)
    tracer = Tracer(V5, clock=lambda: next(ticks), thread=lambda: 4711)
    file = io.StringIO()
    tracer.subscribe(LogWriter(file))
    for name, args in emitted:
        tracer.emit(name, *args)
    again = io.StringIO()
    assert write_log(tracer, again) == len(emitted)
    assert file.getvalue() == again.getvalue()
    back = list(read_log(io.StringIO(file.getvalue()), V5))
    assert back == [
        Record(record.time_ns // 1000 * 1000, 4711, record.event, record.args) for record in tracer
    ]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n"))))
def test_any_lines_are_read_without_an_error(lines):
    heads = [
        "vfio_save_buffer ",
        "1@2.000003:vfio_vmstate_change ",
        "2026-01-31T12:00:00Z vfio_get_dev_region ",
        "",
    ]
    mixed = [head + line for line in lines for head in heads]
    items = list(read_log(mixed, V5))
    assert len(items) == len(mixed)


def test_a_front_door_lists_what_there_is():
    import vfiokit.trace

    assert all(hasattr(vfiokit.trace, name) for name in vfiokit.trace.__all__)
