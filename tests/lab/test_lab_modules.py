"""Modules: what they say they need, and the order that follows from it."""

import lzma
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.errors import LabError
from vfiokit.lab.modules import ModuleTree, depends, modinfo, module_name, read_module


def elf(info: bytes, section: bytes = b".modinfo") -> bytes:
    """Return a 64-bit ELF file with the given section, its names and nothing else."""
    names = b"\0" + section + b"\0.shstrtab\0"
    body = info + names
    table = 64 + len(body)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head = struct.pack("<16sHHIQQQIHHHHHH", ident, 1, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)

    def row(name, offset, size):
        return struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)

    rows = row(0, 0, 0) + row(1, 64, len(info)) + row(2 + len(section), 64 + len(info), len(names))
    return head + body + rows


def ko(*needed: str) -> bytes:
    return elf(b"license=GPL\0depends=" + ",".join(needed).encode() + b"\0")


def test_modinfo_pairs_in_order():
    data = elf(b"license=GPL\0alias=a=b\0parm=x:how, much\0\0depends=vfio-pci-core,mdev\0")
    assert modinfo(data) == [
        ("license", "GPL"),
        ("alias", "a=b"),
        ("parm", "x:how, much"),
        ("depends", "vfio-pci-core,mdev"),
    ]
    assert depends(data) == ["vfio_pci_core", "mdev"]
    assert depends(ko()) == []


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data):
    with pytest.raises(LabError):
        modinfo(data)


@given(st.integers(0, 63), st.integers(0, 255))
def test_a_damaged_header_gives_pairs_or_a_lab_error(at, value):
    data = bytearray(ko("a"))
    data[at] = value
    try:
        pairs = modinfo(bytes(data))
    except LabError:
        return
    assert all(isinstance(key, str) for key, _ in pairs)


def test_no_modinfo():
    with pytest.raises(LabError, match="modinfo"):
        modinfo(elf(b"", b".text"))


@pytest.fixture
def tree(tmp_path):
    kernel = tmp_path / "kernel/drivers"
    kernel.mkdir(parents=True)
    for name, needed in {"vfio": (), "vfio-pci": ("vfio-pci-core", "vfio"), "mdev": ("vfio",)}.items():
        (kernel / f"{name}.ko").write_bytes(ko(*needed))
    (kernel / "vfio-pci-core.ko.xz").write_bytes(lzma.compress(ko("vfio", "irqbypass")))
    (tmp_path / "modules.builtin").write_text("kernel/virt/lib/irqbypass.ko\n")
    return ModuleTree(tmp_path)


def order(tree, names, **more):
    return [module_name(path) for path in tree.order(names, **more)]


def test_order_has_needs_first_and_each_once(tree):
    assert order(tree, ["mdev", "vfio_pci", "vfio"]) == ["vfio", "mdev", "vfio_pci_core", "vfio_pci"]


def test_builtin_needs_no_file(tree):
    assert tree.find("irqbypass") is None
    assert order(tree, ["irqbypass"]) == []


def test_extra_brings_its_needs(tree, tmp_path):
    own = tmp_path / "own" / "vdev.ko"
    own.parent.mkdir()
    own.write_bytes(ko("mdev"))
    assert order(tree, [], extra=[own]) == ["vfio", "mdev", "vdev"]


def test_unknown_and_circular(tree, tmp_path):
    with pytest.raises(LabError, match="no module 'kvm'"):
        tree.order(["kvm"])
    for name, needed in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.ko").write_bytes(ko(needed))
    with pytest.raises(LabError, match="a -> b -> a"):
        ModuleTree(tmp_path).order(["a"])


def test_packed_module_that_is_damaged(tmp_path):
    path = tmp_path / "x.ko.xz"
    path.write_bytes(b"nothing")
    with pytest.raises(LabError, match=r"x\.ko\.xz cannot be unpacked"):
        read_module(path)
