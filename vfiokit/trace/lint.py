"""Find the mistakes in a trace-events file that tracetool lets through.

tracetool does not compare a format with its arguments; the C compiler does, and only in builds whose trace
backend prints, and only for the host at hand. So a mistake is found weeks later by somebody else's build, as
those in the 2019 posting of VFIO migration were. :func:`lint_file` finds it on any machine, for all hosts:

===== ======= =========================================================================================
rule  is      what must hold
===== ======= =========================================================================================
F1    error   a format follows the arguments, made of whole literals and macros
F2    error   a PRI word outside the quotes is a macro of ``inttypes.h``
F3    error   a macro completes a ``%`` at the end of the literal before it
F4    error   a ``%`` at the end of a literal has a macro behind it; inside, a conversion letter
F5    error   as many conversions as arguments
F6    error   each conversion fits the type of its argument, on every host
F7    error   64-bit integers are not printed with ``%l`` or ``%ll``
F8    note    signs agree
F9    warning ``%0`` has a width
F10   error   no ``%m``, ``%n``, new-line; warning: no ``%#``
F11   warning ``0x`` stands before hexadecimal only; note: and before all hexadecimal
F12   error   what the grammar asks for: types, names, at most 10 arguments, a new-line at the end
F13   note    the name starts like its neighbours'; no argument is named like a D or SystemTap keyword
===== ======= =========================================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from vfiokit.trace import format_rules
from vfiokit.trace.corrections import correct
from vfiokit.trace.grammar import Event, EventSet, parse, parse_file
from vfiokit.trace.hosts import HOSTS

__all__ = ("Finding", "exit_code", "lint", "lint_file", "lint_text", "render", "to_json")

Severity = Literal["error", "warning", "note"]

# Reserved in a DTrace D file and in a SystemTap tapset (QEMU scripts/tracetool/format/d.py, stap.py).
_D_WORDS = """auto break case char const continue counter default do double else enum extern float for goto
if import inline int long offsetof probe provider register restrict return self short signed sizeof static
string stringof struct switch this translator typedef union unsigned void volatile while xlate"""
_STAP_WORDS = """break catch continue delete else for foreach function global if in limit long next probe
return self string try while"""
_KEYWORDS = frozenset((_D_WORDS + " " + _STAP_WORDS).split())


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One mistake.

    :param rule: ``F1`` to ``F13``
    :param severity: ``error``, ``warning`` or ``note``
    :param event: name of the event, or empty for the file
    :param line: line in *source*, from 1
    :param argument: name of the argument it is about, if it is about one
    :param message: what is wrong and what comes of it
    :param corrected: the whole format as C source with the smallest correction, if it can be told
    :param hosts: the kinds of host on which it goes wrong (see :mod:`vfiokit.trace.hosts`); empty
        where that makes no difference
    """

    rule: str
    severity: Severity
    event: str
    line: int
    argument: str | None
    message: str
    corrected: str | None = None
    hosts: tuple[str, ...] = ()
    source: str = "<trace-events>"


def _event(event: Event) -> list[Finding]:
    found = [
        Finding(item.rule, item.severity, event.name, event.line, item.argument, item.message, None,
                item.hosts, event.source)
        for item in format_rules.check(event)
    ]  # fmt: skip
    if any(finding.severity != "note" for finding in found):
        corrected = correct(event)
        if corrected is not None and (corrected != event.format or event.stray):
            sound = dataclasses.replace(event, format=corrected, stray="")
            # A correction is only worth its name if nothing is left to correct.
            if all(item.severity == "note" for item in format_rules.check(sound)):
                found = [
                    finding
                    if finding.severity == "note"
                    else dataclasses.replace(finding, corrected=corrected)
                    for finding in found
                ]
    found.extend(
        Finding("F13", "note", event.name, event.line, argument.name,
                f"argument {argument.name!r} is a keyword of DTrace or SystemTap; it becomes "
                f"{argument.name}_ there", source=event.source)
        for argument in event.arguments if argument.name in _KEYWORDS
    )  # fmt: skip
    return found


def _neighbours(events: Sequence[Event]) -> Iterable[Finding]:
    for before, event, after in zip(events, events[1:], events[2:], strict=False):
        prefix, other = before.name.partition("_")[0], after.name.partition("_")[0]
        if prefix == other != event.name.partition("_")[0]:
            message = f"the events around it start with {prefix + '_'!r}; patterns like '{prefix}_*' miss it"
            yield Finding("F13", "note", event.name, event.line, None, message, source=event.source)


def lint(events: EventSet) -> list[Finding]:
    """Check events, best from a parse with ``strict=False``. Findings come by line, then by rule."""
    found = [
        Finding("F12", "error", item.event, item.line, None, item.message, source=events.source)
        for item in events.refused
        if not item.is_format
    ]
    for event in events.values():
        found.extend(_event(event))
    found.extend(_neighbours(list(events.values())))
    return sorted(found, key=lambda finding: (finding.line, int(finding.rule[1:])))


def lint_text(text: str, source: str = "<trace-events>") -> list[Finding]:
    """Check the text of a trace-events file; never fails on its content."""
    return lint(parse(text, source, strict=False))


def lint_file(path: str | Path) -> list[Finding]:
    """Check a trace-events file.

    :raises TraceError: the file cannot be read
    """
    return lint(parse_file(path, strict=False))


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 1 if there is an error among the findings, else 0."""
    return int(any(finding.severity == "error" for finding in findings))


def to_json(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return the findings as plain dicts, in the fields of :class:`Finding`."""
    return [{**dataclasses.asdict(finding), "hosts": list(finding.hosts)} for finding in findings]


def render(findings: Sequence[Finding]) -> str:
    """Return the findings for people: a compiler's ``file:line:`` lines, and each correction once."""
    lines: list[str] = []
    for position, finding in enumerate(findings):
        where = f"{finding.source}:{finding.line}"
        subject = f"{finding.event}: " if finding.event else ""
        lines.append(f"{where}: {finding.severity} {finding.rule}: {subject}{finding.message}")
        if finding.hosts:
            everywhere = len(finding.hosts) == len(HOSTS)
            lines.append(f"    on:    {'every host' if everywhere else ', '.join(finding.hosts)}")
        later = findings[position + 1 :]
        if finding.corrected and not any(
            (other.line, other.event, other.corrected) == (finding.line, finding.event, finding.corrected)
            for other in later
        ):
            lines.append(f"    write: {finding.corrected}")
    counts = [(sum(f.severity == name for f in findings), name) for name in ("error", "warning", "note")]
    lines.append(", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts))
    return "\n".join(lines) + "\n"
