"""Real shops with a past and a future: what goes into the product, until when, and what the reference page measured on it.

Splits, filters and figures: shared/reference/data_and_ml.md, section 3. A cut-off there is the last day that is known;
`as_of` is the midnight after it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pandas as pd

from bench import retail_reference
from bench.harness import ROOT

# Beside the repository, or further up where this is a worktree of it.
DATA: Final = next((d for d in (p / "shared" / "data" for p in ROOT.parents) if d.is_dir()), Path("shared/data"))
CHURN_HORIZON: Final = 90

CDNOW_CHURN: Final = {
    "recency rank": (0.763, 0.918, 0.257, 0.326),
    "BG/NBD": (0.764, 0.910, 0.117, 0.025),
    "logistic regression": (0.778, 0.925, 0.117, 0.024),
    "LightGBM": (0.764, 0.917, 0.117, 0.019),
    "mean of three": (0.773, 0.922, 0.116, 0.018),
}
CDNOW_LTV: Final = {
    "own mean rate": (71.4, 154.1, 0.398, 0.698, 4.99, 1.66),
    "BG/NBD + Gamma-Gamma": (32.7, 92.9, 0.421, 0.672, 5.16, -0.17),
    "LightGBM past window": (33.7, 91.4, 0.453, 0.716, 5.16, -0.07),
    "mean of the two": (32.9, 90.8, 0.455, 0.719, 5.17, -0.12),
}
CDNOW_COUNT: Final = {
    "BG/NBD": (0.786, 1.608, 0.449, 0.662, 4.67, -0.12),
    "Pareto/NBD": (0.755, 1.603, 0.460, 0.673, 4.70, -0.12),
    "LightGBM past window": (0.849, 1.704, 0.418, 0.647, 4.37, -0.04),
}


@dataclass(frozen=True)
class PredictionSet:
    """One shop. `rows` is SQL over {file} that gives what is imported; `orders` is SQL over that with user_id, ordered_at, amount."""

    name: str
    file: Path
    mapping: str
    currency: str
    as_of: date
    ltv_horizon: int
    rows: str
    orders: str
    churn_reference: dict[str, tuple[float, ...]]
    ltv_reference: dict[str, tuple[float, ...]]
    most_auc: float = 0.80

    def write(self, target: Path) -> None:
        """The rows that the reference counts, past and future, as Parquet."""
        duckdb.sql(f"copy ({self.rows.format(file=self.file)}) to '{target}' (format parquet)")

    def outcomes(self, imported: Path) -> pd.DataFrame:
        """One row per customer with an order before as_of: has_churned and value_after, from the file alone."""
        until = {n: self.as_of + timedelta(days=n) for n in (CHURN_HORIZON, self.ltv_horizon)}
        return duckdb.sql(
            f"""
            select
                user_id,
                count(*) filter (ordered_at >= '{self.as_of}' and ordered_at < '{until[CHURN_HORIZON]}') = 0 as has_churned,
                coalesce(sum(amount) filter (
                    ordered_at >= '{self.as_of}' and ordered_at < '{until[self.ltv_horizon]}'
                ), 0)::double as value_after
            from ({self.orders.format(file=imported)})
            group by user_id having min(ordered_at) < '{self.as_of}' order by user_id
            """
        ).df()


_CDNOW_ORDERS: Final = "select customer_id::varchar as user_id, date::timestamp as ordered_at, amount from '{file}'"

SETS: Final = {
    one.name: one
    for one in (
        PredictionSet(
            name="cdnow",
            file=DATA / "cdnow" / "transactions_master.parquet",
            mapping="cdnow",
            currency="USD",
            as_of=date(1997, 10, 1),
            ltv_horizon=273,
            rows="select customer_id, date, sum(qty)::int as qty, round(sum(amount), 2) as amount from '{file}' group by all",
            orders=_CDNOW_ORDERS,
            churn_reference=CDNOW_CHURN,
            ltv_reference=CDNOW_LTV,
        ),
        PredictionSet(
            name="cdnow_sample_count",
            file=DATA / "cdnow" / "transactions_sample.parquet",
            mapping="cdnow",
            currency="USD",
            as_of=date(1997, 10, 1),
            ltv_horizon=273,
            rows="select distinct customer_id, date, 1 as qty, 1.0 as amount from '{file}'",
            orders=_CDNOW_ORDERS,
            churn_reference={},
            ltv_reference=CDNOW_COUNT,
        ),
        PredictionSet(
            name="online_retail",
            file=DATA / "online_retail" / "transactions.parquet",
            mapping="online_retail",
            currency="GBP",
            as_of=date(2011, 9, 11),
            ltv_horizon=90,
            rows="select * from '{file}' where customer_id is not null and unit_price > 0 and invoice_no not like 'C%'",
            orders="select customer_id::varchar as user_id, invoice_date as ordered_at, quantity * unit_price as amount from '{file}'",
            churn_reference=retail_reference.CHURN,
            ltv_reference=retail_reference.LTV,
        ),
    )
}
