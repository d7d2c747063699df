"""What every landing of files does, whichever the target: stage a file's rows in DuckDB, settle them, write them and the books.

The rows are staged on the target's `scratch`, a DuckDB connection, and settled there against what stands in the target.
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb

from ingestion import settlement
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping, MappingError, load_mapping
from ingestion.readable_files import readable_file
from ingestion.row_order import STAGING_SETTINGS
from ingestion.source_files import file_sha256, source_file
from orchestration.failpoints import OnStep
from orchestration.staging import Landing, Target, TargetError, scratch_tables, settings

# a full disk shows as an IOException, at the end of a transaction as the other two
_NOT_THE_ROWS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)


def land_into(
    target: Target, *, path: str | Path, mapping: Mapping | str | Path, landed_at: datetime, on_step: OnStep
) -> LandingReport:
    """Land one file in one transaction of the target, whose raw tables are there; see `landing.land_file`."""
    mapping = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    source = source_file(Path(path), mapping)
    with tempfile.TemporaryDirectory(prefix="weft-landing-") as workspace, ThreadPoolExecutor(1) as beside:
        sha256 = beside.submit(file_sha256, source.path)
        readable = readable_file(source, mapping, Path(workspace))
        landing = Landing(target, mapping, landed_at, on_step)
        with sentences(source.path.name, mapping.name), scratch_tables(target.scratch):
            with settings(target.scratch, STAGING_SETTINGS):
                compiled = landing.stage(readable) if readable else None
            with target.transaction():
                report = LandingReport(source.path.name, mapping.name)
                if readable and compiled:
                    report = landing.write(readable, compiled)
                landing.write_books(report, source, sha256.result())
                on_step("before_commit")
        on_step("committed")
    return report


def land_each_into(
    target: Target, *, folder: Path, landed_at: datetime, on_step: OnStep, within: str = ""
) -> Iterator[LandingReport]:
    """Land every file below `folder`/<mapping name>/`within`; see `landing.land_folder`."""
    for inbox in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        for path in sorted(path for path in (inbox / within).rglob("[!.]*") if path.is_file()):
            on_step("file_begun")
            try:
                mapping = load_mapping(inbox.name)
                if _is_landed(target, path, mapping):
                    yield LandingReport(path.name, mapping.name, is_unchanged=True)
                else:
                    yield land_into(target, path=path, mapping=mapping, landed_at=landed_at, on_step=on_step)
            except (FileError, MappingError) as error:
                yield LandingReport(path.name, inbox.name, problem=str(error))


def _is_landed(target: Target, path: Path, mapping: Mapping) -> bool:
    with sentences(path.name, mapping.name):
        [(landings,)] = target.run(settlement.COUNT_LANDINGS, [mapping.name, file_sha256(path)])
        return bool(landings)


@contextmanager
def sentences(name: str, mapping: str) -> Iterator[None]:
    """The warehouse's errors as one sentence; its own words only where they cannot hold a row's values."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise MappingError(f"{mapping}: an expression cannot be used: {str(error).splitlines()[0]}") from error
    except (*_NOT_THE_ROWS, TargetError) as error:
        raise FileError(f"{name} was not landed: {str(error).splitlines()[0]}") from error
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        raise FileError(
            f"{name} was not landed: it is damaged, or an expression of the mapping {mapping} fails "
            "on one of its values (use try_cast there)."
        ) from error
