"""Kernel modules: what one needs, and the order in which to load them.

A Debian kernel package carries no ``modules.dep`` (that is made when it is
installed, and we install nothing). But each module says itself what it needs, in
its ELF section ``.modinfo``: NUL-ended ``key=value`` strings, among them
``depends=a,b``. ELF offsets are those of ``Elf64_Ehdr`` and ``Elf64_Shdr`` in
``elf.h``. Names are compared as the kernel does: ``-`` and ``_`` are the same.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from vfiokit.errors import LabError

__all__ = ("ModuleTree", "depends", "modinfo", "module_name", "read_module")

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
SHDR = struct.Struct("<IIQQQQIIQQ")


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    addr: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


def module_name(path: Path | str) -> str:
    """Return the module's name as the kernel shows it: ``vfio-pci.ko`` is ``vfio_pci``."""
    return Path(path).name.removesuffix(".xz").removesuffix(".ko").replace("-", "_")


def read_module(path: Path) -> bytes:
    """Return a module's bytes; those of a ``.ko.xz`` (Debian 13 on) are unpacked.

    :raises LabError: the file cannot be unpacked
    """
    data = path.read_bytes()
    if path.suffix != ".xz":
        return data
    try:
        return lzma.decompress(data)
    except lzma.LZMAError as error:
        raise LabError(f"the module {path} cannot be unpacked: {error}") from error


def modinfo(data: bytes) -> list[tuple[str, str]]:
    """Return the ``(key, value)`` pairs of a module's ``.modinfo``, in order.

    :param data: a whole, uncompressed ``.ko`` file
    :raises LabError: this is no 64-bit little-endian ELF file, or it has no ``.modinfo``
    """
    text = _section(data, b".modinfo")
    pairs = []
    for item in text.split(b"\0"):
        key, equals, value = item.decode("utf-8", "replace").partition("=")
        if equals:
            pairs.append((key, value))
    return pairs


def depends(data: bytes) -> list[str]:
    """Return the names of the modules that this one needs, as the kernel writes them."""
    found = [value for key, value in modinfo(data) if key == "depends"]
    return [module_name(name) for value in found for name in value.split(",") if name]


def _section(data: bytes, wanted: bytes) -> bytes:
    # EI_CLASS 2 is 64-bit, EI_DATA 1 is little-endian.
    if len(data) < EHDR.size or data[:6] != b"\x7fELF\x02\x01":
        raise LabError("this is no kernel module", rule="a 64-bit little-endian ELF file")
    header = EHDR.unpack_from(data)
    table, entry_size, count, names_index = header[6], header[11], header[12], header[13]
    if entry_size != SHDR.size or names_index >= count or table + count * SHDR.size > len(data):
        raise LabError(
            "the module's section table is cut short or damaged", rule="Elf64_Ehdr, Elf64_Shdr in elf.h"
        )
    sections = [_Section(*SHDR.unpack_from(data, table + index * SHDR.size)) for index in range(count)]
    names = _content(data, sections[names_index])
    for section in sections:
        if names[section.name :].partition(b"\0")[0] == wanted:
            return _content(data, section)
    raise LabError(f"the module has no section {wanted.decode()}")


def _content(data: bytes, section: _Section) -> bytes:
    return data[section.offset : section.offset + section.size]


class ModuleTree:
    """The modules under one kernel's ``/lib/modules/<release>``.

    :param folder: that folder; it is walked once, at the first question
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, Path] | None = None
        self._builtin: frozenset[str] = frozenset()

    def _walk(self) -> dict[str, Path]:
        if self._files is None:
            self._files = {module_name(path): path for path in sorted(self.folder.rglob("*.ko*"))}
            builtin = self.folder / "modules.builtin"
            if builtin.exists():
                self._builtin = frozenset(module_name(line) for line in builtin.read_text().split())
        return self._files

    def find(self, name: str) -> Path | None:
        """Return a module's file, or None if it is built into the kernel.

        :raises LabError: the kernel has no such module
        """
        files, key = self._walk(), module_name(name)
        if key in files:
            return files[key]
        if key in self._builtin:
            return None
        raise LabError(f"the kernel has no module {name!r} under {self.folder}")

    def order(self, names: Iterable[str], *, extra: Iterable[Path] = ()) -> list[Path]:
        """Return the files to load: what is asked for, and before each what it needs.

        :param names: modules of this tree
        :param extra: further module files, from elsewhere; they come last
        """
        done: dict[str, Path] = {}
        for name in names:
            path = self.find(name)
            if path is not None:
                self._visit(path, done, ())
        for path in extra:
            self._visit(path, done, ())
        return list(done.values())

    def _visit(self, path: Path, done: dict[str, Path], stack: tuple[str, ...]) -> None:
        name = module_name(path)
        if name in done:
            return
        if name in stack:
            raise LabError(f"modules need each other in a circle: {' -> '.join((*stack, name))}")
        for needed in depends(read_module(path)):
            needed_path = self.find(needed)
            if needed_path is not None:
                self._visit(needed_path, done, (*stack, name))
        done[name] = path
