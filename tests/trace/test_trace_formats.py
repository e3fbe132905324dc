"""Formats at work: the text of each v5 event, C's printf as the oracle, and the way back."""

import shutil
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vfiokit.errors import TraceError
from vfiokit.trace import compile_format, load, parse

N = "0000:3b:00.1"
MAX = 2**64 - 1

# By hand, from the formats as the v5 posting has them.
GOLDEN = {
    "vfio_region_unmap": (
        ("migration mmaps[0]", 0x1000, 0x8FFF),
        "Region migration mmaps[0] unmap [0x1000 - 0x8fff]",
    ),
    "vfio_migration_probe": ((N, 9), " (0000:3b:00.1) Region 9"),
    "vfio_migration_set_state": ((N, 0xFFFFFFFF), " (0000:3b:00.1) state -1"),
    "vfio_vmstate_change": (
        (N, 0, "finish-migrate", 2),
        " (0000:3b:00.1) running 0 reason finish-migrate device state 2",
    ),
    "vfio_migration_state_notifier": ((N, 8), " (0000:3b:00.1) state 8"),
    "vfio_save_setup": ((N,), " (0000:3b:00.1)"),
    "vfio_save_cleanup": ((N,), " (0000:3b:00.1)"),
    "vfio_save_buffer": (
        (N, 0x1000, 0xABC, MAX),
        " (0000:3b:00.1), Offset 0x1000 size 0xabc pending 0xffffffffffffffff",
    ),
    "vfio_update_pending": ((N, 0), " (0000:3b:00.1), pending 0x0"),
    "vfio_save_device_config_state": ((N,), " (0000:3b:00.1)"),
    "vfio_save_pending": ((N, 1, 2, 0xF00), " (0000:3b:00.1), precopy 0x1 postcopy 0x2 compatible 0xf00"),
    "vfio_save_iterate": ((N, -1), " (0000:3b:00.1) data_size -1"),
    "vfio_save_complete_precopy": ((N,), " (0000:3b:00.1)"),
    "vfio_load_device_config_state": ((N,), " (0000:3b:00.1)"),
    "vfio_load_state": ((N, 0xFFFFFFFFEF100003), " (0000:3b:00.1) data 0xffffffffef100003"),
    "vfio_load_state_device_data": ((N, 0x1000, 0x20), " (0000:3b:00.1), Offset 0x1000 size 0x20"),
    "vfio_get_dirty_page_list": (
        (N, 16, 32, 4096),
        " (0000:3b:00.1) start 0x10 pfn_count 0x20 page size 0x1000",
    ),
    "vfio_region_setup": (
        ("d", 9, "migration", 7, 4096, 2**40),
        'Device d, region 9 "migration", flags: 0x7, offset: 0x1000, size: 0x10000000000',
    ),
    "vfio_region_mmap_fault": (("r", 1, 0, 0xFFF, -12), "Region r mmaps[1], [0x0 - 0xfff], fault: -12"),
    "vfio_region_mmap": (("r", 0, 0xFFF), "Region r [0x0 - 0xfff]"),
    "vfio_region_exit": (("r", 9), "Device r, region 9"),
    "vfio_region_finalize": (("r", 9), "Device r, region 9"),
    "vfio_region_sparse_mmap_header": ((None, 9, 1), "Device (null) region 9: 1 sparse mmap entries"),
    "vfio_region_sparse_mmap_entry": ((0, 0x1000, 0x9000), "sparse entry 0 [0x1000 - 0x9000]"),
    "vfio_get_dev_region": ((N, 9, 3, 1), "0000:3b:00.1 index 9, 00000003/18"),
    "vfio_pci_write_config": ((N, 4, 0x103, 2), " (0000:3b:00.1, @0x4, 0x103, len=0x2)"),
}


def test_there_is_a_golden_text_for_each_event():
    assert set(GOLDEN) == set(load("v5"))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_texts_both_ways(name):
    args, text = GOLDEN[name]
    format_ = compile_format(load("v5")[name])
    assert format_.text(args) == text
    assert format_.read(text) == args


COMMA = ["vfio_save_buffer", "vfio_update_pending", "vfio_save_pending", "vfio_load_state_device_data"]


@pytest.mark.parametrize("name", COMMA)
def test_the_comma_behind_the_name_may_be_missing(name):
    args, text = GOLDEN[name]
    assert compile_format(load("v5")[name]).read(text.replace("), ", ") ", 1)) == args


def test_a_format_without_the_comma_reads_a_text_with_it():
    v7 = parse('vfio_update_pending(const char *name, uint64_t pending) " (%s) pending 0x%"PRIx64\n')
    format_ = compile_format(v7["vfio_update_pending"])
    assert format_.text((N, 5)) == " (0000:3b:00.1) pending 0x5"
    assert format_.read(" (0000:3b:00.1), pending 0x5") == (N, 5)


@pytest.mark.parametrize("name", ["vfio_save_pending", "vfio_load_state_device_data"])
def test_the_formats_as_posted_cannot_be_compiled(name):
    with pytest.raises(TraceError, match=f"v5-as-posted.trace-events:[0-9]+: {name}"):
        compile_format(load("v5-as-posted")[name])


@pytest.mark.parametrize("format_", ['"%d %d"', '"%s"', '"%n"', '"%*d"', '"%f"', '"%', '"%d" x'])
def test_what_cannot_be_printed_is_a_trace_error(format_):
    with pytest.raises(TraceError):
        compile_format(parse(f"e(int a) {format_}\n")["e"])


@pytest.mark.parametrize(
    "text",
    ["", " (a)", " (a), pending 0x", " (a), pending 0xg", " (a), pending 0x1 ", " (a), pending 5",
     " (a), pending 0x" + "f" * 17, " (a), pending 0x" + "1" * 5000, " (a), pending 0x\u0661"],
)  # fmt: skip
def test_a_text_of_another_format_is_not_read(text):
    assert compile_format(load("v5")["vfio_update_pending"]).read(text) is None


def test_a_number_the_conversion_cannot_print_is_not_read():
    format_ = compile_format(load("v5")["vfio_save_iterate"])
    assert format_.read(" (a) data_size 4294967296") is None
    assert format_.read(" (a) data_size " + "9" * 5000) is None
    assert format_.read(" (a) data_size -2147483648") == ("a", -(2**31))


def test_where_a_text_leaves_the_format():
    format_ = compile_format(load("v5")["vfio_save_buffer"])
    assert format_.mismatch(" (a), Offset 0x1 siz 0x2") == len(" (a), Offset 0x1 siz")
    assert format_.mismatch("") == 0


VALUES = {
    "int": [0, 1, -1, 2**31 - 1, -(2**31), 255],
    "uint8_t": [0, 65, 255],
    "short": [0, 97, -32768],
    "uint32_t": [0, 1, 2**31, 2**32 - 1],
    "uint64_t": [0, 1, 2**31, 2**32 + 5, MAX],
    "int64_t": [0, -1, -(2**63), 2**40],
    "long": [0, -5, 2**40],
    "size_t": [0, 4096, MAX],
    "const char *": ["", "abc", "a b"],
    "void *": [0, 0x1234],
}
SPECS = {
    "int": [
        "%d",
        "%i",
        "%u",
        "%x",
        "%X",
        "%o",
        "%5d",
        "%05d",
        "%-5d|",
        "%+d",
        "% d",
        "%.3d",
        "%08x",
        "%#x",
        "%0x8",
        "%hhd",
        "%hx",
        "%.0d",
        "%08.3d",
        "%#o",
        "%8.4x",
        "%#8x|",
    ],
    "uint8_t": ["%u", "%x", "%+u", "% x", "%c", "%02x"],
    "short": ["%d", "%hd", "%c"],
    "uint32_t": ["%d", "%u", "%x", '%"PRIx32"', '%08"PRIX32"'],
    "uint64_t": [
        '%"PRIx64"',
        '%"PRIu64"',
        '%016"PRIx64"',
        '%20"PRIu64"',
        '%-20"PRIx64"|',
        "%lx",
        '%"PRIo64"',
    ],
    "int64_t": ['%"PRId64"', '%+"PRIi64"', '%"PRIx64"'],
    "long": ["%ld", "%lx", "%lu"],
    "size_t": ["%zu", "%zx"],
    "const char *": ["%s", "%5s|", "%-5s|", "%.2s|", "%s%%"],
    "void *": ["%p", "%8p|"],
}


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_texts_are_those_of_printf(tmp_path):
    calls, expected = [], []
    for type_, specs in SPECS.items():
        for spec in specs:
            format_ = compile_format(parse(f'e({type_} a) "[{spec}]"\n')["e"])
            for value in VALUES[type_]:
                if isinstance(value, str):
                    literal = f'"{value}"'
                elif type_ in ("int64_t", "long"):
                    literal = f"({type_})({value + 1}LL - 1)"
                else:
                    literal = f"({type_}){value % 2**64}ULL"
                if spec == "%c" and value == 0:
                    continue
                calls.append(f'printf("[{spec}]\\n", {literal});')
                expected.append(format_.text((value,)))
    (tmp_path / "p.c").write_text(
        "#include <inttypes.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {\n"
        + "\n".join(calls) + "\nreturn 0; }\n"
    )  # fmt: skip
    subprocess.run(["cc", "-w", "-o", "p", "p.c"], cwd=tmp_path, check=True, timeout=60)
    done = subprocess.run(["./p"], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    assert done.stdout.decode("latin-1").splitlines() == expected


# Round trips

NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="()\n\r"), max_size=20)
WHOLE = {
    "int": ["%d", "%i", "0x%x", "%5d", "%05d", "%-7d", "%.3d", "%+d", "%08x", "%#x", "%o", "%u"],
    "uint32_t": ["%d", "%u", "0x%x", "%08X"],
    "uint64_t": ['0x%"PRIx64"', '%"PRIu64"', '%20"PRIu64"', '%"PRId64"'],
    "int64_t": ['%"PRId64"', '0x%"PRIx64"'],
    "size_t": ["%zu"],
    "int8_t": ["%d", "%hhx"],
    "bool": ["%d"],
    "void *": ["%p"],
    "const char *": ["%s"],
}


@st.composite
def printed(draw):
    types = draw(st.lists(st.sampled_from(sorted(WHOLE)), max_size=5))
    arguments, source, values = [], "", []
    for at, type_ in enumerate(types):
        source += draw(st.sampled_from(["|", " (", "), ", "%% |", "\\t;"])) + draw(
            st.sampled_from(WHOLE[type_])
        )
        arguments.append(f"{type_} a{at}")
        low, high = parse(f'e({type_} a) ""\n')["e"].arguments[0].type.range
        values.append(draw(st.none() | NAMES) if "char" in type_ else draw(st.integers(low, high)))
    event = parse(f'e({", ".join(arguments) or "void"}) "{source}|"\n')["e"]
    return event, tuple(values)


@settings(deadline=None)
@given(printed())
def test_what_is_printed_whole_is_read_back(case):
    event, values = case
    strings = [value for value in values if isinstance(value, str)]
    # A string that looks like the format's own text can be read in two ways.
    assume(not any(mark in string for string in strings for mark in "|;%\t"))
    assume("(null)" not in strings)
    format_ = compile_format(event)
    text = format_.text(values)
    assert format_.read(text) == values
    assert format_.mismatch(text) == len(text)
