"""Uploads from the request to the warehouse, hostile ones included: nothing outside of the spool, nothing half, nothing twice."""

import base64
import gzip
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings
from ingestion.uploads import Spool
from orchestration.collecting import remember_problems
from orchestration.landing import land_folder
from orchestration.resources import Platform, build_platform
from orchestration.upload_preview import preview_file
from orchestration.uploads import books, collector_uploads, spool
from tests.ingestion.collector.senders import KEY, UPLOAD_KEY, Client, Keys, MemoryLog

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = (UPLOAD_KEY, "")
CALL = {"messageId": "1", "type": "track", "event": "Seen", "userId": "u", "timestamp": "2026-01-01T00:00:00Z"}
EVENTS = b"".join(json.dumps(CALL | {"messageId": str(n)}).encode() + b"\n" for n in range(40))
PRODUCTS = "id,name,category_path,price,currency,stock,repeatable,updated_at\n"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return build_platform(home=tmp_path / "weft", upload_mb=2)


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    made = Client(create_app(CollectorSettings(keys=Keys(), uploads=collector_uploads(platform)), MemoryLog()))
    yield made
    made.close()


def send(client: Client, content: bytes, name: str = "events.ndjson", **more: Any) -> httpx.Response:
    params = {"name": name} | more.pop("params", {})
    return client.post("/v1/uploads", content=content, params=params, auth=ALLOWED, **more)


def sent(client: Client, content: bytes, name: str = "events.ndjson") -> str:
    answer = send(client, content, name)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["upload"]["id"])


def act(client: Client, method: str, id_: str, what: str = "", mapping: str = "segment") -> httpx.Response:
    params = {"mapping": mapping} if what else {}
    return client.request(method, f"/v1/uploads/{id_}{what}", params=params, auth=ALLOWED)


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def land(platform: Platform, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    reports = list(land_folder(connection, folder=platform.settings.inbox, landed_at=datetime(2026, 3, 1)))
    remember_problems(platform.state, reports)
    return reports


def test_from_the_request_to_the_warehouse_and_the_same_file_again_adds_nothing(
    platform: Platform, client: Client
) -> None:
    with duckdb.connect() as warehouse:
        for _ in range(2):
            id_ = sent(client, EVENTS, "My events (März).ndjson")
            assert act(client, "GET", id_).json()["upload"]["state"] == "uploaded"
            assert land(platform, warehouse) == [] or warehouse.execute(
                "select count(*) from raw.events"
            ).fetchone() == (40,)
            confirmed = act(client, "POST", id_, "/confirm").json()["upload"]
            assert (confirmed["state"], confirmed["mapping"], confirmed["bytes"]) == (
                "confirmed",
                "segment",
                len(EVENTS),
            )
            assert act(client, "POST", id_, "/confirm").status_code == 200  # a repeated request
            assert act(client, "POST", id_, "/confirm", "products").json()["code"] == "already_confirmed"
            land(platform, warehouse)
        assert warehouse.execute("select count(*) from raw.events").fetchone() == (40,)
    assert len(snapshot(platform.settings.inbox)) == 2
    assert all("My-events--M-rz" in name or "My-events-M-rz" in name for name in snapshot(platform.settings.inbox))


def test_progress_tells_the_books_of_the_served_build_or_why_it_was_refused(platform: Platform, client: Client) -> None:
    good, bad = sent(client, EVENTS), sent(client, b"a,b\n1,2\n", "orders.csv")
    for id_, mapping in ((good, "segment"), (bad, "products")):
        assert act(client, "POST", id_, "/confirm", mapping).status_code == 200
    with platform.warehouse.writer() as connection:
        land(platform, connection.native)  # type: ignore[attr-defined]
        connection.execute("create schema control")
        connection.execute(
            "create table control.builds as select 'b1' as build_id, now() as as_of, now() as completed_at"
        )
    platform.warehouse.serve_newest_build()
    landed = act(client, "GET", good).json()["upload"]
    assert (landed["state"], landed["counts"]["accepted"], landed["counts"]["rejected"]) == ("landed", 40, 0)
    refused = act(client, "GET", bad).json()["upload"]
    assert refused["state"] == "refused"
    assert "lacks the column" in refused["problem"]
    assert books(platform, spool(platform.settings).find(good, source="files")).state == "landed"  # type: ignore[union-attr]


def test_a_form_with_one_file_is_taken_and_its_other_fields_are_not(client: Client, platform: Platform) -> None:
    answer = client.post("/v1/uploads", files={"file": ("a.ndjson", EVENTS)}, data={"note": "x"}, auth=ALLOWED)
    assert answer.json()["upload"]["bytes"] == len(EVENTS)
    path = spool(platform.settings).folder / f"{answer.json()['upload']['id']}.ndjson"
    assert path.read_bytes() == EVENTS


FORMS: list[tuple[str, bytes]] = [
    ("no end", b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\n'),
    ("no file", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\na,b\n\r\n--b--\r\n'),
    ("noise", bytes(range(256)) * 50),
    ("long header", b"--b\r\nX: " + b"a" * 100_000),
    ("two files", b"".join(b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.csv"\r\n\r\na\r\n' for _ in "12") + b"--b--\r\n"),
    ("many parts", b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\na\r\n' * 500 + b"--b--\r\n"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "body"), FORMS, ids=[what for what, _ in FORMS])
def test_a_broken_form_is_refused_and_leaves_nothing(
    client: Client, platform: Platform, what: str, body: bytes
) -> None:
    for content_type in (
        "multipart/form-data; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "b" * 99,
    ):
        answer = client.post("/v1/uploads", content=body, headers={"content-type": content_type}, auth=ALLOWED)
        assert answer.status_code == 400, answer.text
    assert snapshot(platform.settings.home / "uploads") == set()


NAMES = {
    "../../x.csv": 200, "/etc/cron.d/x.csv": 200, "..\\..\\x.csv": 200, "C:\\x.csv": 200, "CON.csv": 200, ".csv": 200,
    "..csv": 200, "x.csv/../../y.csv": 200, "%2e%2e%2fx.csv": 200, "x" * 300 + ".csv": 200, "\u202ecsv.exe.csv": 200,
    "-rf.csv": 200, "a\nb.csv": 200, "a\x1b[31m.csv": 200, "x.CSV": 200, "x\0.csv": 400, "x.exe": 415, "x": 415,
    "x.parquet.gz": 415, "x.csv.zip": 415, "": 415,
}  # fmt: skip


@pytest.mark.parametrize(("name", "status"), NAMES.items(), ids=[f"name{at}" for at in range(len(NAMES))])
def test_a_name_is_never_a_path(client: Client, platform: Platform, tmp_path: Path, name: str, status: int) -> None:
    mapped = PRODUCTS.encode() + b"1,A,B,1,EUR,1,true,2026-01-01\n"
    before = snapshot(tmp_path)
    answer = send(client, mapped, name)
    assert answer.status_code == status, answer.text
    if status == 200:
        id_ = answer.json()["upload"]["id"]
        assert snapshot(tmp_path) - before == {f"weft/uploads/{id_}.csv", f"weft/uploads/{id_}.facts"}
        assert act(client, "POST", id_, "/confirm", "products").status_code == 200
        [file] = (platform.settings.inbox / "products").iterdir()
        assert file.name.startswith(f"upload-{id_}-")
        assert len(file.name) < 120
    else:
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("id_", ["..", "../../etc", "%2e%2e", "A" * 32, "g" * 32, "0" * 31, "0" * 32, "*", "\0" * 32])
def test_an_id_is_never_a_path(client: Client, id_: str) -> None:
    from urllib.parse import quote

    for method, what in (("GET", ""), ("GET", "/preview"), ("POST", "/confirm")):
        assert act(client, method, quote(id_, safe=""), what).status_code in (404, 405)


@pytest.mark.parametrize(
    "mapping", ["", "../segment", "nobody", "/etc/passwd", "x.yml", "collected", "crm_contacts", "\0"]
)
def test_a_mapping_is_one_that_comes_with_weft_and_says_whose_events_they_are(client: Client, mapping: str) -> None:
    id_ = sent(client, EVENTS)
    for method, what in (("GET", "/preview"), ("POST", "/confirm")):
        answer = act(client, method, id_, what, mapping)
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_mapping")


def test_only_a_key_with_the_scope_sees_its_own_source_s_uploads(client: Client, platform: Platform) -> None:
    assert client.post("/v1/uploads", content=EVENTS, params={"name": "a.csv"}).status_code == 401
    assert client.post("/v1/uploads", content=EVENTS, params={"name": "a.csv"}, auth=(KEY, "")).status_code == 403
    receiving = spool(platform.settings).begin(source="another", name="a.ndjson")
    receiving.write(EVENTS)
    others = receiving.finish()
    for method, what in (("GET", ""), ("GET", "/preview"), ("POST", "/confirm")):
        assert act(client, method, others.id, what).status_code == 404


def test_what_is_too_large_is_refused_and_leaves_nothing(client: Client, platform: Platform) -> None:
    def dripping() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    async def lengthless() -> Any:
        for chunk in dripping():
            yield chunk

    claimed = {"content-length": str(1 << 30)}
    assert send(client, b"small", headers=claimed).status_code == 413
    answer = client.post("/v1/uploads", content=lengthless(), params={"name": "a.csv"}, auth=ALLOWED)
    assert answer.status_code == 413
    bomb = gzip.compress(b"0" * 40_000_000)
    assert len(bomb) < 100_000
    assert send(client, bomb, "a.csv.gz").status_code == 413
    assert snapshot(platform.settings.home / "uploads") == set()


KINDS: list[tuple[str, str, bytes]] = [
    ("utf-16", "a.csv", "a,b\n1,2\n".encode("utf-16")),
    ("zip", "a.csv", b"PK\x03\x04" + b"0" * 100),
    ("excel", "a.csv", b"\xd0\xcf\x11\xe0" + b"0" * 100),
    ("gzip by another name", "a.csv", gzip.compress(b"a,b\n", mtime=0)),
    ("no gzip", "a.csv.gz", b"a,b\n1,2\n"),
    ("cut gzip", "a.csv.gz", gzip.compress(random.Random(1).randbytes(9000), mtime=0)[:-3000]),
    ("no parquet", "a.parquet", b"a,b\n1,2\n"),
    ("empty", "a.csv", b""),
]


@pytest.mark.parametrize(("what", "name", "content"), KINDS, ids=[what for what, *_ in KINDS])
def test_a_file_that_is_not_what_its_name_says_is_refused(
    client: Client, platform: Platform, what: str, name: str, content: bytes
) -> None:
    assert send(client, content, name).status_code in (400, 415)
    assert snapshot(platform.settings.home / "uploads") == set()


def test_progress_can_be_asked_for_while_a_file_is_on_its_way(client: Client, platform: Platform) -> None:
    id_ = "0123456789abcdef" * 2
    receiving = spool(platform.settings).begin(source="files", name="a.ndjson", id_=id_)
    receiving.write(EVENTS)
    assert act(client, "GET", id_).json()["upload"] == {"id": id_, "state": "receiving", "bytes": len(EVENTS)}
    assert send(client, EVENTS, params={"id": id_}).status_code == 409
    receiving.abandon()
    assert send(client, EVENTS, params={"id": "../x"}).status_code == 400
    assert send(client, EVENTS, params={"id": id_}).status_code == 200


def test_a_link_in_the_spool_is_not_followed(client: Client, platform: Platform, tmp_path: Path) -> None:
    id_ = sent(client, EVENTS)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    path = spool(platform.settings).folder / f"{id_}.ndjson"
    path.unlink()
    path.symlink_to(secret)
    assert act(client, "GET", id_, "/preview").status_code == 409
    assert act(client, "POST", id_, "/confirm").status_code == 409
    target = "f" * 32
    (spool(platform.settings).folder / f".{target}.part").symlink_to(secret)
    assert send(client, EVENTS, params={"id": target}).status_code == 409
    assert secret.read_text() == "secret"


# ---- the preview ------------------------------------------------------------------------------------------------


def test_a_preview_shows_rows_as_the_mapping_reads_them_and_why_others_are_refused(client: Client) -> None:
    lines = EVENTS.splitlines(keepends=True)
    content = (
        lines[0]
        + b"{broken\n"
        + json.dumps(CALL | {"messageId": "z", "timestamp": "soon", "colour": 1}).encode()
        + b"\n"
        + lines[1]
    )
    preview = act(client, "GET", sent(client, content), "/preview").json()["upload"]
    assert [row["message_id"] for row in preview["rows"]] == ["0", "1"]
    assert preview["rows"][0]["occurred_at"] == "2026-01-01T00:00:00"
    assert [(each["row_number"], each["reason"]) for each in preview["rejected"]] == [
        (2, "broken_json"),
        (3, "bad_timestamp"),
    ]
    assert (preview["rows_read"], preview["is_whole_file"], preview["problem"]) == (4, True, None)
    assert "colour" in preview["columns_unused"]
    assert "traits" in preview["columns_missing"]


def product_file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


GOOD = b"1,A,Home,1.50,EUR,3,true,2026-01-01 00:00:00\n"
ODD: list[tuple[str, bytes, int, int]] = [
    ("good", GOOD, 1, 0),
    ("formulas", b"=1+1,@SUM(A1),+x,1,EUR,3,true,2026-01-01\n", 1, 0),
    ("open quote", GOOD + b'2,"never closed,Home,1,EUR,3,true,2026-01-01\n' + GOOD.replace(b"1,A", b"3,A"), 2, 1),
    ("not utf-8", GOOD + b"2,caf\xe9,Home,1,EUR,3,true,2026-01-01\n", 1, 1),
    ("a huge line", b"2," + b"x" * 1_500_000 + b",Home,1,EUR,3,true,2026-01-01\n" + GOOD, 1, 1),
    ("wrong types", b"2,A,Home,cheap,EUR,many,maybe,someday\n", 0, 1),
    ("nothing", b"", 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("what", "rows", "shown", "rejected"), ODD, ids=[what for what, *_ in ODD])
@pytest.mark.parametrize("is_packed", [False, True])
def test_odd_files_are_previewed_row_by_row(  # noqa: PLR0917
    tmp_path: Path, what: str, rows: bytes, shown: int, rejected: int, is_packed: bool
) -> None:
    content = PRODUCTS.encode() + rows
    name = "p.csv.gz" if is_packed else "p.csv"
    preview = preview_file(product_file(tmp_path, name, gzip.compress(content) if is_packed else content), "products")
    assert preview.problem is None
    assert (len(preview.rows), len(preview.rejected)) == (shown, rejected)
    if what == "formulas":
        assert preview.rows[0]["product_id"] == "=1+1"


UNUSABLE = {
    "columns": (",".join(f"c{n}" for n in range(100_000)) + "\n" + "1," * 99_999 + "1\n").encode(),
    "twice": b"id,name,name,price,currency,category_path\n1,2,3,4,5,6\n",
    "missing": b"name,price\nA,1\n",
    "utf-16": PRODUCTS.encode("utf-16"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, what: str) -> None:
    preview = preview_file(product_file(tmp_path, "p.csv", UNUSABLE[what]), "products")
    assert preview.problem and preview.problem.endswith(".")
    assert str(tmp_path) not in preview.problem


def test_a_large_file_is_previewed_by_its_first_rows(tmp_path: Path) -> None:
    path = product_file(tmp_path, "p.csv", PRODUCTS.encode() + GOOD * 400_000)
    preview = preview_file(path, "products")
    assert (preview.rows_read, len(preview.rows), preview.is_whole_file) == (200, 20, False)


def test_parquet_and_json_are_previewed_too(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["1", "2"],
            "name": ["A", "B"],
            "category_path": ["x", "y"],
            "price": [1.5, 2.0],
            "currency": ["EUR", "EUR"],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    assert [row["product_id"] for row in preview_file(tmp_path / "p.parquet", "products").rows] == ["1", "2"]
    path = product_file(tmp_path, "p.json", json.dumps(table.to_pylist(), indent=1).encode())
    assert [row["product_id"] for row in preview_file(path, "products").rows] == ["1", "2"]
    cut = product_file(tmp_path, "q.parquet", (tmp_path / "p.parquet").read_bytes()[:-40])
    assert preview_file(cut, "products").problem == "The file is not Parquet, or it is damaged."


def test_a_parquet_bomb_costs_the_preview_s_process_and_nobody_else(tmp_path: Path) -> None:
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * 20_000_000]))
    row_bomb = pa.table({"id": one})
    pq.write_table(row_bomb, tmp_path / "p.parquet", compression="zstd")
    assert (tmp_path / "p.parquet").stat().st_size < 100_000
    preview = preview_file(tmp_path / "p.parquet", "products")
    assert preview.problem and "more memory than a preview may have" in preview.problem


# ---- killed, and without room ------------------------------------------------------------------------------------


@contextmanager
def collector(home: Path, *arguments: str, **environment: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "tests.orchestration.upload_collector", str(home), *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.mark.parametrize("step", ["upload_received", "upload_in_place"])
def test_killed_with_a_whole_file_it_is_there_whole_or_not_at_all(tmp_path: Path, step: str) -> None:
    home = tmp_path / "weft"
    crash = {"WEFT_CRASH_AT": f"collector.{step}", "WEFT_ALLOW_CRASHES": "1"}
    with collector(home, **crash) as (port, process):
        with pytest.raises(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{port}/v1/uploads?name=a.ndjson", content=EVENTS, auth=ALLOWED)
        assert process.wait() == -signal.SIGKILL
    visible = {path.name for path in (home / "uploads").glob("[!.]*")}
    assert (visible == set()) == (step == "upload_received")
    if visible:
        id_ = next(iter(visible)).partition(".")[0]
        assert Spool(home / "uploads", 1).find(id_, source="files").bytes == len(EVENTS)
    assert Spool(home / "uploads", 1).sweep(time.time() + 2 * 86_400) == (0 if visible else 1)


def begun(port: int) -> socket.socket:
    """A connection on which half of a file was sent."""
    connection = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(f"{UPLOAD_KEY}:".encode()).decode()
    head = f"POST /v1/uploads?name=b.csv HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\nAuthorization: Basic {key}\r\n\r\n"
    connection.sendall(head.encode() + b"x" * 2_500_000)
    return connection


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_full_disk_leaves_nothing_and_files_that_fit_are_taken(tmp_path: Path) -> None:
    home = tmp_path / "weft"
    with collector(home, "300000") as (port, _):
        url = f"http://127.0.0.1:{port}/v1/uploads"
        full = httpx.post(f"{url}?name=a.csv", content=b"a,b\n" * 200_000, auth=ALLOWED)
        assert (full.status_code, full.json()["code"]) == (507, "no_room")
        assert snapshot(home / "uploads") == set()
        assert httpx.post(f"{url}?name=a.ndjson", content=EVENTS, auth=ALLOWED).status_code == 200


def test_killed_while_a_file_comes_nothing_of_it_is_visible(tmp_path: Path) -> None:
    home = tmp_path / "weft"
    with collector(home) as (port, process), begun(port):
        wait_until(lambda: bool(snapshot(home / "uploads")))
        process.kill()
        process.wait()
    assert [name for name in snapshot(home / "uploads") if not name.startswith(".")] == []


def test_a_sender_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "weft"
    with collector(home) as (port, _):
        with begun(port):
            wait_until(lambda: bool(snapshot(home / "uploads")))
        wait_until(lambda: not snapshot(home / "uploads"))


# ---- the command -------------------------------------------------------------------------------------------------


def test_the_command_previews_and_uploads(tmp_path: Path) -> None:
    home, path = tmp_path / "weft", product_file(tmp_path, "p.csv", PRODUCTS.encode() + GOOD)

    def weft(*arguments: str) -> "subprocess.CompletedProcess[str]":
        variables = {**os.environ, "WEFT_HOME": str(home)}
        command = [Path(sys.executable).with_name("weft"), "upload", *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    shown = weft(str(path), "--mapping", "products", "--preview")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "1 rows read (all of the file)" in shown.stdout
    assert not (home / "inbox").exists()
    assert "`weft run` lands them" in weft(str(path), "--mapping", "products").stdout
    assert [file.read_bytes() for file in (home / "inbox" / "products").iterdir()] == [path.read_bytes()]
    wrong = weft(str(path), "--mapping", "nobody")
    assert (wrong.returncode, "There is no mapping 'nobody'" in wrong.stdout) == (2, True)
