"""Files of a source, cut by time of delivery: chunks of people are spooled, then merged file by file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from ingestion.simulator.arrays import Ints
from ingestion.simulator.arrow_text import joined
from ingestion.simulator.flaws import DELIVERED

WriteTable = Callable[[pa.Table, Path], None]
_REPETITIVE = ["type", "event", "user_id", "anonymous_id", "device_id", "context", "consent"]


@dataclass
class Spool:
    """Rows of one source on their way into `files` files that follow each other in time between `start` and `end`."""

    folder: Path
    name: str  # events-{:05d}.parquet
    write: WriteTable
    start: int
    end: int
    files: int
    rows: int = 0
    pieces: list[Path] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Puts the rows of one chunk aside, one record batch per future file."""
        if not table.num_rows:
            return
        self.rows += table.num_rows
        self.folder.mkdir(parents=True, exist_ok=True)
        piece = self.folder / f".spool-{len(self.pieces):05d}.arrow"
        at = table[DELIVERED].to_numpy()
        order = np.argsort(at, kind="stable")
        table = table.take(pa.array(order)).combine_chunks()
        bounds = np.searchsorted(at[order], self._edges())
        with pa.ipc.new_file(piece, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as sink:
            for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                batches = table.slice(first, last - first).combine_chunks().to_batches()
                sink.write_batch(batches[0] if batches else _no_rows(table.schema))
        self.pieces.append(piece)

    def finish(self) -> list[Path]:
        """Writes the files and clears the spool; a span of time without rows has no file."""
        readers = [pa.ipc.open_file(pa.memory_map(str(piece))) for piece in self.pieces]
        written: list[Path] = []
        for number in range(self.files if readers else 0):
            table = pa.Table.from_batches([reader.get_batch(number) for reader in readers])
            if not table.num_rows:
                continue
            order = np.argsort(table[DELIVERED].to_numpy(), kind="stable")
            table = table.take(pa.array(order)).drop_columns([DELIVERED])
            written.append(self.folder / self.name.format(len(written)))
            self.write(table, written[-1])
        for piece in self.pieces:
            piece.unlink()
        return written

    def _edges(self) -> Ints:
        edges = np.linspace(self.start, self.end, self.files + 1).astype(np.int64)
        edges[0], edges[-1] = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        return edges


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], item.type) for item in schema], schema=schema)


def write_parquet(table: pa.Table, path: Path) -> None:
    """One Parquet file; only columns with repeated values get a dictionary."""
    repetitive = [name for name in _REPETITIVE if name in table.column_names]
    pq.write_table(table, path, compression="zstd", compression_level=1, use_dictionary=repetitive)


def write_csv(table: pa.Table, path: Path) -> None:
    """One CSV file with a header; texts are quoted, nulls are empty."""
    pyarrow.csv.write_csv(table, path)


def write_ndjson(table: pa.Table, path: Path) -> None:
    """One JSON object of texts per line; null members are left out. No text holds a quote or a backslash."""
    members: list[pa.ChunkedArray] = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        lead = "{" if not members else ","
        text = pc.binary_join_element_wise(f'{lead}"{name}":"', column, '"', "")
        members.append(text)
    lines = joined(*members, "}\n")
    path.write_bytes(b"".join(memoryview(chunk.buffers()[2])[: _used(chunk)] for chunk in _chunks(lines)))


def _chunks(values: pa.Array | pa.ChunkedArray) -> list[pa.Array]:
    return list(values.chunks) if isinstance(values, pa.ChunkedArray) else [values]


def _used(texts: pa.Array) -> int:
    return int(pc.sum(pc.binary_length(texts)).as_py() or 0)


def cleared(out: Path, folders: tuple[str, ...]) -> None:
    """Removes what an earlier simulation left in these folders of `out`, and nothing else."""
    for folder in folders:
        if (out / folder).is_dir():
            shutil.rmtree(out / folder)
