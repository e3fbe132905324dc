"""``vfiokit show DEVICE``: its regions drawn, its interrupts, its config space decoded."""

from __future__ import annotations

import json
from typing import Any

import click

from vfiokit.addresses import open_device
from vfiokit.cli.completion import complete_device
from vfiokit.cli.layout import LETTERS, Part, area_text, draw, parts
from vfiokit.device.base import Device
from vfiokit.errors import DeviceError
from vfiokit.uapi.info import Irq, Region
from vfiokit.uapi.migration_v5 import HEADER_SIZE
from vfiokit.uapi.pci_config import ConfigSpace, decode
from vfiokit.uapi.vfio import VFIO_PCI_CONFIG_REGION_INDEX
from vfiokit.units import show_size

__all__ = ("command",)

_MIGRATION_TYPES = {(2, 1): "v5 migration region", (3, 1): "v1 migration region (Linux 5.8)"}


@click.command
@click.argument("device", shell_complete=complete_device)
@click.option("--config/--no-config", default=True, help="Decode config space.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(device: str, config: bool, as_json: bool) -> None:
    """Show DEVICE: regions, areas that may be mapped, interrupts, config space."""
    with open_device(device) as opened:
        regions = _regions(opened)
        irqs = _irqs(opened)
        space = _config(opened) if config and opened.info().is_pci else None
        if as_json:
            click.echo(json.dumps(_as_dict(opened, regions, irqs, space), indent=2))
            return
        info = opened.info()
        reset = "can be reset" if info.has_reset else "has no reset"
        click.echo(
            f"{opened.name}  {'PCI' if info.is_pci else 'not PCI'}, {reset}, "
            f"{info.num_regions} regions, {info.num_irqs} interrupt indices\n"
        )
        _print_regions(regions, _msix_parts(space))
        for irq in irqs:
            if irq.count:
                click.echo(f"irq {irq.name:<6} {irq.count} vectors")
        if not any(region.type in _MIGRATION_TYPES for region in regions):
            click.echo("no migration region: a VMM blocks migration of this device")
        if space is not None:
            click.echo(f"\nconfig space\n{space}")


def _regions(device: Device) -> list[Region]:
    found = []
    for index in range(device.info().num_regions):
        try:
            found.append(device.region(index))
        except DeviceError:
            continue  # linux/vfio.h: an index may be a hole
    return found


def _irqs(device: Device) -> list[Irq]:
    found = []
    for index in range(device.info().num_irqs):
        try:
            found.append(device.irq(index))
        except DeviceError:
            continue
    return found


def _config(device: Device) -> ConfigSpace | None:
    region = device.region(VFIO_PCI_CONFIG_REGION_INDEX)
    if not region.size:
        return None
    size = min(region.size, 4096)
    return decode(device.pread(VFIO_PCI_CONFIG_REGION_INDEX, 0, size))


def _msix_parts(space: ConfigSpace | None) -> dict[int, list[Part]]:
    """Where MSI-X table and pending bits lie, by BAR."""
    msix = space.capability("MSIX") if space is not None else None
    if msix is None:
        return {}
    vectors = msix.field("PCI_MSIX_FLAGS", "QSIZE") + 1
    places: dict[int, list[Part]] = {}
    for register, kind, size in (
        ("PCI_MSIX_TABLE", "MSI-X table", 16 * vectors),
        ("PCI_MSIX_PBA", "MSI-X pending bits", 8 * -(-vectors // 64)),
    ):
        value = msix.value(register)
        places.setdefault(value & 7, []).append(Part(kind, value & ~7, size))
    return places


def _print_regions(regions: list[Region], msix: dict[int, list[Part]]) -> None:
    for region in regions:
        if not region.size:
            continue
        known = list(msix.get(region.index, ()))
        what = ""
        if region.type is not None:
            what = f"  type {region.type}: {_MIGRATION_TYPES.get(region.type, 'device-specific')}"
            if region.type in _MIGRATION_TYPES:
                known.append(Part("header", 0, HEADER_SIZE))
        flags = "".join(
            letter
            for letter, is_set in (("r", region.readable), ("w", region.writable), ("m", region.mappable))
            if is_set
        )
        pieces = parts(region, known)
        click.echo(f"{region.name:<9} {show_size(region.size):>11}  {flags:<3} {draw(pieces)}{what}")
        if len(pieces) > 1:
            for piece in pieces:
                click.echo(f"{'':<27}{LETTERS[piece.kind]} {piece.kind:<18} {area_text(piece)}")
        if region.msix_mappable:
            click.echo(f"{'':<27}MSI-X may be mapped with the rest")
    click.echo("")


def _as_dict(
    device: Device, regions: list[Region], irqs: list[Irq], space: ConfigSpace | None
) -> dict[str, Any]:
    return {
        "name": device.name,
        "address": device.address,
        "regions": [
            {
                "index": region.index,
                "name": region.name,
                "size": region.size,
                "flags": region.flags,
                "type": list(region.type) if region.type else None,
                "areas": [[area.offset, area.size] for area in region.areas],
                "msix_mappable": region.msix_mappable,
            }
            for region in regions
        ],
        "irqs": [{"index": irq.index, "name": irq.name, "count": irq.count} for irq in irqs],
        "config": [
            {"offset": row.offset, "name": row.name, "width": row.width, "value": row.value, "text": row.text}
            for row in (space.rows() if space is not None else ())
        ],
    }
