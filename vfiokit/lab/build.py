"""Build the lab's driver, a kernel module, against headers that are not installed.

The build happens in the cache, in a copy of the sources: the checkout may be
read-only and stays clean. It is kept under a key made of all sources, the kernel's
release and the compiler, so the second time costs a few file reads.

The device's programming model is not written twice: sources that include
``vfiokit_model.h`` get it made from the tables of :mod:`vfiokit.emulated.model`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vfiokit.emulated.model import c_header
from vfiokit.errors import LabError
from vfiokit.lab.cache import Kernel, Progress, locked

__all__ = ("DRIVER_SOURCE", "build_driver")

DRIVER_SOURCE = Path(__file__).parent / "driver"
MODEL_HEADER = "vfiokit_model.h"
SOURCES = ("*.c", "*.h", "Kbuild")


def build_driver(kernel: Kernel, source: Path = DRIVER_SOURCE, progress: Progress | None = None) -> Path:
    """Return the built module (``.ko``) of a driver folder, built if its sources are new.

    :param kernel: what it is for, from :func:`vfiokit.lab.prepare`
    :param source: a folder with ``Kbuild`` (``obj-m := name.o``) and the C files
    :param progress: called with a line of text when it really builds
    :raises LabError: no compiler or make, no ``Kbuild``, or the compiler refused; the message has its words
    """
    files = _sources(source)
    compiler = _tools(kernel)
    key = _key(files, kernel, compiler)
    folder = kernel.cache / "drivers" / key
    module = _module(folder)
    if module is not None:
        return module
    with locked(kernel.cache, progress):
        module = _module(folder)
        if module is None:
            if progress is not None:
                progress(f"building the driver for Linux {kernel.release}")
            _build(kernel, source, files, compiler, folder)
            module = _module(folder)
    assert module is not None  # _build made it, or raised
    return module


def _sources(source: Path) -> dict[str, bytes]:
    """Return each file of the build by its name, the device model's header among them if it is asked for."""
    found = sorted({path for pattern in SOURCES for path in source.glob(pattern)})
    files = {path.name: path.read_bytes() for path in found}
    if "Kbuild" not in files:
        raise LabError(
            f"there is no driver in {source}: no Kbuild file", rule="Kbuild has one obj-m := name.o"
        )
    wanted = f'"{MODEL_HEADER}"'.encode()
    if MODEL_HEADER not in files and any(wanted in content for content in files.values()):
        files[MODEL_HEADER] = c_header().encode()
    return files


def _tools(kernel: Kernel) -> str:
    # The headers name the compiler that built the kernel. Another gcc works too, as a rule.
    variables = kernel.headers / ".kernelvariables"
    named = re.search(r"gcc-\d+", variables.read_text()) if variables.exists() else None
    wanted = named[0] if named else "gcc"
    compiler = shutil.which(wanted) or shutil.which("gcc")
    tools = ((wanted, compiler), ("make", shutil.which("make")), ("binutils", shutil.which("ld")))
    missing = [package for package, path in tools if not path]
    if missing or compiler is None:
        raise LabError(
            f"the driver cannot be built: {', '.join(missing)} missing",
            hint=f"apt-get install {' '.join(missing)}",
        )
    return compiler


def _key(files: Mapping[str, bytes], kernel: Kernel, compiler: str) -> str:
    digest = hashlib.sha256(f"{kernel.release} {compiler}".encode())
    for name, content in sorted(files.items()):
        digest.update(f"\n{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def _module(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.ko"))), None)


def _build(kernel: Kernel, source: Path, files: Mapping[str, bytes], compiler: str, folder: Path) -> None:
    if set(str(kernel.cache)) & set(" :\t"):
        raise LabError(
            f"a kernel module cannot be built under {kernel.cache}",
            rule="the kernel's Makefile refuses paths with spaces or colons",
            hint="set VFIOKIT_CACHE to another folder",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=folder.parent) as temporary:
        work = Path(temporary) / "driver"
        work.mkdir()
        for name, content in files.items():
            (work / name).write_bytes(content)
        # What the caller's make was told is not for the kernel's.
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MAKE", "MFLAGS", "KBUILD"))
        }
        argv = [
            "make",
            "--no-print-directory",
            "-C",
            str(kernel.headers),
            f"M={work}",
            f"CC={compiler}",
            "modules",
        ]
        done = subprocess.run(
            argv,
            env=environ | {"LC_ALL": "C"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            # The sources were copied: let the compiler's words point to the originals.
            words = done.stdout.replace(str(work), str(source))
            raise LabError(
                f"the driver does not build (make ended with {done.returncode}):\n{words.strip()}",
                # The kernel's objtool is a program of its own, with one library.
                hint="apt-get install libelf1" if "libelf" in words else None,
            )
        if _module(work) is None:
            raise LabError(f"building {source} gave no module", rule="Kbuild has one obj-m := name.o")
        work.rename(folder)
