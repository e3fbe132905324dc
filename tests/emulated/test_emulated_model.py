"""The C header made from the model compiles and has the Python's numbers."""

from __future__ import annotations

import itertools
import shutil
import struct
import subprocess
import sys

import pytest

from vfiokit.emulated import model


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_header_compiles_to_the_same_numbers(tmp_path):
    header = subprocess.run(
        [sys.executable, "-m", "vfiokit.emulated.model"], check=True, capture_output=True, text=True
    ).stdout
    assert header == model.c_header()
    (tmp_path / "vfiokit_model.h").write_text(header)
    names = list(model.c_constants())
    prints = "\n".join(f'\tprintf("{name} %llu\\n", (unsigned long long){name});' for name in names)
    (tmp_path / "main.c").write_text(f"""
#include <stdio.h>
#include "vfiokit_model.h"
static const unsigned char image[256] = VK_CONFIG_IMAGE;
static const unsigned char wmask[256] = VK_CONFIG_WMASK;
#define ROW(name, offset, width, r, w) printf("ROW " #name " %d %d %d %d\\n", offset, width, r, w);
int main(void)
{{
\tint i;
{prints}
\tVK_FOR_EACH_REGISTER(ROW)
\tprintf("image "); for (i = 0; i < 256; i++) printf("%02x", image[i]);
\tprintf("\\nwmask "); for (i = 0; i < 256; i++) printf("%02x", wmask[i]);
\tprintf("\\n");
\treturn 0;
}}
""")
    program = tmp_path / "main"
    subprocess.run(["cc", "-Wall", "-Werror", "-o", program, tmp_path / "main.c"], check=True, cwd=tmp_path)
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    rows = [line.split() for line in lines if line.startswith("ROW")]
    rest = dict(line.split() for line in lines if not line.startswith("ROW"))
    assert bytes.fromhex(rest.pop("image")) == model.CONFIG_IMAGE
    assert bytes.fromhex(rest.pop("wmask")) == model.CONFIG_WMASK
    assert {name: int(value) for name, value in rest.items()} == model.c_constants()
    assert len(rows) == len(model.REGISTERS)
    for _, name, offset, width, readable, writable in rows:
        register = model.REGISTERS[name]
        assert (register.offset, register.width) == (int(offset), int(width))
        assert ("r" in register.access, "w" in register.access) == (readable == "1", writable == "1")


def test_registers_are_aligned_and_do_not_overlap():
    ordered = sorted(model.REGISTERS.values(), key=lambda r: r.offset)
    assert all(r.offset % r.width == 0 for r in ordered)
    assert all(a.end <= b.offset for a, b in itertools.pairwise(ordered))
    assert ordered[-1].end <= model.REGISTERS_SIZE


def test_config_image_walks_its_capabilities():
    image, seen, at = model.CONFIG_IMAGE, [], model.CONFIG_IMAGE[0x34]
    while at:
        seen.append(image[at])
        at = image[at + 1]
    assert seen == [0x05, 0x11, 0x10, 0x09]
    assert struct.unpack_from("<HH", image) == (0xFFF1, 0x5642)
    # What may be written does not start out of what reads back: no bit both fixed to 1 and writable.
    assert model.CONFIG_WMASK[0x10:0x14] == struct.pack("<I", 0xFFFFF000)


def test_mix_is_splitmix64():
    # The first outputs of splitmix64 seeded with 0, as published with the generator.
    assert model.mix(0) == 0xE220A8397B1DCDAF
    assert model.mix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4
