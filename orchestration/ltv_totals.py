"""What all customers together are expected to bring: predictions.ltv_totals follows ltv_scores in one transaction."""

import pyarrow as pa

from ml import ltv, schema
from ml.model import Fitted
from orchestration.run_features import RUN_DATE
from orchestration.warehouse import Connection, first_row, scalar, write_table

TABLE = "predictions.ltv_totals"


def write_ltv_totals(connection: Connection, fitted: Fitted[ltv.LtvModel] | None) -> None:
    """One row per horizon of the model that made the scores at hand, none where there are no scores.

    Sums are taken over ten-thousandths of the currency: they are the same in whatever order rows are read.
    """
    columns = schema.PREDICTIONS["ltv_totals"]
    horizons = list(fitted.model.horizons) if fitted else []
    sums = "".join(f", sum(cast({schema.value_columns(days)[0]} as decimal(38, 4)))" for days in horizons)
    found = first_row(
        connection, f"select max(as_of_date), max(model_version), count(*){sums} from predictions.ltv_scores"
    )
    day, version, customers, *expected = found or (None, None, 0)
    if fitted is None or not customers:
        write_table(connection, TABLE, pa.table({name: pa.nulls(0) for name in columns}), columns)
        return
    rows = ltv.totals(
        fitted.model,
        {days: float(total) for days, total in zip(horizons, expected, strict=True)},
        as_of_date=day,
        customers=int(customers),
        history_days=float(
            scalar(connection, f"select max(tenure_days) from features.customer_features where as_of_date = {RUN_DATE}")
            or 0
        ),
    )
    rows = rows.assign(model_version=version)[list(columns)]
    write_table(connection, TABLE, pa.Table.from_pandas(rows, preserve_index=False), columns)


def total_table(connection: Connection) -> str:
    """The totals at hand as a Markdown table, empty where there are none."""
    rows = connection.rows(
        "select horizon_days, customers, expected_total, lower_total, upper_total, warning "
        f"from {TABLE} order by horizon_days"
    )
    if not rows:
        return ""
    lines = ["| days ahead | customers | expected | 80 % interval | warning |", "|---|---|---|---|---|"]
    for days, customers, expected, lower, upper, warning in rows:
        lines.append(f"| {days} | {customers:,} | {expected:,.0f} | {lower:,.0f} to {upper:,.0f} | {warning or ''} |")
    return "\n".join(lines)
