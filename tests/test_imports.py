"""What importing costs, and where the house's walls stand."""

import subprocess
import sys

import pytest

HEAVY = ("numpy", "pandas", "pyarrow", "bokeh", "ipywidgets", "rich", "click", "ctypes.wintypes")


@pytest.mark.parametrize(
    "code",
    [
        "import vfiokit",
        "import vfiokit.protocol.v5, vfiokit.vmm.outgoing, vfiokit.trace, vfiokit.device.base",
        "import vfiokit; vfiokit.open('emulated:v5?state=64K').close()",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(code):
    script = f"{code}\nimport sys\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_front_door_has_what_it_lists():
    import vfiokit

    for name in vfiokit.__all__:
        assert getattr(vfiokit, name) is not None
    with pytest.raises(AttributeError):
        vfiokit.no_such_thing  # noqa: B018
    assert set(vfiokit.__all__) <= set(dir(vfiokit))


def test_the_front_doors_names_survive_importing_submodules():
    script = "import vfiokit.migration, vfiokit.side, vfiokit\nassert callable(vfiokit.migrate)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
