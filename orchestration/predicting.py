"""Between features and audiences: train the models on labelled rows, register them, score today's customers, write predictions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from ml import churn, ltv, registry, schema, segments, splits
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection, write_table

MODELS = (churn, ltv, segments)
LABELS = "select * from features.customer_labels order by customer_id, as_of_date"
PARAMETERS = {"churn": churn.ChurnParams, "ltv": ltv.LtvParams, "segments": segments.SegmentParams}


def read_features(connection: Connection, *, latest_only: bool = False) -> pd.DataFrame:
    """features.customer_features as a frame; only the run's own date where `latest_only`."""
    where = "where as_of_date = (select max(as_of_date) from control.feature_dates)" if latest_only else ""
    query = f"select * from features.customer_features {where} order by customer_id, as_of_date"
    frame: pd.DataFrame = connection.arrow(query).to_pandas(date_as_object=False)
    return frame


def train(connection: Connection, model: str, *, settings: Settings, state: State, as_of: datetime) -> dict[str, Any]:
    """Train one model on the labelled rows, keep its files, make it the champion in the registry; returns its row there.

    Raises ml's ModelError with one sentence where history is too short or the rows cannot teach anything.
    """
    module = {each.MODEL: each for each in MODELS}[model]
    labels = connection.arrow(LABELS).to_pandas(date_as_object=False)
    rows = schema.training_rows(read_features(connection), labels)
    trained = module.train(rows, splits.time_split(labels), PARAMETERS[model](seed=settings.seed))
    saved = registry.save(trained, settings.models)
    card = registry.version_row(trained.card, saved, trained_at=utc_now(), as_of_date=as_of.date(), is_champion=True)
    state.register_model(card, is_champion=True)
    return card


def score(connection: Connection, model: str, *, settings: Settings, state: State) -> pd.DataFrame:
    """Score today's customers with the champion and replace the model's table in `predictions`; returns the rows written."""
    module = {each.MODEL: each for each in MODELS}[model]
    champion = next((card for card in state.model_cards() if card["model"] == model and card["is_champion"]), None)
    columns = schema.PREDICTIONS[module.TABLE]
    if champion is None:
        scores = pd.DataFrame(columns=list(columns))
    else:
        artefact, _ = registry.load(
            settings.models, model, champion["version"], artifact_sha256=champion["artifact_sha256"]
        )
        scores = module.score(artefact, read_features(connection, latest_only=True))
        scores["model_version"] = champion["version"]
    with connection.transaction():
        _write(connection, module.TABLE, scores, columns)
        write_model_versions(connection, state)
    return scores


def write_model_versions(connection: Connection, state: State) -> None:
    """Copy the registry into predictions.model_versions."""
    columns = schema.PREDICTIONS["model_versions"]
    cards = pd.DataFrame(state.model_cards(), columns=list(columns))
    for name in ("trained_at", "as_of_date", "test_date"):
        cards[name] = pd.to_datetime(cards[name])
    _write(connection, "model_versions", cards, columns)


def _write(connection: Connection, table: str, frame: pd.DataFrame, columns: Mapping[str, str]) -> None:
    rows = pa.Table.from_pandas(frame[list(columns)], preserve_index=False)
    write_table(connection, f"predictions.{table}", rows, columns)
