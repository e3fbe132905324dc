"""Get the plain ELF ``vmlinux`` out of a ``bzImage``.

QEMU starts an ELF kernel that carries a PVH note directly. So the guest skips the
boot stub and, above all, does not decompress its kernel on an emulated CPU, which
would cost more than the rest of the boot.

The places are those of "The Linux/x86 Boot Protocol", "The Real-Mode Kernel
Header": ``setup_sects`` at 0x1f1, ``"HdrS"`` at 0x202, ``version`` at 0x206,
``payload_offset`` at 0x248 and ``payload_length`` at 0x24c (both from 2.08 on).
The last four bytes of the payload give the length of what it unpacks to.
"""

from __future__ import annotations

import gzip
import lzma
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable

from vfiokit.errors import LabError

__all__ = ("extract_vmlinux",)

SECTOR = 512
SETUP_SECTS = 0x1F1
MAGIC, MAGIC_AT = b"HdrS", 0x202
VERSION = 0x206
PAYLOAD = 0x248
HEADER_END = 0x250
SIZE = struct.Struct("<I")
ELF_MAGIC = b"\x7fELF"
RULE = "Linux/x86 Boot Protocol, the real-mode kernel header"


def extract_vmlinux(image: bytes) -> bytes:
    """Return the ELF kernel inside a bzImage; an ELF image comes back as it is.

    :param image: a whole ``/boot/vmlinuz-…`` file
    :raises LabError: it is no bzImage, is cut short, or is compressed in a way not known here
    """
    if image[:4] == ELF_MAGIC:
        return image
    packed = _payload(image)
    known = next((row for row in _UNPACKERS if packed.startswith(row[0])), None)
    if known is None:
        raise LabError(
            f"the kernel image is packed in an unknown way (first bytes {packed[:6].hex(' ')})",
            rule=f"known here: {', '.join(row[1] for row in _UNPACKERS)}",
        )
    _, name, unpack = known
    (size,) = SIZE.unpack(packed[-SIZE.size :])
    try:
        kernel = unpack(packed[: -SIZE.size])
    except (lzma.LZMAError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise LabError(f"the kernel image cannot be unpacked with {name}: {error}") from error
    if len(kernel) != size or kernel[:4] != ELF_MAGIC:
        raise LabError(
            f"the kernel image unpacks to {len(kernel)} bytes starting {kernel[:4].hex(' ') or 'nowhere'}",
            rule=f"an ELF file of {size} bytes, by the payload's own last four bytes",
        )
    return kernel


def _payload(image: bytes) -> bytes:
    if len(image) < HEADER_END or image[MAGIC_AT : MAGIC_AT + 4] != MAGIC:
        raise LabError("this is no Linux kernel image: 'HdrS' is missing at 0x202", rule=RULE)
    (version,) = struct.unpack_from("<H", image, VERSION)
    if version < 0x208:
        raise LabError(
            f"the kernel image has boot protocol {version >> 8}.{version & 0xFF:02}",
            rule=f"{RULE}: 2.08 or later",
        )
    # A setup_sects of 0 means 4, for the sake of very old loaders.
    setup = ((image[SETUP_SECTS] or 4) + 1) * SECTOR
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    packed = image[setup + offset : setup + offset + length]
    if len(packed) != length or length <= SIZE.size:
        raise LabError(f"the kernel image is cut short: {len(packed)} of {length} payload bytes", rule=RULE)
    return packed


def _xz(packed: bytes) -> bytes:
    return lzma.LZMADecompressor(format=lzma.FORMAT_AUTO).decompress(packed)


def _gzip(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(packed)


def _zstd(packed: bytes) -> bytes:
    if shutil.which("zstd") is None:
        raise LabError(
            "the kernel image is packed with zstd, and there is no zstd here", hint="apt-get install zstd"
        )
    done = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=False)
    if done.returncode:
        raise LabError(f"zstd cannot unpack the kernel image: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


_UNPACKERS: tuple[tuple[bytes, str, Callable[[bytes], bytes]], ...] = (
    (b"\xfd7zXZ\x00", "xz", _xz),
    (b"\x28\xb5\x2f\xfd", "zstd", _zstd),
    (b"\x1f\x8b", "gzip", _gzip),
    (b"\x5d\x00\x00", "lzma", _xz),
)
