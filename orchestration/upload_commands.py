"""`weft upload`: put a file into the inbox, or see first how a mapping reads it."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ingestion.file_errors import FileError
from ingestion.mappings import MappingError, available_mappings, load_mapping
from ingestion.upload_errors import UploadError
from ingestion.uploads import Preview
from orchestration.resources import build_platform

BLOCK_BYTES = 1 << 20
console = Console(soft_wrap=True, highlight=False, markup=False)


def upload(
    path: Annotated[Path, typer.Argument(help="A CSV, NDJSON, JSON or Parquet file.")],
    mapping: Annotated[str, typer.Option(help="Name of a mapping that comes with Weft.")],
    preview: Annotated[
        bool, typer.Option("--preview", help="Show the first rows as the mapping reads them; upload nothing.")
    ] = False,
) -> None:
    """Copy a file into the inbox, which the next run lands: whole or not at all, and the same file twice once."""
    from orchestration.upload_preview import preview_file
    from orchestration.uploads import spool

    platform = build_platform()
    if mapping not in available_mappings():
        raise MappingError(f"There is no mapping '{mapping}'; name one of {', '.join(available_mappings())}.")
    load_mapping(mapping)
    if not path.is_file():
        raise FileError(f"{path} is not a file.")
    if preview:
        shown = preview_file(path, mapping, warehouse=platform.warehouse)
        _print(shown)
        if shown.problem:
            raise typer.Exit(2)
        return
    waiting = spool(platform.settings)
    if path.stat().st_size > waiting.limit_bytes:
        raise UploadError("too_large", f"{path.name} is larger than WEFT_UPLOAD_MB; raise that, or use `weft import`.")
    receiving = waiting.begin(source="", name=path.name)
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress, path.open("rb") as stream:
            task = progress.add_task(path.name, total=path.stat().st_size)
            while block := stream.read(BLOCK_BYTES):
                receiving.write(block)
                progress.advance(task, len(block))
        confirmed = waiting.confirm(receiving.finish(), mapping=mapping, inbox=platform.settings.inbox)
    finally:
        receiving.abandon()
    console.print(
        f"{path.name}: {confirmed.bytes:,} bytes are in the inbox as {mapping}/{confirmed.file}; `weft run` lands them."
    )


def _print(shown: Preview) -> None:
    if shown.problem:
        console.print(shown.problem, style="red")
        return
    for number, row in enumerate(shown.rows, 1):
        table = Table("column", "value", title=f"row {number} of those that would land", title_justify="left", box=None)
        for name, value in row.items():
            if value not in (None, {}, []):
                table.add_row(name, str(value))
        console.print(table)
    if shown.rejected:
        table = Table("row", "reason", "detail", title="would be rejected", title_justify="left", box=None)
        for each in shown.rejected:
            table.add_row(str(each["row_number"]), each["reason"], each["detail"])
        console.print(table)
    what = "all of the file" if shown.is_whole_file else "the first rows"
    console.print(f"{shown.rows_read:,} rows read ({what}) with the mapping {shown.mapping}.")
    for label, names in {"not in the file": shown.columns_missing, "not used": shown.columns_unused}.items():
        if names:
            console.print(f"Columns {label}: {', '.join(names)}.")
