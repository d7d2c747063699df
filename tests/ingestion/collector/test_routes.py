"""What each route takes, what of it goes into the log, and what is answered."""

import base64
import gzip
import json

import pytest

from ingestion.tracker import tracker_source
from tests.ingestion.collector.senders import KEY, Client, MemoryLog

AUTH = (KEY, "")
EVENT = {"messageId": "m-1", "userId": "u-1", "type": "track", "event": "Product Viewed"}
BODY = json.dumps(EVENT).encode()

CALLS = {
    "identify": ("/v1/identify", "/v1/i"),
    "track": ("/v1/track", "/v1/t"),
    "page": ("/v1/page", "/v1/p"),
    "screen": ("/v1/screen", "/v1/s"),
    "group": ("/v1/group", "/v1/g"),
    "alias": ("/v1/alias", "/v1/a"),
    "batch": ("/v1/batch", "/v1/b", "/v1/import"),
}
PATHS = [(path, call) for call, paths in CALLS.items() for path in paths]
GIF = b"GIF89a"


@pytest.mark.parametrize(("path", "call"), PATHS)
def test_a_segment_route_keeps_the_bytes_and_says_which_call_it_was(
    client: Client, log: MemoryLog, path: str, call: str
) -> None:
    body = json.dumps({"batch": [EVENT]}).encode() if call == "batch" else BODY
    answer = client.post(path, content=body, auth=AUTH, headers={"content-type": "text/plain", "user-agent": "sdk/1"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body) == ("segment", "shop", body)
    assert entry.facts == {"path": call, "ip": "203.0.113.9", "user_agent": "sdk/1"}


def test_a_compressed_body_is_kept_as_it_came(client: Client, log: MemoryLog) -> None:
    body = gzip.compress(json.dumps({"batch": [EVENT] * 3}).encode(), mtime=0)
    answer = client.post("/v1/batch", content=body, auth=AUTH, headers={"content-encoding": "gzip"})
    assert answer.status_code == 200
    [entry] = log.entries
    assert (entry.body, entry.facts["encoding"]) == (body, "gzip")


def test_two_gzip_members_are_one_body(client: Client) -> None:
    body = gzip.compress(BODY[:10], mtime=0) + gzip.compress(BODY[10:], mtime=0)
    assert client.post("/v1/track", content=body, auth=AUTH, headers={"content-encoding": "gzip"}).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "image/png", ""],
)
def test_json_is_json_whatever_its_content_type_says(client: Client, content_type: str) -> None:
    assert client.post("/v1/t", content=BODY, auth=AUTH, headers={"content-type": content_type}).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b"{} {}", b'{"a": NaN', b"\xef\xbb\xbf{}", b'{"a": 01}', b'{"a": ' + b"[" * 30_000]
)
def test_what_is_not_json_is_refused_with_400(client: Client, log: MemoryLog, body: bytes) -> None:
    answer = client.post("/v1/track", content=body, auth=AUTH)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")
    assert log.entries == []


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_python_writes_for_no_number_is_taken_and_put_aside_alone(client: Client, number: str) -> None:
    body = json.dumps(
        {"batch": [{"type": "identify", "userId": "u", "traits": {"n": n}} for n in (float(number), 1.5)]}
    )
    answer = client.post("/v1/batch?verbose=1", content=body.encode(), auth=AUTH)
    assert [(result["ok"], result.get("reason")) for result in answer.json()["results"]] == [
        (False, "bad_number"), (True, None),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"true"])
def test_json_that_is_no_object_is_refused_with_400(client: Client, log: MemoryLog, body: bytes) -> None:
    for path in ("/v1/track", "/v1/batch", "/track", "/com.snowplowanalytics.snowplow/tp2"):
        assert client.post(path, content=body, auth=AUTH).status_code == 400
    assert log.entries == []


@pytest.mark.parametrize("body", [b"{}", b'{"batch": {}}', b'{"batch": null}', b'{"batch": "x"}'])
def test_a_batch_without_its_list_is_refused_with_400(client: Client, log: MemoryLog, body: bytes) -> None:
    assert client.post("/v1/batch", content=body, auth=AUTH).json()["code"] == "unexpected_shape"
    assert log.entries == []


@pytest.mark.parametrize(
    "event",
    [
        "5",
        "null",
        "[]",
        "{}",
        '{"type": 5}',
        '{"userId": {"a": 1e999}}',
        '{"n": ' + "9" * 5000 + "}",
        r'{"cut": "\ud83d"}',
        r'{"cut": "\ude00 \ud83d\ude00 \\ud83d \ud83d"}',
        '{"a": 1, "a": 2}',
    ],
    ids=range(10),
)
def test_a_bad_event_among_good_ones_is_taken_with_them(client: Client, log: MemoryLog, event: str) -> None:
    body = b'{"batch": [%b, %b, {"bad": "\xff\\u0000"}]}' % (BODY, event.encode())
    assert client.post("/v1/batch", content=body, auth=AUTH).status_code == 200
    assert log.entries[0].body == body


def test_an_empty_batch_is_answered_as_segment_does(client: Client) -> None:
    assert client.post("/v1/batch", json={"batch": []}, auth=AUTH).json() == {"success": True}


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "x"])
def test_other_content_encodings_are_refused(client: Client, log: MemoryLog, encoding: str) -> None:
    answer = client.post("/v1/track", content=BODY, auth=AUTH, headers={"content-encoding": encoding})
    assert (answer.status_code, log.entries) == (415, [])


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_broken_gzip_is_refused(client: Client, log: MemoryLog, cut: int) -> None:
    whole = gzip.compress(BODY, mtime=0)
    for body in (whole[:cut], whole + b"trailing", BODY):
        answer = client.post("/v1/track", content=body, auth=AUTH, headers={"content-encoding": "gzip"})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_gzip")
    assert log.entries == []


@pytest.mark.parametrize("path", ["/pixel/v1/track", "/pixel/v1/page", "/v1/pixel/track", "/v1/pixel/page"])
def test_a_pixel_is_an_event_without_its_key(client: Client, log: MemoryLog, path: str) -> None:
    answer = client.get(f"{path}?anonymousId=a-1&event=Mail%20Opened&writeKey={KEY}&x=%C3%A4")
    assert answer.status_code == 200
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/gif", "no-store")
    assert answer.content.startswith(GIF)
    [entry] = log.entries
    assert (entry.kind, entry.body, entry.facts["path"]) == ("pixel", b"", path.rsplit("/", 1)[1])
    assert entry.facts["query"] == "anonymousId=a-1&event=Mail%20Opened&x=%C3%A4"


@pytest.mark.parametrize("is_padded", [True, False])
def test_the_key_of_a_segment_pixel_is_in_its_data(client: Client, log: MemoryLog, is_padded: bool) -> None:
    data = base64.b64encode(json.dumps(EVENT | {"writeKey": KEY}).encode()).decode()
    answer = client.get("/v1/pixel/track", params={"data": data if is_padded else data.rstrip("=")})
    assert (answer.status_code, log.entries[0].source) == (200, "shop")


@pytest.mark.parametrize("path", ["/health", "/ready", "/weft.js"])
def test_what_watches_a_service_may_ask_for_the_head_alone(client: Client, path: str) -> None:
    head, whole = client.request("HEAD", path), client.get(path)
    assert head.status_code == whole.status_code == 200
    assert head.headers["content-length"] == str(len(whole.content))


def test_the_pixel_cannot_be_asked_for_its_head_only(client: Client, log: MemoryLog) -> None:
    assert client.request("HEAD", f"/pixel/v1/track?writeKey={KEY}").status_code == 405
    assert log.entries == []


@pytest.mark.parametrize("data", ["%%%", "bm90IGpzb24=", "e30=", "4pi6", "=", ""])
def test_a_pixel_whose_data_show_no_key_is_not_taken(client: Client, log: MemoryLog, data: str) -> None:
    assert client.get("/pixel/v1/track", params={"data": data}).status_code == 401
    assert log.entries == []


def test_a_beacon_has_its_key_in_the_query(client: Client, log: MemoryLog) -> None:
    body = json.dumps({"batch": [EVENT]}).encode()
    answer = client.post(f"/beacon/v1/batch?writeKey={KEY}", content=body, headers={"content-type": "text/plain"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body, entry.facts["path"]) == ("segment", "shop", body, "batch")
    assert "query" not in entry.facts


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/track", "/identify"])
def test_elsewhere_a_key_in_the_query_is_no_key(client: Client, log: MemoryLog, path: str) -> None:
    assert client.post(f"{path}?writeKey={KEY}", json={"batch": []}).status_code == 401
    assert log.entries == []


@pytest.mark.parametrize("call", ["identify", "track"])
def test_a_mini_route_takes_one_event(client: Client, log: MemoryLog, call: str) -> None:
    body = b'{"event_type": "visit", "user_id": "u-1", "occurred_at": "2026-01-01T00:00:00Z"}'
    assert client.post(f"/{call}", content=body, auth=AUTH).json() == {"success": True}
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body, entry.facts["path"]) == ("mini", "shop", body, call)


def test_a_snowplow_payload_needs_no_key(client: Client, log: MemoryLog) -> None:
    body = b'{"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": [{"e": "pv"}]}'
    assert client.post("/com.snowplowanalytics.snowplow/tp2", content=body).status_code == 200
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body, entry.facts["path"]) == ("snowplow", "snowplow", body, "tp2")


def test_a_snowplow_pixel_needs_no_key(client: Client, log: MemoryLog) -> None:
    answer = client.get("/i?e=pv&url=https%3A%2F%2Fshop.example%2F&aid=web")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/gif")
    [entry] = log.entries
    assert (entry.kind, entry.body, entry.facts["path"]) == ("snowplow", b"", "i")
    assert entry.facts["query"] == "e=pv&url=https%3A%2F%2Fshop.example%2F&aid=web"


def test_unknown_paths_and_methods_are_refused_in_the_same_words(client: Client) -> None:
    assert client.get("/nope?secret=1").json()["code"] == "not_found"
    wrong = client.get("/v1/track")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (405, "method_not_allowed", "POST")


def test_every_answer_names_its_request_and_never_takes_the_name_from_the_sender(client: Client) -> None:
    first = client.get("/health", headers={"x-request-id": "mine"})
    second = client.post("/v1/track")
    assert "mine" not in (first.headers["x-request-id"], second.headers["x-request-id"])
    assert second.json()["request_id"] == second.headers["x-request-id"] != first.headers["x-request-id"]


COLLECTING = ["/v1/batch", "/v1/t", "/beacon/v1/batch", "/identify", "/com.snowplowanalytics.snowplow/tp2"]


@pytest.mark.parametrize("path", COLLECTING)
@pytest.mark.parametrize("origin", ["https://shop.example", "http://localhost:3000", "null"])
def test_pages_of_any_site_may_send(client: Client, path: str, origin: str) -> None:
    asks = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-b3-traceid",
    }
    allowed = client.request("OPTIONS", path, headers={"origin": origin, **asks})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == origin
    assert allowed.headers["access-control-allow-credentials"] == "true"
    assert allowed.headers["access-control-allow-methods"] == "POST"
    assert allowed.headers["access-control-allow-headers"] == "authorization,content-type,x-b3-traceid"
    assert allowed.headers["access-control-max-age"] == "900"
    answer = client.post(path, content=b"{", headers={"origin": origin})
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == origin, "a page reads a refusal too"
    assert answer.headers["access-control-expose-headers"] == "retry-after, x-ratelimit-reset, x-request-id"
    assert answer.headers["vary"] == "origin"


@pytest.mark.parametrize("origin", ["https://x@y", "https://a b", "javascript:alert(1)", "x" * 400, "https://a\tb"])
def test_what_is_no_origin_is_not_repeated(client: Client, origin: str) -> None:
    answer = client.request("OPTIONS", "/v1/t", headers={"origin": origin, "access-control-request-headers": "a:b"})
    assert not {"access-control-allow-origin", "access-control-allow-headers"} & set(answer.headers)


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/nope", "/openapi.json"])
def test_pages_of_other_sites_may_not_read_what_is_no_event_route(client: Client, path: str) -> None:
    headers = {"origin": "https://shop.example", "access-control-request-method": "GET"}
    for method in ("GET", "OPTIONS"):
        assert "access-control-allow-origin" not in client.request(method, path, headers=headers).headers


def test_what_a_browser_says_of_itself_goes_into_the_log(client: Client, log: MemoryLog) -> None:
    for origin in ("https://shop.example", "https://canary@shop.example"):
        client.post("/v1/t", content=BODY, auth=AUTH, headers={"origin": origin, "sec-gpc": "1", "user-agent": "x\x7f"})
    first, second = log.entries
    assert (first.facts["origin"], first.facts["gpc"], first.facts["user_agent"]) == ("https://shop.example", "1", "x")
    assert "origin" not in second.facts


def test_verbose_says_of_each_event_what_the_normaliser_will_make_of_it(client: Client, log: MemoryLog) -> None:
    batch = [EVENT, {"type": "track", "userId": "u"}, 5, {"type": "nope", "userId": "u"}, EVENT]
    answer = client.post("/v1/batch?verbose=1", json={"batch": batch}, auth=AUTH)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    assert [result["ok"] for result in results] == [True, False, False, False, True]
    assert results[1]["reason"] == "missing_event_name"
    assert all(result["reason"] and result["detail"] for result in results if not result["ok"])
    single = client.post("/v1/track?verbose=1", json={"userId": "u"}, auth=AUTH)
    assert single.json()["results"][0]["reason"] == "missing_event_name"
    assert len(log.entries) == 2


def test_the_tracker_is_served_with_an_hour_in_caches_and_not_sent_again_to_who_has_it(client: Client) -> None:
    script = client.get("/weft.js", headers={"origin": "https://shop.example"})
    assert (script.status_code, script.content) == (200, tracker_source())
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "max-age=3600" in script.headers["cache-control"]
    assert script.headers["access-control-allow-origin"] == "https://shop.example"
    etag = script.headers["etag"]
    for known in (etag, f'"old", W/{etag}', "*"):
        again = client.get("/weft.js", headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get("/weft.js", headers={"if-none-match": '"old"'}).status_code == 200
