"""Trace events, as QEMU declares, prints and logs them.

* :class:`Tracer` emits and keeps events; :func:`sets.load <vfiokit.trace.sets.load>` has the declarations
* :func:`parse` and :func:`parse_file` read a trace-events file
* :func:`lint_file` finds the mistakes in one that QEMU's own tools let through
* :func:`read_log` and :func:`write_log` read and write QEMU's trace log

Each error is a :class:`vfiokit.errors.TraceError`.
"""

from vfiokit.trace.emitter import Probe, Tracer
from vfiokit.trace.formats import Format, compile_format
from vfiokit.trace.grammar import Argument, Event, EventSet, parse, parse_file
from vfiokit.trace.lint import Finding, exit_code, lint, lint_file, lint_text, render, to_json
from vfiokit.trace.log import LogWriter, Unknown, read_log, write_log
from vfiokit.trace.record import Record
from vfiokit.trace.sets import load

__all__ = (  # noqa: RUF022  most to least important
    "Tracer",
    "Probe",
    "Record",
    "Event",
    "EventSet",
    "Argument",
    "Format",
    "Finding",
    "Unknown",
    "LogWriter",
    "load",
    "parse",
    "parse_file",
    "compile_format",
    "lint",
    "lint_file",
    "lint_text",
    "render",
    "to_json",
    "exit_code",
    "read_log",
    "write_log",
)  # fmt: skip
