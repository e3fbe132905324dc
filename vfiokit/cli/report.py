"""``vfiokit report``: one HTML file of a recording or of an executed notebook, that opens offline."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ("command",)


@click.command
@click.argument("recording", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write; RECORDING with .html if not given. With --extract, a new folder.",
)
@click.option("--title", help="Title of the page; told from the recording if not given.")
@click.option("--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True)
@click.option(
    "--embed/--beside",
    default=None,
    help="Put the recording into the file, or a copy beside it. By its size if not given.",
)
@click.option("--extract", is_flag=True, help="RECORDING is a report: get the recording in it back.")
def command(
    recording: Path,
    output: Path | None,
    title: str | None,
    theme: str,
    embed: bool | None,
    extract: bool,
) -> None:
    """Write the report of RECORDING, a .vfk folder: pictures, events and verdicts in one HTML file.

    RECORDING may be QEMU's log with trace events; or an executed notebook (.ipynb): then its cells and
    outputs become the file.
    """
    # Bokeh is imported when it is used, so that --help answers at once.
    from vfiokit import reports
    from vfiokit.recording import Recording, import_log

    if extract:
        target = output if output is not None else recording.with_suffix(".vfk")
        click.echo(f"{target}: {reports.extract(recording, target)!r}", err=True)
        return
    if recording.suffix == ".ipynb":
        if title is not None or embed is not None:
            raise click.UsageError("--title, --embed and --beside are for recordings")
        written = reports.export_notebook(recording, output)
    else:
        source: Path | Recording = recording
        if recording.is_file():
            source = import_log(recording)
            output = output if output is not None else recording.with_suffix(".html")
        written = reports.report(source, output, title=title, theme=theme, embed=embed)
    click.echo(f"{written}: {written.stat().st_size / 1e6:.1f} MB, opens offline", err=True)
