"""What models are handed: per kind of input how rows are read for training, split by time, judged, and read for scoring."""

from collections.abc import Iterator, Mapping
from datetime import date
from importlib.metadata import entry_points
from typing import Any, Final, Protocol, runtime_checkable

import pandas as pd

from ml import schema, splits
from ml.contacting import Economics
from ml.model import ModelError, ModelOptions, Reads
from ml.splits import Split
from orchestration.basket_inputs import BasketInputs
from orchestration.channel_inputs import ChannelInputs
from orchestration.errors import WeftError
from orchestration.run_features import RUN_DATE, refuse_stale_features
from orchestration.settings import Settings
from orchestration.warehouse import Connection, scalar

MOST_TRAINING_ROWS: Final = 600_000
"""Rows that training reads at most, so that its memory is bounded (about 2 GB)."""
_OF_TRAINING: Final = "as_of_date in (select as_of_date from control.feature_dates where is_training_date)"


class ModelInputs(Protocol):
    """One kind of input. What `training` gives and what `batches` gives are the model's own business."""

    def training(self, connection: Connection, reads: Reads) -> Any:
        """Everything with known outcomes. Raises ModelError."""

    def split(self, data: Any, reads: Reads) -> Split:
        """The dates to train on and the date to judge on. Raises ModelError where history is too short."""

    def on(self, data: Any, day: date) -> Any:
        """The part of `data` that is judged on `day`."""

    def batches(self, connection: Connection) -> Iterator[Any]:
        """Today's rows without outcomes, in parts; no part where there is nobody. Raises ModelError where they are not the run's."""


@runtime_checkable
class CustomerRows(Protocol):
    """A kind of input with one row per customer: only customers whose row changed are scored, and drift is measured.

    The names in the INPUTS of a model of this kind are columns of `today`.
    """

    def today(self, connection: Connection) -> str:
        """A query of today's rows with customer_id and as_of_date. Raises ModelError where they are not the run's."""


@runtime_checkable
class KnowsWhoIsScored(Protocol):
    """A kind of input that can say who has scores; for CustomerRows that is everybody in `today`."""

    def scored(self, connection: Connection) -> str:
        """A query of keys, columns that the table of scores has too: each has one score or more, and nobody else. Raises ModelError."""


@runtime_checkable
class Sampled(Protocol):
    """A kind of input that trains on a sample where there is very much."""

    def sample(self, connection: Connection) -> str | None:
        """What was left out of training and how, for the card; None where nothing was."""


class CustomerInputs:
    """Rows of features.customer_features, with those of features.customer_labels for training."""

    def training(self, connection: Connection, reads: Reads) -> pd.DataFrame:
        """One row per (customer_id, as_of_date) with features and the labels of `reads`; of training dates, not of snapshots.

        At most about MOST_TRAINING_ROWS: of larger shops a sample of customers, with all their dates.
        """
        some = _sampled(_sample_share(connection))
        query = (
            f"select * from features.customer_features where {_OF_TRAINING} and {some} order by customer_id, as_of_date"
        )
        features = read_frame(connection, query)
        first, *further = reads.horizons
        rows = schema.training_rows(features, _labels(connection, first, some))
        for horizon in further:
            value = {"net_revenue_in_horizon": f"net_revenue_in_{horizon}d"}
            labels = _labels(connection, horizon, some)[[*schema.KEYS, *value]].rename(columns=value)
            rows = rows.merge(schema.keyed(labels), on=list(schema.KEYS), how="left", validate="one_to_one")
        return rows

    def sample(self, connection: Connection) -> str | None:
        """See Sampled."""
        share = _sample_share(connection)
        if share is None:
            return None
        return (
            f"{share:.2%} of customers, chosen by the hash of their id, with all their dates: "
            f"more than {MOST_TRAINING_ROWS:,} rows are not read"
        )

    def split(self, data: pd.DataFrame, reads: Reads) -> Split:
        """By the labels of the first horizon."""
        return splits.time_split(data)

    def on(self, data: pd.DataFrame, day: date) -> pd.DataFrame:
        """The rows of that date."""
        return splits.rows_on(data, day)

    def batches(self, connection: Connection) -> Iterator[pd.DataFrame]:
        """Features of the run's own date."""
        return frames(connection, self.today(connection))

    def today(self, connection: Connection) -> str:
        """See CustomerRows."""
        refuse_stale_features(connection)
        return f"select * from features.customer_features where as_of_date = {RUN_DATE}"


class _Kinds(dict[str, ModelInputs]):
    """Ours, and those that models of other packages bring (entry points of the group `weft.model_inputs`), loaded when used."""

    def __missing__(self, kind: str) -> ModelInputs:
        points = [*entry_points(group="weft.model_inputs", name=kind)]
        if len(points) != 1:
            raise ModelError(
                f"{len(points)} packages bring the kind of input {kind!r}; install the one that its model came with."
            )
        self[kind] = points[0].load()
        return self[kind]


INPUTS: Final[Mapping[str, ModelInputs]] = _Kinds(
    baskets=BasketInputs(), channels=ChannelInputs(), customers=CustomerInputs()
)


def model_options(settings: Settings) -> ModelOptions:
    """What the settings say of the models. Raises WeftError where the horizons of LTV cannot be read."""
    parts = [part.strip() for part in settings.ltv_horizons_days.split(",")]
    if not all(part.isdigit() and 7 <= int(part) <= 730 for part in parts):
        raise WeftError(
            f"WEFT_LTV_HORIZONS_DAYS is {settings.ltv_horizons_days!r}; give whole days from 7 to 730, such as 90,365."
        )
    horizons = tuple(sorted({90, 365, *map(int, parts)}))
    economics = Economics(settings.contact_cost, settings.gross_margin, settings.contact_success_rate)
    return ModelOptions(settings.seed, settings.churn_horizon_days, horizons, economics)


def frames(connection: Connection, query: str) -> Iterator[pd.DataFrame]:
    """The rows of a query in frames of bounded size, none of them empty, in no particular order."""
    for batch in connection.batches(query):
        frame: pd.DataFrame = batch.to_pandas(date_as_object=False)
        yield frame


def read_frame(connection: Connection, query: str) -> pd.DataFrame:
    """The rows of a query as a frame."""
    frame: pd.DataFrame = connection.arrow(query).to_pandas(date_as_object=False)
    return frame


def _labels(connection: Connection, horizon: int, some: str) -> pd.DataFrame:
    query = "select * from features.customer_labels where horizon_days = {} and {} order by customer_id, as_of_date"
    return read_frame(connection, query.format(horizon, some))


def _sample_share(connection: Connection) -> float | None:
    """The share of customers that training reads; None for all of them."""
    rows = int(scalar(connection, f"select count(*) from features.customer_features where {_OF_TRAINING}"))
    return MOST_TRAINING_ROWS / rows if rows > MOST_TRAINING_ROWS else None


def _sampled(share: float | None) -> str:
    """SQL that holds for that share of customers: the same ones at every date and on every warehouse."""
    return "1 = 1" if share is None else f"substr(md5(customer_id), 1, 8) < '{int(share * 16**8):08x}'"
