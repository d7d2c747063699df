"""The raw tables: their columns, event types and reasons to reject, written down once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


@dataclass(frozen=True)
class Column:
    """One column of a raw table: DuckDB type and meaning."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class Table:
    """One raw table; `grain` is the first sentence a reader needs, no two rows have the same `key`."""

    name: str
    grain: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names in the order of the table."""
        return tuple(column.name for column in self.columns)

    def create_statement(self, types: Mapping[str, str] = MappingProxyType({})) -> str:
        """`create table if not exists`; the schema must exist. `types` says what DuckDB's types are called elsewhere."""
        declared = ", ".join(f"{column.name} {types.get(column.type, column.type)}" for column in self.columns)
        return f"create table if not exists {self.name} ({declared})"

    def added_columns(self, present: Collection[str], types: Mapping[str, str] = MappingProxyType({})) -> list[str]:
        """`alter table` statements for columns that a table made by an older Weft lacks; new columns stand last."""
        missing = [column for column in self.columns if column.name not in present]
        return [
            f"alter table {self.name} add column if not exists {column.name} {types.get(column.type, column.type)}"
            for column in missing
        ]


EVENTS = Table(
    "raw.events",
    "One row per event; key (source, message_id); append only except by erasure.",
    (
        Column("source", "VARCHAR", "where the event came from; part of the key"),
        Column("message_id", "VARCHAR", "the sender's id, or sha256 of source, canonical row and n-th occurrence"),
        Column("landed_seq", "BIGINT", "grows with landing; inside one file it follows the rows"),
        Column("landed_at", "TIMESTAMP", "when this warehouse got the event"),
        Column("known_at", "TIMESTAMP", "when the business got the event"),
        Column("is_known_at_assumed", "BOOLEAN", "known_at fell back to occurred_at"),
        Column("type", "VARCHAR", "track, identify, page, screen, group or alias"),
        Column("event", "VARCHAR", "the event's name, for track"),
        Column("user_id", "VARCHAR", "the shop's own id of the person, never blank"),
        Column("anonymous_id", "VARCHAR", "cookie id, never blank"),
        Column("identifiers", "JSON", 'list of {"type", "value"} as given, without user_id and anonymous_id'),
        Column("properties", "JSON", "object: what happened"),
        Column("traits", "JSON", "object: who the person says they are"),
        Column("context", "JSON", "object: campaign, page, device, location, channel"),
        Column("original_timestamp", "TIMESTAMP", "the client's clock when it happened"),
        Column("sent_at", "TIMESTAMP", "the client's clock when it was sent"),
        Column("received_at", "TIMESTAMP", "the collector's clock when it arrived"),
        Column("occurred_at", "TIMESTAMP", "when it happened, corrected for the client's clock"),
        Column("payload", "JSON", "the source row verbatim where it was not already an event, else null"),
        Column("consent", "JSON", "object: purpose to boolean, or null"),
    ),
    key=("source", "message_id"),
)

REJECTED_EVENTS = Table(
    "raw.rejected_events",
    "One row per distinct refused row of a source (and n-th occurrence in its file), or refused part of a request; key reject_id.",
    (
        Column(
            "reject_id",
            "VARCHAR",
            "sha256 of source, bytes and n-th occurrence (log: entry and part, or what a conflict says)",
        ),
        Column("source", "VARCHAR", "where the row came from"),
        Column("reason", "VARCHAR", "snake_case code, see RejectReason"),
        Column("detail", "VARCHAR", "one sentence without personal data"),
        Column("origin", "VARCHAR", "file name, or log/<kind>/<id of the entry in the event log>"),
        Column(
            "row_number",
            "BIGINT",
            "1-based data row of the file (blank lines and header not counted), or part of the request",
        ),
        Column("payload", "BLOB", "the bytes as received; for Parquet the row as JSON"),
        Column("rejected_at", "TIMESTAMP", "when the row was refused"),
        Column("mapping", "VARCHAR", "name of the mapping that the row was read with"),
        Column("header", "VARCHAR", "header line of the CSV file, else null"),
        Column("request", "JSON", "kind, facts and time of the request that the row was sent in; null for a file"),
        Column("received_at", "TIMESTAMP", "the collector's clock when it arrived; null for a file"),
        Column("replayed_at", "TIMESTAMP", "when weft replay settled it: it landed, or is refused as another row"),
        Column("occurrence", "BIGINT", "which of the rows of its file with these very bytes it was, from 1"),
    ),
    key=("reject_id",),
)

PRODUCTS = Table(
    "raw.products",
    "One row per (source, product_id); the newest updated_at wins.",
    (
        Column("product_id", "VARCHAR", "the shop's id of the product"),
        Column("name", "VARCHAR", "display name"),
        Column("category_path", "VARCHAR", 'from broad to narrow: "Home > Kitchen"'),
        Column("price", "DECIMAL(18,4)", "price of one unit, in currency"),
        Column("currency", "VARCHAR", "ISO 4217"),
        Column("stock", "BIGINT", "units on hand, null where unknown"),
        Column("is_repeatable", "BOOLEAN", "bought again and again (coffee), or once (a sofa)"),
        Column("source", "VARCHAR", "where the product came from"),
        Column("updated_at", "TIMESTAMP", "when the shop last changed it"),
        Column("landed_at", "TIMESTAMP", "when this warehouse got it"),
    ),
    key=("source", "product_id"),
)

EXCHANGE_RATES = Table(
    "raw.exchange_rates",
    "One row per (rate_date, currency); a currency that is not here is unknown. Seeded with yearly averages from memory.",
    (
        Column("rate_date", "DATE", "first day the rate holds"),
        Column("currency", "VARCHAR", "ISO 4217"),
        Column("rate", "DECIMAL(18,8)", "units of the currency for 1 EUR"),
    ),
    key=("rate_date", "currency"),
)

REJECTED_REQUESTS = Table(
    "raw.rejected_requests",
    "One row per request with a refused part that is not its whole body: what weft replay reads the part from; key origin.",
    (
        Column("origin", "VARCHAR", "as in raw.rejected_events"),
        Column("body", "BLOB", "the body as received, in its content encoding"),
        Column("landed_at", "TIMESTAMP", "when this warehouse got it"),
    ),
    key=("origin",),
)

PRIVACY_REQUESTS = Table(
    "raw.privacy_requests",
    "One row per request of a person (or a shop) to be erased or told what is stored; key (source, message_id, topic).",
    (
        Column("source", "VARCHAR", "where the request came from"),
        Column("message_id", "VARCHAR", "the sender's id of it, or derived from its content"),
        Column("topic", "VARCHAR", "what is asked for, such as customers/redact"),
        Column("subject", "JSON", "object: the ids of the person and of the shop, as given"),
        Column("received_at", "TIMESTAMP", "the collector's clock when it arrived"),
        Column("landed_at", "TIMESTAMP", "when this warehouse got it"),
        Column("status", "VARCHAR", "held until somebody acted on it"),
    ),
    key=("source", "message_id", "topic"),
)

LOG_POSITIONS = Table(
    "raw.log_positions",
    "One row per reader of the event log: how far its entries have landed. Written with the rows; key reader.",
    (
        Column("reader", "VARCHAR", "warehouse"),
        Column("epoch", "VARCHAR", "the log's epoch that the position is of"),
        Column("position", "VARCHAR", "id of the last entry that has landed"),
        Column("updated_at", "TIMESTAMP", "when that was"),
        Column("restarted_at", "TIMESTAMP", "when landing last had to begin again at the first entry; null: never"),
        Column(
            "restart_reason",
            "VARCHAR",
            "why: other_log, older_copy of the same log, or older_warehouse; or entries_missing",
        ),
    ),
    key=("reader",),
)

LANDINGS = Table(
    "raw.landings",
    "One row per landing of a file, or of a source's part of a chunk of the event log: the books. "
    "rows_read = accepted + rejected + duplicates + conflicts.",
    (
        Column("landing_id", "VARCHAR", "unique"),
        Column("mapping", "VARCHAR", "name of the mapping"),
        Column("source", "VARCHAR", "the mapping's source; of the event log, the write key's"),
        Column("origin", "VARCHAR", "file name, log/<first entry>..<last entry>, or replay"),
        Column(
            "file_sha256", "VARCHAR", "of the file as it lay there; of log and replay, of the lines that were landed"
        ),
        Column("file_bytes", "BIGINT", "size of the file as it lay there, or of those lines"),
        Column("rows_read", "BIGINT", "data rows in the file, or parts of requests"),
        Column("accepted", "BIGINT", "rows that are new in the target"),
        Column("rejected", "BIGINT", "rows newly in raw.rejected_events, without conflicts"),
        Column("duplicates", "BIGINT", "rows that were there already, rejects and conflicts seen before included"),
        Column("conflicts", "BIGINT", "rows with a known key and another body, newly in raw.rejected_events"),
        Column("landed_at", "TIMESTAMP", "when the file was landed"),
    ),
    key=("landing_id",),
)

RAW_TABLES = (
    EVENTS, REJECTED_EVENTS, PRODUCTS, EXCHANGE_RATES, LANDINGS, REJECTED_REQUESTS, PRIVACY_REQUESTS, LOG_POSITIONS,
)  # fmt: skip


class EventType(StrEnum):
    """The six calls of the Segment spec."""

    TRACK = "track"
    IDENTIFY = "identify"
    PAGE = "page"
    SCREEN = "screen"
    GROUP = "group"
    ALIAS = "alias"


class RejectReason(StrEnum):
    """Why a row was kept out; `sentence` says it to a person. A mapping's own rules may add further codes."""

    BROKEN_JSON = "broken_json"
    BROKEN_CSV = "broken_csv"
    NOT_UTF8 = "not_utf8"
    OVERSIZE = "oversize"
    NOT_AN_OBJECT = "not_an_object"
    NO_KNOWN_FIELD = "no_known_field"
    TOO_DEEP = "too_deep"
    BAD_VALUE = "bad_value"
    BAD_NUMBER = "bad_number"
    BAD_TIMESTAMP = "bad_timestamp"
    UNKNOWN_TYPE = "unknown_type"
    MISSING_EVENT_NAME = "missing_event_name"
    OCCURRED_BEFORE_1990 = "occurred_before_1990"
    OCCURRED_TOO_FAR_AHEAD = "occurred_too_far_ahead"
    KNOWN_TOO_FAR_AHEAD = "known_too_far_ahead"
    NEGATIVE_PRICE = "negative_price"
    UNKNOWN_CURRENCY = "unknown_currency"
    MISSING_KEY = "missing_key"
    CONFLICTING_BODY = "conflicting_body"
    NO_ID = "no_id"
    MESSAGE_ID_TOO_LONG = "message_id_too_long"
    BATCH_TOO_LARGE = "batch_too_large"
    UNREADABLE = "unreadable"
    BAD_SOURCE_SETTINGS = "bad_source_settings"

    @property
    def sentence(self) -> str:
        """One sentence for a person, without personal data."""
        return _SENTENCES[self]


_SENTENCES = {
    RejectReason.BROKEN_JSON: "The line is not valid JSON.",
    RejectReason.BROKEN_CSV: "The row does not have as many fields as the header, or a quote is not closed.",
    RejectReason.NOT_UTF8: "The row has bytes that are not UTF-8.",
    RejectReason.OVERSIZE: "The row is larger than 1 MiB.",
    RejectReason.NOT_AN_OBJECT: "A JSON object was expected here and something else was found.",
    RejectReason.NO_KNOWN_FIELD: "The row has a value in none of the fields that the mapping reads.",
    RejectReason.TOO_DEEP: "Lists or objects are nested in one another more than 64 deep.",
    RejectReason.BAD_VALUE: "A value is not of the type that the mapping declares.",
    RejectReason.BAD_NUMBER: "A number is not a finite number of a usable size.",
    RejectReason.BAD_TIMESTAMP: "The time of the event is missing or cannot be read.",
    RejectReason.UNKNOWN_TYPE: "The type is none of track, identify, page, screen, group, alias.",
    RejectReason.MISSING_EVENT_NAME: "A track event needs a name.",
    RejectReason.OCCURRED_BEFORE_1990: "The event claims to have happened before 1990.",
    RejectReason.OCCURRED_TOO_FAR_AHEAD: "The event claims to have happened more than 24 hours after it was known.",
    RejectReason.KNOWN_TOO_FAR_AHEAD: "The event claims to have been known more than 24 hours after this landing.",
    RejectReason.NEGATIVE_PRICE: "A price, an amount or a quantity is below zero.",
    RejectReason.UNKNOWN_CURRENCY: "The currency is not in raw.exchange_rates.",
    RejectReason.MISSING_KEY: "The row lacks the key of its table.",
    RejectReason.CONFLICTING_BODY: "An event with this key and another body landed before; the first one stands.",
    RejectReason.NO_ID: "An event needs a userId or an anonymousId.",
    RejectReason.MESSAGE_ID_TOO_LONG: "A messageId has at most 100 characters.",
    RejectReason.BATCH_TOO_LARGE: "A batch has at most 2,500 events.",
    RejectReason.UNREADABLE: "The request could not be read as what it was sent as.",
    RejectReason.BAD_SOURCE_SETTINGS: "The file with the settings of this source cannot be used.",
}
