"""The kind of input "sessions": ended sessions by month for training, those that still go on for scoring."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import pandas as pd

from ml import splits
from ml.model import ModelError, Reads
from ml.splits import Split
from orchestration.model_inputs import frames, read_frame
from orchestration.run_features import RUN_DATE
from orchestration.warehouse import Connection, scalar, tables_of
from session_intent.columns import COLUMNS, TABLE


class SessionInputs:
    """Rows of features.shopping_sessions."""

    def training(self, connection: Connection, reads: Reads) -> pd.DataFrame:
        """Ended sessions before the run's date; as_of_date is the last day of the month, the finest date that is split by."""
        _check(connection)
        rows = read_frame(
            connection,
            f"select {', '.join(COLUMNS)} from {TABLE} where has_purchased is not null and session_date < {RUN_DATE}",
        )
        month_ends = pd.to_datetime(rows["session_date"]) + pd.offsets.MonthEnd(0)
        return rows.assign(as_of_date=month_ends, horizon_days=reads.horizons[0])

    def split(self, data: pd.DataFrame, reads: Reads) -> Split:
        """The newest month is the test, those before it teach."""
        return splits.time_split(data)

    def on(self, data: pd.DataFrame, day: date) -> pd.DataFrame:
        """The sessions of the month that ends on that day."""
        return splits.rows_on(data, day)

    def batches(self, connection: Connection) -> Iterator[pd.DataFrame]:
        """Sessions without an outcome yet."""
        _check(connection)
        as_of = scalar(connection, f"select {RUN_DATE}")
        for batch in frames(connection, f"select {', '.join(COLUMNS)} from {TABLE} where has_purchased is null"):
            yield batch.assign(as_of_date=pd.Timestamp(as_of))


def _check(connection: Connection) -> None:
    if TABLE.partition(".")[2] not in tables_of(connection, "features"):
        raise ModelError(f"There is no table {TABLE}; examples/session_intent/README.md says how sessions get there.")


INPUTS: Final = SessionInputs()
