"""The event log lands as files do: same rules, same bytes kept aside; and its position, its gaps and its accidents."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from ingestion.event_log import Normalized, NormalizedEntry, Received, Refused
from ingestion.log_chunks import Bounds
from ingestion.mappings import load_mapping
from ingestion.redis_log import RedisEventLog
from orchestration.collecting import land_file
from tests.orchestration.inbox import query
from tests.orchestration.logged import (
    LANDED_AT,
    RECEIVED_AT,
    Ledger,
    Logged,
    append,
    batch,
    call,
    check,
    ids,
    land,
    traffic,
    writing,
)  # fmt: skip

REFUSED = "select reason, payload from raw.rejected_events order by received_at, row_number"


def refused(where: str) -> list[tuple[str, bytes]]:
    return [(reason, bytes(payload)) for reason, payload in query(where, REFUSED)]


def test_twenty_thousand_events_land_in_chunks(where: str, logged: Logged) -> None:
    ledger = Ledger()
    logged.collect(*traffic(ledger, requests=1_900, seed=1))
    assert ledger.parts > 19_000
    reports = land(where, logged.log, entries=500)
    assert len(reports) == 4
    assert sum(report.rows_read for report in reports) == ledger.parts
    check(where, ledger, logged.log)
    assert land(where, logged.log) == []


def test_an_empty_log_is_nothing_to_land(where: str, logged: Logged) -> None:
    assert land(where, logged.log) == []
    assert query(where, "select count(*) from raw.log_positions") == [(0,)]


def test_late_events_land_in_the_order_of_arrival(duckdb_file: str, logged: Logged) -> None:
    logged.collect(
        batch(call("today"), call("2019", timestamp="2019-01-01T00:00:00Z"), sent=RECEIVED_AT),
        batch(call("1991", timestamp="1991-01-01T00:00:00Z"), call("now"), minutes=1),
    )
    land(duckdb_file, logged.log)
    assert ids(duckdb_file) == ["today", "2019", "1991", "now"]
    times = query(duckdb_file, "select occurred_at::date::varchar from raw.events order by landed_seq")
    assert [day for (day,) in times][1:3] == ["2019-01-01", "1991-01-01"]


def hostile_calls() -> list[bytes]:
    """Calls that the rules refuse, and neighbours that they take."""

    def told(number: int, **changes: object) -> bytes:
        return json.dumps(call(f"h{number}", **changes), ensure_ascii=False).encode()

    return [
        told(0, timestamp="1970-01-01T00:00:00Z"),
        told(1, timestamp="2099-01-01T00:00:00Z"),
        told(2, timestamp="yesterday"),
        told(3, properties={"revenue": -1}),
        told(4, properties={"revenue": "1e999", "currency": "EUR"}),
        told(5, properties={"revenue": 1, "currency": "???"}),
        told(6, properties={"deep": json.loads("[" * 62 + "]" * 62)}),
        told(7, type="delete"),
        told(8, properties={"note": "\u0000 ' -- é😀 \\ \u2028", "nan": "NaN"}),
        told(9, properties={"products": [{"price": 1e13, "quantity": 1}]}),
        told(10, properties={"big": 2**63, "huge": 10**40}),
    ]


def test_hostile_values_are_refused_for_the_reasons_that_files_have(where: str, logged: Logged, tmp_path: Path) -> None:
    parts = hostile_calls()
    logged.collect(batch(*parts))
    land(where, logged.log)
    over_log = {(reason, part) for reason, part in refused(where)}
    inbox = tmp_path / "file.ndjson"
    inbox.write_bytes(b"".join(part.replace(b'"h', b'"f') + b"\n" for part in parts))
    with writing(where) as connection:
        mapping = load_mapping("segment").model_copy(update={"source": "web"})
        land_file(connection, path=inbox, mapping=mapping, landed_at=LANDED_AT)
    rows = query(where, "select reason, payload from raw.rejected_events where origin = 'file.ndjson'")
    assert {(reason, bytes(payload).replace(b'"f', b'"h')) for reason, payload in rows} == over_log
    assert [id_ for id_ in ids(where) if id_ < "g"] == [id_.replace("h", "f") for id_ in ids(where) if id_ > "g"]


def test_a_batch_with_bad_parts_keeps_their_very_bytes_and_lands_the_good_ones(where: str, logged: Logged) -> None:
    odd = b'{ "type" : "track",\t"messageId":"x", "userId":"u", "sp\xc3\xa4t":1.10 }'
    not_even = [b'"text"', b"7", b'{"type":"identify"}']
    request = batch(call("good"), odd, *not_even, call("too"))
    spoilt = replace(request, body=b"{broken\xff\x00", source="app", received_at=request.received_at + 1)
    logged.collect(request, spoilt)
    [report] = land(where, logged.log)
    assert (report.rows_read, report.accepted, report.rejected_count) == (7, 2, 5)
    assert ids(where) == ["good", "too"]
    assert [part for _, part in refused(where)] == [odd, *not_even, spoilt.body]
    books = "select source, rows_read, accepted, rejected from raw.landings order by source"
    assert query(where, books) == [("app", 1, 0, 1), ("web", 6, 2, 4)]
    kept = query(where, "select origin, body from raw.rejected_requests")
    assert [bytes(body) for _, body in kept] == [request.body]  # of the other one the part is the whole


def test_a_request_of_two_megabytes_lands(where: str, logged: Logged) -> None:
    parts = [call(f"big{number}", properties={"text": "x" * 30_000}) for number in range(70)]
    assert len(batch(*parts).body) > 2_000_000
    logged.collect(*(batch(call(f"small{number}")) for number in range(16)), batch(*parts, b"{}"), batch(call("after")))
    [first] = land(where, logged.log, bounds=Bounds(size=1_000_000))
    assert (first.accepted, first.rejected) == (87, {"unknown_type": 1})
    assert len(ids(where)) == 87


PRODUCT = {"part": 0, "id": "p1", "name": "Cup", "price": "2.50", "currency": "EUR", "source": "shop"}
REDACT = {"part": 0, "source": "shop", "message_id": "r1", "topic": "customers/redact",
          "subject": {"customer_id": "7"}, "received_at": "2026-02-20T00:00:00Z"}  # fmt: skip


def write_lines(logged: Logged, products: list[dict[str, object]], privacy: list[dict[str, object]]) -> str:
    """An entry with lines of both kinds."""
    [entry] = append(logged.server.url, [Received("shopify", "shop", 1_771_545_600_000, b"{}")])
    lines = [
        b"".join(json.dumps(row | {"entry": entry}).encode() + b"\n" for row in rows) for rows in (products, privacy)
    ]
    logged.log.write_normalized([NormalizedEntry(entry, Normalized(products=lines[0], privacy=lines[1]))])
    return entry


def test_products_and_privacy_requests_land_with_the_events(where: str, logged: Logged) -> None:
    logged.collect(batch(call("m1")))
    old, new = {"updated_at": "2026-01-01T00:00:00Z"}, {"updated_at": "2026-02-01T00:00:00Z", "name": "Mug"}
    entry = write_lines(logged, [PRODUCT | new, PRODUCT | old | {"id": "p2", "price": "-1"}], [REDACT])
    write_lines(logged, [PRODUCT | old], [REDACT | {"subject": {"customer_id": "8"}}])
    reports = land(where, logged.log)
    assert sorted((report.mapping, report.accepted) for report in reports) == [
        ("collected", 1),
        ("collected_products", 1),
    ]
    assert query(where, "select product_id, name from raw.products") == [("p1", "Mug")]
    assert refused(where) == [("negative_price", b"{}")]
    assert query(where, "select topic, status, subject->>'customer_id' from raw.privacy_requests") == [
        ("customers/redact", "held", "7")
    ]
    assert query(where, "select distinct origin from raw.rejected_events") == [(f"log/shopify/{entry}",)]


def test_a_refused_part_whose_request_is_gone_is_kept_without_bytes(duckdb_file: str, logged: Logged) -> None:
    [entry] = append(logged.server.url, [batch(call("m1"))])
    refusal = Refused(3, "no_id", "An event needs a userId or an anonymousId.")
    logged.log.write_normalized([NormalizedEntry(entry, Normalized(refused=[refusal], counts={"web|no_id": 1}))])
    with logged.server.client() as client:
        client.xtrim("events.raw", maxlen=0)
    [report] = land(duckdb_file, logged.log)
    assert report.rejected == {"no_id": 1}
    assert query(duckdb_file, "select source, payload, origin, row_number from raw.rejected_events") == [
        ("web", b"", f"log/unknown/{entry}", 4)
    ]


def test_the_log_hears_of_a_chunk_only_after_its_commit_and_forgets_nothing_before(
    duckdb_file: str, logged: Logged
) -> None:
    log = RedisEventLog(logged.server.url, readers=["warehouse", "live"])
    state = log.state()
    entries = logged.collect(*(batch(call(f"m{number}")) for number in range(4)))
    log.confirm("live", entries[0], epoch=state.epoch)
    seen: list[tuple[str, str, int]] = []

    def on_step(step: str) -> None:
        state = log.state()
        seen.append((step, log.positions()["warehouse"], state.raw_entries))

    land(duckdb_file, log, entries=2, on_step=on_step)
    assert [position for step, position, _ in seen if step == "committed"] == ["0-0", entries[1]]
    assert [position for step, position, _ in seen if step == "confirmed"][-2:] == [entries[1], entries[3]]
    assert {left for step, _, left in seen[:-1] if step == "before_commit"} == {4, 3}
    assert log.state().raw_entries == log.state().normalized_entries == 3  # the live reader has read one


def test_the_same_chunk_landed_again_changes_nothing(where: str, logged: Logged) -> None:
    ledger = Ledger()
    requests = list(traffic(ledger, requests=30, seed=9))
    logged.collect(*requests)
    land(where, RedisEventLog(logged.server.url, readers=["warehouse", "live"]))
    before = query(where, "select * from raw.events order by landed_seq"), refused(where)
    rows = query(where, "select sum(rows_read) from raw.landings")
    with writing(where) as connection:
        connection.execute("delete from raw.log_positions")
    reports = land(where, logged.log, landed_at=LANDED_AT + timedelta(hours=1))
    assert {(report.accepted, report.rejected_count, report.conflicts) for report in reports} == {(0, 0, 0)}
    assert [(sum(report.duplicates for report in reports),)] == rows
    assert (query(where, "select * from raw.events order by landed_seq"), refused(where)) == before
