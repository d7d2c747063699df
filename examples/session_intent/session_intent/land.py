"""`python -m session_intent.land sessions.parquet`: write the UCI set of online shoppers into the warehouse."""

import sys
from datetime import date
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa

from orchestration.resources import build_platform
from orchestration.warehouse import Connection, write_table
from session_intent.columns import COLUMNS, TABLE

YEAR: Final = 2017
"""The set names months and no year."""
STILL_OPEN: Final = 10
"""Every tenth session of the last month is landed without its outcome, as if it still went on."""
_NAMES: Final = ("Jan", "Feb", "Mar", "Apr", "May", "June", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTHS: Final = {name: number for number, name in enumerate(_NAMES, 1)}
RENAMED: Final = {
    "Administrative": "administrative_pages",
    "Administrative_Duration": "administrative_seconds",
    "Informational": "informational_pages",
    "Informational_Duration": "informational_seconds",
    "ProductRelated": "product_pages",
    "ProductRelated_Duration": "product_seconds",
    "BounceRates": "bounce_rate",
    "ExitRates": "exit_rate",
    "SpecialDay": "special_day",
    "OperatingSystems": "operating_system",
    "Browser": "browser",
    "Region": "region",
    "TrafficType": "traffic_type",
    "Weekend": "is_weekend",
    "PageValues": "page_value",
    "Revenue": "has_purchased",
}


def sessions(path: Path) -> pd.DataFrame:
    """The file as rows of features.shopping_sessions, all with their outcome."""
    found = pd.read_parquet(path).rename(columns=RENAMED)
    found["month"] = found["Month"].map(MONTHS)
    found["is_returning"] = found["VisitorType"] == "Returning_Visitor"
    found["session_id"] = [f"s{number:05d}" for number in range(len(found))]
    found["session_date"] = [date(YEAR, month, 15) for month in found["month"]]
    return found[list(COLUMNS)]


def with_open_sessions(found: pd.DataFrame) -> pd.DataFrame:
    """The same, with the outcome of every tenth session of the last month withheld."""
    is_last = found["month"] == found["month"].max()
    is_open = is_last & (is_last.cumsum() % STILL_OPEN == 0)
    return found.assign(has_purchased=found["has_purchased"].astype("boolean").mask(is_open))


def land(connection: Connection, found: pd.DataFrame) -> None:
    """Put the rows in the place of those that were there."""
    rows = pa.Table.from_pandas(found, preserve_index=False)
    write_table(connection, TABLE, rows, {name: type_.lower() for name, type_ in COLUMNS.items()})


if __name__ == "__main__":
    landed = with_open_sessions(sessions(Path(sys.argv[1])))
    with build_platform().warehouse.writer() as writer:
        land(writer, landed)
    print(
        f"{len(landed):,} sessions in {TABLE}, {landed['has_purchased'].isna().sum():,} of them without an outcome yet."
    )
