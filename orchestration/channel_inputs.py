"""What the model of best channels is handed: active days by channel, and whether a customer can be reached at all today."""

from collections.abc import Iterator
from datetime import date

import pandas as pd

from ml import splits
from ml.channel_model import BETWEEN_CHANNELS, CHANNEL_COUNTS
from ml.model import Reads
from ml.splits import Split
from orchestration.run_features import RUN_DATE, refuse_stale_features
from orchestration.warehouse import Connection

COUNTS = ", ".join(f"coalesce(used.{name}, 0) as {name}" for name in CHANNEL_COUNTS)
PACKED = " || ',' || ".join(
    [
        *(f"cast(used.{name} as varchar)" for name in CHANNEL_COUNTS),
        "cast(cast(used.days_since_last as bigint) as varchar)",
    ]
)
"""A customer's channels in one text: so the batches of scoring hold whole customers, and a customer has one hash."""


class ChannelInputs:
    """Rows of features.channel_features, with those of features.channel_labels for training."""

    def training(self, connection: Connection, reads: Reads) -> pd.DataFrame:
        """One row per (customer_id, as_of_date, channel) that was used before the date or in the horizon after it."""
        [horizon] = reads.horizons
        labelled = (
            "select customer_id, as_of_date, horizon_days from features.customer_labels "
            f"where horizon_days = {horizon} and as_of_date in (select as_of_date from control.feature_dates where is_training_date)"
        )
        uses = "select customer_id, as_of_date, channel from features.{}"
        frame: pd.DataFrame = connection.arrow(
            f"select labelled.customer_id, labelled.as_of_date, labelled.horizon_days, channels.channel, {COUNTS}, "
            "used.days_since_last, coalesce(labels.used_day_count, 0) as used_day_count "
            f"from ({labelled}) as labelled "
            f"inner join ({uses.format('channel_features')} union {uses.format('channel_labels')}) as channels "
            "on labelled.customer_id = channels.customer_id and labelled.as_of_date = channels.as_of_date "
            "left join features.channel_features as used on channels.customer_id = used.customer_id "
            "and channels.as_of_date = used.as_of_date and channels.channel = used.channel "
            "left join features.channel_labels as labels on channels.customer_id = labels.customer_id "
            "and channels.as_of_date = labels.as_of_date and channels.channel = labels.channel "
            "order by labelled.customer_id, labelled.as_of_date, channels.channel"
        ).to_pandas(date_as_object=False)
        return frame

    def split(self, data: pd.DataFrame, reads: Reads) -> Split:
        """By the dates of the labels."""
        return splits.time_split(data)

    def on(self, data: pd.DataFrame, day: date) -> pd.DataFrame:
        """The rows of that date."""
        return splits.rows_on(data, day)

    def batches(self, connection: Connection) -> Iterator[pd.DataFrame]:
        """See `today`."""
        for batch in connection.batches(self.today(connection)):
            frame: pd.DataFrame = batch.to_pandas(date_as_object=False)
            yield frame

    def today(self, connection: Connection) -> str:
        """One row per customer with features of the run's date: its channels in one text (see PACKED), and what reaches it."""
        refuse_stale_features(connection)
        return (
            "select buyers.customer_id, buyers.as_of_date, coalesce(uses.channel_uses, '') as channel_uses, "
            "coalesce(consents.to_advertising, 0) = 1 and contacts.email is not null as reach_by_email, "
            "coalesce(consents.to_advertising, 0) = 1 and contacts.phone is not null as reach_by_phone, "
            "coalesce(consents.to_personalisation, 0) = 1 as reach_on_site "
            f"from (select customer_id, as_of_date from features.customer_features where as_of_date = {RUN_DATE}) as buyers "
            f"left join (select used.customer_id, string_agg({PACKED} || ',' || used.channel, chr({ord(BETWEEN_CHANNELS)}) "
            f"order by used.channel) as channel_uses from features.channel_features as used where used.as_of_date = {RUN_DATE} "
            "group by used.customer_id) as uses on buyers.customer_id = uses.customer_id "
            "left join customer_360.contacts as contacts on buyers.customer_id = contacts.customer_id "
            "left join (select customer_id, "
            "max(case when purpose = 'advertising' and is_allowed then 1 else 0 end) as to_advertising, "
            "max(case when purpose = 'personalisation' and is_allowed then 1 else 0 end) as to_personalisation "
            "from customer_360.consents group by customer_id) as consents on buyers.customer_id = consents.customer_id"
        )
