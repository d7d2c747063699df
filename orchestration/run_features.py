"""Whether features are those of the run: nobody is scored by what another day knew."""

from typing import Final

from ml.model import ModelError
from orchestration.warehouse import Connection, scalar

RUN_DATE: Final = "(select max(as_of_date) from control.feature_dates)"
"""SQL: the run's own date."""


def refuse_stale_features(connection: Connection) -> None:
    """Raise ModelError where there are features and none of them is of the run's own date."""
    newest = scalar(connection, "select max(as_of_date) from features.customer_features")
    run_date = scalar(connection, f"select {RUN_DATE}")
    if newest is not None and newest < run_date:
        raise ModelError(f"The features end on {newest}, the run looks back from {run_date}; build them, then score.")
