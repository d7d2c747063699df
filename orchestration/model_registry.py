"""Trained models in the operator state: versions as they were trained, and an append-only history of who was champion."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from orchestration.errors import RegistryError
from orchestration.state_tables import metadata

# One row per trained version, never changed: its row of predictions.model_versions but is_champion, as JSON.
trained_models = sa.Table(
    "trained_models",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("card", sa.Text, nullable=False),
    sa.Column("registered_at", sa.DateTime, nullable=False),
)

# One row per change of champion, never changed: `version` scores from then on. The key lets one of two writers win.
model_promotions = sa.Table(
    "model_promotions",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("decided_at", sa.DateTime, nullable=False),
)

Action = Literal["gate", "promote", "rollback"]


@dataclass(frozen=True)
class Promotion:
    """One change of champion: the gate or a person promoted `version`, or a rollback went back to it."""

    seq: int
    action: Action
    version: str
    reason: str
    decided_at: datetime


class ModelRegistry:
    """Versions of all models and who is champion."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def cards(self) -> list[dict[str, Any]]:
        """Every version as a row of predictions.model_versions, oldest first."""
        query = sa.select(trained_models).order_by(trained_models.c.registered_at, trained_models.c.version)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        newest = {model: self.champions(model)[:1] for model in {row.model for row in rows}}
        return [json.loads(row.card) | {"is_champion": [row.version] == newest[row.model]} for row in rows]

    def card(self, model: str, version: str) -> dict[str, Any]:
        """One version. Raises RegistryError."""
        found = [card for card in self.cards() if (card["model"], card["version"]) == (model, version)]
        if not found:
            raise RegistryError(
                f"There is no {model} model in version {version}; `weft model list` shows what there is."
            )
        return found[0]

    def champion(self, model: str) -> dict[str, Any] | None:
        """The version that scores; None where none was trained yet."""
        return next((card for card in self.cards() if card["model"] == model and card["is_champion"]), None)

    def champions(self, model: str) -> list[str]:
        """The champion's version and those before it, newest first: a rollback takes the first away."""
        versions: list[str] = []
        for promotion in self.history(model):
            if promotion.action == "rollback":
                versions.pop(0)
            else:
                versions.insert(0, promotion.version)
        return versions

    def history(self, model: str) -> list[Promotion]:
        """Every change of champion, oldest first."""
        query = sa.select(model_promotions).where(model_promotions.c.model == model).order_by(model_promotions.c.seq)
        with self._engine.begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [Promotion(**{name: row[name] for name in Promotion.__dataclass_fields__}) for row in rows]

    def register(self, card: Mapping[str, Any], *, judged_after: int, now: datetime) -> None:
        """Keep a version and, where its decision says so, make it champion, in one transaction.

        `judged_after` is the seq of the newest change of champion when it was judged: where somebody chose another
        since, the version is kept and not promoted. A version that is known keeps its first row.
        """
        decision = json.loads(card["decision"])
        promotion = Promotion(judged_after + 1, "gate", card["version"], decision["reason"], now)
        try:
            self._write(card, now, promotion if decision["is_promoted"] else None)
        except sa.exc.IntegrityError:
            late = {"is_promoted": False, "reason": f"another champion was chosen meanwhile; {decision['reason']}"}
            self._write({**card, "decision": json.dumps(decision | late, sort_keys=True)}, now, None)

    def promote(self, model: str, version: str, *, reason: str, now: datetime) -> None:
        """Make a known version champion by hand. Raises RegistryError."""
        self.card(model, version)
        if self.champions(model)[:1] == [version]:
            raise RegistryError(f"{model} {version} is the champion already.")
        self._append(model, "promote", version, reason, now)

    def rollback(self, model: str, *, reason: str, now: datetime) -> str:
        """Make the champion before this one champion again; returns its version. Raises RegistryError."""
        before = self.champion_before(model)
        self._append(model, "rollback", before, reason, now)
        return before

    def champion_before(self, model: str) -> str:
        """The version that a rollback goes back to. Raises RegistryError where there is none."""
        versions = self.champions(model)
        if len(versions) < 2:
            raise RegistryError(
                f"There is no champion of {model} before this one; `weft model list` shows what there is."
            )
        return versions[1]

    def _append(self, model: str, action: Action, version: str, reason: str, now: datetime) -> None:
        promotion = Promotion(len(self.history(model)) + 1, action, version, reason, now)
        try:
            with self._engine.begin() as connection:
                connection.execute(model_promotions.insert().values(model=model, **asdict(promotion)))
        except sa.exc.IntegrityError:
            raise RegistryError(
                f"Another champion of {model} was chosen meanwhile; look at `weft model list`, then try again."
            ) from None

    def _write(self, card: Mapping[str, Any], now: datetime, promotion: Promotion | None) -> None:
        model, version = card["model"], card["version"]
        key = (trained_models.c.model == model) & (trained_models.c.version == version)
        with self._engine.begin() as connection:
            if connection.execute(sa.select(trained_models.c.version).where(key)).first() is None:
                text = json.dumps(dict(card), default=str)
                row = {"model": model, "version": version, "card": text, "registered_at": now}
                connection.execute(trained_models.insert().values(row))
            if promotion is not None:
                connection.execute(model_promotions.insert().values(model=model, **asdict(promotion)))
