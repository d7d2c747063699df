"""How entries of the event log stand in a Redis stream: short field names, bytes as they are, JSON for what is structured."""

from collections.abc import Mapping, Sequence

import msgspec

from ingestion.event_log import Normalized, NormalizedEntry, RawEntry, Received, Refused

RAW, NORMALIZED = "events.raw", "events.normalized"
EPOCH, READERS, COUNTS = "events.epoch", "events.readers", "events.counts"

_encode = msgspec.json.encode
_facts = msgspec.json.Decoder(dict[str, str])
_refused = msgspec.json.Decoder(list[tuple[int, str, str]])
_counts = msgspec.json.Decoder(dict[str, int])


def raw_fields(received: Received) -> list[bytes]:
    """Field, value, field, value: a request as XADD takes it."""
    fields = [b"k", received.kind.encode(), b"s", received.source.encode(), b"t", b"%d" % received.received_at]
    if received.facts:
        fields += [b"f", _encode(received.facts)]
    return [
        *fields,
        b"b",
        received.body,
    ]  # last: Redis would take another turn of its loop for what comes behind a long text


def raw_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> RawEntry:
    """A request as XRANGE gives it."""
    facts = _facts.decode(fields[b"f"]) if b"f" in fields else {}
    received = Received(
        kind=fields[b"k"].decode(),
        source=fields[b"s"].decode(),
        received_at=int(fields[b"t"]),
        body=fields[b"b"],
        facts=facts,
    )
    return RawEntry(entry_id.decode(), received)


def normalized_fields(normalized: Normalized) -> list[bytes]:
    """Field, value, field, value: what became of a request; what is empty is left out, and an entry has one field at least."""
    fields: list[bytes] = [b"c", _encode(normalized.counts)]
    for name, lines in ((b"e", normalized.events), (b"p", normalized.products), (b"q", normalized.privacy)):
        if lines:
            fields += [name, lines]
    if normalized.refused:
        fields += [b"r", _encode([(each.index, each.reason, each.detail) for each in normalized.refused])]
    return fields


def normalized_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> NormalizedEntry:
    """What became of a request as XRANGE gives it."""
    refused: Sequence[Refused] = ()
    if b"r" in fields:
        refused = [Refused(*each) for each in _refused.decode(fields[b"r"])]
    normalized = Normalized(
        events=fields.get(b"e", b""),
        products=fields.get(b"p", b""),
        privacy=fields.get(b"q", b""),
        refused=refused,
        counts=_counts.decode(fields[b"c"]),
    )
    return NormalizedEntry(entry_id.decode(), normalized, fields[b"v"].decode() if b"v" in fields else None)


def id_parts(entry_id: str) -> tuple[int, int]:
    """Milliseconds and number of an entry's id, which is how ids are ordered."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def next_id(entry_id: str) -> str:
    """The smallest id behind this one."""
    milliseconds, number = id_parts(entry_id)
    return f"{milliseconds}-{number + 1}"
