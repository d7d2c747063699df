"""What stands in the build that readers see: its tables, sources, identity and models, counted."""

from collections import defaultdict
from dataclasses import dataclass, fields
from datetime import date, datetime

from orchestration.warehouse import Connection, first_row, scalar, tables_of

SCHEMAS = (
    "raw", "staging", "identity", "customer_360", "features", "predictions", "audiences", "control", "truth",
)  # fmt: skip


@dataclass(frozen=True)
class TableStatus:
    """One table of the served build; the instants are null where the table has no such column, or no row."""

    table: str
    rows: int
    newest_known_at: datetime | None
    newest_landed_at: datetime | None


@dataclass(frozen=True)
class SourceStatus:
    """One source: its events in the served build, what of it was refused by reason, and when a file of it last landed."""

    source: str
    events: int
    newest_known_at: datetime | None
    rejected: dict[str, int]
    last_landing_at: datetime | None


@dataclass(frozen=True)
class ModelStatus:
    """The champion of a model."""

    model: str
    version: str
    trained_at: datetime


@dataclass(frozen=True)
class QualityStatus:
    """Weft's row of identity.quality, where there is a truth to compare with; a share is null where there is nothing to share."""

    pairwise_precision: float | None
    pairwise_recall: float | None
    pairwise_f1: float | None
    exact_share: float | None


@dataclass(frozen=True)
class BuildStatus:
    """The build that readers see, and what is in it."""

    build_id: str
    as_of: datetime
    completed_at: datetime
    whole_builds: int
    customers: int
    identifiers: int
    hot_identifiers: int
    identity_quality: QualityStatus | None
    newest_rate_date: date | None
    sources: list[SourceStatus]
    tables: list[TableStatus]
    champions: list[ModelStatus]


def read_build(served: Connection) -> BuildStatus:
    """What stands in a served build; a table that a partial build left out counts nothing."""
    tables = [
        _table(served, f"{schema}.{table}")
        for schema in SCHEMAS
        for table in sorted(tables_of(served, schema, with_views=False))
    ]
    rows = {status.table: status.rows for status in tables}
    builds = served.rows("select build_id, as_of, completed_at from control.builds order by completed_at desc")
    build_id, as_of, completed_at = builds[0]
    return BuildStatus(
        build_id=build_id,
        as_of=as_of,
        completed_at=completed_at,
        whole_builds=len(builds),
        customers=rows.get("customer_360.customers", 0),
        identifiers=rows.get("identity.identifiers", 0),
        hot_identifiers=_hot_identifiers(served) if "identity.hot_identifiers" in rows else 0,
        identity_quality=_quality(served) if "identity.quality" in rows else None,
        newest_rate_date=scalar(served, "select max(rate_date) from raw.exchange_rates where currency <> 'EUR'"),
        sources=_sources(served),
        tables=tables,
        champions=_champions(served) if "predictions.model_versions" in rows else [],
    )


def _hot_identifiers(served: Connection) -> int:
    return int(scalar(served, "select count(distinct identifier_id) from identity.hot_identifiers"))


def _quality(served: Connection) -> QualityStatus | None:
    names = ", ".join(field.name for field in fields(QualityStatus))
    row = first_row(served, f"select {names} from identity.quality where method = 'weft'")
    return QualityStatus(*row) if row else None


def _champions(served: Connection) -> list[ModelStatus]:
    query = "select model, version, trained_at from predictions.model_versions where is_champion order by model"
    return [ModelStatus(*champion) for champion in served.rows(query)]


def _table(served: Connection, table: str) -> TableStatus:
    columns = set(served.arrow(f"select * from {table} limit 0").column_names)
    landed = next((name for name in ("landed_at", "rejected_at") if name in columns), None)
    known = "known_at" if "known_at" in columns else None
    newest = ", ".join(f"max({name})" if name else "null" for name in (known, landed))
    rows, known_at, landed_at = first_row(served, f"select count(*), {newest} from {table}") or (0, None, None)
    return TableStatus(table, rows, known_at, landed_at)


def _sources(served: Connection) -> list[SourceStatus]:
    counted = served.rows("select source, count(*), max(known_at) from raw.events group by source")
    events = {source: (count, newest) for source, count, newest in counted}
    rejected: dict[str, dict[str, int]] = defaultdict(dict)
    for source, reason, count in served.rows(
        "select source, reason, count(*) from raw.rejected_events group by source, reason order by source, reason"
    ):
        rejected[source][reason] = count
    landed = dict(served.rows("select source, max(landed_at) from raw.landings group by source"))
    return [
        SourceStatus(source, *events.get(source, (0, None)), dict(rejected[source]), landed.get(source))
        for source in sorted({*events, *rejected, *landed})
    ]
