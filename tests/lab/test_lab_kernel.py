"""vmlinux out of made-up bzImages."""

import gzip
import lzma
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfiokit.errors import LabError
from vfiokit.lab.kernel import extract_vmlinux

VMLINUX = b"\x7fELF" + bytes(range(256)) * 20
SIZE = len(VMLINUX)


def zstd(data):
    if shutil.which("zstd") is None:
        pytest.skip("no zstd here")
    return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


def image(packed, *, setup=3, version=0x20F, size=SIZE, offset=100):
    """Return a bzImage: setup sectors, some boot code, the payload with its size, a tail."""
    packed += struct.pack("<I", size)
    head = bytearray(((setup or 4) + 1) * 512)
    head[0x1F1] = setup
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, version)
    struct.pack_into("<II", head, 0x248, offset, len(packed))
    return bytes(head) + b"\x90" * offset + packed + b"tail"


@pytest.mark.parametrize("setup", [0, 1, 27])
@pytest.mark.parametrize(
    "pack",
    [
        lambda d: lzma.compress(d, check=lzma.CHECK_CRC32),
        gzip.compress,
        zstd,
        lambda d: lzma.compress(d, lzma.FORMAT_ALONE),
    ],
    ids=["xz", "gzip", "zstd", "lzma"],
)
def test_round_trip(pack, setup):
    assert extract_vmlinux(image(pack(VMLINUX), setup=setup)) == VMLINUX


def test_elf_stays():
    assert extract_vmlinux(VMLINUX) == VMLINUX


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no Linux kernel image"),
        (image(lzma.compress(VMLINUX), version=0x207), "boot protocol 2.07"),
        (image(b"BZh9 what is this"), "unknown way"),
        (image(lzma.compress(VMLINUX), size=7), "an ELF file of 7 bytes"),
        (image(lzma.compress(b"text"), size=4), "unpacks to 4 bytes"),
        (image(lzma.compress(VMLINUX))[:-40], "cut short"),
        (image(lzma.compress(VMLINUX)[:20] + b"\xff" * 40), "cannot be unpacked with xz"),
    ],
    ids=["empty", "old", "bzip2", "size", "not-elf", "cut", "damaged"],
)
def test_refuses(data, words):
    with pytest.raises(LabError, match=words):
        extract_vmlinux(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_any_place_of_the_payload_is_refused_or_right(offset, length):
    data = bytearray(image(lzma.compress(VMLINUX)))
    struct.pack_into("<II", data, 0x248, offset, length)
    try:
        found = extract_vmlinux(bytes(data))
    except LabError:
        return
    assert found == VMLINUX
