"""Versions of audiences, and the tries to publish them, in the operator state."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from orchestration.instants import utc_now
from orchestration.state_tables import metadata

# One row per change of an audience (or of the profiles): what the sensor pages, by seq.
audience_versions = sa.Table(
    "audience_versions",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("audience", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("build_id", sa.Text, nullable=False),
    sa.Column("definition_hash", sa.Text, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("member_count", sa.Integer, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
    sa.Column("registered_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("audience", "version"),
    sqlite_autoincrement=True,
)

# One row per try to publish a version.
publications = sa.Table(
    "publications",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
    sa.Column("changed_at", sa.DateTime, nullable=False),
)


@dataclass(frozen=True)
class AudienceVersion:
    """One registered content of an audience; `seq` grows over all audiences."""

    seq: int
    audience: str
    version: int
    build_id: str
    definition_hash: str
    content_hash: str
    member_count: int
    as_of: datetime


class VersionRecords:
    """One row per changed content of an audience, one per try to publish it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    # ---- audience versions --------------------------------------------------------------------------------------

    def newest_version(self, audience: str) -> AudienceVersion | None:
        """The newest registered version of an audience."""
        query = sa.select(audience_versions).where(audience_versions.c.audience == audience)
        rows = self._versions(query.order_by(audience_versions.c.version.desc()).limit(1))
        return rows[0] if rows else None

    def newest_versions(self) -> list[AudienceVersion]:
        """The newest registered version of every audience, by name."""
        newest = sa.func.max(audience_versions.c.version).over(partition_by=audience_versions.c.audience)
        ranked = sa.select(audience_versions, newest.label("newest")).subquery()
        query = sa.select(ranked).where(ranked.c.version == ranked.c.newest).order_by(ranked.c.audience)
        return self._versions(query)

    def versions_without(self, *statuses: str) -> list[tuple[AudienceVersion, int, str | None, datetime | None]]:
        """Versions whose newest try has none of `statuses`, oldest first, with that try's attempt (0: none), status and time."""
        tries = sa.select(
            publications,
            sa.func.max(publications.c.attempt)
            .over(partition_by=[publications.c.audience, publications.c.version])
            .label("newest"),
        ).subquery()
        newest = sa.select(tries).where(tries.c.attempt == tries.c.newest).subquery()
        query = (
            sa.select(audience_versions, newest.c.attempt, newest.c.status, newest.c.changed_at)
            .outerjoin(
                newest,
                (newest.c.audience == audience_versions.c.audience) & (newest.c.version == audience_versions.c.version),
            )
            .where(newest.c.status.is_(None) | newest.c.status.not_in(statuses))
            .order_by(audience_versions.c.seq)
        )
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [(_version(row), row["attempt"] or 0, row["status"], row["changed_at"]) for row in rows]

    def version(self, audience: str, version: int) -> AudienceVersion | None:
        """One registered version."""
        rows = self._versions(
            sa.select(audience_versions).where(
                audience_versions.c.audience == audience, audience_versions.c.version == version
            )
        )
        return rows[0] if rows else None

    def register_version(
        self,
        *,
        audience: str,
        build_id: str,
        definition_hash: str,
        content_hash: str,
        member_count: int,
        as_of: datetime,
        again: bool = False,
    ) -> AudienceVersion | None:
        """Write a new version where definition or content differ from the newest one, or where it is to be published `again`; else None."""
        with self._engine.begin() as connection:
            newest = connection.execute(
                sa.select(audience_versions)
                .where(audience_versions.c.audience == audience)
                .order_by(audience_versions.c.version.desc())
                .limit(1)
            ).first()
            unchanged = newest and (newest.definition_hash, newest.content_hash) == (definition_hash, content_hash)
            if unchanged and not again:
                return None
            version = newest.version + 1 if newest else 1
            connection.execute(
                audience_versions.insert().values(
                    audience=audience,
                    version=version,
                    build_id=build_id,
                    definition_hash=definition_hash,
                    content_hash=content_hash,
                    member_count=member_count,
                    as_of=as_of,
                    registered_at=utc_now(),
                )
            )
        return self.version(audience, version)

    def _versions(self, query: sa.Select[Any]) -> list[AudienceVersion]:
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [_version(row) for row in rows]

    def published_version(self, audience: str) -> AudienceVersion | None:
        """The newest version that was published."""
        tries = publications.c
        query = sa.select(audience_versions).join(
            publications,
            (tries.audience == audience_versions.c.audience) & (tries.version == audience_versions.c.version),
        )
        query = query.where(audience_versions.c.audience == audience, tries.status == "published")
        rows = self._versions(query.order_by(audience_versions.c.version.desc()).limit(1))
        return rows[0] if rows else None

    # ---- publications -------------------------------------------------------------------------------------------

    def record_publication(
        self, audience: str, version: int, attempt: int, status: str, detail: str | None = None
    ) -> None:
        """Write where one try stands: requested, published, failed or superseded."""
        key = (
            (publications.c.audience == audience)
            & (publications.c.version == version)
            & (publications.c.attempt == attempt)
        )
        with self._engine.begin() as connection:
            connection.execute(publications.delete().where(key))
            connection.execute(
                publications.insert().values(
                    audience=audience,
                    version=version,
                    attempt=attempt,
                    status=status,
                    detail=detail,
                    changed_at=utc_now(),
                )
            )

    def last_published_build(self, audience: str) -> str | None:
        """The build of the newest version of an audience that was published; None where none ever was."""
        is_published = (publications.c.audience == audience) & (publications.c.status == "published")
        query = (
            sa.select(audience_versions.c.build_id)
            .join(
                publications,
                (publications.c.audience == audience_versions.c.audience)
                & (publications.c.version == audience_versions.c.version),
            )
            .where(is_published)
            .order_by(audience_versions.c.version.desc())
            .limit(1)
        )
        with self._engine.begin() as connection:
            return connection.scalar(query)

    def publication_detail(self, audience: str, version: int, attempt: int) -> str:
        """What one try to publish a version said; empty where nothing."""
        query = sa.select(publications.c.detail).where(
            publications.c.audience == audience, publications.c.version == version, publications.c.attempt == attempt
        )
        with self._engine.begin() as connection:
            return connection.scalar(query) or ""

    def last_publication(self, audience: str, version: int) -> tuple[int, str, datetime] | None:
        """Attempt, status and time of the newest try to publish a version."""
        with self._engine.begin() as connection:
            row = connection.execute(
                sa.select(publications.c.attempt, publications.c.status, publications.c.changed_at)
                .where(publications.c.audience == audience, publications.c.version == version)
                .order_by(publications.c.attempt.desc())
                .limit(1)
            ).first()
        return (row.attempt, row.status, row.changed_at) if row else None


def _version(row: sa.RowMapping) -> AudienceVersion:
    return AudienceVersion(**{name: row[name] for name in AudienceVersion.__dataclass_fields__})
