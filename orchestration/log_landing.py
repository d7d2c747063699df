"""Land the event log: rows, what was refused, books and the reader's position in one transaction a chunk, on any target.

A run that was killed, before or after its commit, is repaired by the next: the position says what has landed, for it was written with
it. Where it says nothing any more (another log, an older copy of it), all of the log is landed again, which the keys make harmless.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from ingestion.envelope import LOG_POSITIONS, PRIVACY_REQUESTS, REJECTED_REQUESTS
from ingestion.event_log import BEGINNING, EventLog, LogState
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.log_chunks import Bounds, Chunk, read_chunk
from ingestion.log_entries import id_parts
from ingestion.mappings import COLLECTED, COLLECTED_PRODUCTS, load_mapping
from ingestion.privacy_lines import STAGED_KEYS, new_privacy_requests, stage_privacy
from ingestion.redis_log import WAREHOUSE
from ingestion.settlement import ORIGINS_OF_NEW_REJECTS
from orchestration.collecting import ensure_raw_tables, landing_target
from orchestration.failpoints import OnStep, failpoints
from orchestration.settling import sentences
from orchestration.staging import Landing, Staged, Target, scratch_tables
from orchestration.warehouse import Connection

EVENTS_MAPPING, PRODUCTS_MAPPING = COLLECTED, COLLECTED_PRODUCTS
OTHER_LOG, OLDER_COPY, OLDER_WAREHOUSE = "other_log", "older_copy", "older_warehouse"
"""Why a reader had to begin again: the log's epoch is not the position's; the log ends before the position; the log was told of a
position that this warehouse has not reached, so that it is an older copy, or a new one, and what the log forgot is not in it."""
ENTRIES_MISSING = "entries_missing"
"""Noted in the same place though reading goes on: entries behind the position were gone before they were read."""
POSITION = f"select epoch, position, restarted_at, restart_reason from {LOG_POSITIONS.name} where reader = ?"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Position:
    """How far the log has landed; see raw.log_positions."""

    epoch: str
    position: str
    restarted_at: datetime | None = None
    restart_reason: str | None = None


def standing_position(target: Target) -> Position | None:
    """The position that stands in the target, None where nothing of a log has landed."""
    rows = target.run(POSITION, [WAREHOUSE])
    return Position(*rows[0]) if rows else None


def starting_position(standing: Position | None, log: EventLog, state: LogState, now: datetime) -> Position:
    """Where to read on. Begins a new epoch of the log where log and warehouse are not of one time: what comes now might never be read,
    or never be forgotten."""
    if standing is not None and standing.epoch != state.epoch:
        return Position(state.epoch, BEGINNING, now, OTHER_LOG)
    reached = standing.position if standing else BEGINNING
    if id_parts(state.last_normalized) < id_parts(reached):
        return Position(log.new_epoch(), BEGINNING, now, OLDER_COPY)
    if standing and _forgot(log, reached):
        return Position(log.new_epoch(), BEGINNING, now, OLDER_COPY)
    if id_parts(log.positions().get(WAREHOUSE, BEGINNING)) > id_parts(reached):
        return Position(log.new_epoch(), BEGINNING, now, OLDER_WAREHOUSE)
    return standing or Position(state.epoch, BEGINNING)


def _forgot(log: EventLog, position: str) -> bool:
    """Whether the log has gone on from before the position: an older copy of it was restored, and new entries overtook the position."""
    following = log.read_normalized(position, limit=1)
    return any(entry.after is not None and id_parts(entry.after) < id_parts(position) for entry in following)


def land_log(
    connection: Connection,
    log: EventLog,
    *,
    landed_at: datetime,
    on_step: OnStep = failpoints("log_landing"),
    bounds: Bounds | None = None,
) -> Iterator[LandingReport]:
    """`land_log_into` the warehouse that the connection is of, whose raw tables are created where they are missing."""
    ensure_raw_tables(connection)
    with landing_target(connection) as target:
        yield from land_log_into(target, log, landed_at=landed_at, on_step=on_step, bounds=bounds)


def land_log_into(
    target: Target, log: EventLog, *, landed_at: datetime, on_step: OnStep, bounds: Bounds | None = None
) -> Iterator[LandingReport]:
    """Land what the log holds now behind the position that stands in the target, a report for each chunk and mapping that had rows.

    `landed_at` is naive UTC. Raises LogError where the log cannot be read and FileError where the target did not take a chunk: then
    nothing of that chunk has landed. The caller is the only writer.
    """
    standing, state = standing_position(target), log.state()
    position = starting_position(standing, log, state, landed_at)
    if position != standing and position.restarted_at is not None:
        with target.transaction():  # the alarm stands even where the log is empty
            _write_position(target, position, landed_at)
    # a run that was killed between its commit and this left the log without word
    _confirm(log, position)
    # what comes while this lands is the next run's: a busy log would never let this one end
    while id_parts(position.position) < id_parts(state.last_normalized):
        with tempfile.TemporaryDirectory(prefix="weft-log-") as folder:
            chunk = read_chunk(log, position.position, state.last_normalized, Path(folder), bounds or Bounds())
            on_step("after_read")
            landing = _ChunkLanding(target, chunk, landed_at, on_step)
            reports = landing.land(position)
        position = landing.after(position)
        if position.restart_reason == ENTRIES_MISSING:
            for gap in chunk.gaps:
                _LOG.warning("Entries of the event log between %s and %s were gone before they had landed.", *gap)
        on_step("committed")
        _confirm(log, position, on_step)
        yield from reports


def _confirm(log: EventLog, position: Position, on_step: OnStep = lambda step: None) -> None:
    """Tell the log how far its entries have landed, and let it forget them."""
    log.confirm(WAREHOUSE, position.position, epoch=position.epoch)
    on_step("confirmed")
    log.trim()


@dataclass(frozen=True)
class _ChunkLanding:
    """One chunk, one transaction."""

    target: Target
    chunk: Chunk
    landed_at: datetime
    on_step: OnStep

    def after(self, position: Position) -> Position:
        """Where the reader stands once the chunk has landed, with the alarm where entries before or inside of it were gone."""
        gaps = self.chunk.gaps
        if position.position == BEGINNING and position.restarted_at is not None:
            gaps = tuple(gap for gap in gaps if gap.after != BEGINNING)  # that one is told already
        if not gaps:
            return replace(position, position=self.chunk.last)
        return Position(position.epoch, self.chunk.last, self.landed_at, ENTRIES_MISSING)

    def land(self, before: Position) -> list[LandingReport]:
        """Land the chunk with the position that it brings the reader to."""
        chunk, target = self.chunk, self.target
        with sentences(chunk.origin, EVENTS_MAPPING), scratch_tables(target.scratch):
            staged = [
                self._landing(name).stage_aside(lines)
                for name, lines in ((EVENTS_MAPPING, chunk.events), (PRODUCTS_MAPPING, chunk.products))
                if lines.rows or len(lines.removed_numbers)
            ]
            if chunk.privacy_rows:
                target.scratch.execute(stage_privacy(chunk.privacy))
            with target.transaction():
                _require(target, before)
                reports = [self._write(each) for each in staged]
                if chunk.privacy_rows:
                    target.bring(PRIVACY_REQUESTS, PRIVACY_REQUESTS.key, STAGED_KEYS)
                    target.append(PRIVACY_REQUESTS, new_privacy_requests(self.landed_at))
                _write_position(target, self.after(before), self.landed_at)
                self.on_step("before_commit")
        return reports

    def _landing(self, mapping: str) -> Landing:
        return Landing(self.target, load_mapping(mapping), self.landed_at, self.on_step, self.chunk.requests.bytes_of)

    def _write(self, staged: Staged) -> LandingReport:
        """Settle and write what was staged, its books and the requests of its refused parts."""
        chunk, landing = self.chunk, staged.landing
        with staged.in_place():
            report = replace(landing.write(staged.readable, staged.compiled), origin=chunk.origin)
            landing.write_books_by_source(report, sha256=chunk.sha256, size=staged.readable.source.bytes)
            new = {name for (name,) in landing.connection.execute(ORIGINS_OF_NEW_REJECTS).fetchall()}
        bodies = {name: body for name, body in chunk.requests.bodies.items() if name in new}
        if bodies:
            keep_requests(self.target, bodies, self.landed_at)
        return report


def keep_requests(target: Target, bodies: Mapping[str, bytes], landed_at: datetime) -> None:
    """Keep requests (by origin) of which a refused part alone could not be normalised again."""
    rows = {"origin": list(bodies), "body": list(bodies.values()), "landed_at": [landed_at] * len(bodies)}
    target.scratch.register("weft_requests", pa.table(rows))
    try:
        target.bring(REJECTED_REQUESTS, REJECTED_REQUESTS.key, "select origin from weft_requests")
        known = f"select origin from {REJECTED_REQUESTS.name}"
        target.append(
            REJECTED_REQUESTS,
            f"select origin, body, landed_at::timestamp from weft_requests where origin not in ({known})",
        )
    finally:
        target.scratch.unregister("weft_requests")


def _require(target: Target, position: Position) -> None:
    """Nobody else has landed the log since it was read."""
    standing = standing_position(target)
    is_beginning = standing is None and position.position == BEGINNING
    if not is_beginning and standing != position:
        raise FileError("Another landing of the event log came between; nothing of this one was landed.")


def _write_position(target: Target, position: Position, now: datetime) -> None:
    row = [WAREHOUSE, position.epoch, position.position, now, position.restarted_at, position.restart_reason]
    target.run(f"delete from {LOG_POSITIONS.name} where reader = ?", [WAREHOUSE])
    target.run(f"insert into {LOG_POSITIONS.name} values ({', '.join('?' * len(row))})", row)
