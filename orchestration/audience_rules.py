"""Audiences that are JSON rules, in the operator state. A revision is never changed: a change is a new one, and so is a deletion."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from activation.rules import write_json
from orchestration.errors import RuleConflictError
from orchestration.state_tables import metadata

# One row per revision of a rule. The newest of a name is in force; one without a rule says that it was deleted.
audience_rules = sa.Table(
    "audience_rules",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("rule", sa.Text),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("consent_purpose", sa.Text, nullable=False),
    sa.Column("legal_basis", sa.Text),
    sa.Column("expires_after", sa.Text),
    sa.Column("destinations", sa.Text, nullable=False),
    sa.Column("guards", sa.Text, nullable=False),
    sa.Column("saved_by", sa.Text, nullable=False),
    sa.Column("saved_at", sa.DateTime, nullable=False),
    sa.UniqueConstraint("name", "revision"),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class Definition:
    """What a person says of an audience that is a rule; `rule` is JSON as `read_json` gives it."""

    name: str
    rule: Any
    description: str
    owner: str
    consent_purpose: str
    destinations: tuple[str, ...] = ("redis",)
    guards: Mapping[str, Any] = field(default_factory=dict)
    legal_basis: str | None = None
    expires_after: str | None = None


@dataclass(frozen=True)
class SavedRule:
    """One revision of a rule in force; `rule` is its JSON text in one form."""

    name: str
    revision: int
    rule: str
    description: str
    owner: str
    consent_purpose: str
    destinations: tuple[str, ...]
    guards: Mapping[str, Any]
    legal_basis: str | None
    expires_after: str | None
    saved_by: str
    saved_at: datetime

    @property
    def definition_hash(self) -> str:
        """Changes with whatever may change who is published: the rule, the purpose, the destinations."""
        said = json.dumps([self.rule, self.consent_purpose, self.legal_basis, self.destinations], ensure_ascii=False)
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def meta(self) -> dict[str, Any]:
        """The same as `meta.audience` of an SQL audience."""
        given = {"legal_basis": self.legal_basis, "expires_after": self.expires_after}
        return {
            "owner": self.owner,
            "consent_purpose": self.consent_purpose,
            "destinations": list(self.destinations),
            "guards": dict(self.guards),
            **{name: value for name, value in given.items() if value is not None},
        }


class AudienceRules:
    """The rules of this installation."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def save(self, definition: Definition, *, by: str, now: datetime) -> SavedRule:
        """Keep a definition that was checked; the revision in force where it says the same.

        Raises RuleConflictError where somebody else saves the same name at the same moment.
        """
        said = _columns(definition)
        in_force = self.get(definition.name)
        if in_force is not None and {name: _columns(in_force)[name] for name in said} == said:
            return in_force
        self._append(definition.name, said, by=by, now=now)
        saved = self.get(definition.name)
        assert saved is not None, "it was written a moment ago"
        return saved

    def delete(self, name: str, *, by: str, now: datetime) -> bool:
        """Take a rule out of force; its revisions stay. False where there is none."""
        in_force = self.get(name)
        if in_force is None:
            return False
        self._append(name, {**_columns(in_force), "rule": None}, by=by, now=now)
        return True

    def get(self, name: str) -> SavedRule | None:
        """The rule of a name that is in force."""
        return next((rule for rule in self.current() if rule.name == name), None)

    def current(self) -> list[SavedRule]:
        """All rules in force, by name."""
        newest = sa.select(sa.func.max(audience_rules.c.seq)).group_by(audience_rules.c.name)
        found = audience_rules.c.seq.in_(newest) & audience_rules.c.rule.is_not(None)
        return self._rows(sa.select(audience_rules).where(found).order_by(audience_rules.c.name))

    def history(self, name: str) -> list[SavedRule]:
        """All revisions of a name that have a rule, the oldest first."""
        found = (audience_rules.c.name == name) & audience_rules.c.rule.is_not(None)
        return self._rows(sa.select(audience_rules).where(found).order_by(audience_rules.c.revision))

    def newest_seq(self) -> int:
        """Grows with every change of any rule; 0 where there never was one."""
        with self._engine.begin() as connection:
            return int(connection.scalar(sa.select(sa.func.max(audience_rules.c.seq))) or 0)

    def _append(self, name: str, said: dict[str, Any], *, by: str, now: datetime) -> None:
        newest = sa.select(sa.func.coalesce(sa.func.max(audience_rules.c.revision), 0)).where(
            audience_rules.c.name == name
        )
        try:
            with self._engine.begin() as connection:
                revision = int(connection.scalar(newest) or 0) + 1
                row = {**said, "name": name, "revision": revision, "saved_by": by, "saved_at": now}
                connection.execute(audience_rules.insert().values(row))
        except sa.exc.IntegrityError:
            raise RuleConflictError(f"Somebody else saved {name} at this moment; look at it and save again.") from None

    def _rows(self, query: sa.Select[Any]) -> list[SavedRule]:
        with self._engine.begin() as connection:
            return [_saved(row) for row in connection.execute(query).mappings()]


def _columns(said: Definition | SavedRule) -> dict[str, Any]:
    return {
        "rule": said.rule if isinstance(said, SavedRule) else write_json(said.rule),
        "description": said.description,
        "owner": said.owner,
        "consent_purpose": said.consent_purpose,
        "legal_basis": said.legal_basis,
        "expires_after": said.expires_after,
        "destinations": write_json(list(said.destinations)),
        "guards": write_json(dict(said.guards)),
    }


def _saved(row: sa.RowMapping) -> SavedRule:
    found = {name: row[name] for name in SavedRule.__dataclass_fields__}
    return SavedRule(
        **{**found, "destinations": tuple(json.loads(row["destinations"])), "guards": json.loads(row["guards"])}
    )
