"""The way of a request with events in JSON: size, key, shape, log. What it stands for is the same for every route that takes any."""

from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote_to_bytes

from starlette.requests import Request

from ingestion.collector import shapes
from ingestion.collector.answers import Refusal
from ingestion.collector.bodies import encoding_of, plain
from ingestion.collector.context import CollectorContext
from ingestion.collector.proxies import facts_of
from ingestion.event_log import Received

_KEY_PARAMETER = b"writeKey"
_ASCII = bytes(range(0x21, 0x7F)).decode()


@dataclass(frozen=True)
class Taken:
    """A request that the log has: the entry's id, the entry, and how many events it holds."""

    entry: str
    received: Received
    events: int


async def take_json(
    context: CollectorContext,
    request: Request,
    *,
    kind: str,
    path: str,
    is_batch: bool,
    too_large_status: int = 413,
    other_key: str | None = None,
) -> Taken:
    """Take one event, or a batch of them, whole or not at all.

    The key is looked for in Basic authentication, then in `other_key`, then in the body. Raises Refusal.
    """
    limits = context.settings.limits
    limit = limits.batch_bytes if is_batch else limits.event_bytes
    received = await context.body(request, limit=limit, too_large_status=too_large_status)
    encoding = encoding_of(request)
    body = plain(received, encoding, limit=limit, too_large_status=too_large_status) if encoding else received
    key = context.key_in_header(request) or other_key
    shape: shapes.Batch | shapes.Single | None = None
    if key is None:
        shape = _shape(body, is_batch, context)
        key = shapes.write_key(shape)
    facts = await context.authenticate(key)
    if shape is None:
        shape = _shape(body, is_batch, context)
    events = len(shape.batch) if isinstance(shape, shapes.Batch) else 1
    of_request = facts_of(request, context.settings.trusted_proxies, path=path, encoding=encoding)
    entry, entered = await context.append(kind, facts, received, of_request, events=events)
    return Taken(entry, entered, events)


def _shape(body: bytes, is_batch: bool, context: CollectorContext) -> shapes.Batch | shapes.Single:
    return shapes.batch(body, context.settings.limits) if is_batch else shapes.single(body)


def key_in_query(request: Request) -> str | None:
    """The write key in the query, where a browser can send it nowhere else; it goes into no log."""
    query: bytes = request.scope["query_string"]
    if _KEY_PARAMETER not in query:
        return None
    values = parse_qs(query.decode("latin-1")).get(_KEY_PARAMETER.decode())
    return values[0] if values else None


def query_without_key(request: Request, limit: int) -> str:
    """The raw query as the log keeps it: percent-encoded, without the write key. Raises Refusal (413) above `limit` bytes."""
    query: bytes = request.scope["query_string"]
    if len(query) > limit:
        raise Refusal(413, "too_large", f"The query is larger than {limit:,} bytes; nothing of it was taken.")
    parts = [part for part in query.split(b"&") if unquote_to_bytes(part.partition(b"=")[0]) != _KEY_PARAMETER]
    return quote(b"&".join(parts), safe=_ASCII)
