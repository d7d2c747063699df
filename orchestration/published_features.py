"""Whether the features of a build are published beside its profiles, so that models can be asked on demand."""

from datetime import date

import pyarrow as pa

from orchestration.settings import Settings
from orchestration.state import State
from orchestration.warehouse import Connection, scalar, tables_of, write_table

PUBLISH_FEATURES = "publish_features"
"""What an installation without WEFT_PUBLISH_FEATURES does (the demo turns it on)."""
_TABLE = "published_features"
_COLUMNS = {"as_of_date": "date"}


def publishes_features(settings: Settings, state: State) -> bool:
    """Whether builds of this installation publish features: as the setting says, else as the installation was told."""
    if settings.publish_features is not None:
        return settings.publish_features
    return state.setting(PUBLISH_FEATURES) == "yes"


def note_published_features(connection: Connection, settings: Settings, state: State) -> None:
    """Write into the build in progress which date's features are published: none where nobody asked for it."""
    days: list[date] = []
    if publishes_features(settings, state):
        days = [scalar(connection, "select max(as_of_date) from control.feature_dates")]
    write_table(connection, f"control.{_TABLE}", pa.table({"as_of_date": pa.array(days, pa.date32())}), _COLUMNS)


def published_features_query(build: Connection) -> str | None:
    """The rows of features that a build publishes; None where it publishes none."""
    if _TABLE not in tables_of(build, "control"):
        return None
    day = scalar(build, f"select as_of_date from control.{_TABLE}")
    if day is None or "customer_features" not in tables_of(build, "features"):
        return None
    return f"select * from features.customer_features where as_of_date = date '{day:%Y-%m-%d}'"


def published_features(build: Connection) -> pa.Table | None:
    """One row per customer with an order: customer_id, as_of_date, features; None where a build publishes none."""
    query = published_features_query(build)
    return None if query is None else build.arrow(query)
