"""The first rows of a file as a mapping reads them, worked out in a process of its own: whatever the file is, only that one suffers.

The process has a limit of memory, of CPU time and of the size of what it writes; its DuckDB sees the copied first rows and no other file.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from ingestion.compile import Compiled, compile_events
from ingestion.compile_tables import compile_table
from ingestion.envelope import RejectReason
from ingestion.file_columns import require_columns
from ingestion.file_errors import FileError
from ingestion.first_rows import first_rows
from ingestion.mappings import Mapping, MappingError, load_mapping
from ingestion.readable_files import readable_file
from ingestion.records import Positions
from ingestion.row_bytes import fetched_rows, front_keys
from ingestion.source_files import ReadableFile, source_file
from ingestion.typed_columns import RULE
from ingestion.uploads import Preview
from orchestration.errors import NothingServedError
from orchestration.landing import EXCHANGE_RATES_FILE
from orchestration.state import utc_now
from orchestration.warehouse import Warehouse

ROWS_READ = 200
ROWS_SHOWN = 20
VALUE_CHARACTERS = 1_000
SECONDS = 30
MEMORY_BYTES = 1500 << 20
"""Of what can be written to; address space would count what libraries reserve and never use."""


def preview_file(path: Path, mapping: str, *, warehouse: Warehouse | None = None) -> Preview:
    """Preview a file. A file or mapping that cannot be used is the preview's `problem`, in one sentence."""
    command = [sys.executable, "-m", "orchestration.upload_preview", str(path.absolute()), mapping]
    # nothing of our environment: it holds secrets
    environment = {"PYTHONPATH": ":".join(part for part in sys.path if part), "HOME": "/nonexistent"}
    asked = json.dumps(_currencies(warehouse))
    try:
        child = subprocess.run(
            command, input=asked, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return Preview(mapping, problem="The file took too long to look at; upload a part of it.")
    if child.returncode:
        return Preview(
            mapping,
            problem="The file cannot be looked at: it is damaged, or needs more memory than a preview may have.",
        )
    return Preview(**json.loads(child.stdout))


def _currencies(warehouse: Warehouse | None) -> list[str] | None:
    """Currencies that the served build knows; None where there is no build yet."""
    try:
        if warehouse is None:
            return None
        with warehouse.open_served() as served:
            return [row[0] for row in served.rows("select distinct currency from raw.exchange_rates order by currency")]
    except NothingServedError:
        return None


def _seeded_currencies() -> list[str]:
    lines = EXCHANGE_RATES_FILE.read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("currency")
    return sorted({line.split(",")[place] for line in lines[1:] if line})


def _previewed(path: Path, name: str, currencies: Sequence[str]) -> Preview:
    try:
        mapping = load_mapping(name)
        with tempfile.TemporaryDirectory(prefix="weft-preview-") as folder:
            workspace = Path(folder)
            sample, is_whole = first_rows(source_file(path, mapping), mapping, workspace, limit=ROWS_READ)
            readable = readable_file(source_file(sample, mapping), mapping, workspace)
            if readable is None:
                return Preview(mapping.name, is_whole_file=True, problem="There are no rows in this file.")
            return _read(readable, mapping, currencies, workspace, is_whole=is_whole)
    except (FileError, MappingError) as error:
        return Preview(name, problem=str(error).replace(str(path), "the file"))


def _read(
    readable: ReadableFile, mapping: Mapping, currencies: Sequence[str], workspace: Path, *, is_whole: bool
) -> Preview:
    shape = readable.shape
    found = front_keys(readable) if shape.format == "ndjson" else [column.name for column in shape.columns]
    held, wanted = {name.casefold() for name in found}, {name.casefold() for name in mapping.columns}
    columns: dict[str, Any] = {
        "columns_found": found[:500],
        "columns_unused": [name for name in found if name.casefold() not in wanted][:500],
        "columns_missing": [name for name in mapping.columns if name.casefold() not in held],
    }
    require_columns(mapping, found, "The file")
    compiler = compile_events if mapping.target == "events" else compile_table
    compiled = compiler(mapping, shape, currencies=currencies, landed_at=utc_now())
    options: dict[str, Any] = {"memory_limit": "500MB", "threads": 1, "autoinstall_known_extensions": False}
    with duckdb.connect(":memory:", config=options) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"set allowed_directories = ['{workspace.resolve()}/']")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        try:
            connection.execute(f"create temp table weft_staged as {compiled.select}")
        except duckdb.OutOfMemoryException as error:
            raise FileError("The first rows of the file need more memory than a preview may have.") from error
        except duckdb.Error as error:
            raise FileError(
                f"The file is damaged, or an expression of the mapping {mapping.name} fails on one of its values."
            ) from error
        rows, rejected = _good_rows(connection), _rejected(connection, readable, compiled)
        [(count,)] = connection.execute("select count(*) from weft_staged").fetchall()
    return Preview(
        mapping.name,
        rows=rows,
        rejected=rejected,
        rows_read=count + len(readable.removed_numbers),
        is_whole_file=is_whole,
        **columns,
    )


def _good_rows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    answer = connection.execute(f"select * from weft_staged where {RULE} is null order by rowid limit {ROWS_SHOWN}")
    names = [column[0] for column in answer.description or []]
    types = [str(column[1]) for column in answer.description or []]
    shown = [at for at, name in enumerate(names) if not name.startswith("weft__")]
    return [{names[at]: _shown(row[at], types[at]) for at in shown} for row in answer.fetchall()]


def _shown(value: Any, type_: str) -> Any:
    """A value as JSON can say it, long texts cut."""
    if value is None or isinstance(value, bool | int):
        return value
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    if type_ == "JSON" and len(text) <= VALUE_CHARACTERS:
        return json.loads(text)
    return text if len(text) <= VALUE_CHARACTERS else f"{text[:VALUE_CHARACTERS]}…"


def _rejected(
    connection: duckdb.DuckDBPyConnection, readable: ReadableFile, compiled: Compiled
) -> list[dict[str, Any]]:
    query = f"select rowid, {RULE} from weft_staged where {RULE} is not null order by rowid limit {ROWS_SHOWN}"
    found = connection.execute(query).fetchall()
    places = np.array([place for place, _ in found], np.int64)
    looked_at = _by_their_bytes(readable, places)
    rejected = []
    for number, (place, rule) in zip(readable.row_numbers(places), found, strict=True):
        reason, detail = looked_at.get(place, (None, None))
        said = compiled.rules[rule - 1]
        rejected.append(
            {"row_number": int(number), "reason": reason or str(said.reason), "detail": detail or said.detail}
        )
    if readable.removed_path is not None:
        removed = pq.read_table(readable.removed_path, columns=["row_number", "reason"]).slice(0, ROWS_SHOWN)
        rejected += [row | {"detail": RejectReason(row["reason"]).sentence} for row in removed.to_pylist()]
    return sorted(rejected, key=lambda each: each["row_number"])[:ROWS_SHOWN]


def _by_their_bytes(readable: ReadableFile, places: Positions) -> dict[int, tuple[str | None, str | None]]:
    """Reason and detail of refused lines where a look at their bytes says more than a rule, by place."""
    if readable.shape.format == "parquet" or not len(places):
        return {}
    rows = [row for batch in fetched_rows(readable, places) for row in batch.to_pylist()]
    return {row["place"]: (row["reason"], row["detail"]) for row in rows}


def main(path: str, mapping: str) -> None:
    """The process: limits itself, then reads. The currencies stand on its standard input."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    currencies = json.loads(sys.stdin.read())
    preview = _previewed(Path(path), mapping, currencies or _seeded_currencies())
    sys.stdout.write(json.dumps(asdict(preview)))


if __name__ == "__main__":
    main(*sys.argv[1:])
