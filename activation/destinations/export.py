"""An audience as a file: CSV for people or machines, or Parquet, replaced as a whole, with a manifest beside it."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, Field, model_validator

from activation.csv_cells import cell, line
from activation.destinations.config import DestinationConfig
from activation.destinations.files import file_in, replacing
from activation.destinations.tools import Tools
from activation.syncs.contract import Record

AS_OF = b"weft_as_of"
"""In the metadata of the members' schema: the instant that they are of."""
_ROWS = 20_000


def _is_absolute(folder: Path) -> Path:
    if not folder.is_absolute():
        raise ValueError("write the whole path of the folder")
    return folder


class ExportConfig(DestinationConfig):
    """`fields` are the columns in their order; without any it is customer_id. `folder`: another than WEFT_HOME/exports/<name>."""

    folder: Annotated[Path, AfterValidator(_is_absolute)] | None = None

    @property
    def shown(self) -> Mapping[str, str]:
        """Heading and column of the profiles."""
        return self.fields or {"customer_id": "customer_id"}


class CsvConfig(ExportConfig):
    """`for` people (no cell can be a formula) or machines (every value as it is). `phone_columns` hold E.164 and begin with a plus."""

    type: Literal["csv"]
    readers: Annotated[Literal["people", "machines"], Field(alias="for")] = "people"
    phone_columns: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _are_columns(self) -> "CsvConfig":
        if unknown := sorted(set(self.phone_columns) - set(self.shown)):
            raise ValueError(f"phone_columns has {', '.join(unknown)}, which fields does not have")
        return self


class ParquetConfig(ExportConfig):
    """Typed as the profiles are."""

    type: Literal["parquet"]


def open_csv(config: CsvConfig, tools: Tools) -> "CsvExport":
    """The adapter. Raises DestinationMisconfiguredError for an audience whose name is no file name."""
    return CsvExport(config, tools, ".csv")


def open_parquet(config: ParquetConfig, tools: Tools) -> "ParquetExport":
    """The adapter. Raises DestinationMisconfiguredError for an audience whose name is no file name."""
    return ParquetExport(config, tools, ".parquet")


class _FileExport(ABC):
    """What both have in common: see `Export`."""

    def __init__(self, config: ExportConfig, tools: Tools, suffix: str) -> None:
        self._shown, self._clock = config.shown, tools.clock
        self.path = file_in(config.folder or tools.folder, tools.audience + suffix)
        self._schema = pa.schema([(name, pa.string()) for name in self._shown])

    def records(self, members: pa.Table) -> Iterator[Record]:
        """One per customer, by customer id."""
        columns = [members.schema.field(column) for column in self._shown.values()]
        typed = [pa.field(name, column.type) for name, column in zip(self._shown, columns, strict=True)]
        self._schema = pa.schema(typed, members.schema.metadata)
        return self._each(members)

    def _each(self, members: pa.Table) -> Iterator[Record]:
        for start in range(0, members.num_rows, _ROWS):
            some = members.slice(start, _ROWS)
            columns = [some[column].to_pylist() for column in self._shown.values()]
            for customer, *values in zip(some["customer_id"].to_pylist(), *columns, strict=True):
                yield Record(customer, customer, dict(zip(self._shown, values, strict=True)))

    def replace(self, records: Iterator[Record]) -> int:
        """Write file and manifest anew; how many customers are in it. Where it fails the old file stands.

        The manifest follows the file: in the instant between them its sha256 is not the file's, and a reader reads both again.
        """
        with replacing(self.path) as file:
            count = self._write(file, records)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        as_of = (self._schema.metadata or {}).get(AS_OF)
        manifest = {
            "file": self.path.name,
            "count": count,
            "columns": {field.name: str(field.type) for field in self._schema},
            "sha256": digest,
            "as_of": as_of.decode() if as_of else None,
            "written_at": datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        with replacing(self.path.with_name(self.path.name + ".manifest.json")) as file:
            file.write(json.dumps(manifest, indent=2).encode() + b"\n")
        return count

    @abstractmethod
    def _write(self, file: BinaryIO, records: Iterator[Record]) -> int:
        """Write the records; how many there were."""


class CsvExport(_FileExport):
    """UTF-8 with a heading."""

    def __init__(self, config: CsvConfig, tools: Tools, suffix: str) -> None:
        super().__init__(config, tools, suffix)
        self._is_for_people = config.readers == "people"
        self._phones = [name in config.phone_columns for name in self._shown]

    def _write(self, file: BinaryIO, records: Iterator[Record]) -> int:
        file.write(line(cell(name, for_people=self._is_for_people) for name in self._shown))
        count = 0
        for count, record in enumerate(records, start=1):  # noqa: B007
            told = zip(record.payload.values(), self._phones, strict=True)
            file.write(line(cell(value, for_people=self._is_for_people, is_phone=is_phone) for value, is_phone in told))
        return count


class ParquetExport(_FileExport):
    """Compressed with zstd."""

    def _write(self, file: BinaryIO, records: Iterator[Record]) -> int:
        count = 0
        with pq.ParquetWriter(file, self._schema, compression="zstd") as writer:
            while some := list(islice(records, _ROWS)):
                columns = [[record.payload[field.name] for record in some] for field in self._schema]
                arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=self._schema))
                count += len(some)
        return count
