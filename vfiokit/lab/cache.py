"""What the lab keeps on disk: a Debian kernel, fetched and unpacked, never installed.

The folder is ``$VFIOKIT_CACHE``, else ``$XDG_CACHE_HOME/vfiokit/lab``, else
``~/.cache/vfiokit/lab``. It may be deleted at any time::

    kernel/release      the kernel's name, as uname -r gives it
    kernel/vmlinux      the kernel for QEMU
    kernel/root/        the packages' files: modules, headers, kbuild, busybox
    drivers/<key>/      the lab's own driver, built; the key is a hash of what went in

``apt-get download`` fetches and verifies the packages and needs no root. Which
kernel it is, the meta package says when the lab is first prepared; from then on
that kernel stays, without any look at the network, until the folder is deleted.
Everything appears by one rename, under a lock, so that an interrupted or doubled
start leaves nothing half done.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vfiokit.errors import LabError
from vfiokit.lab.kernel import extract_vmlinux

__all__ = ("Kernel", "Progress", "cache_folder", "locked", "prepare")

Progress = Callable[[str], object]
"""Is told each step in a few words, as it starts."""

META_PACKAGE = "linux-image-amd64"
BUSYBOX = "busybox-static"
# Modules that no machine of the lab can use: two thirds of the kernel package.
PRUNED = (
    "sound",
    *(f"drivers/{name}" for name in ("gpu", "media", "net", "scsi", "iio", "infiniband", "usb")),
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """An unpacked kernel.

    :param folder: the cache's ``kernel`` folder
    :param release: as ``uname -r`` gives it
    """

    folder: Path
    release: str

    @property
    def root(self) -> Path:
        """Where the packages were unpacked."""
        return self.folder / "root"

    @property
    def vmlinux(self) -> Path:
        """The ELF kernel for QEMU."""
        return self.folder / "vmlinux"

    @property
    def modules(self) -> Path:
        """The kernel's ``/lib/modules/<release>``."""
        return _either(self.root, "lib/modules") / self.release

    @property
    def headers(self) -> Path:
        """What an out-of-tree module is built against (``make -C``)."""
        return self.root / f"usr/src/linux-headers-{self.release}"

    @property
    def busybox(self) -> Path:
        """A static busybox, the guest's first program."""
        return _either(self.root, "bin/busybox")

    @property
    def cache(self) -> Path:
        """The cache folder that this kernel lies in."""
        return self.folder.parent


def cache_folder() -> Path:
    """Return the folder that the lab keeps its files in; it may not exist yet."""
    own = os.environ.get("VFIOKIT_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "vfiokit" / "lab").absolute()


def prepare(progress: Progress | None = None, *, cache: Path | None = None) -> Kernel:
    """Return the lab's kernel, fetched and unpacked if need be.

    The first time about 85 MB are downloaded; after that the call returns at once.
    Two callers at the same time do the work once.

    :param progress: called with a line of text at each step
    :param cache: instead of :func:`cache_folder`
    :raises LabError: apt is missing, knows no kernel, or cannot download; the folder may be deleted
    """
    folder = (cache or cache_folder()).absolute()
    kernel = _ready(folder)
    if kernel is not None:
        return kernel
    with locked(folder, progress):
        kernel = _ready(folder)
        if kernel is None:
            _make(folder, progress or _silent)
            kernel = _ready(folder)
    if kernel is None:
        raise LabError(f"the kernel under {folder} is not whole", hint=f"rm -r {folder}")
    return kernel


@contextmanager
def locked(folder: Path, progress: Progress | None = None) -> Iterator[None]:
    """Hold the cache's lock; wait for whoever has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise LabError(
            f"the lab's cache {folder} cannot be written: {error.strerror}",
            hint="set VFIOKIT_CACHE to a folder of yours",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (progress or _silent)("waiting for another process that prepares the lab")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _either(root: Path, path: str) -> Path:
    # From Debian 13 on, packages have under /usr what used to be under / too.
    return root / "usr" / path if (root / "usr" / path).exists() else root / path


def _silent(text: str) -> None:
    del text


def _ready(cache: Path) -> Kernel | None:
    folder = cache / "kernel"
    try:
        return Kernel(folder, (folder / "release").read_text().strip())
    except FileNotFoundError:
        return None


def _make(cache: Path, progress: Progress) -> None:
    progress("asking apt which kernel there is")
    release, packages = resolve()
    try:
        with tempfile.TemporaryDirectory(prefix="new-", dir=cache) as temporary:
            work = Path(temporary)
            progress(f"downloading Linux {release} and busybox")
            debs = _download(work / "debs", packages)
            made = work / "kernel"
            made.mkdir()
            for deb in debs:
                progress(f"unpacking {deb.name.partition('_')[0]}")
                _call(["dpkg-deb", "-x", str(deb), str(made / "root")], "unpack a package")
            progress("extracting the kernel")
            image = made / "root/boot" / f"vmlinuz-{release}"
            (made / "vmlinux").write_bytes(extract_vmlinux(image.read_bytes()))
            _fit(made / "root", release)
            (made / "release").write_text(release + "\n")
            made.rename(cache / "kernel")
    except OSError as error:
        raise LabError(
            f"the lab's files cannot be written under {cache}: {error}",
            hint="1 GB of free space is enough",
        ) from error


def resolve() -> tuple[str, list[str]]:
    """Return the kernel's release and the packages to download, as apt's lists have them now.

    The headers' own dependencies name the two packages that go with them.

    :raises LabError: apt is missing or its lists are empty
    """
    release = _one(_depends(META_PACKAGE), r"linux-image-(\d\S*-amd64)", META_PACKAGE)
    headers = f"linux-headers-{release}"
    parts = _depends(headers)
    common = "linux-headers-" + _one(parts, r"linux-headers-(\S+-common)", headers)
    kbuild = "linux-kbuild-" + _one(parts, r"linux-kbuild-(\S+)", headers)
    return release, [f"linux-image-{release}", headers, common, kbuild, BUSYBOX]


def _update() -> str:
    return "apt-get update" + ("" if os.geteuid() == 0 else " as root") + ", then again"


def _depends(package: str) -> list[str]:
    text = _call(["apt-cache", "depends", "--important", package], f"look {package} up", check=False)
    return re.findall(r"^ +\|?Depends: (\S+)", text, re.MULTILINE)


def _one(names: Sequence[str], pattern: str, package: str) -> str:
    for name in names:
        match = re.fullmatch(pattern, name)
        if match:
            return match[1]
    raise LabError(
        f"apt knows no kernel: {package} "
        + (f"depends on {', '.join(names)}" if names else "is not in its package lists"),
        rule="the lab's kernel comes from Debian's archive for amd64, 12 (bookworm) or later",
        hint=_update(),
    )


def _download(folder: Path, packages: Sequence[str]) -> list[Path]:
    folder.mkdir(parents=True)
    # apt would drop root for the download and then complain that it may not write here.
    _call(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", *packages],
        f"download {', '.join(packages)}",
        cwd=folder,
        hint=f"{_update()}, as apt's lists may be older than the archive; without a network, "
        "copy a prepared cache folder from elsewhere and set VFIOKIT_CACHE to it",
    )
    debs = sorted(folder.glob("*.deb"))
    if len(debs) != len(packages):
        raise LabError(f"apt-get downloaded {len(debs)} of {len(packages)} packages", hint=_update())
    return debs


def _fit(root: Path, release: str) -> None:
    """Make the unpacked files fit a folder that is not ``/``, and drop what is of no use.

    The packages link to each other with relative links; one line of one Makefile is absolute.
    """
    headers = root / f"usr/src/linux-headers-{release}"
    makefile = headers / "Makefile"
    here = "$(dir $(abspath $(lastword $(MAKEFILE_LIST))))"
    makefile.write_text(
        re.sub(r"^include /usr/src/", f"include {here}../", makefile.read_text(), flags=re.MULTILINE)
    )
    for name in PRUNED:
        shutil.rmtree(_either(root, "lib/modules") / release / "kernel" / name, ignore_errors=True)


def _call(
    argv: Sequence[str], action: str, *, cwd: Path | None = None, hint: str | None = None, check: bool = True
) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise LabError(
            f"cannot {action}: there is no {argv[0]} here",
            rule="the lab's kernel is fetched with apt and dpkg",
            hint="on Debian or Ubuntu, or in a Debian container, prepare the lab; copy its cache folder here",
        ) from error
    if check and done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise LabError(f"cannot {action}: {argv[0]} ended with {done.returncode}\n{last}", hint=hint)
    return done.stdout
