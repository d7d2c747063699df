"""`weft replay`: what was refused is sent again after its cause was mended; a chunk is one transaction, on any target.

What lands, or stands there already, is settled and not taken up again. What is refused once more stays, with the reason that holds now. A
replay that was killed goes on with the next one: its chunks have landed or they have not.
"""

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion.envelope import PRIVACY_REQUESTS, REJECTED_EVENTS, REJECTED_REQUESTS, RejectReason
from ingestion.file_errors import FileError
from ingestion.mappings import Mapping, MappingError, load_mapping
from ingestion.privacy_lines import STAGED_KEYS, new_privacy_requests, stage_privacy
from ingestion.replays import Reject, RequestsAgain, requests_again, rows_again
from ingestion.row_order import STAGING_SETTINGS
from ingestion.settlement import ORIGINS_OF_NEW_REJECTS
from orchestration.collecting import ensure_raw_tables, landing_target
from orchestration.failpoints import OnStep, failpoints
from orchestration.log_landing import EVENTS_MAPPING, PRODUCTS_MAPPING, keep_requests
from orchestration.settling import sentences
from orchestration.staging import Landing, Staged, Target, scratch_tables, settings
from orchestration.warehouse import Connection

ORIGIN = "replay"
CHUNK_ROWS, CHUNK_BYTES = 10_000, 64 << 20
_COLUMNS = (
    "reject_id", "source", "reason", "detail", "origin", "row_number", "payload", "mapping", "header",
    "request::varchar", "occurrence",
)  # fmt: skip
_ORDER = "rejected_at, origin, coalesce(row_number, 0), reject_id"


@dataclass(frozen=True)
class Selection:
    """Which refused rows: all that wait but for conflicts, which nothing mends, or those of one reason, one source, since an instant."""

    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def condition(self) -> tuple[str, list[object]]:
        """SQL text on raw.rejected_events for what is to be sent again, and its values."""
        text, values = self.narrowed()
        conflicts = f" and reason <> '{RejectReason.CONFLICTING_BODY}'" if self.reason is None else ""
        return f"replayed_at is null{conflicts} and {text}", values

    def narrowed(self) -> tuple[str, list[object]]:
        """The same for all that was refused, settled or not."""
        parts, values = ["true"], list[object]()
        for column, comparison, value in (
            ("reason", "=", self.reason),
            ("source", "=", self.source),
            ("rejected_at", ">=", self.since),
        ):
            if value is not None:
                parts.append(f"{column} {comparison} ?")
                values.append(value)
        return " and ".join(parts), values


@dataclass
class ReplayReport:
    """What became of refused rows that were sent again.

    `taken` = `settled` + `refused` + those of `problems` (sentence: rows that could not be sent). `accepted` are rows that are new in
    raw: a request may hold several. `refused` counts by the reason that holds now.
    """

    taken: int = 0
    settled: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, other: "ReplayReport") -> None:
        """Add a chunk's counts."""
        self.taken += other.taken
        self.settled += other.settled
        self.accepted += other.accepted
        self.refused.update(other.refused)
        self.problems.update(other.problems)

    def sentence(self) -> str:
        """One sentence for a person."""
        if not self.taken:
            return "Nothing that was refused waits there."
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.refused.items()))
        return (
            f"{self.taken:,} refused rows were sent again: {self.settled:,} are settled ({self.accepted:,} rows are new), "
            f"{self.refused.total():,} stay refused{f' ({reasons})' if reasons else ''}."
        )


def replay(
    connection: Connection,
    selection: Selection,
    *,
    now: datetime,
    mapping: Mapping | None = None,
    is_dry: bool = False,
    on_step: OnStep = failpoints("replay"),
    on_chunk: Callable[[ReplayReport], None] = lambda report: None,
) -> ReplayReport:
    """Send refused rows again; the caller is the only writer. `now` is naive UTC.

    `mapping` is taken for rows whose mapping has its name, as one that lies in a file of one's own. A dry run writes nothing; rows of
    several chunks do not see each other in it. Raises FileError where the target did not take a chunk: then nothing of it has landed.
    """
    ensure_raw_tables(connection)
    total = ReplayReport()
    with landing_target(connection) as target:
        for rejects in _chunks(target, selection, now):
            on_step("read")
            with tempfile.TemporaryDirectory(prefix="weft-replay-") as folder:
                chunk = _Chunk(target, rejects, Path(folder), now, on_step, mapping, is_dry)
                with sentences(ORIGIN, "replay"), scratch_tables(target.scratch), suppress(_Undone):
                    chunk.land()
            total.add(chunk.report)
            on_step("committed")
            on_chunk(chunk.report)
    return total


class _Undone(Exception):
    """Ends the transaction of a dry run."""


def _chunks(target: Target, selection: Selection, now: datetime) -> Iterator[list[Reject]]:
    """The selected rows in the order in which they were refused, bounded in rows and bytes. Each once, also if it is refused again; not
    those that are refused first by this replay."""
    condition, values = selection.condition()
    condition, values = f"{condition} and rejected_at <> ?", [*values, now]
    after: list[object] = []
    while True:
        behind = f"and ({_ORDER}) > (?, ?, ?, ?)" if after else ""
        page = target.run(
            f"select {_ORDER}, octet_length(payload), (select octet_length(body) from {REJECTED_REQUESTS.name} as kept "
            f"where kept.origin = refused.origin) from {REJECTED_EVENTS.name} as refused "
            f"where {condition} {behind} order by {_ORDER} limit {CHUNK_ROWS}",
            [*values, *after],
        )
        if not page:
            return
        ids, size, last_origin = list[str](), 0, None
        for *key, payload_bytes, body_bytes in page:
            size += payload_bytes + (body_bytes or 0) * (key[1] != last_origin)
            if ids and size > CHUNK_BYTES:
                break
            ids.append(key[3])
            after, last_origin = key, key[1]
        rows = target.run(
            f"select {', '.join(_COLUMNS)} from {REJECTED_EVENTS.name} "
            f"where reject_id in (select unnest(?::varchar[])) order by {_ORDER}",
            [ids],
        )
        yield [_reject(row) for row in rows]


def _reject(row: Sequence[Any]) -> Reject:
    found = Reject(*row)
    return replace(found, payload=bytes(found.payload), row_number=found.row_number or 0)


@dataclass
class _Chunk:
    """Some refused rows, and what became of them: `standing` has those that are refused again, with the reason that holds now."""

    target: Target
    rejects: list[Reject]
    folder: Path
    now: datetime
    on_step: OnStep
    mapping: Mapping | None
    is_dry: bool
    report: ReplayReport = field(default_factory=ReplayReport)
    standing: dict[str, tuple[str, str]] = field(default_factory=dict)
    sent: list[Reject] = field(default_factory=list)
    again: RequestsAgain | None = None

    def land(self) -> None:
        """Stage everything, then write it in one transaction; see `report`."""
        self.report.taken = len(self.rejects)
        requests = [reject for reject in self.rejects if reject.request is not None]
        staged = self._staged_files() + (self._staged_requests(requests) if requests else [])
        with self.target.transaction():
            for each in staged:
                self._write(each)
            if self.again and self.again.privacy_rows:
                self.target.bring(PRIVACY_REQUESTS, PRIVACY_REQUESTS.key, STAGED_KEYS)
                self.target.append(PRIVACY_REQUESTS, new_privacy_requests(self.now))
            self._settle()
            self.on_step("before_commit")
            if self.is_dry:
                raise _Undone

    def _staged_files(self) -> list["_StagedAgain"]:
        """Rows of files by mapping and header. A group that cannot be read stays as it is, and holds up no other."""
        groups: dict[tuple[str, str | None], list[Reject]] = defaultdict(list)
        for reject in self.rejects:
            if reject.request is None:
                groups[reject.mapping, reject.header].append(reject)
        staged = []
        for number, ((name, _), rejects) in enumerate(groups.items()):
            folder = self.folder / str(number)
            folder.mkdir()
            try:
                mapping = self.mapping if self.mapping and self.mapping.name == name else load_mapping(name)
                again = rows_again(rejects, mapping, folder)
                landing = Landing(self.target, mapping, self.now, self.on_step, again.bytes_of, again.occurrences)
                with sentences(f"{len(rejects):,} rows", mapping.name):
                    stood = landing.stage_aside(again.readable, name=f"rows_{number}")
            except (FileError, MappingError) as error:
                self.report.problems[str(error)] += len(rejects)
                continue
            staged.append(_StagedAgain(stood, again.sha256))
            self.sent += rejects
        return staged

    def _staged_requests(self, rejects: list[Reject]) -> list["_StagedAgain"]:
        """Parts of requests."""
        origins = sorted({reject.origin for reject in rejects})
        bodies = self.target.run(
            f"select origin, body from {REJECTED_REQUESTS.name} where origin in (select unnest(?::varchar[]))",
            [origins],
        )
        folder = self.folder / "requests"
        folder.mkdir()
        again = self.again = requests_again(rejects, {origin: bytes(body) for origin, body in bodies}, folder)
        self.sent += rejects
        staged = []
        for name, lines in ((EVENTS_MAPPING, again.events), (PRODUCTS_MAPPING, again.products)):
            if lines.rows or len(lines.removed_numbers):
                landing = Landing(self.target, load_mapping(name), self.now, self.on_step, again.requests.bytes_of)
                staged.append(_StagedAgain(landing.stage_aside(lines), again.sha256, again))
        if again.privacy_rows:
            with settings(self.target.scratch, STAGING_SETTINGS):
                self.target.scratch.execute(stage_privacy(again.privacy))
        return staged

    def _write(self, each: "_StagedAgain") -> None:
        staged = each.staged
        with staged.in_place():
            landing, scratch = staged.landing, self.target.scratch
            report = replace(landing.write(staged.readable, staged.compiled), origin=ORIGIN)
            if report.accepted or report.rejected_count or report.conflicts:
                landing.write_books_by_source(report, sha256=each.sha256, size=staged.readable.source.bytes)
            self.report.accepted += report.accepted
            for reject_id, *reason in scratch.execute("select reject_id, reason, detail from weft_rejects").fetchall():
                self.standing[reject_id] = (reason[0], reason[1])
            if each.again:
                new = {name for (name,) in scratch.execute(ORIGINS_OF_NEW_REJECTS).fetchall()}
                bodies = {name: body for name, body in each.again.requests.bodies.items() if name in new}
                if bodies:
                    keep_requests(self.target, bodies, self.now)

    def _settle(self) -> None:
        """Mark what is settled, and tell of the rest why it is refused now."""
        settled = [reject.reject_id for reject in self.sent if reject.reject_id not in self.standing]
        if settled:
            self.target.run(
                f"update {REJECTED_EVENTS.name} set replayed_at = ? where reject_id in (select unnest(?::varchar[]))",
                [self.now, settled],
            )
        changed: dict[tuple[str, str], list[str]] = defaultdict(list)
        for reject in self.sent:
            now_said = self.standing.get(reject.reject_id)
            if now_said:
                self.report.refused[now_said[0]] += 1
                if now_said != (reject.reason, reject.detail):
                    changed[now_said].append(reject.reject_id)
        for (reason, detail), ids in changed.items():
            self.target.run(
                f"update {REJECTED_EVENTS.name} set reason = ?, detail = ? where reject_id in (select unnest(?::varchar[]))",
                [reason, detail, ids],
            )
        self.report.settled = len(settled)


@dataclass(frozen=True)
class _StagedAgain:
    """Rows that wait to be written again, and the requests that they are of."""

    staged: Staged
    sha256: str
    again: RequestsAgain | None = None
