"""Operator state: what people and services write while the warehouse may be busy, through SQLAlchemy.

A SQLite file in WAL mode beside a DuckDB warehouse; the schema weft_state of a PostgreSQL one.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestration.alert_outbox import AlertOutbox
from orchestration.api_keys import ApiKeys
from orchestration.approvals import Approvals
from orchestration.audience_rules import AudienceRules
from orchestration.automation_records import AutomationRecords
from orchestration.confirmation_records import ConfirmationRecords
from orchestration.crm_cursors import CrmCursors
from orchestration.decision_records import DecisionRecords
from orchestration.exclusions import Exclusions
from orchestration.holdouts import Holdouts
from orchestration.instants import utc_now
from orchestration.link_proposals import LinkProposals
from orchestration.model_registry import ModelRegistry
from orchestration.refusals import Refusals
from orchestration.snapshots import SnapshotDays
from orchestration.state_engine import open_engine
from orchestration.state_tables import metadata
from orchestration.sync_books import SyncBooks
from orchestration.version_records import AudienceVersion, VersionRecords

__all__ = ["AudienceVersion", "State", "utc_now"]

installation = sa.Table(
    "installation",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


class State(VersionRecords):
    """The operator state of one installation; `models` is its registry of trained models, `snapshots` the days
    to make features for, `alerts` what has to be told, `decisions` what people decided about identity,
    `proposals` links between customers for them to decide on, `crm` how far each CRM was pulled, `keys` who may send events,
    `rules` audiences that are JSON rules; `exclusions`, `holdouts` and `refusals` are what the gate obeys, `approvals` what its guards
    held back, `syncs` what destinations were sent and what they took, `automations` who is to be told of coming and going.
    """

    def __init__(self, url: str) -> None:
        self._is_sqlite, engine = open_engine(url)
        super().__init__(engine)
        self.models = ModelRegistry(self._engine)
        self.snapshots = SnapshotDays(self._engine)
        self.alerts = AlertOutbox(self._engine)
        self.decisions = DecisionRecords(self._engine)
        self.proposals = LinkProposals(self._engine)
        self.crm = CrmCursors(self._engine)
        self.keys = ApiKeys(self._engine)
        self.automations = AutomationRecords(self._engine)
        self.rules = AudienceRules(self._engine)
        self.exclusions = Exclusions(self._engine)
        self.holdouts = Holdouts(self._engine)
        self.refusals = Refusals(self._engine)
        self.approvals = Approvals(self._engine)
        self.confirmations = ConfirmationRecords(self._engine)
        self.syncs = SyncBooks(self._engine)

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    # ---- installation -------------------------------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """One value that belongs to this installation."""
        with self._begin() as connection:
            return connection.scalar(sa.select(installation.c.value).where(installation.c.name == name))

    def setting_or(self, name: str, default: str) -> str:
        """One value that belongs to this installation; the first answer, if it was the default, is kept for ever."""
        value = self.setting(name)
        if value is None:
            self.remember(name, default)
        return value or default

    def remember(self, name: str, value: str) -> None:
        """Set one value of this installation."""
        with self._begin() as connection:
            connection.execute(installation.delete().where(installation.c.name == name))
            connection.execute(installation.insert().values(name=name, value=value))

    def salt(self) -> str:
        """The salt of all customer ids; made once, at random, and never changed (ids would change with it)."""
        with self._begin() as connection:
            insert = (sqlite if self._is_sqlite else postgresql).insert(installation)
            connection.execute(insert.values(name="salt", value=secrets.token_hex(16)).on_conflict_do_nothing())
            salt = connection.scalar(sa.select(installation.c.value).where(installation.c.name == "salt"))
        return str(salt)
