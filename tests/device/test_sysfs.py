from __future__ import annotations

import errno
from pathlib import Path

import pytest
from vfio_model import NIC, UUID, ModelGroup, add_mdev, add_pci, migratable, nic, set_driver

from vfiokit.device.address import open_vfio
from vfiokit.device.sysfs import (
    bind,
    create_mdev,
    discover,
    mdev_types,
    probe_migration,
    remove_mdev,
    unbind,
)
from vfiokit.errors import DeviceBusyError, DeviceError, DeviceNotFoundError, GroupNotViableError


def by_name(root: Path):
    return {found.name: found for found in discover(root)}


def test_devices_and_why_they_are_not_usable(root):
    add_pci(root, "0000:00:1f.3", 7, "snd_hda_intel", **{"class": "0x040300"})
    add_pci(root, "0000:01:00.0", 8, "vfio-pci", node=False)
    add_pci(root, "0000:02:00.0", None, "vfio-pci")
    add_pci(root, "0000:04:00.0", 9, None)
    found = by_name(root)
    assert found[NIC].usable
    assert (found[NIC].vendor, found[NIC].device, found[NIC].group) == (0x8086, 0x1572, 12)
    assert "Ethernet controller" in str(found[NIC])
    assert found["0000:00:1f.3"].why_not == "it is bound to snd_hda_intel"
    assert "driver/unbind" in found["0000:00:1f.3"].what_to_do
    assert "no /dev/vfio/8" in found["0000:01:00.0"].why_not
    assert "intel_iommu=on" in found["0000:02:00.0"].what_to_do
    assert found["0000:04:00.0"].why_not == "it is bound to no driver"
    assert "driver/unbind" not in found["0000:04:00.0"].what_to_do
    mdev = found[UUID]
    assert (mdev.usable, mdev.parent, mdev.mdev_type) == (True, "vdev", "vdev-v5")


def test_no_sysfs_no_devices(tmp_path):
    assert discover(tmp_path) == []
    assert mdev_types(tmp_path) == []


def test_a_node_that_may_not_be_opened(root, monkeypatch):
    monkeypatch.setattr("os.access", lambda *arguments, **options: False)  # tests may run as root
    found = by_name(root)[NIC]
    assert found.node_there
    assert not found.accessible
    assert "mode" in found.why_not
    assert "chown" in found.what_to_do


@pytest.fixture
def shared_group(root, kernel):
    """A group with our device, a sound device in the way, and two that are not."""
    add_pci(root, "0000:00:1b.0", 30, "vfio-pci")
    add_pci(root, "0000:00:1b.1", 30, "snd_hda_intel")
    add_pci(root, "0000:00:1b.2", 30, None)
    add_pci(root, "0000:00:1b.3", 30, "pcieport")
    kernel.groups[30] = ModelGroup({"0000:00:1b.0": nic()}, viable=False)
    return "0000:00:1b.0"


def test_a_group_that_is_not_viable_names_who_is_in_the_way(root, kernel, shared_group):
    found = by_name(root)[shared_group]
    assert [member.name for member in found.blockers] == ["0000:00:1b.1"]
    assert len(found.siblings) == 3
    assert "not viable" in found.why_not
    with pytest.raises(GroupNotViableError) as caught:
        open_vfio(shared_group, kernel=kernel, root=root)
    assert "0000:00:1b.1 is bound to snd_hda_intel" in str(caught.value)
    assert "echo vfio-pci > /sys/bus/pci/devices/0000:00:1b.1/driver_override" in caught.value.hint
    assert "1b.3" not in caught.value.hint
    assert kernel.files == {}


def test_linux_6_may_tell_of_viability_only_at_set_container(root, kernel, shared_group):
    from vfiokit.uapi import vfio

    kernel.groups[30].viable = True
    kernel.refuse[vfio.VFIO_GROUP_SET_CONTAINER] = errno.EBUSY
    with pytest.raises(GroupNotViableError, match="snd_hda_intel"):
        open_vfio(shared_group, kernel=kernel, root=root)


def test_a_device_bound_to_another_driver_says_how_to_bind_it(root, kernel):
    add_pci(root, "0000:05:00.0", 31, "ixgbe")
    with pytest.raises(DeviceNotFoundError) as caught:
        open_vfio("05:00.0", kernel=kernel, root=root)
    assert "0000:05:00.0 is bound to ixgbe" in caught.value.hint
    assert "modprobe vfio-pci" in caught.value.hint


def test_no_such_device_and_no_iommu(root, kernel):
    with pytest.raises(DeviceNotFoundError, match="lspci"):
        open_vfio("0000:99:00.0", kernel=kernel, root=root)
    add_pci(root, "0000:06:00.0", None, "vfio-pci")
    with pytest.raises(DeviceNotFoundError, match="intel_iommu=on"):
        open_vfio("0000:06:00.0", kernel=kernel, root=root)
    assert kernel.log == []


def test_variant_drivers_are_vfio_drivers(root):
    device = add_pci(root, "0000:07:00.0", 32, "acme_accel")
    assert by_name(root)["0000:07:00.0"].why_not == "it is bound to acme_accel"
    (device / "vfio-dev").mkdir()  # Linux 6.1 and later say it this way
    (root / "dev/vfio/32").touch()
    assert by_name(root)["0000:07:00.0"].usable


def test_probe_migration(root, kernel):
    found = by_name(root)
    assert probe_migration(found[UUID], kernel=kernel, root=root) == "v5: region 9 has type (2, 1)"
    assert "none of its 9 regions" in probe_migration(found[NIC], kernel=kernel, root=root)
    assert kernel.files == {}
    model = migratable()
    model.regions[9].caps = model.regions[9].caps[:-8] + b"\3\0\0\0\1\0\0\0"
    kernel.groups[20].devices[UUID] = model
    assert probe_migration(found[UUID], kernel=kernel, root=root).startswith("v1: region 9")
    kernel.groups[20].opened = True
    assert "EBUSY" in probe_migration(found[UUID], kernel=kernel, root=root)
    add_pci(root, "0000:08:00.0", 33, None)
    assert probe_migration(by_name(root)["0000:08:00.0"], kernel=kernel, root=root).startswith("cannot tell")


class Sysfs:
    """Does on a write what the kernel would."""

    def __init__(self, root: Path, own: str | None = "ixgbe") -> None:
        self.root = root
        self.own = own
        self.writes: list[tuple[str, str]] = []
        self.probe_binds = True

    def __call__(self, path: Path, text: str) -> None:
        self.writes.append((path.name, text))
        if path.name == "driver_override":
            path.write_text(text)
        elif path.name == "unbind":
            set_driver(self.root, self.root / "sys/bus/pci/devices" / text, "pci", None)
        elif path.name == "drivers_probe" and self.probe_binds:
            device = self.root / "sys/bus/pci/devices" / text
            set_driver(self.root, device, "pci", (device / "driver_override").read_text().strip() or self.own)


def test_bind_and_unbind(root):
    name = "0000:05:00.0"
    add_pci(root, name, 31, "ixgbe")
    sysfs = Sysfs(root)
    bind("05:00.0", root=root, write=sysfs)
    assert sysfs.writes == [("driver_override", "vfio-pci"), ("unbind", name), ("drivers_probe", name)]
    assert by_name(root)[name].driver == "vfio-pci"
    bind(name, root=root, write=sysfs)
    assert len(sysfs.writes) == 3  # it was bound already
    unbind(name, root=root, write=sysfs)
    assert by_name(root)[name].driver == "ixgbe"
    unbind(name, probe=False, root=root, write=sysfs)
    assert by_name(root)[name].driver is None


def test_bind_that_does_not_take(root):
    add_pci(root, "0000:05:00.0", 31, "ixgbe")
    with pytest.raises(DeviceNotFoundError, match="modprobe mlx5_vfio_pci"):
        bind("05:00.0", "mlx5_vfio_pci", root=root)
    sysfs = Sysfs(root)
    sysfs.probe_binds = False
    with pytest.raises(DeviceError, match="bound to no driver"):
        bind("05:00.0", root=root, write=sysfs)

    def refuse(path, text):
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(DeviceError, match="needs root"):
        unbind(NIC, root=root, write=refuse)


def test_mdevs(root):
    (kind,) = mdev_types(root)
    assert (kind.parent, kind.type, kind.available, kind.device_api) == ("vdev", "vdev-v5", 3, "vfio-pci")
    other = UUID.replace("1001", "1002")
    create_mdev(kind.path, other.upper())
    assert (kind.path / "create").read_text().startswith(other)
    add_mdev(root, "vdev", other, 21)
    remove_mdev(other, root=root)
    assert (root / "sys/bus/mdev/devices" / other / "remove").read_text() == "1"
    with pytest.raises(DeviceNotFoundError, match="mdev_supported_types"):
        create_mdev(root / "nowhere", other)

    def refuse(path, text):
        raise OSError(errno.EBUSY, "no")

    with pytest.raises(DeviceBusyError, match="wherever it is open"):
        remove_mdev(other, root=root, write=refuse)
    (kind.path / "available_instances").write_text("0\n")
    with pytest.raises(DeviceError, match="available_instances is 0"):
        create_mdev(kind.path, other, write=refuse)
