"""SQL text that lands privacy requests: lines of the event log become rows of raw.privacy_requests, the first of a key stands."""

from datetime import datetime
from pathlib import Path

from ingestion.envelope import PRIVACY_REQUESTS
from ingestion.settlement import timestamp
from ingestion.sql_text import quoted_text
from ingestion.typed_columns import utc_timestamp

HELD = "held"
STAGED_KEYS = f"select {', '.join(PRIVACY_REQUESTS.key)} from weft_privacy"


def stage_privacy(lines: Path) -> str:
    """weft_privacy: the requests of an NDJSON file, one row a key. Needs the session's time zone to be UTC."""
    columns = "{source: 'VARCHAR', message_id: 'VARCHAR', topic: 'VARCHAR', subject: 'JSON', received_at: 'VARCHAR'}"
    keys = ", ".join(PRIVACY_REQUESTS.key)
    return (
        f"create or replace temp table weft_privacy as select {keys}, first(subject) as subject, "
        f"min({utc_timestamp('received_at')}) as received_at "
        f"from read_json({quoted_text(str(lines))}, format = 'newline_delimited', columns = {columns}) group by {keys}"
    )


def new_privacy_requests(landed_at: datetime) -> str:
    """Requests that are not known yet, in the columns of raw.privacy_requests."""
    keys = ", ".join(PRIVACY_REQUESTS.key)
    return (
        f"select {keys}, subject, received_at, {timestamp(landed_at)}, {quoted_text(HELD)} from weft_privacy "
        f"where ({keys}) not in (select ({keys}) from {PRIVACY_REQUESTS.name})"
    )
