"""The lint: the mistakes of 2019, one event a rule, and GCC as the second opinion."""

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfiokit.trace import exit_code, lint, lint_file, lint_text, load, parse, render, to_json
from vfiokit.trace.format_rules import check
from vfiokit.trace.hosts import HOSTS, MACROS

EVERYWHERE = tuple(host.name for host in HOSTS)


def found(line):
    return lint_text(line + "\n")


def rules(line, *severities):
    return [f.rule for f in found(line) if not severities or f.severity in severities]


def test_vfio_save_pending_as_posted():
    findings = [f for f in lint(load("v5-as-posted")) if f.event == "vfio_save_pending"]
    assert [(f.rule, f.severity, f.argument) for f in findings] == [
        ("F1", "error", "compatible"),
        ("F3", "error", "postcopy"),
        ("F6", "error", "postcopy"),
    ]
    assert "no partner" in findings[0].message
    assert "%x is complete without PRIx64" in findings[1].message
    assert "upper one where big-endian" in findings[2].message
    assert findings[2].hosts == EVERYWHERE
    minimal = '" (%s), precopy 0x%"PRIx64" postcopy 0x%"PRIx64" compatible 0x%"PRIx64'
    assert {f.corrected for f in findings} == {minimal}


def test_vfio_load_state_device_data_as_posted():
    findings = [f for f in lint(load("v5-as-posted")) if f.event == "vfio_load_state_device_data"]
    assert [(f.rule, f.severity, f.argument) for f in findings] == [
        ("F2", "error", "data_size"),
        ("F4", "error", "data_size"),
        ("F5", "error", "data_size"),
    ]
    assert "PRIx6 is no macro of inttypes.h; the nearest is PRIx64" in findings[0].message
    assert {f.corrected for f in findings} == {'" (%s), Offset 0x%"PRIx64" size 0x%"PRIx64'}


def test_v6_repaired_one_half():
    v6 = '" (%s), precopy 0x%"PRIx64" postcopy 0x%x"PRIx64" compatible 0x%"PRIx64'
    line = f"vfio_save_pending(char *name, uint64_t precopy, uint64_t postcopy, uint64_t compatible) {v6}"
    assert rules(line, "error") == ["F3", "F6"]


def test_the_corrected_set_has_one_warning_and_no_error():
    findings = [f for f in lint(load("v5")) if f.severity != "note"]
    assert [(f.rule, f.severity, f.event) for f in findings] == [("F9", "warning", "vfio_get_dev_region")]
    assert findings[0].corrected == '"%s index %d, %08x/%08x"'
    assert exit_code(lint(load("v5"))) == 0
    assert exit_code(lint(load("v5-as-posted"))) == 1


@pytest.mark.parametrize(
    ("line", "rule", "argument", "corrected"),
    [
        # F1
        ("e(void)", "F1", None, None),
        ('e(int a), "%d"', "F1", None, '"%d"'),
        ('e(int a) "%d', "F1", None, '"%d"'),
        ('e(int a) "%d",', "F1", "a", '"%d"'),
        ('e(int a) "%d" foo', "F1", None, None),
        ('e(int a) "%d \\q"', "F1", None, None),
        # F2, F3, F4
        ('e(uint64_t a) "%"PRIx65', "F2", "a", '"%"PRIx64'),
        ('e(int64_t a) "%"PRIz64', "F2", "a", '"%"PRId64'),
        ('e(uint64_t a) "size "PRIx64', "F3", "a", '"size %"PRIx64'),
        ('e(uint64_t a) "%l"PRIx64', "F3", "a", '"%"PRIx64'),
        ('e(uint64_t a) "0x%"', "F4", "a", '"0x%"PRIx64'),
        ('e(uint64_t a) "0x%PRIx64"', "F4", "a", '"0x%"PRIx64'),
        ('e(const char *a) "(%)"', "F4", "a", None),
        ('e(int a, uint64_t b) "%% %d "PRIx64', "F3", "b", '"%% %d %"PRIx64'),
        # F5
        ('e(int a, int b) "%d"', "F5", "b", None),
        ('e(int a) "%s %d"', "F5", None, None),
        ('e(int a) "%*d"', "F5", None, None),
        # F6
        ('e(uint64_t a) "0x%x end"', "F6", "a", '"0x%"PRIx64" end"'),
        ('e(uint64_t a, int b) "%08x %d"', "F6", "a", '"%08"PRIx64" %d"'),
        ('e(int a) "0x%"PRIx64" end"', "F6", "a", '"0x%x end"'),
        ('e(int a) "%s"', "F6", "a", '"%d"'),
        ('e(const char *a) "%d"', "F6", "a", '"%s"'),
        ('e(void *a) "%d"', "F6", "a", '"%p"'),
        ('e(int a) "%p"', "F6", "a", '"%d"'),
        ('e(size_t a) "%lu"', "F6", "a", '"%zu"'),
        ('e(size_t a) "%d"', "F6", "a", '"%zd"'),
        ('e(unsigned long a) "%"PRIu64', "F6", "a", '"%lu"'),
        ('e(uintptr_t a) "0x%x"', "F6", "a", '"0x%"PRIxPTR'),
        ('e(ptrdiff_t a) "%d"', "F6", "a", '"%td"'),
        ('e(uint32_t a) "%lx"', "F6", "a", '"%x"'),
        ('e(const char *a) "%8d"', "F6", "a", '"%8s"'),
        ('e(int a) "%s \\q"', "F6", "a", None),
        # F7
        ('e(uint64_t a) "0x%lx"', "F7", "a", '"0x%"PRIx64'),
        ('e(int64_t a) "%lld"', "F7", "a", '"%"PRId64'),
        # F9 to F11
        ('e(int a) "%0x8"', "F9", "a", '"%08x"'),
        ('e(int a) "%0x16:"', "F9", "a", '"%016x:"'),
        ('e(int a) "%d\\n"', "F10", None, '"%d"'),
        ('e(int a) "%d\\n%%"', "F10", None, None),
        ('e(int a) "%d %m"', "F10", None, None),
        ('e(int *a) "%n"', "F10", None, None),
        ('e(unsigned a) "%#x"', "F10", "a", '"0x%x"'),
        ('e(unsigned a) "0x%#x"', "F10", "a", '"0x%x"'),
        ('e(unsigned a) "0x%u"', "F11", "a", '"0x%x"'),
        ('e(uint64_t a) "0x%"PRIu64', "F11", "a", '"0x%"PRIx64'),
    ],
)
def test_each_rule_names_the_argument_and_the_correction(line, rule, argument, corrected):
    findings = [f for f in found(line) if f.rule == rule and f.severity != "note"]
    assert len(findings) == 1
    assert findings[0].argument == argument
    assert findings[0].corrected == corrected
    assert (findings[0].event, findings[0].line) == ("e", 1)


def test_percent_n_takes_its_argument():
    assert rules('e(int *a, int b) "%n %d"') == ["F10"]


def test_on_which_hosts():
    def hosts(line, rule):
        return next(f.hosts for f in found(line) if f.rule == rule)

    assert hosts('e(uint64_t a) "0x%lx"', "F7") == (
        "linux-32", "linux-32-big-endian", "macos-64", "windows-64",
    )  # fmt: skip
    assert hosts('e(uint64_t a) "0x%llx"', "F7") == ("linux-64", "linux-64-big-endian")
    assert hosts('e(size_t a) "%u"', "F6") == ("linux-64", "linux-64-big-endian", "macos-64", "windows-64")
    assert hosts('e(uint64_t a) "%d"', "F6") == EVERYWHERE


@pytest.mark.parametrize(
    "line",
    [
        'e(uint64_t a) "0x%"PRIx64""',
        'e(uint64_t a) "\\"a\\" 0x%" PRIx64 "\tb"',
        'e(int a, const char *b) "%*s"',
        'e(int a) "100%% %d"',
        'e(uint8_t a, bool b, short c, char d) "%u %d %hd %c"',
        'e(long a, unsigned long b, size_t c, ssize_t d) "%ld %lu %zu %zd"',
        'e(void *a, const void *b) "%p %p"',
        'vcpu e(int a) "%d"',
        'e(void) ""',
    ],
)
def test_sound_formats_have_no_finding(line):
    assert rules(line, "error", "warning") == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('e(uint32_t a) "%d"', "F8"),
        ('e(int a) "0x%x"', "F8"),
        ('e(unsigned a) "%x"', "F11"),
        ('e(int in) "%d"', "F13"),
        ('a_1(void) "x"\nb_2(void) "x"\na_3(void) "x"', "F13"),
    ],
)
def test_notes_leave_the_exit_code_alone(line, says):
    findings = found(line)
    assert [(f.rule, f.severity, f.corrected) for f in findings] == [(says, "note", None)]
    assert exit_code(findings) == 0


@pytest.mark.parametrize(
    "text",
    [
        'e(hwaddr a) "x"\n',
        'e() "x"\n',
        'foo e(void) "x"\n',
        'e(void) "x"\ne(void) "y"\n',
        'e(void) "x"',
        "e(" + ", ".join(f"int a{i}" for i in range(11)) + ') "' + "%d" * 11 + '"\n',
        'e(int a, int a) "%d %d"\n',
    ],
)
def test_f12_is_what_the_grammar_asks_for(text):
    findings = lint_text(text)
    assert "F12" in [f.rule for f in findings if f.severity == "error"]
    assert exit_code(findings) == 1


def test_a_file_is_rendered_for_people_and_for_programs(tmp_path):
    path = tmp_path / "trace-events"
    path.write_text('# c\ne(uint64_t a) "0x%lx"\n')
    findings = lint_file(path)
    assert render(findings) == (
        f"{path}:2: error F7: e: %lx for uint64_t a is right only where int64_t is that type; "
        "use a PRI macro\n"
        "    on:    linux-32, linux-32-big-endian, macos-64, windows-64\n"
        '    write: "0x%"PRIx64\n'
        "1 error, 0 warnings, 0 notes\n"
    )
    assert json.loads(json.dumps(to_json(findings)))[0]["rule"] == "F7"
    assert render([]) == "0 errors, 0 warnings, 0 notes\n"


PIECES = st.sampled_from(
    [
        *'ab0x8"',
        "%",
        "%x",
        "%d",
        "%s",
        "%0x8",
        "%lx",
        "%p",
        '"PRIx64"',
        '"PRIx6"',
        '"PRIu32',
        ' "',
        "%#x",
        "\\n",
    ]
)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["char *", "uint64_t ", "int ", "size_t ", "void *"]), max_size=4),
    st.lists(PIECES, max_size=9).map("".join),
)
def test_a_correction_leaves_nothing_to_correct(types, middle):
    arguments = ", ".join(f"{type_}a{i}" for i, type_ in enumerate(types)) or "void"
    for finding in lint_text(f'e({arguments}) "{middle}\n'):
        if finding.corrected is not None:
            again = lint_text(f"e({arguments}) {finding.corrected}\n")
            assert [f for f in again if f.severity != "note" and f.rule != "F12"] == []


# The second opinion

TYPES = [
    *("bool", "char", "int8_t", "uint8_t", "short", "uint16_t", "int", "unsigned", "int32_t", "uint32_t"),
    *("long", "unsigned long", "long long", "int64_t", "uint64_t", "size_t", "ssize_t", "ptrdiff_t"),
    *("uintptr_t", "void *", "const char *", "char *", "const void *", "uint64_t *", "int *"),
]
CONVERSIONS = [
    *(f'"%{length}{letter}"' for length in ("", "h", "hh", "l", "ll", "z", "t", "j") for letter in "diouxX"),
    *(f'"%"{macro}' for macro in MACROS if macro[3] in "dux"),
    '"%s"', '"%p"', '"%c"', '"%08x"', '"%-5d"', '"%0x8"', '"%%"', '"%d %d"', '"x"', '"%"', '"%f"', '"%*d"',
]  # fmt: skip

ON_32 = """typedef __INT8_TYPE__ int8_t; typedef __UINT8_TYPE__ uint8_t; typedef __UINT16_TYPE__ uint16_t;
typedef __INT32_TYPE__ int32_t; typedef __UINT32_TYPE__ uint32_t; typedef __INT64_TYPE__ int64_t;
typedef __UINT64_TYPE__ uint64_t; typedef __SIZE_TYPE__ size_t; typedef int ssize_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t; typedef __UINTPTR_TYPE__ uintptr_t; typedef _Bool bool;
"""


def macro_on_32(macro):
    kind = macro[4:]
    length = (
        "ll"
        if kind.endswith("64") or kind == "MAX"
        else {"8": "hh", "16": "h"}.get(kind.removeprefix("LEAST"), "")
    )
    return f'#define {macro} "{"hh" if kind == "FAST8" else length}{macro[3]}"\n'


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize(("flag", "host"), [("-m64", "linux-64"), ("-m32", "linux-32")])
def test_lint_and_gcc_agree_on_every_pair_of_type_and_conversion(tmp_path, flag, host):
    cases = [(type_, source) for type_ in TYPES for source in CONVERSIONS]
    headers = "#include <inttypes.h>\n#include <stddef.h>\n#include <stdbool.h>\n#include <sys/types.h>\n"
    if flag == "-m32":  # without a 32-bit C library
        headers = ON_32 + "".join(map(macro_on_32, MACROS))
    program = [headers, "extern void out(const char *, ...) __attribute__((format(printf, 1, 2)));\n"]
    for number, (type_, source) in enumerate(cases):
        program.append(
            f'#line {number + 1} "cases"\nvoid f{number}({type_} a) {{ out("e " {source} "\\n", a); }}\n'
        )
    (tmp_path / "cases.c").write_text("".join(program))
    command = ["gcc", flag, "-Wall", "-Wformat", "-fsyntax-only", "-fno-diagnostics-show-caret", "cases.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert "error:" not in done.stderr
    by_gcc = {int(line) - 1 for line in re.findall(r"^cases:(\d+):\d+: warning", done.stderr, re.MULTILINE)}
    assert len(by_gcc) > 100
    by_lint = set()
    for number, (type_, source) in enumerate(cases):
        event = parse(f"e({type_} a) {source}\n")["e"]
        if any(i.severity == "error" and (not i.hosts or host in i.hosts) for i in check(event)):
            by_lint.add(number)
    assert [cases[i] for i in sorted(by_lint ^ by_gcc)] == []


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize(
    "source",
    [
        '" 0x%""PRIx64', '"0x%"PRIx6', '"0x%"PRIz64', '"%d', '"%d" foo', '"0x%x"PRIx64"', '"%d"',
        '"0x%"PRIx64', '"%"PRIx64""', '"0x%" PRIx64 " \\"b\\""',
    ],
)  # fmt: skip
def test_lint_and_gcc_agree_on_broken_quotes_and_macros(tmp_path, source):
    headers = "#include <inttypes.h>\n#include <stdio.h>\n"
    program = headers + f'void f(uint64_t a) {{ printf("e " {source} "\\n", a); }}\n'
    (tmp_path / "one.c").write_text(program)
    command = ["gcc", "-Wall", "-Wformat", "-Werror", "-fsyntax-only", "one.c"]
    refused = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode != 0
    )
    assert bool(rules(f"e(uint64_t a) {source}", "error")) == refused


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize(
    ("name", "events"), [("v5", ()), ("v5-as-posted", ("vfio_save_pending", "vfio_load_state_device_data"))]
)
def test_gcc_refuses_the_two_events_as_posted_and_no_other(tmp_path, name, events):
    refused = []
    for event in load(name).values():
        declared = ", ".join(map(str, event.arguments))
        passed = ", ".join(argument.name for argument in event.arguments)
        (tmp_path / "one.c").write_text(
            "#include <inttypes.h>\n#include <stdio.h>\n"
            f'void f({declared}) {{ printf("{event.name} " {event.format} "\\n", {passed}); }}\n'
        )
        command = ["gcc", "-Wall", "-Wformat", "-Werror", "-fsyntax-only", "one.c"]
        if subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, check=False).returncode:
            refused.append(event.name)
    assert refused == list(events)
