"""What became of churn scores that were published: a sample a month is kept, and judged once its horizon has passed.

One SQL for DuckDB and PostgreSQL. Unlike the test date of training, nothing here was ever seen by the model, by its
features or by whoever chose them: it is what customers of Weft were told.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd

from ml.evaluation import churn_metrics
from orchestration.model_inputs import read_frame
from orchestration.run_features import RUN_DATE
from orchestration.warehouse import Connection, create_table, scalar, tables_of

PAST_SCORES: Final = "control.past_churn_scores"
COLUMNS: Final = {
    "customer_id": "varchar",
    "as_of_date": "date",
    "as_of": "timestamp",
    "horizon_days": "bigint",
    "churn_probability": "float8",
    "model_version": "varchar",
}
MOST_A_MONTH: Final = 5_000
"""An expected calibration error over ten bins is then off by about .01 by chance."""
SMALLEST_SAMPLE: Final = 200
KEPT: Final = timedelta(days=3 * 365)


@dataclass(frozen=True)
class Matured:
    """Published scores of one date whose horizon has passed, with their `ml.evaluation.churn_metrics`."""

    as_of_date: date
    horizon_days: int
    versions: tuple[str, ...]
    metrics: dict[str, Any]


def remember_scores(connection: Connection, *, horizon_days: int) -> int:
    """Keep a sample of the scores just written, where there is none of this month yet; returns how many rows it has.

    Which customers are drawn depends on their ids alone (md5), so the sample is the same whoever draws it. Call it in the
    transaction that writes the scores.
    """
    create_table(connection, PAST_SCORES, COLUMNS)
    day: date | None = scalar(connection, f"select {RUN_DATE}")
    if day is None:
        return 0
    connection.execute(f"delete from {PAST_SCORES} where as_of_date < ?", [day - KEPT])
    first = day.replace(day=1)
    next_month = (first + timedelta(days=31)).replace(day=1)
    of_month = f"select count(*) from {PAST_SCORES} where as_of_date >= ? and as_of_date < ?"
    if scalar(connection, of_month, [first, next_month]):
        return 0
    as_of = scalar(connection, "select as_of from control.current_run") or datetime.combine(day, time())
    connection.execute(
        f"insert into {PAST_SCORES} "
        "select customer_id, as_of_date, cast(? as timestamp), cast(? as bigint), churn_probability, model_version "
        "from predictions.churn_scores where as_of_date = cast(? as date) order by md5(customer_id), customer_id limit ?",
        [as_of, horizon_days, day, MOST_A_MONTH],
    )
    return int(scalar(connection, of_month, [first, next_month]))


def matured_scores(connection: Connection) -> list[Matured]:
    """Every remembered date whose horizon has passed by the run in progress, oldest first; dates of few customers are left out.

    A customer merged since counts once, with the lowest of its probabilities: as a whole it was at least that active.
    """
    needed = {"control": PAST_SCORES.partition(".")[2], "customer_360": "orders", "identity": "customer_redirects"}
    if any(table not in tables_of(connection, where) for where, table in needed.items()):
        return []
    frame = read_frame(
        connection,
        f"""
        select
            past.as_of_date,
            past.horizon_days,
            redirects.living_customer_id,
            min(past.churn_probability) as probability,
            min(past.model_version) as version,
            count(orders.customer_id) as order_count
        from {PAST_SCORES} as past
        inner join identity.customer_redirects as redirects on past.customer_id = redirects.customer_id
        left join customer_360.orders as orders
            on
                redirects.living_customer_id = orders.customer_id
                and past.as_of <= orders.ordered_at
                and orders.ordered_at < past.as_of + interval '1 day' * past.horizon_days
        where past.as_of + interval '1 day' * past.horizon_days <= (select max(as_of) from control.current_run)
        group by past.as_of_date, past.horizon_days, redirects.living_customer_id
        order by past.as_of_date, redirects.living_customer_id
        """,
    )
    found = []
    for day in sorted(frame["as_of_date"].unique()):
        rows = frame[frame["as_of_date"] == day]
        if len(rows) < SMALLEST_SAMPLE:
            continue
        churned = (rows["order_count"] == 0).to_numpy(dtype=bool)
        metrics = churn_metrics(churned, rows["probability"].to_numpy(dtype=np.float64), threshold=0.5)
        versions = tuple(sorted(rows["version"].unique()))
        found.append(Matured(pd.Timestamp(day).date(), int(rows["horizon_days"].iloc[0]), versions, metrics))
    return found
