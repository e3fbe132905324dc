"""``vfiokit devices``: what is there, whether it can be opened, and if not what to do."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from vfiokit.device.sysfs import Found, discover, mdev_types, probe_migration

__all__ = ("command",)


@click.command
@click.option("--all", "everything", is_flag=True, help="Also what is not bound to a VFIO driver.")
@click.option("--probe", is_flag=True, help="Open each one and look for a migration region; this resets it.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON list.")
def command(everything: bool, probe: bool, as_json: bool) -> None:
    """List PCI devices and mediated devices with their IOMMU groups."""
    found = [one for one in discover() if everything or one.usable or one.kind == "mdev" or _bound(one)]
    rows = [(one, probe_migration(one) if probe else "") for one in found]
    if as_json:
        click.echo(json.dumps([_as_dict(one, migration) for one, migration in rows], indent=2))
        return
    if rows:
        Console().print(_table(rows, probe))
    else:
        click.echo("no device is bound to VFIO" + ("" if everything else "; --all lists the others"))
    for kind in mdev_types():
        left = "some" if kind.available is None else kind.available
        click.echo(f"mdev type {kind.type} of {kind.parent}: {left} more; echo UUID > {kind.path}/create")
    if not rows:
        click.echo("without a device: vfiokit show emulated:v5")


def _bound(found: Found) -> bool:
    return found.driver is not None and "vfio" in found.driver


def _table(rows: list[tuple[Found, str]], probe: bool) -> Table:
    columns = ["device", "group", "driver", "what", "state", *(["migration"] if probe else [])]
    table = Table(title="Devices", title_justify="left")
    for column in columns:
        # What is to be typed elsewhere stays in one piece.
        table.add_column(column, no_wrap=column in ("device", "driver"))
    for one, migration in rows:
        state = "usable" if one.usable else f"{one.why_not}; try: {one.what_to_do}"
        cells = [
            f"vfio:{one.name}",
            "" if one.group is None else str(one.group),
            one.driver or "none",
            one.title,
            state,
        ]
        table.add_row(*cells, *([migration] if probe else []))
    return table


def _as_dict(found: Found, migration: str) -> dict[str, Any]:
    return {**json.loads(json.dumps(asdict(found), default=str)), "migration": migration or None}
