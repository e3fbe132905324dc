from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vfio_model import NIC, UUID

from vfiokit.device.address import Address, parse, vfio_name
from vfiokit.errors import AddressError


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (f"vfio:{NIC}", NIC),
        (NIC, NIC),
        ("3b:00.0", NIC),
        ("vfio:3B:00.0", NIC),
        (f"mdev:{UUID.upper()}", UUID),
        (f"vfio:{UUID}", UUID),
        (f" {UUID}\n", UUID),
        ("10000:e1:00.0", "10000:e1:00.0"),
        (f"/sys/bus/pci/devices/{NIC}", NIC),
        (f"vfio:/sys/bus/mdev/devices/{UUID}", UUID),
    ],
)
def test_names(root, address, name):
    assert vfio_name(address, root) == name


def test_schemes():
    assert parse("ab:00.0") == Address("vfio", "ab:00.0")  # begins like a scheme, and is a PCI address
    assert parse("emulated:v5?state=64M") == Address("emulated", "v5?state=64M")
    assert parse("VFIO-User:/run/x.sock") == Address("vfio-user", "/run/x.sock")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "eth0",
        "vfio:",
        "vfio:eth0",
        "vfio:0000:3b:00.8",
        "mdev:0000:3b:00.0",
        "emulated:v5",
        "/sys/nothing/here",
    ],
)
def test_bad_addresses(root, address):
    with pytest.raises(AddressError) as caught:
        vfio_name(address, root)
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_name_or_an_address_error(text):
    try:
        scheme, _ = parse(text)
    except AddressError:
        return
    assert scheme == scheme.lower() != ""
