"""The command stream: bytes out, replies counted, errors noticed."""

import os
import signal
from collections.abc import Iterator

import pyarrow as pa
import pytest
import redis

from activation import resp
from activation.command_stream import CommandStream
from activation.embedded_redis import EmbeddedRedis

FENCE = resp.command("EVAL", "return 1", 0)
WATCH = resp.command("WATCH", "guard")


@pytest.fixture
def stream(redis_server: EmbeddedRedis, client: redis.Redis) -> CommandStream:
    return CommandStream(redis.ConnectionPool(port=redis_server.port, protocol=2), patience=5)


def test_many_commands_arrive_and_are_counted(client: redis.Redis, stream: CommandStream) -> None:
    values = pa.array([f"v{number}\r\n" for number in range(200_000)]).cast(pa.binary())
    rows = resp.joined([resp.header(b"SADD", 3), resp.bulk(b"set"), *resp.bulk_pieces(values)])
    with stream:
        for count, commands in resp.row_slices(rows, 10_000):
            stream.send(commands, count=count)
        stream.wait()
    assert client.scard("set") == 200_000
    assert stream.commands_sent == 200_000


def test_an_error_reply_is_raised_in_the_servers_words(client: redis.Redis, stream: CommandStream) -> None:
    client.set("string", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE Operation"), stream:
        stream.send(resp.command("SADD", "string", "a") * 1_000, count=1_000)
        stream.wait()


def test_a_transaction_takes_effect_as_a_whole(client: redis.Redis, stream: CommandStream) -> None:
    with stream:
        stream.transaction(
            [resp.command("SET", "a", 1), resp.command("SADD", "b", 2)], count=2, fence=FENCE, watch=WATCH
        )
        stream.wait()
    assert client.get("a") == b"1"
    assert client.smembers("b") == {b"2"}


def test_a_transaction_whose_fence_refuses_has_no_effect(client: redis.Redis, stream: CommandStream) -> None:
    refusing = resp.command("EVAL", "return redis.error_reply('FENCED no')", 0)
    with pytest.raises(redis.ResponseError, match="FENCED no"), stream:
        stream.transaction([resp.command("SET", "a", 1)], count=1, fence=refusing, watch=WATCH)
    assert client.get("a") is None


def test_a_transaction_whose_guard_changed_after_the_fence_looked_has_no_effect(
    client: redis.Redis, stream: CommandStream
) -> None:
    class GuardMovesMeanwhile(list[bytes]):
        def __iter__(self) -> Iterator[bytes]:
            stream.wait()  # WATCH and fence have answered, EXEC is still to come
            client.set("guard", "moved")
            return super().__iter__()

    parts = GuardMovesMeanwhile([resp.command("SET", "a", 1)])
    with pytest.raises(redis.WatchError), stream:
        stream.transaction(parts, count=1, fence=FENCE, watch=WATCH)
        stream.wait()
    assert client.get("a") is None


def test_after_an_error_an_unfinished_transaction_is_forgotten(client: redis.Redis, stream: CommandStream) -> None:
    with pytest.raises(RuntimeError), stream:
        stream.send(resp.command("MULTI") + resp.command("SET", "a", 1), count=2)
        stream.wait()
        raise RuntimeError
    assert client.get("a") is None
    assert stream._connection._sock is None


def test_a_server_that_stops_answering_is_given_up(own_server: EmbeddedRedis) -> None:
    stream = CommandStream(redis.ConnectionPool(port=own_server.port, protocol=2), patience=0.2)
    os.kill(own_server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(redis.TimeoutError, match=r"no answer for 0\.2 seconds"), stream:
            stream.send(resp.command("PING"), count=1)
            stream.wait()
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
